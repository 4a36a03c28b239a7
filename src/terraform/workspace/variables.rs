//! `variables.tf` and `variables.module.tf`: declarations.

use std::collections::BTreeSet;

use super::super::Binary;
use super::super::hcl::{Body, Expr, Type};
use super::super::inputs::{extra, members_type, services_type};
use super::names::Parts;
use super::tfvars::{provider_value, sorted};
use crate::task::run_data::Subject;
use crate::task::spec::TaskSpec;

/// What the agent renders, then the providers' values.
pub(super) fn rendered(task: &TaskSpec, parts: &Parts<'_>, binary: &Binary) -> Body {
    let mut body = Body::default();
    body.comment("Service definition protocol v0");
    body.block(
        "variable",
        &["services"],
        described("Services that the task is fed with, by instance", services_type()),
    );
    for subject in extra(task) {
        body.blank();
        let (comment, text, of) = match subject {
            Subject::Catalog(_) => (
                Some("Catalog Services definition protocol v0"),
                "Names of services in Consul's catalog, with all their tags",
                Type::map(Type::list(Type::Word("string"))),
            ),
            Subject::Kv(_) => {
                let of = Type::map(Type::Word("string"));
                (Some("Consul KV definition protocol v0"), "Keys and values of Consul's KV store", of)
            }
            Subject::Members => (None, "Agents of the cluster that runs the task, by id", members_type()),
            Subject::Services(_) => continue,
        };
        if let Some(comment) = comment {
            body.comment(comment);
        }
        body.block("variable", &[subject.variable()], described(text, of));
    }
    for (name, provider) in &parts.providers {
        let Some(provider) = provider else { continue };
        let mut variable = Body::default();
        variable.attribute("default", Expr::Null);
        variable.attribute("description", Expr::string(format!("Configuration object for {name}")));
        if binary.version.at_least(0, 14) {
            variable.attribute("sensitive", Expr::Bool(true));
        }
        variable.attribute("type", Expr::Type(Type::of(&provider_value(provider))));
        body.blank().block("variable", &[name], variable);
    }
    body
}

fn described(text: &str, of: Type) -> Body {
    let mut body = Body::default();
    body.attribute("description", Expr::string(text)).attribute("type", Expr::Type(of));
    body
}

/// The task's own variables.
pub(super) fn own(parts: &Parts<'_>, sensitive: &BTreeSet<String>, binary: &Binary) -> Body {
    let mut body = Body::default();
    for (index, (name, value)) in parts.variables.iter().enumerate() {
        let mut variable = Body::default();
        variable.attribute("default", Expr::Null);
        if sensitive.contains(*name) && binary.version.at_least(0, 14) {
            variable.attribute("sensitive", Expr::Bool(true));
        }
        variable.attribute("type", Expr::Type(Type::of(&sorted(value))));
        if index > 0 {
            body.blank();
        }
        body.block("variable", &[name], variable);
    }
    body
}
