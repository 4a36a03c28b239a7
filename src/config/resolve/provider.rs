//! `terraform_provider`. Templates in it stay as they are: they are answered at start, by the terraform room.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::source::Span;
use crate::config::tree::{Entry, Kind, Object, Value};
use crate::terraform::Provider;

/// All instances in the order of the files.
pub(super) fn providers(raw: &RawRoot, problems: &mut Problems) -> Vec<Provider> {
    let mut found: Vec<(Provider, Span)> = Vec::new();
    for block in raw.terraform_provider.iter().flat_map(|blocks| &blocks.value.0) {
        let Some((label, provider)) = provider(&block.value, &block.key, problems) else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.id() == provider.id()) {
            let message = format!("duplicate provider configuration: {}", provider.id());
            let diagnostic = Diagnostic::error(message).at(&label, "again here").at(first, "first here");
            problems.add(diagnostic.help("give one of them an `alias`"));
        }
        found.push((provider, label));
    }
    found.into_iter().map(|(provider, _)| provider).collect()
}

fn provider(block: &Value, key: &Span, problems: &mut Problems) -> Option<(Span, Provider)> {
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
            ("task_env", Kind::Object(env)) => task_env(env, &mut provider.task_env, problems),
            ("task_env", _) => problems.add(
                Diagnostic::error("unexpected task_env block format")
                    .at(&entry.value.span, "expected a block of strings")
                    .help("write `task_env { \"NAME\" = \"value\" }`"),
            ),
            _ => args.push(entry.clone()),
        }
    }
    let args = Value { span: key_span.clone(), kind: Kind::Object(Object { entries: args }) };
    provider.args = match args.to_json() {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    Some((key_span.clone(), provider))
}

fn task_env(env: &Object, into: &mut BTreeMap<String, String>, problems: &mut Problems) {
    for entry in &env.entries {
        let Kind::Text(text) = &entry.value.kind else {
            let diagnostic = Diagnostic::error("unexpected task_env block format");
            problems.add(diagnostic.at(&entry.value.span, "expected a string"));
            continue;
        };
        into.insert(entry.key.clone(), text.clone());
    }
}

/// Whom the templates of the providers ask.
#[derive(Debug, Default)]
pub(super) struct Asks {
    pub(super) consul: bool,
    /// The first place that asks Vault.
    pub(super) vault: Option<Span>,
}

/// Looks through every text of every provider.
pub(super) fn asks(raw: &RawRoot) -> Asks {
    let mut asks = Asks::default();
    for block in raw.terraform_provider.iter().flat_map(|blocks| &blocks.value.0) {
        look(&block.value, &mut asks);
    }
    asks
}

fn look(value: &Value, asks: &mut Asks) {
    match &value.kind {
        Kind::Text(text) => {
            for after in text.split("{{").skip(1) {
                let words = after.trim_start_matches('-').trim_start();
                if words.starts_with("with secret") {
                    asks.vault.get_or_insert_with(|| value.span.clone());
                } else if words.starts_with("key ") || words.starts_with("keyOrDefault ") {
                    asks.consul = true;
                }
            }
        }
        Kind::List(items) => items.iter().for_each(|item| look(item, asks)),
        Kind::Object(object) => object.entries.iter().for_each(|entry| look(&entry.value, asks)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

/// What a template outside `terraform_provider` looks like.
pub(in crate::config) fn is_template(text: &str) -> bool {
    text.split("{{").skip(1).any(|after| {
        let words = after.trim_start_matches('-').trim_start();
        ["env \"", "key \"", "with secret \"", "env `", "key `"].iter().any(|start| words.starts_with(start))
    })
}
