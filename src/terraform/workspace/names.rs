//! Checks every name before anything is generated, so that the generators below can trust them.

use serde_json::{Map, Value};

use super::super::hcl::{DEPTH_MAX, is_identifier};
use super::super::{Backend, Provider, Settings, directory, literal};
use super::WorkspaceError;
use crate::task::spec::{TaskSpec, TerraformWork};

/// Arguments that a module block has of its own: no variable can be passed under such a name.
const MODULE_ARGUMENTS: [&str; 8] =
    ["count", "depends_on", "for_each", "lifecycle", "locals", "providers", "source", "version"];

/// Variables that the agent renders.
const RENDERED: [&str; 4] = ["services", "catalog_services", "consul_kv", "members"];

/// The checked parts of a task.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    /// Its providers by name, sorted; `None`: not configured, so an empty block.
    pub(super) providers: Vec<(&'a str, Option<&'a Provider>)>,
    /// Its own variables, sorted.
    pub(super) variables: Vec<(&'a str, Value)>,
}

pub(super) fn check<'a>(
    task: &TaskSpec,
    work: &'a TerraformWork,
    settings: &'a Settings,
    backend: &Backend,
) -> Result<Parts<'a>, WorkspaceError> {
    directory::below("".as_ref(), &task.name)?;
    identifier("backend", &backend.kind)?;
    arguments("backend argument", &backend.body)?;
    let providers = providers(work, settings)?;
    let variables = work
        .variables
        .iter()
        .map(|(name, text)| {
            own_name("variable", name)?;
            if MODULE_ARGUMENTS.contains(&name.as_str()) {
                return Err(taken("variable", name, "it is an argument of every module block"));
            }
            if providers.iter().any(|(provider, _)| provider == name) {
                return Err(taken("variable", name, "a provider of the task has this name"));
            }
            let value =
                literal::from_text(text).map_err(|source| WorkspaceError::Variable { name: name.clone(), source })?;
            Ok((name.as_str(), value))
        })
        .collect::<Result<_, _>>()?;
    Ok(Parts { providers, variables })
}

fn providers<'a>(
    work: &'a TerraformWork,
    settings: &'a Settings,
) -> Result<Vec<(&'a str, Option<&'a Provider>)>, WorkspaceError> {
    let mut providers: Vec<(&str, Option<&Provider>)> = Vec::new();
    for id in &work.providers {
        let name = id.split_once('.').map_or(id.as_str(), |(name, _)| name);
        own_name("provider", name)?;
        let provider = settings.provider(id);
        if let Some(provider) = provider {
            arguments("provider argument", &provider.args)?;
        }
        if providers.iter().any(|(known, _)| *known == name) {
            return Err(WorkspaceError::ProviderTwice(name.to_owned()));
        }
        providers.push((name, provider));
    }
    providers.sort_by_key(|(name, _)| *name);
    Ok(providers)
}

fn own_name(what: &'static str, name: &str) -> Result<(), WorkspaceError> {
    identifier(what, name)?;
    if RENDERED.contains(&name) {
        return Err(taken(what, name, "the agent passes its own data under this name"));
    }
    Ok(())
}

fn taken(what: &'static str, name: &str, why: &'static str) -> WorkspaceError {
    WorkspaceError::Taken { what, name: name.to_owned(), why }
}

fn identifier(what: &'static str, name: &str) -> Result<(), WorkspaceError> {
    if is_identifier(name) { Ok(()) } else { Err(WorkspaceError::Name { what, name: name.to_owned() }) }
}

/// Names of arguments, and of those in their blocks, one level down.
fn arguments(what: &'static str, arguments: &Map<String, Value>) -> Result<(), WorkspaceError> {
    for (name, value) in arguments {
        identifier(what, name)?;
        if depth(value) > DEPTH_MAX {
            return Err(WorkspaceError::Depth { what, name: name.clone() });
        }
        for inner in blocks(value).unwrap_or_default().into_iter().flat_map(Map::keys) {
            identifier(what, inner)?;
        }
    }
    Ok(())
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(items) => items.values().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + inner.unwrap_or(0)
}

/// A value that is written as blocks: an object as one, a list of objects as one each.
pub(super) fn blocks(value: &Value) -> Option<Vec<&Map<String, Value>>> {
    match value {
        Value::Object(object) => Some(vec![object]),
        Value::Array(items) if !items.is_empty() => items.iter().map(Value::as_object).collect(),
        _ => None,
    }
}
