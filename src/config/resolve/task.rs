//! `task`: one thing to run, and when.

use std::path::Path;
use std::time::Duration;

use super::{World, condition, provider, variables};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::task::RawTask;
use crate::config::raw::{RawBuffer, RawRoot};
use crate::config::read::{Spanned, nearest};
use crate::config::source::Span;
use crate::config::tree::{Kind, Value};
use crate::task::spec::{Buffer, Condition, Retry, TaskSpec, TerraformWork, Work};
use crate::terraform;

/// Longest task name: it names a directory and a Terraform workspace.
const NAME_MAX: usize = 64;
/// How long an interrupted command may take to end by itself.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// The same for Terraform, which finishes the resource at hand and writes its state.
const TERRAFORM_GRACE: Duration = Duration::from_secs(30);
/// CTS's buffer period.
const BUFFER: Buffer = Buffer { min: Duration::from_secs(5), max: Duration::from_secs(20) };

/// All tasks in order.
pub(super) fn tasks(
    raw: &RawRoot,
    terraform: &terraform::Settings,
    working_dir: &Path,
    in_cluster: bool,
    world: &World<'_>,
    problems: &mut Problems,
) -> Vec<TaskSpec> {
    let global = global_buffer(raw.buffer_period.as_ref(), problems);
    let mut specs = Vec::new();
    let mut names: Vec<(String, &Span)> = Vec::new();
    for block in raw.task.iter().flat_map(|tasks| &tasks.value.0) {
        let task = &block.value;
        if let Some(name) = &task.name {
            let folded = name.value.to_ascii_lowercase();
            if let Some((_, first)) = names.iter().find(|(other, _)| *other == folded) {
                let message = format!("duplicate task name: {}", name.value);
                let diagnostic = Diagnostic::error(message)
                    .at(&name.span, "this name again")
                    .at(first, "the first task of that name");
                problems.add(diagnostic.help("names are compared without regard to case; rename one of the two"));
            }
            names.push((folded, &name.span));
        }
        specs.push(one(block, global, terraform, working_dir, in_cluster, world, problems));
    }
    specs
}

fn one(
    block: &Spanned<RawTask>,
    global: Option<Buffer>,
    terraform: &terraform::Settings,
    working_dir: &Path,
    in_cluster: bool,
    world: &World<'_>,
    problems: &mut Problems,
) -> TaskSpec {
    let task = &block.value;
    refuse_old(task, problems);
    refuse_templates(task, problems);
    let name = name(block, problems);
    let (condition, kind) = condition::condition(task, problems);
    if let (Condition::Members { .. }, Some(kind), false) = (&condition, &kind, in_cluster) {
        let message = "the members of a single agent never change";
        let warning = Diagnostic::warning(message).at(kind, "runs when the agent starts, and by hand");
        problems.add(warning.help("add `high_availability { cluster { gossip { .. } } }`"));
    }
    let members_input = condition::members_input(task, &condition, problems);
    let work = work(block, terraform, world, problems);
    let grace = match work {
        Work::Command { .. } => COMMAND_GRACE,
        Work::Terraform(_) => TERRAFORM_GRACE,
    };
    TaskSpec {
        description: task.description.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
        enabled: task.enabled.as_ref().is_none_or(|it| it.value),
        buffer: buffer(task.buffer_period.as_ref(), global, &condition, problems),
        retry: Retry::default(),
        grace: task.grace.as_ref().map_or(grace, |it| it.value),
        timeout: task.timeout.as_ref().map(|it| it.value).filter(|timeout| !timeout.is_zero()),
        working_dir: task.working_dir.as_ref().map_or_else(|| working_dir.join(&name), |dir| world.path(&dir.value)),
        name,
        condition,
        members_input,
        work,
    }
}

fn name(block: &Spanned<RawTask>, problems: &mut Problems) -> String {
    let Some(name) = &block.value.name else {
        if !block.value.broken.contains(&"name") {
            let diagnostic = Diagnostic::error("a task needs a `name`").at(&block.key, "no `name` in this task");
            problems.add(diagnostic.help("for example name = \"render-haproxy\""));
        }
        return "unnamed".to_owned();
    };
    let text = &name.value;
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let good = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if !starts || !good || text.len() > NAME_MAX {
        problems.add(
            Diagnostic::error(format!("{text:?} cannot name a task"))
                .at(&name.span, format!("expected a letter or `_`, then letters, digits, `_`, `-`; at most {NAME_MAX}"))
                .help("the name becomes a directory, a Terraform module and a workspace"),
        );
        return "unnamed".to_owned();
    }
    text.clone()
}

