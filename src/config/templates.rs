//! Templates have a meaning in `terraform_provider` only (`reference/cts.md` 2.1): elsewhere they would be taken for the
//! value itself, a token for example.

use super::diagnostic::{Diagnostic, Problems};
use super::resolve::is_template;
use super::tree::{Kind, Object, Value};

/// Blocks that look at their own texts: a task's command may hold anything.
const ELSEWHERE: [&str; 2] = ["terraform_provider", "task"];

/// Refuses templates in a whole file.
pub(super) fn refuse(file: &Object, problems: &mut Problems) {
    for entry in &file.entries {
        if !ELSEWHERE.iter().any(|block| block.eq_ignore_ascii_case(&entry.key)) {
            look(&entry.value, problems);
        }
    }
}

fn look(value: &Value, problems: &mut Problems) {
    match &value.kind {
        Kind::Text(text) if is_template(text) => {
            let message = "dynamic configuration is supported only in `terraform_provider`";
            problems.add(Diagnostic::error(message).at(&value.span, "a template").help("write the value itself"));
        }
        Kind::List(items) => items.iter().for_each(|item| look(item, problems)),
        Kind::Object(object) => object.entries.iter().for_each(|entry| look(&entry.value, problems)),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
}
