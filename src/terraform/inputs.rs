//! What a task's module is given of the world, besides its own variables.
//!
//! # Not here
//!
//! `services`, `catalog_services` and `consul_kv` come with the Consul source; until then `services` is passed empty.

use crate::task::members::MemberInput;
use crate::task::spec::{Condition, TaskSpec};

use super::hcl::{Expr, Type};

/// The data of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Rendered for the tasks that ask for it, in this order.
    pub members: Vec<MemberInput>,
}

/// A member as an expression: the same attributes as a command task gets.
pub(super) fn member_value(member: &MemberInput) -> Expr {
    let text = |name: &str, value: &str| (name.to_owned(), Expr::string(value));
    Expr::Object(vec![
        text("id", &member.id),
        text("address", &member.address),
        text("api_address", &member.api_address),
        text("gossip_address", &member.gossip_address),
        text("version", &member.version),
    ])
}

/// `map(object({..}))` of all attributes of a member; a module may declare fewer.
pub(super) fn members_type() -> Type {
    let none = String::new;
    let member = MemberInput {
        id: none(),
        address: none(),
        api_address: none(),
        gossip_address: none(),
        version: none(),
    };
    Type::map(Type::of(&member_value(&member)))
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
