//! `quorate task ...`: here the list and one task; what changes tasks is in the files below.

mod approve;
mod ask;
mod cancel;
mod create;
mod logs;
mod names;
mod switch;

use chrono::{DateTime, FixedOffset};
use clap::{Args, Subcommand};
use serde_json::Value;

use super::address::Address;
use super::client::Client;
use super::list_args::ListArgs;
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, clean};
use super::program::Program;
use super::stale;
use super::status::{activity, ended, run_took, status_style};
use super::table::{Table, WIDTH, cell, cut, plain, yes};
use super::time;
use crate::http::reply::{DriftNow, PlanNow, TaskChange, TaskNow, TasksNow};
use crate::runtime::clock;

pub(super) use self::names::encode;
use self::names::one_name;

/// Lines of an error: here one wants to read it to its end.
const ERROR_LINES: usize = 20;

/// Commands about tasks.
#[derive(Debug, Subcommand)]
pub(super) enum TaskCommand {
    /// All tasks
    #[command(override_usage = "quorate task list [-help] [options]")]
    List(ListArgs),
    /// One task and its last runs
    #[command(override_usage = "quorate task show [-help] [options] <task name>")]
    Show(ShowArgs),
    /// Add a task from a file, after showing what it will do
    #[command(override_usage = "quorate task create [-help] [options] -task-file=<task config>")]
    Create(create::CreateArgs),
    /// Let a task run, after showing what it will do
    #[command(override_usage = "quorate task enable [-help] [options] <task name>")]
    Enable(switch::ApproveArgs),
    /// Keep a task from running
    #[command(override_usage = "quorate task disable [-help] [options] <task name>")]
    Disable(switch::DisableArgs),
    /// Remove a task; what it made stays
    #[command(override_usage = "quorate task delete [-help] [options] <task name>")]
    Delete(switch::DeleteArgs),
    /// Run a task now, without waiting for its condition
    #[command(override_usage = "quorate task run [-help] [options] <task name>")]
    Run(switch::NameArgs),
    /// End the run of a task that is under way; what was triggered behind it still runs
    #[command(override_usage = "quorate task cancel [-help] [options] <task name>")]
    Cancel(cancel::CancelArgs),
    /// The plan of a task that waits for approval, with all that it changes
    #[command(override_usage = "quorate task plan [-help] [options] <task name>")]
    Plan(approve::PlanArgs),
    /// Apply the plan of a task that waits, after showing it
    #[command(override_usage = "quorate task approve [-help] [options] <task name>")]
    Approve(approve::DecideArgs),
    /// Reject the plan of a task that waits, after showing it
    #[command(override_usage = "quorate task reject [-help] [options] <task name>")]
    Reject(approve::DecideArgs),
    /// What a run of a task printed, or prints
    #[command(override_usage = "quorate task logs [-help] [options] <task name>")]
    Logs(logs::LogsArgs),
}

/// Flags of `task show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Name of the task
    #[arg(value_name = "TASK NAME")]
    names: Vec<String>,
}

/// Runs a command; its hints name `program`.
pub(super) fn run(command: TaskCommand, program: Program) -> Result<(), Failure> {
    match command {
        TaskCommand::List(args) => list(&args),
        TaskCommand::Show(args) => show(&args),
        TaskCommand::Create(args) => create::create(&args),
        TaskCommand::Enable(args) => switch::enable(&args),
        TaskCommand::Disable(args) => switch::disable(&args),
        TaskCommand::Delete(args) => switch::delete(&args),
        TaskCommand::Run(args) => switch::run(&args),
        TaskCommand::Cancel(args) => cancel::cancel(&args),
        TaskCommand::Plan(args) => approve::plan(&args),
        TaskCommand::Approve(args) => approve::approve(&args),
        TaskCommand::Reject(args) => approve::reject(&args),
        TaskCommand::Logs(args) => logs::logs(&args),
    }
    .map_err(|failure| failure.named(program))
}

fn list(args: &ListArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.get("/v1/cluster/tasks")?;
    if args.json {
        return say(&pretty(&value));
    }
    let tasks: TasksNow = client.typed(&value)?;
    let now = clock::wall().fixed_offset();
    say(&(stale_head(&tasks, now) + &render_list(&tasks.tasks, now, Paint::detect())))
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    let name = one_name(&args.names, "show")?;
    let client = Client::new(&args.address)?;
    let mut value = client.get("/v1/cluster/tasks")?;
    let tasks: TasksNow = client.typed(&value)?;
    let Some(position) = tasks.tasks.iter().position(|task| task.name == name) else {
        return Err(Failure::new(format!("a task with name '{}' does not exist", clean(name))));
    };
    if args.json {
        let task = value.pointer_mut(&format!("/tasks/{position}"));
        return say(&pretty(&one_as_json(task.map(Value::take), &tasks)));
    }
    let now = clock::wall().fixed_offset();
    say(&(stale_head(&tasks, now) + &render_one(&tasks.tasks[position], now, Paint::detect())))
}

