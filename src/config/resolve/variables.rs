//! `variable_files` and `variables` of a task: name to the literal text of a value.
//!
//! These are Terraform's language, HCL 2, unlike the configuration around them; values are constants only.

use std::collections::BTreeMap;
use std::path::Path;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::parser;

use super::World;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::task::RawTask;
use crate::config::read::Spanned;
use crate::config::source::text;
use crate::config::span::{Format, SourceFile, Span};
use crate::terraform::dynamic::{DynamicError, Place, is_template, lookups};

/// All variables: later files win over earlier ones, `variables` over files.
pub(super) fn variables(task: &RawTask, world: &World<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for file in task.variable_files.iter().flat_map(|files| &files.value) {
        from_file(file, world, &mut all, problems);
    }
    for (name, raw) in task.variables.iter().flat_map(|map| &map.value) {
        if is_template(&raw.value) {
            match template(&raw.value) {
                Ok(()) => drop(all.insert(name.clone(), raw.value.trim().to_owned())),
                Err((why, help)) => {
                    let message = format!("variable `{name}`: {why}");
                    problems.add(Diagnostic::error(message).at(&raw.span, "a template").help(help));
                }
            }
            continue;
        }
        match parser::parse_expr(&raw.value) {
            Ok(value) if constant(&value) => drop(all.insert(name.clone(), raw.value.trim().to_owned())),
            Ok(_) | Err(_) => problems.add(
                Diagnostic::error(format!("variable `{name}` is not the literal text of a value"))
                    .at(&raw.span, "expected a constant as Terraform writes it")
                    .help(format!("text needs quotes of its own: {name} = \"\\\"{}\\\"\"", raw.value.escape_default())),
            ),
        }
    }
    all
}

/// Whether a template may be a value: its text is one, without quotes of its own. Whom it asks is seen when it is filled in.
fn template(text: &str) -> Result<(), (String, &'static str)> {
    if text.trim_start().starts_with(['"', '[', '{']) && !text.trim_start().starts_with("{{") {
        let help = "write only the template, or file(\"PATH\") or env(\"NAME\"): it gets its quotes by itself";
        return Err(("a template stands for a whole text, without quotes of its own".to_owned(), help));
    }
    let place = Place { block: String::new(), key: String::new(), is_strict: true };
    match lookups(&(place, text.to_owned()), true) {
        Ok(_) => Ok(()),
        Err(DynamicError::Template(_, why)) => Err((why, "see `terraform_provider` for what a template may hold")),
        Err(error) => Err((error.to_string(), "see `terraform_provider` for what a template may hold")),
    }
}

fn from_file(file: &Spanned<String>, world: &World<'_>, all: &mut BTreeMap<String, String>, problems: &mut Problems) {
    let mut unread = Problems::default();
    let Some(text) = text(Path::new(&file.value), &world.path(&file.value), &mut unread) else {
        let why = unread.into_sorted().first().map_or_else(String::new, |it| it.message.clone());
        let diagnostic = Diagnostic::error(why).at(&file.span, "`variable_files` names this");
        problems.add(diagnostic.help("a relative path starts at the directory in which the agent is started"));
        return;
    };
    let source = SourceFile::new(&file.value, text, Format::Plain);
    let body = match parser::parse_body(&source.text) {
        Ok(body) => body,
        Err(error) => {
            let at = error.location().offset().min(source.text.len());
            let rest = source.text.get(at..).and_then(|rest| rest.lines().next()).unwrap_or_default();
            let place = Span::new(&source, at..at + rest.len());
            let message = format!("not a file of variables: {}", error.message());
            problems.add(Diagnostic::error(message).at(&place, "noticed here").at(&file.span, "named here"));
            return;
        }
    };
    for structure in &body {
        let whole = structure.span().unwrap_or_default();
        let Some(attribute) = structure.as_attribute() else {
            let message = "a file of variables holds attributes only";
            problems
                .add(Diagnostic::error(message).at(&Span::new(&source, whole), "a block").at(&file.span, "named here"));
            continue;
        };
        let range = attribute.value.span().unwrap_or(whole);
        if !constant(&attribute.value) {
            let message = format!("variable `{}` is not a constant", attribute.key.as_str());
            let diagnostic = Diagnostic::error(message).at(&Span::new(&source, range), "expected a literal value");
            problems.add(diagnostic.at(&file.span, "named here"));
            continue;
        }
        let literal = source.text.get(range).unwrap_or_default().trim();
        all.insert(attribute.key.as_str().to_owned(), literal.to_owned());
    }
}

fn constant(value: &Expression) -> bool {
    match value {
        Expression::Null(_) | Expression::Bool(_) | Expression::Number(_) | Expression::String(_) => true,
        Expression::Array(items) => items.iter().all(constant),
        Expression::Object(object) => {
            object.iter().all(|(key, value)| constant(value.expr()) && key.as_expr().is_none_or(constant))
        }
        Expression::Parenthesis(inner) => constant(inner.inner()),
        Expression::UnaryOp(op) => matches!(op.expr, Expression::Number(_)),
        Expression::HeredocTemplate(heredoc) => heredoc.template.iter().all(|part| part.as_literal().is_some()),
        _ => false,
    }
}
