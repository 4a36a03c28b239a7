//! `docs/metrics.md`, made from a text that has every metric.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, Local};
use serde_json::json;
use tokio::sync::watch;

use super::*;
use crate::access::{Record, Rules, TokenTable};
use crate::cluster::view::MemberState;
use crate::generated;
use crate::runtime::access::Gate;
use crate::runtime::handle::{Check, ConsulReport, Health, TasksSnapshot};
use crate::runtime::plans::PlanShown;
use crate::task::drift::DriftState;
use crate::task::report::{ActiveRun, Activity, RunEvent, Status, TaskReport};
use crate::terraform::Summary;

const HEAD: &str = "\
# Metrics

`GET /metrics` on every agent, with the role `read` (or open: `open = [\"/metrics\"]` in `access`). An agent answers in OpenMetrics when the
header `Accept` asks for it, as Prometheus does, else in Prometheus' older text format; names and values are the same.

This page is made from the code; a test compares it. Alerts are in
[`deploy/prometheus/alerts.yml`](../deploy/prometheus/alerts.yml), what to do about each in [operations.md](operations.md#alerts), a dashboard in
[`deploy/grafana/dashboard.json`](../deploy/grafana/dashboard.json).

- Counters begin at 0 with each process. Times are in seconds, sizes in bytes.
- Metrics marked *leader* are told by the agent that leads, and by nobody while nobody does.
- A task has at most 24 series on the agent that runs it, which are forgotten with the task. Everything else together has a few hundred, whatever
  clients and strangers send.
- `process_*` is the agent's process, without its guardian and the runs.

| metric | type | labels | what it is |
|---|---|---|---|
";

/// Labels with too many values, or with values that say nothing here.
const OPEN_ENDED: [&str; 5] = ["task", "endpoint", "status", "version", "notify"];

/// Words of the cluster core and of a library, of which the example has one each.
const OPEN_WORDS: [&str; 2] = ["quorate_messages_refused_total", "quorate_gossip_errors_total"];

/// Told by the leader only.
fn is_leaders(name: &str) -> bool {
    name.starts_with("quorate_task_") || ["quorate_differing_agents", "quorate_consul_queries"].contains(&name)
}

fn report() -> TaskReport {
    let moment = DateTime::<Local>::default();
    let event = RunEvent {
        id: uuid::Uuid::nil(),
        success: true,
        start_time: moment,
        end_time: moment,
        error: None,
        epoch: 1,
        trigger: String::new(),
        cut_short: None,
        asked_by: None,
    };
    TaskReport {
        name: "web".to_owned(),
        enabled: true,
        status: Status::Successful,
        events: vec![event],
        activity: Activity::Idle,
        source: String::new(),
        providers: Vec::new(),
        next_run: Some(moment),
        progress: None,
        deleted: false,
        run: Some(ActiveRun { id: uuid::Uuid::nil(), start_time: moment, trigger: String::new(), cancelled_by: None }),
        grace: Duration::ZERO,
        timeout: None,
        drift: Some(DriftState { checked: moment, found: None, error: None }),
    }
}

/// What an agent that leads may be asked for, with one task and one token.
fn sources() -> (Sources, (watch::Sender<Arc<TasksSnapshot>>, watch::Sender<Health>)) {
    let plan = PlanShown {
        id: uuid::Uuid::nil(),
        made: DateTime::default(),
        agent: String::new(),
        epoch: 1,
        trigger: String::new(),
        summary: Summary::default(),
        decision: None,
    };
    let tasks = TasksSnapshot {
        leading: true,
        tasks: vec![Arc::new(report())],
        consul: Some(ConsulReport::default()),
        plans: BTreeMap::from([("web".to_owned(), Arc::new(plan))]),
        ..TasksSnapshot::default()
    };
    let own = include_str!("../agent/readiness.rs");
    let check = |name: &'static str| {
        assert!(own.contains(&format!("check(\"{name}\"")), "{name} is no check of /readyz any more");
        Check { name, passed: true, text: String::new() }
    };
    let checks = ["majority", "leader", "caught-up", "disk", "stopping"].map(check).into();
    let (tasks_sender, tasks) = watch::channel(Arc::new(tasks));
    let (health_sender, health) = watch::channel(Health { not_ready: None, checks });
    let token = json!({"hash": "00".repeat(32), "role": "read", "created": 0, "created_by": "", "expires": 2});
    let token: Record = serde_json::from_value(token).unwrap();
    let gate = Gate::fixed(Rules::default(), TokenTable::new(BTreeMap::from([("1".to_owned(), token)])));
    let sources = Sources { data_dir: ".".into(), tasks, health, gate: Arc::new(gate) };
    (sources, (tasks_sender, health_sender))
}

