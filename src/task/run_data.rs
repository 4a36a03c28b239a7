//! What a task is given of the world: its condition's data, then its module inputs', each at most once per variable.

use super::consul_data::{CatalogQuery, KvQuery};
use super::spec::{Condition, ModuleInput, Services, TaskSpec};

/// What one condition or module input is about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Subject<'a> {
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
    pub fn variable(self) -> &'static str {
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
pub struct Part<'a> {
    /// Of what.
    pub subject: Subject<'a>,
    /// Whether the module is given it. If not it is watched only, and appears in the template alone.
    pub rendered: bool,
}

/// The parts of a task in their order: the condition's, then the module inputs'. A variable is rendered once.
pub fn parts(task: &TaskSpec) -> Vec<Part<'_>> {
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
