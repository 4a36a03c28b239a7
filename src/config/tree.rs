//! The shape that HCL and JSON have in common: objects, lists, scalars, each with its place in the text.
//!
//! A block is an entry whose value is an object, and a labelled block nests by label, so `condition "schedule" { .. }`
//! and `{"condition": {"schedule": { .. }}}` are the same tree. A key may occur more than once.

use super::span::Span;

/// A value and where to point when it is wrong: a scalar or list at its text, an object at the words before its `{`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    /// Decimal text: a whole number or one with a fraction or exponent.
    Number(String),
    Text(String),
    List(Vec<Value>),
    Object(Object),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Span,
    /// The key was written as the label of a block.
    pub(super) label: bool,
    pub(super) value: Value,
}

impl Value {
    /// What it is, for "expected .., found ..".
    pub(super) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "true or false",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Object(_) => "a block",
        }
    }

    /// As JSON. A block that occurs again becomes a list; of anything else there is one ([`super::repeated`]).
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.kind {
            Kind::Null => Json::Null,
            Kind::Bool(value) => Json::Bool(*value),
            Kind::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.clone())),
            Kind::Text(text) => Json::String(text.clone()),
            Kind::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Kind::Object(object) => {
                let mut map = serde_json::Map::new();
                for entry in &object.entries {
                    let value = entry.value.to_json();
                    match map.get_mut(&entry.key) {
                        None => drop(map.insert(entry.key.clone(), value)),
                        Some(Json::Array(items)) => items.push(value),
                        Some(first) => *first = Json::Array(vec![first.take(), value]),
                    }
                }
                Json::Object(map)
            }
        }
    }
}
