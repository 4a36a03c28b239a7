//! What is read when somebody asks for the metrics: the tasks, as far as this agent leads; its health; tokens; the disk.
//!
//! The names of tasks are a label here. An agent that does not lead tells nothing of tasks, so that two agents never do.

use std::collections::BTreeSet;
use std::fmt::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use chrono::{DateTime, Local};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue};
use prometheus_client::metrics::MetricType;
use tokio::sync::watch;

use crate::runtime::access::Gate;
use crate::runtime::handle::{Health, TasksSnapshot};
use crate::task::report::TaskReport;

/// Where it is read from.
#[derive(Debug)]
pub struct Sources {
    /// Of this agent.
    pub data_dir: PathBuf,
    /// The tasks as the leader sees them.
    pub tasks: watch::Receiver<Arc<TasksSnapshot>>,
    /// This process.
    pub health: watch::Receiver<Health>,
    /// The tokens.
    pub gate: Arc<Gate>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Scrape {
    sources: OnceLock<Sources>,
    /// Seconds since 1970.
    api_certificate: Mutex<Option<i64>>,
}

impl Scrape {
    pub(super) fn read_from(&self, sources: Sources) {
        // There is one agent in a process.
        let _first = self.sources.set(sources);
    }

    pub(super) fn set_api_certificate(&self, ends: i64) {
        *self.api_certificate.lock().unwrap_or_else(PoisonError::into_inner) = Some(ends);
    }

    /// The tasks that there are, when this agent leads and so knows them.
    pub(super) fn task_names(&self) -> Option<BTreeSet<String>> {
        let snapshot = self.sources.get()?.tasks.borrow().clone();
        snapshot.leading.then(|| snapshot.tasks.iter().map(|task| task.name.clone()).collect())
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let to = &mut encoder;
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1_i64)];
        labelled(to, "build_info", "The version of this agent; always 1", version)?;
        let certificate = *self.api_certificate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ends) = certificate {
            let help = "When the certificate of the API ends, in seconds since 1970";
            gauge(to, "api_certificate_expiry_timestamp_seconds", help, &ends)?;
        }
        let Some(sources) = self.sources.get() else { return Ok(()) };
        let health = sources.health.borrow().clone();
        let checks = health.checks.iter().map(|check| ([("check", check.name)], i64::from(check.passed)));
        labelled(to, "readiness_check_passed", "1 while the check of /readyz passes, by check", checks)?;
        if let Ok(disk) = rustix::fs::statvfs(&sources.data_dir) {
            let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
            let help = "What this agent may still write where its data directory is";
            gauge(to, "data_dir_free_bytes", help, &bytes(disk.f_bavail))?;
            gauge(to, "data_dir_size_bytes", "Size of the file system of the data directory", &bytes(disk.f_blocks))?;
        }
        let tokens = sources.gate.book();
        gauge(to, "tokens", "Tokens of the API that this agent knows", &tokens.tokens().len())?;
        if let Some(ends) = tokens.tokens().values().filter_map(|token| token.expires).min() {
            let help = "When the next token of the API ends, in seconds since 1970";
            gauge(to, "next_token_expiry_timestamp_seconds", help, &ends)?;
        }
        let snapshot = sources.tasks.borrow().clone();
        if snapshot.leading { leader(to, &snapshot) } else { Ok(()) }
    }
}

/// What only the leader knows.
fn leader(to: &mut DescriptorEncoder<'_>, snapshot: &TasksSnapshot) -> Result<(), Error> {
    let tasks = &snapshot.tasks;
    let of = |value: fn(&TaskReport) -> Option<i64>| {
        tasks.iter().filter_map(move |task| Some(([("task", task.name.as_str())], value(task)?)))
    };
    labelled(to, "task_enabled", "1 while the task may run", of(|task| Some(i64::from(task.enabled))))?;
    labelled(
        to,
        "task_last_run_success",
        "1 if the newest run that has ended went well, by task",
        of(|task| task.events.first().map(|event| i64::from(event.success))),
    )?;
    labelled(
        to,
        "task_last_run_timestamp_seconds",
        "When the newest run that has ended did so, in seconds since 1970, by task",
        of(|task| task.events.first().map(|event| event.end_time.timestamp())),
    )?;
    labelled(
        to,
        "task_active_run_start_timestamp_seconds",
        "When the run under way was decided, in seconds since 1970, by task",
        of(|task| task.run.as_ref().map(|run| run.start_time.timestamp())),
    )?;
    let next = |task: &TaskReport| task.next_run.as_ref().map(DateTime::<Local>::timestamp);
    labelled(
        to,
        "task_next_run_timestamp_seconds",
        "When a task with a schedule runs next, in seconds since 1970, by task",
        of(next),
    )?;
    let drifted = |task: &TaskReport| task.drift.as_ref().map(|drift| i64::from(drift.found.is_some()));
    let help = "1 while what a task made is not as it made it, by task, once it was looked";
    labelled(to, "task_drifted", help, of(drifted))?;
    let waiting = snapshot.plans.iter().filter(|(_, plan)| plan.decision.is_none());
    let waiting = waiting.map(|(task, plan)| ([("task", task.as_str())], plan.made.timestamp()));
    let help = "When the plan that waits for approval was made, in seconds since 1970, by task";
    labelled(to, "task_waiting_plan_timestamp_seconds", help, waiting)?;
    let help = "Agents whose files define tasks differently from those of the leader";
    gauge(to, "differing_agents", help, &snapshot.differences.len())?;
    let Some(consul) = &snapshot.consul else { return Ok(()) };
    let failing = consul.faults.iter().map(|fault| fault.queries.len()).sum();
    let states = [("failing", failing), ("waiting", consul.waiting), ("watched", consul.watched)];
    let states = states.map(|(state, count)| ([("state", state)], i64::try_from(count).unwrap_or(i64::MAX)));
    let help = "Queries to Consul: all that are watched, those without a first answer, those that cannot be read now";
    labelled(to, "consul_queries", help, states)
}

/// One gauge without labels.
pub(super) fn gauge(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: &impl EncodeGaugeValue,
) -> Result<(), Error> {
    to.encode_descriptor(name, &format!("{help}."), None, MetricType::Gauge)?.encode_gauge(value)
}

/// One with a label; nothing at all when there is no value.
fn labelled<'a>(
    to: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl IntoIterator<Item = ([(&'a str, &'a str); 1], i64)>,
) -> Result<(), Error> {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut encoder = to.encode_descriptor(name, &format!("{help}."), None, MetricType::Gauge)?;
    for (labels, value) in values {
        encoder.encode_family(&labels)?.encode_gauge(&value)?;
    }
    Ok(())
}
