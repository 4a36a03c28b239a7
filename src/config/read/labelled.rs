//! Blocks with a label: `driver "terraform" { .. }`.

use super::{Read, mismatch, single};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::span::Format;
use crate::config::tree::{Entry, Kind, Value};

/// `keyword "label" { .. }`: what was labelled, one entry for each label.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Labelled(pub(in crate::config) Vec<Entry>);

impl Read for Labelled {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let Kind::Object(object) = single(value) else {
            return mismatch(value, path, "a block with a label", None, problems);
        };
        let bare = |entry: &&Entry| !entry.label && entry.key_span.file.format == Format::Hcl;
        let unlabelled = object.entries.iter().find(|entry| !matches!(entry.value.kind, Kind::Object(_)));
        let inner = object.entries.iter().filter(bare).find(|entry| !known_label(name, &entry.key));
        if object.entries.is_empty() || unlabelled.is_some() || inner.is_some() {
            let (example, why) = example(name);
            let diagnostic = Diagnostic::error(format!("`{name}` needs a label")).at(&value.span, "no label here");
            problems.add(diagnostic.help(format!("write `{name} \"{example}\" {{ .. }}`: {why}")));
            return None;
        }
        Some(Self(object.entries.clone()))
    }

    fn absorb(&mut self, later: Self) {
        for entry in later.0 {
            match self.0.iter_mut().find(|mine| mine.key == entry.key) {
                Some(mine) => merge_values(&mut mine.value, entry.value),
                None => self.0.push(entry),
            }
        }
    }
}

/// Whether an object with this key, not written as a label, can still be meant as one: `backend = { s3 = {} }`.
fn known_label(keyword: &str, key: &str) -> bool {
    match keyword {
        "driver" => key.starts_with("terraform"),
        "condition" | "module_input" | "source_input" => {
            ["services", "catalog-services", "consul-kv", "schedule", "members"].contains(&key)
        }
        _ => true,
    }
}

fn example(keyword: &str) -> (&'static str, &'static str) {
    match keyword {
        "driver" => ("terraform", "the label says which driver"),
        "backend" => ("local", "the label says which Terraform backend"),
        "condition" => ("schedule", "the label says what makes the task run"),
        "module_input" | "source_input" => ("members", "the label says what is given to the module"),
        "storage" => ("consul", "the label says which storage"),
        _ => ("name", "the label is its name"),
    }
}

/// Objects key by key, everything else as the later file says.
fn merge_values(mine: &mut Value, later: Value) {
    match (&mut mine.kind, later.kind) {
        (Kind::Object(mine), Kind::Object(later)) => {
            for entry in later.entries {
                match mine.entries.iter_mut().find(|old| old.key == entry.key) {
                    Some(old) => merge_values(&mut old.value, entry.value),
                    None => mine.entries.push(entry),
                }
            }
        }
        (_, kind) => *mine = Value { span: later.span, kind },
    }
}