fn work(block: &Spanned<RawTask>, terraform: &terraform::Settings, world: &World<'_>, problems: &mut Problems) -> Work {
    let task = &block.value;
    if let Some(source) = &task.source {
        let warning =
            Diagnostic::warning("`source` is the old name of `module`").at(&source.key, "deprecated since CTS 0.5");
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

fn refuse_old(task: &RawTask, problems: &mut Problems) {
    if let Some(services) = task.services.as_ref().filter(|services| !services.value.is_empty()) {
        let diagnostic =
            Diagnostic::error("`services` is not supported yet").at(&services.key, "Consul is not read yet");
        problems.add(diagnostic.help("supported now: condition \"schedule\" and condition \"members\""));
    }
    for (name, key) in [
        ("terraform_version", task.terraform_version.as_ref().map(|it| &it.key)),
        ("terraform_cloud_workspace", task.terraform_cloud_workspace.as_ref().map(|it| &it.key)),
    ] {
        if let Some(key) = key {
            let message = format!("`{name}` is not supported: it is for Terraform Cloud");
            problems.add(Diagnostic::error(message).at(key, "CTS Enterprise only").help("remove it"));
        }
    }
}

/// CTS allows templates in providers only; as text they would go to the module unnoticed.
fn refuse_templates(task: &RawTask, problems: &mut Problems) {
    let texts = [&task.name, &task.description, &task.module, &task.version, &task.working_dir];
    let variables = task.variables.iter().flat_map(|map| map.value.values());
    for text in texts.into_iter().flatten().chain(variables).filter(|text| provider::is_template(&text.value)) {
        problems.add(
            Diagnostic::error("dynamic configuration is supported only in `terraform_provider`")
                .at(&text.span, "a template")
                .help("write the value itself"),
        );
    }
}

/// `buffer_period` at the top level. A bound that is not given keeps its default, as in CTS.
fn global_buffer(raw: Option<&Spanned<RawBuffer>>, problems: &mut Problems) -> Option<Buffer> {
    let Some(raw) = raw else { return Some(BUFFER) };
    let bounds = &raw.value;
    let on = bounds.enabled.as_ref().is_none_or(|it| it.value);
    on.then(|| {
        let min = bounds.min.as_ref().map_or(BUFFER.min, |it| it.value);
        raised(bounds, min, bounds.max.as_ref().map_or(BUFFER.max, |it| it.value), problems)
    })
}

/// Of a task (`reference`: CTS's rules): nothing said is the global one; something said turns it on, with `min` from the
/// global one and `max` four times `min`.
fn buffer(
    raw: Option<&Spanned<RawBuffer>>,
    global: Option<Buffer>,
    condition: &Condition,
    problems: &mut Problems,
) -> Option<Buffer> {
    let off = raw.is_some_and(|raw| raw.value.enabled.as_ref().is_some_and(|it| !it.value));
    if let Condition::Schedule { .. } = condition {
        if let Some(raw) = raw.filter(|_| !off) {
            let warning = Diagnostic::warning("`buffer_period` has no effect on a task with a schedule");
            problems.add(warning.at(&raw.key, "runs at its ticks only"));
        }
        return None;
    }
    let Some(bounds) = raw.map(|raw| &raw.value) else { return global };
    if off {
        return None;
    }
    if bounds.enabled.is_none() && bounds.min.is_none() && bounds.max.is_none() {
        return global;
    }
    let min = bounds.min.as_ref().map_or(global.unwrap_or(BUFFER).min, |it| it.value);
    let max = bounds.max.as_ref().map_or(min.saturating_mul(4), |it| it.value);
    Some(raised(bounds, min, max, problems))
}

/// A `max` below `min` is raised to it; said when both are written down.
fn raised(bounds: &RawBuffer, min: Duration, max: Duration, problems: &mut Problems) -> Buffer {
    if let (true, Some(low), Some(high)) = (max < min, &bounds.min, &bounds.max) {
        let warning = Diagnostic::warning("`max` of `buffer_period` is below `min`: `min` is used for both");
        problems.add(warning.at(&high.span, "raised to `min`").at(&low.span, "`min`"));
    }
    Buffer { min, max: max.max(min) }
}
