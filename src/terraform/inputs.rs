//! What a task's module is given of the world, besides its own variables.
//!
//! A task renders parts: its condition's, then its module inputs', each at most once per variable. What has no part is
//! neither declared nor passed, but for `services`, which every module gets (`reference/cts.md` 9, quirk 1).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::task::consul_data::{Data, Query};
use crate::task::members::{self, MemberInput};
use crate::task::run_data::{Subject, parts};
use crate::task::spec::TaskSpec;

use super::hcl::{Expr, Type};

/// The data of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The members as the task room renders them, for the tasks that ask for them.
    pub members: Map<String, Value>,
    /// Answers by question: at least one for every query whose data the task renders.
    pub data: BTreeMap<Query, Arc<Data>>,
}

impl Inputs {
    /// Of these members, without data of Consul.
    pub fn of(members: &[MemberInput]) -> Self {
        match members::render(members) {
            Value::Object(members) => Self { members, ..Self::default() },
            _ => Self::default(),
        }
    }

    /// With these answers.
    #[must_use]
    pub fn with(mut self, data: impl IntoIterator<Item = (Query, Arc<Data>)>) -> Self {
        self.data.extend(data);
        self
    }
}

/// The rendered ones other than `services`, which every task has.
pub(super) fn extra(task: &TaskSpec) -> impl Iterator<Item = Subject<'_>> {
    let parts = parts(task).into_iter();
    parts.filter(|part| part.rendered && part.subject.variable() != "services").map(|part| part.subject)
}

/// `map(object({..}))` of all attributes of a member, as the task room renders them; a module may declare fewer.
pub(super) fn members_type() -> Type {
    let none = MemberInput::default();
    let rendered = members::render(&[none]);
    let member = rendered.as_object().and_then(|map| map.values().next());
    Type::map(Type::of(&Expr::from(member.unwrap_or(&Value::Null))))
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