/// The task as the API has it; with `stale_since` when no leader has answered.
fn one_as_json(task: Option<Value>, tasks: &TasksNow) -> Value {
    let mut task = task.unwrap_or_default();
    if let (Value::Object(task), Some(since)) = (&mut task, &tasks.stale_since) {
        task.insert("stale_since".to_owned(), since.clone().into());
    }
    task
}

/// Nothing when a leader has answered.
fn stale_head(tasks: &TasksNow, now: DateTime<FixedOffset>) -> String {
    stale::age(tasks, now).map_or_else(String::new, |age| format!("Tasks {}\n\n", clean(&age)))
}

fn render_list(tasks: &[TaskNow], now: DateTime<FixedOffset>, paint: Paint) -> String {
    if tasks.is_empty() {
        return "no tasks configured\n".to_owned();
    }
    let mut table = Table::new(&["TASK", "ENABLED", "STATUS", "LAST RUN", "NOW", "SOURCE"]);
    for task in tasks {
        table.row(vec![
            plain(&task.name),
            plain(yes(task.enabled)),
            cell(status_style(&task.status), &task.status),
            plain(task.events.first().map_or_else(|| "never".to_owned(), |run| ended(run, now))),
            activity(task, now),
            plain(&task.source),
        ]);
    }
    table.render(paint)
}

fn render_one(task: &TaskNow, now: DateTime<FixedOffset>, paint: Paint) -> String {
    let mut head = Table::new(&["TASK", "ENABLED", "STATUS", "NOW"]);
    head.row(vec![
        plain(&task.name),
        plain(yes(task.enabled)),
        cell(status_style(&task.status), &task.status),
        activity(task, now),
    ]);
    let mut text = head.render(paint);
    text.push('\n');
    let next = task.next_run.as_deref().and_then(|text| time::parse(text, &now));
    for (name, value) in [
        ("Source", task.source.clone()),
        ("Providers", task.providers.join(", ")),
        ("Timeout", limits(task)),
        ("Next run", next.map_or_else(String::new, |at| time::moment(at, now))),
        ("Plan", task.plan.as_ref().map_or_else(String::new, plan_line)),
        ("Drift", task.drift.as_ref().map_or_else(String::new, |drift| drift_line(drift, now))),
        ("Changed", task.changed.as_ref().map_or_else(String::new, |change| changed(change, now))),
    ] {
        let shown = cut(&clean(&value), WIDTH - 11);
        if !shown.is_empty() {
            let pad = " ".repeat(11 - name.len());
            text.extend([name, &pad, &shown, "\n"]);
        }
    }
    if task.events.is_empty() {
        text.push_str("\nIt has not run yet.\n");
        return text;
    }
    let mut runs = Table::new(&["RUN", "ENDED", "TOOK", "TRIGGER", "EPOCH", "OUTCOME"]);
    for run in &task.events {
        let (style, outcome) = match run.outcome.as_str() {
            "planned" => (Style::Warn, "plan waits"),
            _ if run.success => (status_style("successful"), "success"),
            "cancelled" => (Style::Warn, "cancelled"),
            "timed-out" => (status_style("errored"), "timed out"),
            _ => (status_style("errored"), "failure"),
        };
        runs.row(vec![
            plain(&run.id),
            plain(ended(run, now)),
            plain(run_took(run, now)),
            plain(&run.trigger),
            plain(run.epoch.to_string()),
            cell(style, outcome),
        ]);
        if let Some(by) = &run.asked_by {
            runs.note(Style::Dim, &format!("asked for by {by}"), 1);
        }
        if let Some(error) = &run.error {
            runs.note(style, error, ERROR_LINES);
        }
    }
    text.push('\n');
    text.push_str(&runs.render(paint));
    text
}

/// How much it changes, which one, and what was decided.
fn plan_line(plan: &PlanNow) -> String {
    format!("{} {}, {}", plan.summary.text, approve::standing(plan), plan.id)
}

