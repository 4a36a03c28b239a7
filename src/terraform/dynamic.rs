//! Values of providers that are fetched at start: `{{ env "X" }}`, `{{ key "path" }}` and
//! `{{ with secret "path" }}{{ .Data.password }}{{ end }}` (`reference/cts.md` 2.10).
//!
//! In three steps, so that only the middle one waits: all templates are parsed, what they ask for is fetched once each and
//! at the same time, and the texts are put together. They are evaluated once, at start, as in CTS.
//!
//! # Not here
//!
//! The rest of Go's template language. What we do not know is an error with the words that we do know, never a wrong
//! password.

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::Settings;
use parse::{Node, Word};

/// How long one value may take to fetch.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to fetch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// The value of a key in Consul: a string, or null when there is no such key.
    Key(String),
    /// The whole answer of Vault about a path: an object with `data`.
    Secret(String),
}

impl std::fmt::Display for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(path) => write!(f, "key {path:?} of Consul"),
            Self::Secret(path) => write!(f, "secret {path:?} of Vault"),
        }
    }
}

/// Why values could not be filled in. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynamicError {
    /// Not a template that we know. Never worth a retry.
    #[error("terraform_provider {provider:?}, `{argument}`: {why}")]
    Template {
        /// Which instance.
        provider: String,
        /// Which of its arguments.
        argument: String,
        /// What is wrong with it.
        why: String,
    },
    /// The words of CTS.
    #[error("detected dynamic configuration using Vault: missing Vault configuration")]
    NoVault,
    /// Retrying is sensible.
    #[error("{0}: {1}")]
    Fetch(Lookup, String),
    /// Retrying is sensible.
    #[error("{0}: no answer within {limit} seconds", limit = FETCH_TIMEOUT.as_secs())]
    TimedOut(Lookup),
}

/// The settings with all templates of their providers filled in. `fetch` answers one lookup, with words for people on
/// failure; each is asked once. `has_vault`: whether there is a Vault to ask.
pub async fn resolve_providers<F>(
    settings: &Settings,
    env: &BTreeMap<String, String>,
    has_vault: bool,
    fetch: impl Fn(Lookup) -> F,
) -> Result<Settings, DynamicError>
where
    F: Future<Output = Result<Value, String>>,
{
    resolve_within(FETCH_TIMEOUT, settings, env, has_vault, fetch).await
}

async fn resolve_within<F>(
    limit: Duration,
    settings: &Settings,
    env: &BTreeMap<String, String>,
    has_vault: bool,
    fetch: impl Fn(Lookup) -> F,
) -> Result<Settings, DynamicError>
where
    F: Future<Output = Result<Value, String>>,
{
    let lookups = lookups(settings, has_vault)?;
    let mut resolved = settings.clone();
    let one = async |lookup: Lookup| match tokio::time::timeout(limit, fetch(lookup.clone())).await {
        Ok(Ok(value)) => Ok((lookup, value)),
        Ok(Err(why)) => Err(DynamicError::Fetch(lookup, why)),
        Err(_) => Err(DynamicError::TimedOut(lookup)),
    };
    let fetched = futures_util::future::join_all(lookups.into_iter().map(one)).await;
    let fetched: BTreeMap<Lookup, Value> = fetched.into_iter().collect::<Result<_, _>>()?;
    each_text(&mut resolved, &mut |text| {
        if let Some(nodes) = parse::template(text)? {
            *text = evaluate(&nodes, None, env, &fetched)?;
        }
        Ok(())
    })?;
    Ok(resolved)
}

/// What the templates ask for. Nobody is asked.
pub fn lookups(settings: &Settings, has_vault: bool) -> Result<BTreeSet<Lookup>, DynamicError> {
    let mut lookups = BTreeSet::new();
    each_text(&mut settings.clone(), &mut |text| {
        if let Some(nodes) = parse::template(text)? {
            parse::lookups(&nodes, &mut lookups);
        }
        Ok(())
    })?;
    if !has_vault && lookups.iter().any(|lookup| matches!(lookup, Lookup::Secret(_))) {
        return Err(DynamicError::NoVault);
    }
    Ok(lookups)
}

type Visit<'a> = dyn FnMut(&mut String) -> Result<(), String> + 'a;

/// Visits every string of every provider.
fn each_text(settings: &mut Settings, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
    for provider in &mut settings.providers {
        let id = provider.id();
        let failed =
            |argument: &str, why| DynamicError::Template { provider: id.clone(), argument: argument.to_owned(), why };
        for (name, value) in &mut provider.args {
            inside(value, visit).map_err(|why| failed(name, why))?;
        }
        for (name, text) in &mut provider.task_env {
            visit(text).map_err(|why| failed(name, why))?;
        }
    }
    Ok(())
}

fn inside(value: &mut Value, visit: &mut Visit<'_>) -> Result<(), String> {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().try_for_each(|item| inside(item, visit)),
        Value::Object(items) => items.values_mut().try_for_each(|item| inside(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

/// `dot` is the secret of the block that the nodes stand in, with its path.
fn evaluate(
    nodes: &[Node],
    dot: Option<(&str, &Value)>,
    env: &BTreeMap<String, String>,
    fetched: &BTreeMap<Lookup, Value>,
) -> Result<String, String> {
    let mut out = String::new();
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Print(word, pipes) => {
                let text = match word {
                    Word::Env(name) => env.get(name).cloned().unwrap_or_default(),
                    Word::Key(path, default) => match (fetched.get(&Lookup::Key(path.clone())), default) {
                        (Some(Value::String(text)), _) => text.clone(),
                        (_, Some(default)) => default.clone(),
                        _ => return Err(format!("there is no key {path:?} in Consul")),
                    },
                    Word::Field(names) => field(names, dot)?,
                };
                out.push_str(&pipes.iter().try_fold(text, |text, pipe| pipe.apply(&text))?);
            }
            Node::With(path, inner) => {
                let secret = fetched.get(&Lookup::Secret(path.clone())).unwrap_or(&Value::Null);
                out.push_str(&evaluate(inner, Some((path, secret)), env, fetched)?);
            }
        }
    }
    Ok(out)
}

/// `.Data.a.b`: the answer's `data`, then what is inside. A field that is not there is an error, not `<no value>`.
fn field(names: &[String], dot: Option<(&str, &Value)>) -> Result<String, String> {
    let shown = format!(".{}", names.join("."));
    let Some((path, secret)) = dot else { return Err(format!("`{shown}` stands outside of {{{{ with secret }}}}")) };
    let Some(("Data", rest)) = names.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
        return Err(format!("`{shown}` is not known: only `.Data` of a secret is"));
    };
    let found = rest.iter().try_fold(&secret["data"], |value, name| value.get(name));
    match found {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(value.to_string()),
        Some(Value::Object(inner)) if inner.contains_key("data") => Err(format!(
            "secret {path:?}: `{shown}` is not a text; a KV version 2 secret has its values in `.Data.data`"
        )),
        Some(Value::Null) | None => Err(format!("secret {path:?} has no `{shown}`")),
        Some(_) => Err(format!("secret {path:?}: `{shown}` is not a text")),
    }
}

#[cfg(test)]
mod tests;
