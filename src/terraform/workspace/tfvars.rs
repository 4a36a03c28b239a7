//! Values that the operator gave: `providers.auto.tfvars`, `variables.auto.tfvars`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::Provider;
use super::super::hcl::{Body, Expr};
use super::names::Parts;

/// Values of the providers.
pub(super) fn providers(parts: &Parts<'_>) -> Body {
    let mut body = Body::default();
    let configured = parts.providers.iter().filter_map(|(name, provider)| Some((*name, (*provider)?)));
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
pub(super) fn own(parts: &Parts<'_>) -> Body {
    let mut body = Body::default();
    for (name, value) in &parts.variables {
        body.attribute(name, sorted(value));
    }
    body
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
