//! `terraform_provider`, with what its templates stand for filled in.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::World;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::source::Span;
use crate::config::tree::{Entry, Kind, Object, Value};
use crate::terraform::Provider;

/// All instances in the order of the files.
pub(super) fn providers(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Vec<Provider> {
    let mut found: Vec<(Provider, Span)> = Vec::new();
    for block in raw.terraform_provider.iter().flat_map(|blocks| &blocks.value.0) {
        let Some((label, provider)) = provider(&block.value, &block.key, world, problems) else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.id() == provider.id()) {
            let message = format!("duplicate provider configuration: {}", provider.id());
            let diagnostic = Diagnostic::error(message).at(&label, "again here").at(first, "first here");
            problems.add(diagnostic.help("give one of them an `alias`"));
        }
        found.push((provider, label));
    }
    found.into_iter().map(|(provider, _)| provider).collect()
}

fn provider(block: &Value, key: &Span, world: &World<'_>, problems: &mut Problems) -> Option<(Span, Provider)> {
    let wrong = |message: &str, span: &Span| {
        let diagnostic = Diagnostic::error(message).at(span, "a provider has one label, its name");
        diagnostic.help("write `terraform_provider \"aws\" { .. }`")
    };
    let Kind::Object(Object { entries }) = &block.kind else {
        problems.add(wrong("missing provider name", key));
        return None;
    };
    let [Entry { key: name, key_span, value: Value { kind: Kind::Object(body), .. }, .. }] = entries.as_slice() else {
        problems.add(wrong("missing provider name", key));
        return None;
    };
    if let Some(inner) = body.entries.iter().find(|entry| entry.label) {
        problems
            .add(wrong(&format!("unexpected terraform_provider block labels: {name}, {}", inner.key), &inner.key_span));
        return None;
    }
    let mut provider = Provider { name: name.clone(), ..Provider::default() };
    let mut args = Vec::new();
    for entry in &body.entries {
        match (entry.key.as_str(), &entry.value.kind) {
            ("alias", Kind::Text(alias)) => provider.alias = Some(alias.clone()),
            ("alias", _) => problems.add(Diagnostic::error("`alias` must be a string").at(&entry.value.span, "")),
            ("task_env", Kind::Object(env)) => task_env(env, &mut provider.task_env, world, problems),
            ("task_env", _) => problems.add(
                Diagnostic::error("unexpected task_env block format")
                    .at(&entry.value.span, "expected a block of strings")
                    .help("write `task_env { \"NAME\" = \"value\" }`"),
            ),
            ("auto_commit", Kind::Bool(false)) => {}
            ("auto_commit", Kind::Text(text)) if text == "false" => {}
            ("auto_commit", _) => problems.add(
                Diagnostic::error("`auto_commit` is not supported yet")
                    .at(&entry.key_span, "nothing would be committed")
                    .help("set it to false and commit by other means"),
            ),
            _ => args.push(Entry { value: filled(&entry.value, world, problems), ..entry.clone() }),
        }
    }
    let args = Value { span: key_span.clone(), kind: Kind::Object(Object { entries: args }) };
    provider.args = match args.to_json() {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    Some((key_span.clone(), provider))
}

fn task_env(env: &Object, into: &mut BTreeMap<String, String>, world: &World<'_>, problems: &mut Problems) {
    for entry in &env.entries {
        let Kind::Text(text) = filled(&entry.value, world, problems).kind else {
            let diagnostic = Diagnostic::error("unexpected task_env block format");
            problems.add(diagnostic.at(&entry.value.span, "expected a string"));
            continue;
        };
        into.insert(entry.key.clone(), text);
    }
}

/// The value with `{{ env ".." }}` replaced. Templates that ask Consul or Vault are refused: left as text they would
/// reach the provider as a wrong password.
fn filled(value: &Value, world: &World<'_>, problems: &mut Problems) -> Value {
    let kind = match &value.kind {
        Kind::Text(text) => Kind::Text(template(text, &value.span, world, problems)),
        Kind::List(items) => Kind::List(items.iter().map(|item| filled(item, world, problems)).collect()),
        Kind::Object(object) => Kind::Object(Object {
            entries: object
                .entries
                .iter()
                .map(|entry| Entry { value: filled(&entry.value, world, problems), ..entry.clone() })
                .collect(),
        }),
        same @ (Kind::Null | Kind::Bool(_) | Kind::Number(_)) => same.clone(),
    };
    Value { span: value.span.clone(), kind }
}

fn template(text: &str, span: &Span, world: &World<'_>, problems: &mut Problems) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((action, next)) = after.split_once("}}") else {
            out.push_str("{{");
            rest = after;
            continue;
        };
        let words = action.trim_matches('-').trim();
        let (function, argument) = words.split_once(char::is_whitespace).unwrap_or((words, ""));
        match function {
            "env" => {
                let name = argument.trim().trim_matches(['"', '`']);
                match world.env.get(name) {
                    Some(value) => out.push_str(value),
                    None => problems.add(
                        Diagnostic::warning(format!("the environment variable {name} is not set"))
                            .at(span, "an empty text is used"),
                    ),
                }
            }
            "key" | "keyOrDefault" | "with" | "secret" | "end" => problems.add(
                Diagnostic::error(format!("`{{{{ {function} .. }}}}` is not supported yet"))
                    .at(span, "Consul and Vault are not read yet")
                    .help("use {{ env \"NAME\" }} and start the agent with that variable"),
            ),
            _ => {
                out.push_str("{{");
                out.push_str(action);
                out.push_str("}}");
            }
        }
        rest = next;
    }
    out + rest
}

/// What a template outside `terraform_provider` looks like.
pub(super) fn is_template(text: &str) -> bool {
    text.split("{{").skip(1).any(|after| {
        let words = after.trim_start_matches('-').trim_start();
        ["env \"", "key \"", "with secret \"", "env `", "key `"].iter().any(|start| words.starts_with(start))
    })
}
