//! A task with what it does now, for our own command line and the page: what CTS does not tell.

use chrono::DateTime;

use super::nanos;
use crate::http::approve;
use crate::http::reply::{
    Activity as ActivityBody, DriftNow, DriftSeen, Progress as ProgressBody, RunNow, TaskChange, TaskNow,
};
use crate::http::stale;
use crate::roster::Changed;
use crate::runtime::handle::TasksSnapshot;
use crate::task::drift::DriftState;
use crate::task::duration;
use crate::task::report::{Activity, RunEvent, TaskReport};

fn drift_body(drift: &DriftState) -> DriftNow {
    let found = drift.found.as_ref();
    DriftNow {
        checked: nanos(drift.checked),
        found: found.map(|found| DriftSeen {
            since: nanos(found.since),
            run: found.run.to_string(),
            text: found.text.clone(),
        }),
        error: drift.error.clone(),
    }
}

/// A task with all that is known of it.
pub(super) fn now_body(task: &TaskReport, tasks: &TasksSnapshot) -> TaskNow {
    let (changed, plan) = (tasks.changed.get(&task.name), tasks.plans.get(&task.name));
    let (mut since, mut until, mut why) = (None, None, None);
    let state = match &task.activity {
        Activity::Idle => "idle",
        Activity::Buffering(at) => {
            until = Some(nanos(*at));
            "buffering"
        }
        Activity::Running(at) => {
            since = Some(nanos(*at));
            let cancelled = task.run.as_ref().and_then(|run| run.cancelled_by.as_ref());
            let cancelled = cancelled.map(|by| format!("{by}: it ends within its grace"));
            why = cancelled.or_else(|| task.deleted.then(|| "deleted: gone when this run has ended".to_owned()));
            "running"
        }
        Activity::Retrying(at) => {
            until = Some(nanos(*at));
            "retrying"
        }
        Activity::Waiting(text) => {
            why = Some(text.clone());
            "waiting"
        }
        Activity::Held { why: text, until: end } => {
            (why, until) = (Some(text.clone()), end.map(nanos));
            "waiting"
        }
    };
    let progress = task.progress.filter(|_| state == "running");
    let progress = progress.map(|it| ProgressBody { step: it.step.to_owned(), done: it.done, total: it.total });
    TaskNow {
        name: task.name.clone(),
        status: task.status.as_str().to_owned(),
        enabled: task.enabled,
        activity: ActivityBody { state: state.to_owned(), since, until, progress, why },
        next_run: task.next_run.map(nanos),
        source: task.source.clone(),
        providers: task.providers.clone(),
        timeout: task.timeout.map(duration::show),
        grace: duration::show(task.grace),
        events: task.events.iter().map(run_body).collect(),
        changed: changed.map(change_body),
        drift: task.drift.as_ref().map(drift_body),
        plan: plan.map(|plan| approve::shown(plan)),
    }
}

fn run_body(event: &RunEvent) -> RunNow {
    RunNow {
        id: event.id.to_string(),
        success: event.success,
        outcome: event.outcome().to_owned(),
        start_time: nanos(event.start_time),
        end_time: nanos(event.end_time),
        error: event.error.clone(),
        epoch: event.epoch,
        trigger: event.trigger.clone(),
        asked_by: event.asked_by.clone(),
    }
}

fn change_body(changed: &Changed) -> TaskChange {
    let at = DateTime::from_timestamp(changed.at, 0).unwrap_or_default();
    TaskChange { what: changed.what.clone(), by: changed.by.clone(), at: stale::rfc3339(at) }
}
