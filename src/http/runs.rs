//! Runs and their logs: `/v1/runs`, `/v1/runs/{run}`, and of `/v1/runs/{run}/log` one piece at a time; [`super::follow`] makes
//! streams of them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use actix_web::http::StatusCode;
use chrono::{DateTime, Local, Utc};
use uuid::Uuid;

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::reply::{LogPiece, LogShown, RunShown, RunText, Runs};
use super::tasks::{Call, nanos};
use super::{access, events, stale};
use crate::access::{Grants, Role};
use crate::runtime::at_rest::Unreadable;
use crate::runtime::handle::{ApiResponse, ClusterSnapshot, Handle, TasksSnapshot};
use crate::runtime::logs::{LogReader, LogState, NoLog};
use crate::task::report::{ActiveRun, RunEvent};

/// All of them.
pub(super) const PATH: &str = "/v1/runs";
/// Runs in an answer at most, and when nothing is said.
const LIMIT_MAX: usize = 1000;
const LIMIT: usize = 100;
/// Bytes of a log in one answer, about.
const PIECE: usize = 256 * 1024;

/// Whether a path is about runs.
pub(super) fn is_run_path(path: &str) -> bool {
    path == PATH || path.starts_with("/v1/runs/")
}

/// Whether the leader answers here: the same, and what happens.
pub(super) fn is_about_runs(path: &str) -> bool {
    is_run_path(path) || path == events::PATH
}

/// The run of a path of a log.
pub(super) fn log_of(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/runs/")?.strip_suffix("/log")
}

/// What is known when a request is answered.
pub(super) struct Known<'a> {
    pub(super) handle: &'a Handle,
    pub(super) cluster: &'a ClusterSnapshot,
    /// As far as the caller may see them.
    pub(super) tasks: &'a TasksSnapshot,
    pub(super) grants: &'a Grants,
    /// The tasks are no leader's, but were known until then.
    pub(super) stale: Option<DateTime<Utc>>,
}

/// Answers as the leader.
pub(super) async fn as_leader(
    handle: &Handle,
    call: &Call<'_>,
    cluster: &ClusterSnapshot,
    tasks: &TasksSnapshot,
    grants: &Grants,
) -> ApiResponse {
    let tasks = access::visible(tasks, grants);
    let known = Known { handle, cluster, tasks: &tasks, grants, stale: None };
    if call.path == events::PATH { events::answer(&known, call) } else { answer(&known, call).await }
}

/// Answers a request about runs.
pub(super) async fn answer(known: &Known<'_>, call: &Call<'_>) -> ApiResponse {
    if call.method != "GET" {
        let text = format!("'{}' is not a method of {}", call.method, call.path);
        return call.error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &text);
    }
    let Some(rest) = call.path.strip_prefix("/v1/runs/") else { return list(known, call).await };
    let (id, is_log) = rest.strip_suffix("/log").map_or((rest, false), |id| (id, true));
    let Ok(id) = Uuid::parse_str(id) else {
        let text = format!("{id:?} is not the id of a run: it is a UUID, as `/v1/runs` and events have it");
        return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text);
    };
    if is_log { log(known, call, id).await } else { one(known, call, id).await }
}

