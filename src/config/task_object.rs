//! Task objects of the API (`reference/cts.md` 4.5, 4.6) to definitions and back.
//!
//! An object goes the way of a configuration in JSON, so that both have the same rules; what the API writes differently
//! (underscores, the buffer period, which of several conditions counts) is settled before.

mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::diagnostic::{Problems, Severity};
use super::duration;
use super::json;
use super::raw::RawRoot;
use super::raw::task::RawTask;
use super::read::Spanned;
use super::resolve::{World, api_buffer, one_task};
use super::span::{Format, SourceFile, Span};
use crate::task::spec::{Buffer, Condition, TaskSpec};
use crate::terraform;

pub use show::to_object;
pub(super) use show::whole;

/// The fields of a task object.
const FIELDS: [&str; 15] = [
    "name",
    "description",
    "enabled",
    "module",
    "command",
    "version",
    "providers",
    "variables",
    "sensitive_variables",
    "condition",
    "module_input",
    "buffer_period",
    "approval",
    "terraform_version",
    "terraform_cloud_workspace",
];
/// Conditions as the API writes them, and as the file does. Of several, the first in this order counts, as in CTS.
const CONDITIONS: [(&str, &str); 5] = [
    ("services", "services"),
    ("consul_kv", "consul-kv"),
    ("catalog_services", "catalog-services"),
    ("schedule", "schedule"),
    ("members", "members"),
];

/// What the configuration knows that a task depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectContext {
    /// `buffer_period` of the top level; `None`: off.
    pub buffer: Option<Buffer>,
    /// Parent of the tasks' directories; absolute.
    pub working_dir: PathBuf,
    /// The process directory: relative paths start here.
    pub cwd: PathBuf,
    /// Whether there are other members to watch.
    pub in_cluster: bool,
    /// The driver, with the providers that tasks may name.
    pub terraform: terraform::Settings,
}

/// The definition that an object asks for. `Err`: all that is wrong with it, for people.
pub fn from_object(object: &Value, context: &ObjectContext) -> Result<TaskSpec, String> {
    let Value::Object(fields) = object else { return Err("a task must be an object".to_owned()) };
    only(fields, &FIELDS, "task")?;
    let mut fields = fields.clone();
    let buffer = buffer(fields.remove("buffer_period").as_ref())?;
    if let Some(condition) = fields.remove("condition") {
        fields.extend(condition_block(&condition)?.map(|block| ("condition".to_owned(), block)));
    }
    if let Some(input) = fields.remove("module_input") {
        fields.extend(input_blocks(&input)?.map(|blocks| ("module_input".to_owned(), blocks)));
    }
    let mut spec = as_configured(&Value::Object(fields), context)?;
    if let (Some(own), false) = (buffer, matches!(spec.condition, Condition::Schedule { .. })) {
        spec.buffer = own;
    }
    Ok(spec)
}

/// Reads a task that is written as in a configuration.
fn as_configured(task: &Value, context: &ObjectContext) -> Result<TaskSpec, String> {
    let file = SourceFile::new("task", task.to_string(), Format::Json);
    let object = json::parse(&file).map_err(|problem| problem.message)?;
    let mut problems = Problems::default();
    let whole = Span::new(&file, 0..0);
    let value = RawTask::from_object(&object, "task", &mut problems);
    let block = Spanned { value, span: whole.clone(), key: whole };
    let env = BTreeMap::new();
    let world = World { env: &env, hostname: "", cwd: &context.cwd };
    let spec = one_task(&block, &RawRoot::default(), context, &world, &mut problems);
    let errors: Vec<String> = problems
        .into_sorted()
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| {
            problem.help.map_or_else(|| problem.message.clone(), |help| format!("{} ({help})", problem.message))
        })
        .collect();
    if errors.is_empty() { Ok(spec) } else { Err(errors.join("; ")) }
}

/// The outer answer: `None` when nothing is said; the inner one: the buffer, or none.
#[expect(clippy::option_option, reason = "not said, off, and on are three things")]
fn buffer(said: Option<&Value>) -> Result<Option<Option<Buffer>>, String> {
    let Some(said) = said.filter(|said| !said.is_null()) else { return Ok(None) };
    let Value::Object(fields) = said else { return Err("`buffer_period` must be an object".to_owned()) };
    only(fields, &["enabled", "min", "max"], "buffer_period")?;
    if fields.is_empty() {
        return Ok(None);
    }
    let enabled = match fields.get("enabled") {
        None | Some(Value::Null) => None,
        Some(Value::Bool(enabled)) => Some(*enabled),
        Some(_) => return Err("`enabled` of `buffer_period` must be true or false".to_owned()),
    };
    let bound = |name: &str| -> Result<Option<Duration>, String> {
        match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => duration::parse(text).map(Some).map_err(|why| {
                format!("`{name}` {text:?} of `buffer_period` {why} (write it like \"5s\" or \"1m30s\")")
            }),
            Some(_) => Err(format!("`{name}` of `buffer_period` must be a text like \"5s\"")),
        }
    };
    Ok(Some(api_buffer(enabled, bound("min")?, bound("max")?)))
}

fn condition_block(said: &Value) -> Result<Option<Value>, String> {
    let Value::Object(fields) = said else {
        return if said.is_null() { Ok(None) } else { Err("`condition` must be an object".to_owned()) };
    };
    only(fields, &CONDITIONS.map(|(name, _)| name), "condition")?;
    let given = |(api, _): &&(&str, &str)| fields.get(*api).is_some_and(|body| !body.is_null());
    let Some((api, file)) = CONDITIONS.iter().find(given) else { return Ok(None) };
    let body = settled(fields.get(*api).unwrap_or(&Value::Null))?;
    Ok(Some(Value::Object(Map::from_iter([((*file).to_owned(), body)]))))
}

fn input_blocks(said: &Value) -> Result<Option<Value>, String> {
    let Value::Object(fields) = said else {
        return if said.is_null() { Ok(None) } else { Err("`module_input` must be an object".to_owned()) };
    };
    only(fields, &["services", "consul_kv", "members"], "module_input")?;
    let mut blocks = Map::new();
    for (name, body) in fields.iter().filter(|(_, body)| !body.is_null()) {
        blocks.insert(name.replace('_', "-"), settled(body)?);
    }
    Ok((!blocks.is_empty()).then_some(Value::Object(blocks)))
}

/// A body of services whose names hide its regexp; every other body as it is. The old name of a key is for files only.
fn settled(body: &Value) -> Result<Value, String> {
    if body.get("source_includes_var").is_some() {
        return Err("unknown key `source_includes_var` (write `use_as_module_input`)".to_owned());
    }
    let mut body = body.clone();
    if let Some(fields) = body.as_object_mut() {
        match fields.get("names").and_then(Value::as_array) {
            Some(names) if names.is_empty() => drop(fields.shift_remove("names")),
            Some(_) => drop(fields.shift_remove("regexp")),
            None => {}
        }
    }
    Ok(body)
}

fn only(fields: &Map<String, Value>, known: &[&str], place: &str) -> Result<(), String> {
    let unknown: Vec<&str> = fields.keys().map(String::as_str).filter(|key| !known.contains(key)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(format!("`{place}` has invalid keys: {} (known: {})", unknown.join(", "), known.join(", ")))
}

#[cfg(test)]
mod tests;
