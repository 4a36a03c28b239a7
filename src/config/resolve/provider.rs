//! `terraform_provider`. Templates in it stay as they are: they are answered at start, by the terraform room.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::span::Span;
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

/// Looks through every text of every provider, of the backend, of tasks and of what the agent takes from Vault.
pub(super) fn asks(raw: &RawRoot) -> Asks {
    let mut asks = Asks::default();
    let backends = raw.driver.iter().flat_map(|driver| &driver.value.0);
    backends.for_each(|driver| look(&driver.value, &mut asks));
    let tasks = raw.task.iter().flat_map(|tasks| &tasks.value.0).map(|task| &task.value);
    let sets = tasks.clone().filter_map(|task| task.run_env.as_ref()).chain(&raw.run_env);
    let texts = tasks.flat_map(|task| &task.variables).chain(sets.filter_map(|env| env.value.set.as_ref()));
    texts.flat_map(|map| map.value.values()).for_each(|raw| look_at(&raw.value, &raw.span, &mut asks));
    if let Some(consul) = raw.consul.as_ref().map(|consul| &consul.value) {
        let auth = consul.auth.as_ref().map(|auth| [&auth.value.username, &auth.value.password]);
        let texts = auth.into_iter().flatten().chain([&consul.token]);
        texts.flatten().for_each(|raw| look_at(&raw.value, &raw.span, &mut asks));
    }
    for block in raw.terraform_provider.iter().flat_map(|blocks| &blocks.value.0) {
        look(&block.value, &mut asks);
    }
    asks
}

fn look(value: &Value, asks: &mut Asks) {
    match &value.kind {
        Kind::Text(text) => look_at(text, &value.span, asks),
        Kind::List(items) => items.iter().for_each(|item| look(item, asks)),
        Kind::Object(object) => object.entries.iter().for_each(|entry| look(&entry.value, asks)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
    }
}

fn look_at(text: &str, span: &Span, asks: &mut Asks) {
    for after in text.split("{{").skip(1) {
        let words = after.trim_start_matches('-').trim_start();
        if words.starts_with("with secret") {
            asks.vault.get_or_insert_with(|| span.clone());
        } else if words.starts_with("key ") || words.starts_with("keyOrDefault ") {
            asks.consul = true;
        }
    }
}