/// Whether there is some, and when it was looked for it.
fn drift_line(drift: &DriftNow, now: DateTime<FixedOffset>) -> String {
    let at = |text: &str| time::parse(text, &now).map_or_else(|| text.to_owned(), |at| time::moment(at, now));
    let checked = at(&drift.checked);
    let failed = drift.error.as_ref().map_or_else(String::new, |why| format!("; the look at {checked} failed: {why}"));
    match &drift.found {
        None if drift.error.is_none() => format!("none at {checked}"),
        None => format!("not known{failed}"),
        Some(found) => format!("since {}: {} (run {}){failed}", at(&found.since), found.text, found.run),
    }
}

/// How, by whom and when.
fn changed(change: &TaskChange, now: DateTime<FixedOffset>) -> String {
    let at = time::parse(&change.at, &now).map_or_else(|| change.at.clone(), |at| time::moment(at, now));
    format!("{} by {}, {at}", change.what, change.by)
}

/// How long a run may take, and how long it then has to end by itself.
fn limits(task: &TaskNow) -> String {
    match task.timeout.as_deref() {
        Some(timeout) => format!("{timeout}, then SIGINT and {} until SIGKILL", task.grace),
        None => format!("none; a cancel sends SIGINT, and {} later SIGKILL", task.grace),
    }
}

#[cfg(test)]
mod tests {
    use super::super::exit::Exit;
    use super::super::status::samples::{sample, sample_tasks};
    use super::*;

    const NO_COLOUR: Paint = Paint { colour: false };

    #[test]
    fn the_list_is_as_it_is() {
        let (_, now) = sample();
        let expected = "\
TASK  ENABLED  STATUS      LAST RUN              NOW                     SOURCE
web   yes      successful  04:00:02 (3m10s ago)  idle, next at 04:05:00  ./web
db    yes      errored     04:01:13 (2m0s ago)   tries again in 7s       ./db
new   no       unknown     never                 disabled                ./new
dns   yes      unknown     never                 running for 12s         ./dns
";
        assert_eq!(render_list(&sample_tasks().tasks, now, NO_COLOUR), expected);
        assert_eq!(render_list(&[], now, NO_COLOUR), "no tasks configured\n");
    }

    #[test]
    fn a_task_names_who_changed_it_and_who_asked_for_its_runs() {
        let (_, now) = sample();
        let mut task = sample_tasks().tasks[0].clone();
        let by = "token 1f2e (deploy) at 10.0.0.9:4711 through a2";
        task.changed = Some(TaskChange {
            what: "disabled".to_owned(),
            by: by.to_owned(),
            at: "2026-11-23T04:02:00.000Z".to_owned(),
        });
        task.events[0].asked_by = Some(by.to_owned());
        let text = render_one(&task, now, NO_COLOUR);
        assert!(text.contains(&format!("\nChanged    disabled by {by}, 04:02:00\n")), "{text}");
        assert!(text.contains(&format!("\n    asked for by {by}\n")), "{text}");
    }

    #[test]
    fn one_task_is_shown_with_its_runs() {
        let (_, now) = sample();
        let expected = "\
TASK  ENABLED  STATUS   NOW
db    yes      errored  tries again in 7s

Source     ./db
Providers  local
Timeout    10m, then SIGINT and 10s until SIGKILL
Next run   04:05:00

RUN   ENDED                TOOK   TRIGGER    EPOCH  OUTCOME
8f0c  04:01:13 (2m0s ago)  1m12s  take-over  7      failure
    exit status 1 [31mcannot reach the firewall
";
        assert_eq!(render_one(&sample_tasks().tasks[1], now, NO_COLOUR), expected);
    }

    #[test]
    fn a_stale_task_says_so_as_json() {
        let mut tasks = sample_tasks();
        let task = serde_json::json!({"name": "web"});
        assert_eq!(one_as_json(Some(task.clone()), &tasks), task);
        tasks.stale_since = Some("2026-11-23T04:02:00Z".to_owned());
        assert_eq!(one_as_json(Some(task), &tasks)["stale_since"], "2026-11-23T04:02:00Z");
    }

    #[test]
    fn names_are_encoded_for_the_path() {
        assert_eq!(encode("web-1_a"), "web-1_a");
        assert_eq!(encode("a/b?c d"), "a%2Fb%3Fc%20d");
    }

    #[test]
    fn a_wrong_count_of_names_is_refused_in_the_words_of_cts() {
        let failure = one_name(&[], "enable").unwrap_err();
        assert_eq!(failure.exit, Exit::Missing);
        assert!(one_name(&["a".to_owned(), "b".to_owned()], "enable").is_err());
        assert_eq!(one_name(&["a".to_owned()], "enable").unwrap(), "a");
    }
}
