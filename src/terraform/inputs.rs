//! What a task's module is given of the world, besides its own variables.
//!
//! A task renders parts: its condition's, then its module inputs', each at most once per variable. What has no part is
//! neither declared nor passed, but for `services`, which every module gets (`reference/cts.md` 9, quirk 1).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::task::feed::{CatalogQuery, Data, KvQuery, Query};
use crate::task::members::{self, MemberInput};
use crate::task::spec::{Condition, ModuleInput, Services, TaskSpec};

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

/// What one condition or module input is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Subject<'a> {
    /// `services`.
    Services(&'a Services),
    /// `catalog_services`.
    Catalog(&'a CatalogQuery),
    /// `consul_kv`.
    Kv(&'a KvQuery),
    /// `members`.
    Members,
}

impl Subject<'_> {
    /// Name of its variable.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Services(_) => "services",
            Self::Catalog(_) => "catalog_services",
            Self::Kv(_) => "consul_kv",
            Self::Members => "members",
        }
    }
}

/// One part of `terraform.tfvars`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Part<'a> {
    /// Of what.
    pub(super) subject: Subject<'a>,
    /// Whether the module is given it. If not it is watched only, and appears in the template alone.
    pub(super) rendered: bool,
}

/// The parts of a task in their order: the condition's, then the module inputs'. A variable is rendered once.
pub(super) fn parts(task: &TaskSpec) -> Vec<Part<'_>> {
    let of = |subject, rendered: &bool| Some(Part { subject, rendered: *rendered });
    let condition = match &task.condition {
        Condition::Services { services, use_as_module_input } => of(Subject::Services(services), use_as_module_input),
        Condition::CatalogServices { catalog, use_as_module_input } => {
            of(Subject::Catalog(catalog), use_as_module_input)
        }
        Condition::ConsulKv { kv, use_as_module_input } => of(Subject::Kv(kv), use_as_module_input),
        Condition::Members { use_as_module_input } => of(Subject::Members, use_as_module_input),
        Condition::Schedule { .. } | Condition::None => None,
    };
    let input = |input| match input {
        &ModuleInput::Members => Subject::Members,
        ModuleInput::Services(services) => Subject::Services(services),
        ModuleInput::ConsulKv(kv) => Subject::Kv(kv),
    };
    let mut parts: Vec<Part<'_>> = condition.into_iter().collect();
    for subject in task.inputs.iter().map(input) {
        let known = parts.iter().any(|part| part.rendered && part.subject.variable() == subject.variable());
        if !known {
            parts.push(Part { subject, rendered: true });
        }
    }
    parts
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