/// Metrics of which each has at least one series, and labels most of their values.
fn example() -> String {
    let metrics = Metrics::new();
    let (sources, _senders) = sources();
    metrics.read_from(sources);
    metrics.api_certificate(1);
    metrics.observe_view(&View::sample(7, &[("a", MemberState::Alive)]), true);
    for direction in [Direction::In, Direction::Out] {
        metrics.packet(direction, 1);
    }
    for reason in ["malformed", "control_queue_full", "seal", "send"] {
        metrics.dropped(reason);
    }
    metrics.odd_message("epoch");
    metrics.set_keys(1, 1);
    metrics.foca_error("indirect");
    metrics.run_started("web");
    for outcome in Outcome::ALL {
        metrics.run_finished("web", outcome, Duration::from_secs(2));
    }
    for is_delivered in [true, false] {
        metrics.notice("ops", is_delivered);
    }
    metrics.http_request("/livez", 200);
    for sink in ["file", "syslog"] {
        metrics.audit_failed(sink);
    }
    for reason in ["total", "client", "accept"] {
        metrics.http_connection_refused(reason);
    }
    for reason in ["room", "slow-head", "slow-reader", "idle"] {
        metrics.http_connection_ended(reason);
    }
    metrics.classic_text()
}

/// Names of metrics as they are registered, in the order of the files.
fn registered() -> Vec<String> {
    let sources = [include_str!("../metrics.rs"), include_str!("scrape.rs"), include_str!("process.rs")].concat();
    let call = r#"(?:r\.register|labelled|gauge|encode_descriptor)\(\s*(?:to,\s*)?"([a-z_]+)""#;
    let call = regex::Regex::new(call).unwrap();
    call.captures_iter(&sources).map(|found| found[1].to_owned()).collect()
}

/// What the text says of one metric.
#[derive(Default)]
struct Described {
    kind: String,
    help: String,
    /// Values by label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// By name.
fn described(text: &str) -> BTreeMap<String, Described> {
    let mut all: BTreeMap<String, Described> = BTreeMap::new();
    let label = regex::Regex::new(r#"([a-z_]+)="([^"]*)""#).unwrap();
    let mut last = String::new();
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name.to_owned()).or_default().help = help.trim_end_matches('.').to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
            name.clone_into(&mut last);
        } else {
            for found in label.captures_iter(line).filter(|found| &found[1] != "le") {
                let labels = &mut all.get_mut(&last).unwrap().labels;
                labels.entry(found[1].to_owned()).or_default().insert(found[2].to_owned());
            }
        }
    }
    all
}

#[test]
fn the_example_has_every_metric() {
    let text = example();
    let registered = registered();
    assert!(registered.len() > 45, "only {registered:?} were found: has their form changed?");
    let described = described(&text);
    let has = |name: &String| {
        described.keys().any(|full| full.trim_start_matches("quorate_").trim_end_matches("_total") == name)
    };
    let missing: Vec<_> = registered.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "without a series: {missing:?}\n{text}");
    assert_eq!(described.len(), registered.len());
}

#[test]
fn the_page_of_the_metrics_is_current() {
    let mut page = HEAD.to_owned();
    for (name, Described { kind, help, labels }) in described(&example()) {
        let labels = labels.iter().map(|(label, values)| {
            if OPEN_ENDED.contains(&label.as_str()) || OPEN_WORDS.contains(&name.as_str()) {
                return format!("`{label}`");
            }
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(" "))
        });
        let labels: Vec<_> = labels.collect();
        let leaders = if is_leaders(&name) { " (*leader*)" } else { "" };
        writeln!(page, "| `{name}` | {kind} | {} | {help}{leaders} |", labels.join(", ")).unwrap();
    }
    generated::check("docs/metrics.md", &page);
}

#[test]
fn series_of_a_task_go_with_it_and_a_follower_tells_of_none() {
    let metrics = Metrics::new();
    let (sources, (tasks, _health)) = sources();
    metrics.read_from(sources);
    for task in ["web", "gone"] {
        metrics.run_started(task);
        metrics.run_finished(task, Outcome::Failure, Duration::from_secs(1));
    }
    let text = metrics.text();
    assert!(!text.contains("\"gone\""), "{text}");
    assert!(text.contains("quorate_runs_finished_total{task=\"web\",outcome=\"failure\"} 1"), "{text}");
    assert!(text.contains("quorate_task_enabled{task=\"web\"} 1"), "{text}");
    tasks.send_replace(Arc::default());
    let text = metrics.text();
    assert!(!text.contains("quorate_task_"), "{text}");
    assert!(text.contains("quorate_runs_started_total{task=\"web\"} 1"), "what this agent ran stays: {text}");
}
