//! `main.tf`: the terraform block, the providers, the module.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::super::hcl::{Body, Expr, Reference};
use super::super::inputs::extra;
use super::super::{Backend, Provider, Settings};
use super::names::{Parts, blocks};
use super::tfvars::sorted;
use crate::task::spec::{TaskSpec, TerraformWork};

/// What a backend has as blocks; all else is an argument, objects too.
const BACKEND_BLOCKS: [(&str, &str); 2] = [("kubernetes", "exec"), ("remote", "workspaces")];

/// Arguments of a provider that mean something to the agent and nothing to the provider.
const NOT_FOR_THE_PROVIDER: &str = "auto_commit";

pub(super) fn body(
    task: &TaskSpec,
    work: &TerraformWork,
    parts: &Parts<'_>,
    settings: &Settings,
    backend: &Backend,
) -> Body {
    let mut body = Body::default();
    body.block("terraform", &[], terraform(parts, settings, backend)).blank();
    for (name, instance) in &parts.providers {
        body.block("provider", &[name], provider(name, *instance)).blank();
    }
    if !task.description.is_empty() {
        body.comment(&task.description);
    }
    body.block("module", &[&task.name], module(task, work, parts));
    body
}

fn terraform(parts: &Parts<'_>, settings: &Settings, backend: &Backend) -> Body {
    let mut body = Body::default();
    body.attribute("required_version", Expr::string(super::REQUIRED_VERSION));
    let mut required = Body::default();
    let mut any = false;
    for (name, _) in &parts.providers {
        if let Some(wanted) = settings.required_providers.get(*name) {
            let entry = [("source", &wanted.source), ("version", &wanted.version)];
            let entry =
                entry.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Expr::string(value.as_ref()?))));
            required.attribute(name, Expr::Object(entry.collect()));
            any = true;
        }
    }
    if any {
        body.block("required_providers", &[], required);
    }
    body.block("backend", &[&backend.kind], backend_body(backend));
    body
}

fn backend_body(backend: &Backend) -> Body {
    let mut body = Body::default();
    for (name, value) in by_name(&backend.body) {
        if BACKEND_BLOCKS.contains(&(backend.kind.as_str(), name)) {
            for block in blocks(value).unwrap_or_default() {
                body.block(name, &[], values(block));
            }
        } else {
            body.attribute(name, sorted(value));
        }
    }
    body
}

fn values(arguments: &Map<String, Value>) -> Body {
    let mut body = Body::default();
    for (name, value) in by_name(arguments) {
        body.attribute(name, sorted(value));
    }
    body
}

/// Arguments as references into the provider's variable, which keeps secrets out of this file.
fn provider(name: &str, instance: Option<&Provider>) -> Body {
    let mut body = Body::default();
    for (argument, value) in instance.map(|provider| by_name(&provider.args)).unwrap_or_default() {
        if argument == NOT_FOR_THE_PROVIDER {
            continue;
        }
        let reference = Reference::variable(name).key(argument);
        match (blocks(value), value) {
            (Some(list), Value::Array(_)) => {
                for (index, block) in list.into_iter().enumerate() {
                    body.block(argument, &[], references(&reference.clone().index(index), block));
                }
            }
            (Some(one), _) => {
                for block in one {
                    body.block(argument, &[], references(&reference, block));
                }
            }
            (None, _) => {
                body.attribute(argument, Expr::Reference(reference));
            }
        }
    }
    body
}

fn references(into: &Reference, arguments: &Map<String, Value>) -> Body {
    let mut body = Body::default();
    for (name, _) in by_name(arguments) {
        body.attribute(name, Expr::Reference(into.clone().key(name)));
    }
    body
}

fn module(task: &TaskSpec, work: &TerraformWork, parts: &Parts<'_>) -> Body {
    let mut body = Body::default();
    let variable = |name: &str| Expr::Reference(Reference::variable(name));
    body.attribute("source", Expr::string(&work.module));
    if !work.version.is_empty() {
        body.attribute("version", Expr::string(&work.version));
    }
    body.attribute("services", variable("services"));
    for subject in extra(task) {
        body.attribute(subject.variable(), variable(subject.variable()));
    }
    if !parts.variables.is_empty() {
        body.blank();
    }
    for (name, _) in &parts.variables {
        body.attribute(name, variable(name));
    }
    body
}

fn by_name(arguments: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    arguments.iter().map(|(name, value)| (name.as_str(), value)).collect()
}