async fn list(known: &Known<'_>, call: &Call<'_>) -> ApiResponse {
    let (mut wanted, mut limit) = (None, LIMIT);
    for (key, value) in form_pairs(call.query) {
        match key.as_str() {
            "task" => wanted = Some(value),
            "limit" => {
                let Ok(number) = value.parse() else {
                    let text = format!("limit must be a number, not {value:?}");
                    return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text);
                };
                limit = LIMIT_MAX.min(number);
            }
            _ => {}
        }
    }
    let sees = |task: &str| known.tasks.tasks.iter().any(|report| report.name == task);
    let mut runs: Vec<RunShown> = Vec::new();
    for report in known.tasks.tasks.iter().filter(|report| wanted.as_ref().is_none_or(|task| *task == report.name)) {
        runs.extend(report.run.as_ref().map(|run| active(&report.name, run, known.cluster)));
    }
    let reader = known.handle.logs.as_deref();
    let ended: BTreeMap<String, VecDeque<RunEvent>> = match reader {
        Some(reader) => match reader.ended(wanted.as_deref()).await {
            Ok(ended) => ended,
            Err(error) => return unreadable(call, &error),
        },
        None => BTreeMap::new(),
    };
    let mut ended: Vec<(&str, &RunEvent)> = ended
        .iter()
        .filter(|(task, _)| sees(task))
        .flat_map(|(task, all)| all.iter().map(|it| (&**task, it)))
        .collect();
    ended.sort_by_key(|(task, event)| (Reverse(event.start_time), *task));
    runs.truncate(limit);
    ended.truncate(limit - runs.len());
    runs.extend(ended.into_iter().map(|(task, event)| of_event(task, event, known.grants)));
    if let Some(reader) = reader
        && let Err(error) = add_logs(reader, &mut runs).await
    {
        return unreadable(call, &error);
    }
    let body = Runs {
        answered_by: known.cluster.view.observer.to_string(),
        stale_since: known.stale.map(stale::rfc3339),
        runs,
        request_id: call.request_id.to_owned(),
    };
    json(StatusCode::OK, &body)
}

fn unreadable(call: &Call<'_>, error: &Unreadable) -> ApiResponse {
    call.error(StatusCode::INTERNAL_SERVER_ERROR, Shape::WithId, &error.to_string())
}

async fn add_logs(reader: &LogReader, runs: &mut [RunShown]) -> Result<(), Unreadable> {
    let mut of_task: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for run in &*runs {
        of_task.entry(run.task.clone()).or_default().extend(Uuid::parse_str(&run.id));
    }
    let mut found = BTreeMap::new();
    for (task, ids) in &of_task {
        found.extend(reader.logs(task, ids).await?.into_iter().map(|(run, log)| (run.to_string(), log)));
    }
    for run in runs {
        run.log = found.get(&run.id).map(log_body);
    }
    Ok(())
}

/// The task of a run that is not over, if the caller may see it.
fn under_way<'a>(known: &'a Known<'_>, id: Uuid) -> Option<(&'a str, &'a ActiveRun)> {
    let mut runs = known.tasks.tasks.iter().filter_map(|task| Some((task.name.as_str(), task.run.as_ref()?)));
    runs.find(|(_, run)| run.id == id)
}

async fn find(known: &Known<'_>, id: Uuid) -> Result<Option<RunShown>, Unreadable> {
    let now = under_way(known, id);
    let found = match &known.handle.logs {
        Some(reader) => reader.find(id, now.map(|(task, _)| task)).await?,
        None => None,
    };
    let log = found.as_ref().and_then(|run| run.log.as_ref()).map(log_body);
    if let Some((task, run)) = now {
        return Ok(Some(RunShown { log, ..active(task, run, known.cluster) }));
    }
    let is_shown = |task: &str| known.tasks.tasks.iter().any(|report| report.name == task);
    let Some(found) = found.filter(|run| is_shown(&run.task)) else { return Ok(None) };
    let shown = match &found.event {
        Some(event) => of_event(&found.task, event, known.grants),
        // Interrupted, or being told this very moment.
        None => RunShown { state: "ended".to_owned(), ..RunShown::of(&id.to_string(), &found.task) },
    };
    Ok(Some(RunShown { log, ..shown }))
}

fn unknown(call: &Call<'_>, id: Uuid) -> ApiResponse {
    let text = NoLog::NoRun(id).to_string();
    call.error(StatusCode::NOT_FOUND, Shape::WithId, &text)
}

