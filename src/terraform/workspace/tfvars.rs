//! Values that the operator gave: `providers.auto.tfvars`, `variables.auto.tfvars`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::Provider;
use super::super::hcl::{Body, Expr};
use super::names::Parts;

/// Values of the providers.
pub(super) fn providers(parts: &Parts<'_>) -> Body {
    let mut body = Body::default();
    let configured = parts.providers.iter().filter_map(|(name, provider)| Some((*name, (*provider)?)));
    let configured = configured.filter(|(_, provider)| !provider.by_env);
    for (index, (name, provider)) in configured.enumerate() {
        if index > 0 {
            body.blank();
        }
        body.attribute(name, provider_value(provider));
    }
    body
}

/// All arguments and the alias, sorted.
pub(super) fn provider_value(provider: &Provider) -> Expr {
    let mut all: BTreeMap<String, Expr> =
        provider.args.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
    if let Some(alias) = &provider.alias {
        all.insert("alias".to_owned(), Expr::string(alias));
    }
    Expr::Object(all.into_iter().collect())
}

/// Values of the task's own variables.
pub(super) fn own(parts: &Parts<'_>, sensitive: &BTreeSet<String>) -> Body {
    let mut body = Body::default();
    for (name, value) in parts.variables.iter().filter(|(name, _)| !sensitive.contains(*name)) {
        body.attribute(name, sorted(value));
    }
    body
}

/// What is written to no file: `TF_VAR_name` with the value as Terraform reads it there.
pub(super) fn by_env(parts: &Parts<'_>, sensitive: &BTreeSet<String>) -> BTreeMap<String, String> {
    let own = parts.variables.iter().filter(|(name, _)| sensitive.contains(*name));
    let own = own.map(|(name, value)| match value {
        // A variable of a plain type is read as it stands, every other one as an expression.
        Value::String(text) => (*name, text.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) => (*name, value.to_string()),
        Value::Array(_) | Value::Object(_) => (*name, expression(sorted(value))),
    });
    let providers = parts.providers.iter().filter_map(|(name, provider)| Some((*name, (*provider)?)));
    let providers = providers.filter(|(_, provider)| provider.by_env);
    let providers = providers.map(|(name, provider)| (name, expression(provider_value(provider))));
    own.chain(providers).map(|(name, text)| (format!("TF_VAR_{name}"), text)).collect()
}

fn expression(value: Expr) -> String {
    let mut body = Body::default();
    body.attribute("v", value);
    let text = body.to_text();
    text.trim().strip_prefix("v = ").unwrap_or(&text).to_owned()
}

/// A value with its keys in order, so that the same configuration always gives the same bytes.
pub(super) fn sorted(value: &Value) -> Expr {
    match value {
        Value::Array(items) => Expr::List(items.iter().map(sorted).collect()),
        Value::Object(items) => {
            let items: BTreeMap<String, Expr> = items.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            Expr::Object(items.into_iter().collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Expr::from(value),
    }
}
