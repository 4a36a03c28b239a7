//! Where templates and the calls that stand for them may be written, and which variables of the environment they take.
//!
//! Where a secret belongs, a template is filled in; elsewhere it would be taken for the value itself, so it is refused
//! (`reference/cts.md` 2.1 has them in `terraform_provider` only).

use std::collections::BTreeSet;

use super::diagnostic::{Diagnostic, Problems};
use super::settings::EnvNames;
use super::tree::{Kind, Object, Value};
use crate::terraform::dynamic::{is_template, variables};

/// Keys of the agent's own that take a secret: a template in them is filled in when the agent starts.
/// `*` is any label.
const OWN: [&[&str]; 7] = [
    &["consul", "token"],
    &["consul", "auth", "username"],
    &["consul", "auth", "password"],
    &["vault", "token"],
    &["high_availability", "cluster", "gossip", "encrypt"],
    &["notify", "*", "webhook"],
    &["notify", "*", "secret"],
];
/// Blocks below which everything may be a template, filled in when a run starts. `task` looks at its own texts.
const AT_RUN: [&[&str]; 4] =
    [&["terraform_provider"], &["driver", "terraform", "backend"], &["run_env", "set"], &["task"]];

/// Refuses templates where they have no meaning; the names that the others take go to `names`.
pub(super) fn look(file: &Object, names: &mut EnvNames, problems: &mut Problems) {
    object(file, &mut Vec::new(), names, problems);
}

fn object<'a>(object: &'a Object, path: &mut Vec<&'a str>, names: &mut EnvNames, problems: &mut Problems) {
    for entry in &object.entries {
        path.push(&entry.key);
        value(&entry.value, path, names, problems);
        path.pop();
    }
}

fn value<'a>(of: &'a Value, path: &mut Vec<&'a str>, names: &mut EnvNames, problems: &mut Problems) {
    match &of.kind {
        Kind::Text(text) if is_template(text) => text_at(text, of, path, names, problems),
        Kind::List(items) => items.iter().for_each(|item| value(item, path, names, problems)),
        Kind::Object(inner) => object(inner, path, names, problems),
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
    }
}

fn text_at(text: &str, of: &Value, path: &[&str], names: &mut EnvNames, problems: &mut Problems) {
    let begins = |with: &&[&str]| {
        path.len() >= with.len()
            && path.iter().zip(with.iter()).all(|(is, should)| *should == "*" || is.eq_ignore_ascii_case(should))
    };
    let taken: BTreeSet<String> = variables(text).into_iter().collect();
    if OWN.iter().any(|own| begins(own) && own.len() == path.len()) {
        names.own.extend(taken);
    } else if AT_RUN.iter().any(begins) {
        names.of_runs.extend(taken);
    } else {
        let message = "a template has no meaning here";
        problems.add(Diagnostic::error(message).at(&of.span, "a template").help(
            "write the value itself; file(\"PATH\"), env(\"NAME\") and templates are for secrets: `token` and `auth` of \
             `consul`, `token` of `vault`, `encrypt`, `webhook` and `secret` of `notify`, and what stands in \
             `terraform_provider`, in a `backend`, in `variables` of a task and in `set` of `run_env`",
        ));
    }
}
