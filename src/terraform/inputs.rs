//! What a task's module is given of the world, besides its own variables.
//!
//! # Not here
//!
//! `services`, `catalog_services` and `consul_kv` come with the Consul source; until then `services` is passed empty.

use serde_json::{Map, Value};

use crate::task::members::{self, MemberInput};
use crate::task::spec::{Condition, TaskSpec};

use super::hcl::{Expr, Type};

/// The data of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The members as the task room renders them, for the tasks that ask for them.
    pub members: Map<String, Value>,
}

impl Inputs {
    /// Of these members.
    pub fn of(members: &[MemberInput]) -> Self {
        match members::render(members) {
            Value::Object(members) => Self { members },
            _ => Self::default(),
        }
    }
}

/// `map(object({..}))` of all attributes of a member, as the task room renders them; a module may declare fewer.
pub(super) fn members_type() -> Type {
    let none = MemberInput::default();
    let rendered = members::render(&[none]);
    let member = rendered.as_object().and_then(|map| map.values().next());
    Type::map(Type::of(&Expr::from(member.unwrap_or(&Value::Null))))
}

/// Whether the task's module gets `members`.
pub fn renders_members(task: &TaskSpec) -> bool {
    task.members_input || matches!(task.condition, Condition::Members { use_as_module_input: true })
}

/// The attributes of a service, in the order of service definition protocol v0 (`reference/cts.md` 3.3).
pub(super) fn services_type() -> Type {
    let strings =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Type::Word("string"))).collect::<Vec<_>>();
    let of = |name: &str, of| vec![(name.to_owned(), of)];
    let text_map = || Type::map(Type::Word("string"));
    let attributes = [
        strings(&["id", "name", "kind", "address"]),
        of("port", Type::Word("number")),
        of("meta", text_map()),
        of("tags", Type::list(Type::Word("string"))),
        strings(&["namespace", "status", "node", "node_id", "node_address", "node_datacenter"]),
        of("node_tagged_addresses", text_map()),
        of("node_meta", text_map()),
        of("cts_user_defined_meta", text_map()),
    ];
    Type::map(Type::Object(attributes.concat()))
}
