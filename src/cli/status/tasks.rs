//! Tasks in words: what they do now, how their last run ended.

use chrono::{DateTime, FixedOffset};

use super::super::paint::Style;
use super::super::table::{Cell, Table, cell, plain};
use super::super::time;
use crate::http::reply::{Activity, Progress, RunNow, TaskNow};

/// Lines of an error; `task show` has more.
const ERROR_LINES: usize = 3;

/// Characters of a reason to wait that stand in the table; a longer one stands below the row.
const WAITS_MAX: usize = 26;

/// A row a task, with its last error below it.
pub(super) fn task_table(tasks: &[TaskNow], now: DateTime<FixedOffset>) -> Table {
    let mut table = Table::new(&["TASK", "STATUS", "LAST RUN", "TOOK", "TRIGGER", "NOW"]);
    for task in tasks {
        let last = task.events.first();
        let waiting = (task.activity.state == "waiting").then(|| waits(&task.activity, now));
        let long = waiting.filter(|text| text.chars().count() > WAITS_MAX);
        table.row(vec![
            plain(&task.name),
            cell(status_style(&task.status), &task.status),
            plain(last.map_or_else(|| "never".to_owned(), |run| ended(run, now))),
            plain(last.map_or_else(String::new, |run| run_took(run, now))),
            plain(last.map_or("", |run| &run.trigger)),
            // A cell has no room for a whole reason.
            if long.is_some() { cell(Style::Warn, "waits") } else { activity(task, now) },
        ]);
        if let Some(text) = long {
            table.note(Style::Warn, &text, ERROR_LINES);
        }
        if let Some((position, run, error)) = last_error(task) {
            let style = if position == 0 { Style::Bad } else { Style::Dim };
            table.note(style, &format!("last error, {}: {error}", ended(run, now)), ERROR_LINES);
        }
    }
    table
}

fn last_error(task: &TaskNow) -> Option<(usize, &RunNow, &str)> {
    let mut failed = task.events.iter().enumerate().filter(|(_, run)| !run.success);
    failed.next().map(|(position, run)| (position, run, run.error.as_deref().unwrap_or("no text")))
}

pub(in crate::cli) fn status_style(status: &str) -> Style {
    match status {
        "successful" => Style::Good,
        "errored" | "critical" => Style::Bad,
        _ => Style::Dim,
    }
}

/// When a run ended.
pub(in crate::cli) fn ended(run: &RunNow, now: DateTime<FixedOffset>) -> String {
    match time::parse(&run.end_time, &now) {
        Some(at) => format!("{} ({} ago)", time::moment(at, now), time::span(now - at)),
        None => "?".to_owned(),
    }
}

/// How long it took.
pub(in crate::cli) fn run_took(run: &RunNow, now: DateTime<FixedOffset>) -> String {
    match (time::parse(&run.start_time, &now), time::parse(&run.end_time, &now)) {
        (Some(start), Some(end)) => time::took(end - start),
        _ => "?".to_owned(),
    }
}

/// What it waits for, as part of a sentence that starts with the task.
fn waits(doing: &Activity, now: DateTime<FixedOffset>) -> String {
    let why = doing.why.as_deref().unwrap_or("?");
    let why = why.strip_prefix("waiting ").unwrap_or(why);
    let link = if why.starts_with("for ") || why.starts_with("until ") { "" } else { ":" };
    let left = doing.until.as_deref().and_then(|text| time::parse(text, &now)).filter(|at| *at > now);
    let left = left.map_or_else(String::new, |at| format!(", {} left", time::span(at - now)));
    format!("waits{link} {why}{left}")
}

/// How far it is, after a comma.
fn progress(progress: &Progress) -> String {
    match progress {
        Progress { step, total: 0, .. } => format!(", {step}"),
        Progress { done, total, .. } => format!(", {done} of {total} changes made"),
    }
}

/// What a task does, in words.
pub(in crate::cli) fn activity(task: &TaskNow, now: DateTime<FixedOffset>) -> Cell {
    let at = |text: &Option<String>| text.as_deref().and_then(|text| time::parse(text, &now));
    let within = |text: &Option<String>| at(text).map_or_else(|| "?".to_owned(), |at| time::span(at - now));
    let doing = &task.activity;
    match doing.state.as_str() {
        "running" => {
            let since = at(&doing.since).map_or_else(|| "?".to_owned(), |at| time::span(now - at));
            let deleted = doing.why.as_ref().map_or_else(String::new, |why| format!(", {why}"));
            let far = doing.progress.as_ref().map_or_else(String::new, progress);
            cell(Style::Warn, format!("running for {since}{far}{deleted}"))
        }
        "buffering" => plain(format!("buffering, runs in {}", within(&doing.until))),
        "retrying" => cell(Style::Warn, format!("tries again in {}", within(&doing.until))),
        "waiting" => cell(Style::Warn, waits(doing, now)),
        _ if !task.enabled => cell(Style::Dim, "disabled"),
        _ if let Some(plan) = task.plan.as_ref().filter(|plan| plan.decision.is_none()) => {
            cell(Style::Warn, format!("plan {} to approve", plan.summary.text))
        }
        "idle" if task.drift.as_ref().is_some_and(|drift| drift.found.is_some()) => cell(Style::Warn, "drift"),
        "idle" => match at(&task.next_run) {
            Some(next) => plain(format!("idle, next at {}", time::moment(next, now))),
            None => plain("idle"),
        },
        other => plain(other),
    }
}