async fn one(known: &Known<'_>, call: &Call<'_>, id: Uuid) -> ApiResponse {
    let run = match find(known, id).await {
        Ok(Some(run)) => run,
        Ok(None) => return unknown(call, id),
        Err(error) => return unreadable(call, &error),
    };
    let stale_since = known.stale.map(stale::rfc3339);
    json(StatusCode::OK, &RunText { run, stale_since, request_id: call.request_id.to_owned() })
}

async fn log(known: &Known<'_>, call: &Call<'_>, id: Uuid) -> ApiResponse {
    let offset = form_pairs(call.query).into_iter().find(|(key, _)| key == "offset").map(|(_, value)| value);
    let Ok(offset) = offset.as_deref().unwrap_or("0").parse::<u64>() else {
        let text = "offset must be a number of bytes: the `next` of the piece before";
        return call.error(StatusCode::BAD_REQUEST, Shape::WithId, text);
    };
    let found = match find(known, id).await {
        Ok(found) => found,
        Err(error) => return unreadable(call, &error),
    };
    let (Some(reader), Some(run)) = (&known.handle.logs, found) else { return unknown(call, id) };
    if !known.grants.allow_task(Role::Operate, &run.task) {
        let text = format!(
            "this needs the role operate for the task {}; {} has {}",
            run.task, call.caller.identity, known.grants
        );
        return call.error(StatusCode::FORBIDDEN, Shape::WithId, &text);
    }
    match reader.read(&run.task, id, offset, PIECE).await {
        Ok((piece, over)) => {
            let body = LogPiece {
                run: id.to_string(),
                task: run.task,
                offset: piece.from,
                left_out: piece.left_out,
                text: piece.text,
                next: piece.next,
                bytes: piece.whole,
                over,
                request_id: call.request_id.to_owned(),
            };
            json(StatusCode::OK, &body)
        }
        Err(error @ (NoLog::NoRun(_) | NoLog::NotKept(_))) => {
            call.error(StatusCode::NOT_FOUND, Shape::WithId, &error.to_string())
        }
        Err(error @ NoLog::Unreadable(_)) => {
            call.error(StatusCode::INTERNAL_SERVER_ERROR, Shape::WithId, &error.to_string())
        }
    }
}

fn log_body(log: &LogState) -> LogShown {
    LogShown { bytes: log.bytes, left_out: log.left_out, open: log.open }
}

pub(super) fn active(task: &str, run: &ActiveRun, cluster: &ClusterSnapshot) -> RunShown {
    RunShown {
        state: "running".to_owned(),
        start_time: Some(nanos(run.start_time)),
        epoch: Some(cluster.view.epoch.0),
        trigger: Some(run.trigger.clone()),
        error: run.cancelled_by.clone(),
        ..RunShown::of(&run.id.to_string(), task)
    }
}

/// What a run said is for those who may operate its task.
pub(super) fn of_event(task: &str, event: &RunEvent, grants: &Grants) -> RunShown {
    let took = |from: DateTime<Local>, to: DateTime<Local>| u64::try_from((to - from).num_milliseconds()).ok();
    let may_read = grants.allow_task(Role::Operate, task);
    let error = event.error.as_ref().map(|error| if may_read { error.clone() } else { access::HIDDEN.to_owned() });
    RunShown {
        state: "ended".to_owned(),
        outcome: Some(event.outcome().to_owned()),
        start_time: Some(nanos(event.start_time)),
        end_time: Some(nanos(event.end_time)),
        took_ms: took(event.start_time, event.end_time),
        error,
        epoch: Some(event.epoch),
        trigger: Some(event.trigger.clone()),
        asked_by: event.asked_by.clone(),
        ..RunShown::of(&event.id.to_string(), task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_below_its_run() {
        assert!(is_run_path("/v1/runs") && is_run_path("/v1/runs/x/log") && !is_run_path("/v1/runsx"));
        assert_eq!(log_of("/v1/runs/x/log"), Some("x"));
        assert_eq!(log_of("/v1/runs/x"), None);
    }
}
