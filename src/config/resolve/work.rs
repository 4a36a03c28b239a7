//! What a task runs: a command, or a Terraform module with its inputs.

use super::{World, variables};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::task::RawTask;
use crate::config::read::{Spanned, nearest};
use crate::config::span::Span;
use crate::config::tree::{Kind, Value};
use crate::task::spec::{TerraformWork, Work};
use crate::terraform;

/// What runs; exactly one of `module` and `command` is given.
pub(super) fn work(
    block: &Spanned<RawTask>,
    terraform: &terraform::Settings,
    world: &World<'_>,
    problems: &mut Problems,
) -> Work {
    let task = &block.value;
    if let Some(source) = &task.source {
        let warning =
            Diagnostic::deprecated("`source` is the old name of `module`").at(&source.key, "deprecated since CTS 0.5");
        problems.add(warning.help("write `module`"));
    }
    let module = task.module.as_ref().or(task.source.as_ref());
    match (module, &task.command) {
        (Some(module), Some(command)) => {
            let diagnostic = Diagnostic::error("a task runs a `module` or a `command`, not both");
            let diagnostic = diagnostic.at(&command.key, "a command here").at(&module.key, "a module here");
            problems.add(diagnostic.help("split it in two tasks"));
        }
        (None, None) if !task.broken.iter().any(|key| matches!(*key, "module" | "command" | "source")) => {
            let diagnostic = Diagnostic::error("module for the task is required")
                .at(&block.key, "neither `module` nor `command` here");
            problems.add(
                diagnostic.help("module = \"./my-module\" runs Terraform, command = [\"./my-program\"] a program"),
            );
        }
        _ => {}
    }
    if let Some(command) = &task.command {
        only_for_modules(task, problems);
        return Work::Command { argv: argv(&command.value, world, problems) };
    }
    let providers = task.providers.iter().flat_map(|list| &list.value);
    check_providers(providers.clone(), terraform, problems);
    Work::Terraform(TerraformWork {
        module: module.map(|module| self::module(module, world, problems)).unwrap_or_default(),
        version: task.version.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
        providers: providers.map(|it| it.value.clone()).collect(),
        variables: variables::variables(task, world, problems),
    })
}

fn argv(command: &Value, world: &World<'_>, problems: &mut Problems) -> Vec<String> {
    let items = match &command.kind {
        Kind::List(items) => items,
        Kind::Text(text) => {
            let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
            problems.add(
                Diagnostic::error("`command` must be a list: the program, then its arguments")
                    .at(&command.span, "this is one string, and no shell takes it apart")
                    .help(format!("write command = [{}]", words.join(", "))),
            );
            return Vec::new();
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Object(_) => {
            let message = format!("`command` must be a list of strings, found {}", command.what());
            let diagnostic = Diagnostic::error(message).at(&command.span, "expected a list");
            problems
                .add(diagnostic.help("for example command = [\"./render\", \"--out\", \"/etc/haproxy/backends.cfg\"]"));
            return Vec::new();
        }
    };
    let mut argv = Vec::new();
    for item in items {
        match &item.kind {
            Kind::Text(text) | Kind::Number(text) if !text.contains('\0') => argv.push(text.clone()),
            Kind::Bool(yes) => argv.push(yes.to_string()),
            Kind::Text(_) | Kind::Number(_) => {
                problems.add(Diagnostic::error("an argument of `command` holds a NUL").at(&item.span, "not possible"));
            }
            Kind::Null | Kind::List(_) | Kind::Object(_) => {
                let message = format!("an argument of `command` must be a string, found {}", item.what());
                problems.add(Diagnostic::error(message).at(&item.span, "expected a string"));
            }
        }
    }
    match argv.first_mut() {
        Some(program) if !program.is_empty() => {
            // A path with a directory in it is the operator's, not the task's working directory's.
            if program.contains('/') {
                *program = world.path(program).display().to_string();
            }
        }
        _ => {
            let diagnostic =
                Diagnostic::error("`command` names no program").at(&command.span, "the first item is the program");
            problems.add(diagnostic.help("for example command = [\"./render\"]"));
        }
    }
    argv
}

/// A local path is relative to the process directory, as in CTS; everything else is Terraform's to find.
fn module(module: &Spanned<String>, world: &World<'_>, problems: &mut Problems) -> String {
    let text = &module.value;
    if text.is_empty() {
        problems.add(Diagnostic::error("module for the task is required").at(&module.span, "an empty text"));
    }
    let relative = text.starts_with("./") || text.starts_with("../") || text == "." || text == "..";
    if !relative && !text.starts_with('/') {
        return text.clone();
    }
    let path = world.path(text);
    if !path.is_dir() {
        let message = format!("there is no module at {}", path.display());
        let warning = Diagnostic::warning(message).at(&module.span, "not a directory on this agent");
        problems.add(warning.help("a relative path starts at the directory in which the agent is started"));
    }
    path.display().to_string()
}

fn check_providers<'a>(
    used: impl Iterator<Item = &'a Spanned<String>>,
    terraform: &terraform::Settings,
    problems: &mut Problems,
) {
    let ids: Vec<String> = terraform.providers.iter().map(terraform::Provider::id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut seen: Vec<(&str, &Span)> = Vec::new();
    for provider in used {
        let name = provider.value.split('.').next().unwrap_or_default();
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == name) {
            let diagnostic =
                Diagnostic::error("only one provider instance per task").at(&provider.span, "a second one");
            problems.add(diagnostic.at(first, format!("{name} is used here already")));
        }
        seen.push((name, &provider.span));
        if !ids.contains(&provider.value.as_str()) {
            let warning = Diagnostic::warning(format!("no `terraform_provider` {:?} is configured", provider.value))
                .at(&provider.span, "an empty provider block is written");
            problems.add(match nearest(&provider.value, &ids) {
                Some(near) => warning.help(format!("did you mean {near:?}?")),
                None => warning,
            });
        }
    }
}

fn only_for_modules(task: &RawTask, problems: &mut Problems) {
    let keys = [
        ("version", task.version.as_ref().map(|it| &it.key)),
        ("providers", task.providers.as_ref().map(|it| &it.key)),
        ("variables", task.variables.as_ref().map(|it| &it.key)),
        ("variable_files", task.variable_files.as_ref().map(|it| &it.key)),
    ];
    for (name, key) in keys.into_iter().filter_map(|(name, key)| key.map(|key| (name, key))) {
        let message = format!("`{name}` has no effect on a task with a `command`");
        problems.add(Diagnostic::warning(message).at(key, "only for a `module`"));
    }
}
