//! `task`: one thing to run, and when.

use std::time::Duration;

use super::{World, buffer, condition, policy, run_options, service, work};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::raw::task::RawTask;
use crate::config::read::Spanned;
use crate::config::span::Span;
use crate::config::task_object::ObjectContext;
use crate::task::spec::{Condition, ModuleInput, TaskSpec, Work};
use crate::terraform::dynamic::is_template;

/// Longest task name: it names a directory and a Terraform workspace.
const NAME_MAX: usize = 64;
/// How long an interrupted command may take to end by itself.
const COMMAND_GRACE: Duration = Duration::from_secs(10);
/// The same for Terraform, which finishes the resource at hand and writes its state.
const TERRAFORM_GRACE: Duration = Duration::from_secs(30);

/// How long a command may take. One that renders and reloads needs seconds; ten minutes is far beyond that, and still within
/// the patience of whoever waits for the change.
const COMMAND_TIMEOUT: Duration = Duration::from_mins(10);
/// The same for Terraform. Providers of firewalls and load balancers need minutes, of clouds tens of minutes, and their own
/// time limits are mostly below an hour; a run that was interrupted leaves more to clear up than one that was waited for.
const TERRAFORM_TIMEOUT: Duration = Duration::from_hours(1);

/// All tasks in order.
pub(super) fn tasks(
    raw: &RawRoot,
    context: &ObjectContext,
    world: &World<'_>,
    problems: &mut Problems,
) -> Vec<TaskSpec> {
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
        specs.push(one(block, raw, context, world, problems));
    }
    specs
}

/// One task; `raw` has the `service` blocks that its deprecated `services` list may name.
pub(in crate::config) fn one(
    block: &Spanned<RawTask>,
    raw: &RawRoot,
    context: &ObjectContext,
    world: &World<'_>,
    problems: &mut Problems,
) -> TaskSpec {
    let task = &block.value;
    refuse_old(task, problems);
    refuse_templates(task, problems);
    let name = name(block, problems);
    let (mut condition, kind) = condition::condition(task, problems);
    if let (Condition::Members { .. }, Some(kind), false) = (&condition, &kind, context.in_cluster) {
        let message = "the members of a single agent never change";
        let warning = Diagnostic::warning(message).at(kind, "runs when the agent starts");
        problems.add(warning.help("add `high_availability { cluster { gossip { .. } } }`"));
    }
    let mut inputs = condition::inputs(task, &condition, problems);
    service::list(task, raw, &mut condition, &mut inputs, problems);
    let work = work::work(block, &context.terraform, world, problems);
    let (grace, timeout) = match work {
        Work::Command { .. } => (COMMAND_GRACE, COMMAND_TIMEOUT),
        Work::Terraform(_) => (TERRAFORM_GRACE, TERRAFORM_TIMEOUT),
    };
    let (retry, park) = policy::policy(task.policy.as_ref(), problems);
    let mut queries = condition.queries();
    queries.extend(inputs.iter().flat_map(ModuleInput::queries));
    let guards = policy::guards(task, &queries, problems);
    TaskSpec {
        description: task.description.as_ref().map(|it| it.value.clone()).unwrap_or_default(),
        enabled: task.enabled.as_ref().is_none_or(|it| it.value),
        buffer: buffer::task(task.buffer_period.as_ref(), context.buffer, &condition, problems),
        retry,
        park,
        guards,
        grace: task.grace.as_ref().map_or(grace, |it| it.value),
        timeout: Some(task.timeout.as_ref().map_or(timeout, |it| it.value)).filter(|timeout| !timeout.is_zero()),
        working_dir: task
            .working_dir
            .as_ref()
            .map_or_else(|| context.working_dir.join(&name), |dir| world.path(&dir.value)),
        name,
        condition,
        inputs,
        run: run_options::task(task, &work, problems),
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

fn refuse_old(task: &RawTask, problems: &mut Problems) {
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

/// As text they would go to the module unnoticed.
fn refuse_templates(task: &RawTask, problems: &mut Problems) {
    let texts = [&task.name, &task.description, &task.module, &task.version, &task.working_dir];
    for text in texts.into_iter().flatten().filter(|text| is_template(&text.value)) {
        problems.add(
            Diagnostic::error("a template has no meaning here")
                .at(&text.span, "a template")
                .help("write the value itself; templates are for `variables` and for `set` of `run_env`"),
        );
    }
}
