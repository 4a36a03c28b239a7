//! `quorate status`: one screen for 3 a.m.
//!
//! In the order of need: alarms; who leads, since when and why, and whether the quorum holds; who is here; how the tasks
//! are, what they do now and what last went wrong.

use chrono::{DateTime, FixedOffset};
use clap::Args;
use serde_json::{Value, json};

use super::address::Address;
use super::client::{Client, ClientError};
use super::members::{state_style, yes};
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, clean};
use super::stale;
use super::table::{Table, WIDTH, cell, plain, wrap};
use super::time;
use super::watch::{Shown, watch};
use crate::http::reply::{Activity, Cluster, ConsulNow, Progress, RunNow, States, TaskNow, TasksNow};
use crate::runtime::clock;
use crate::state::SetAsideSummary;

/// How often tasks are asked for while watching: the long poll wakes for changes of the cluster only.
const WATCH_WAIT: &str = "2s";

/// Lines of an error; `task show` has more.
const ERROR_LINES: usize = 3;

/// Characters of a reason to wait that stand in the table; a longer one stands below the row.
const WAITS_MAX: usize = 26;

/// Flags of `status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show again at every change
    #[arg(long)]
    watch: bool,
}

pub(super) fn run(args: &StatusArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let paint = Paint::detect();
    if args.watch {
        return watch(!args.json, |index| fetch(&client, args, paint, index));
    }
    say(&fetch(&client, args, paint, None)?.text)
}

fn fetch(client: &Client, args: &StatusArgs, paint: Paint, index: Option<u64>) -> Result<Shown, ClientError> {
    let query = index.map_or_else(String::new, |index| format!("?index={index}&wait={WATCH_WAIT}"));
    let value = client.get(&format!("/v1/cluster{query}"))?;
    let cluster: Cluster = client.typed(&value)?;
    let tasks = client.get("/v1/cluster/tasks");
    // An agent that keeps no state refuses this; then there is nothing to show.
    let states = client.get("/v1/cluster/state").and_then(|states| client.typed::<States>(&states));
    let aside: Vec<SetAsideSummary> =
        states.map(|states| states.states.into_iter().flat_map(|state| state.errored).collect()).unwrap_or_default();
    let (found, error) = match &tasks {
        Ok(tasks) => (tasks.clone(), Value::Null),
        Err(error) => (Value::Null, Value::String(error.to_string())),
    };
    let report = json!({"cluster": value, "tasks": found, "tasks_error": error, "set_aside": aside});
    let key = one_line(report.clone());
    let text = match (args.json, args.watch) {
        (true, true) => key.clone(),
        (true, false) => pretty(&report),
        (false, _) => {
            let tasks = tasks.and_then(|tasks| client.typed::<TasksNow>(&tasks)).map_err(|error| match error {
                ClientError::Refusal { message, .. } => message,
                error => error.to_string(),
            });
            render(&cluster, &tasks, clock::wall().fixed_offset(), paint) + &set_aside(&aside, paint)
        }
    };
    Ok(Shown { text, key, index: cluster.index })
}

/// One report a line, without what changes at every request.
pub(super) fn one_line(mut value: Value) -> String {
    fn strip(value: &mut Value) {
        if let Value::Object(fields) = value {
            fields.shift_remove("request_id");
            fields.values_mut().for_each(strip);
        }
    }
    strip(&mut value);
    format!("{value}\n")
}

fn render(cluster: &Cluster, tasks: &Result<TasksNow, String>, now: DateTime<FixedOffset>, paint: Paint) -> String {
    let mut screen = Screen { text: String::new(), paint };
    for alarm in &cluster.alarms {
        screen.line("ALARM", Style::Bad, alarm);
    }
    if !cluster.alarms.is_empty() {
        screen.text.push('\n');
    }
    head(&mut screen, cluster, now);
    screen.text.push('\n');
    screen.text.push_str(&members(cluster, now).render(paint));
    screen.text.push('\n');
    for (agent, differs) in tasks.iter().flat_map(|tasks| &tasks.differences) {
        let list: Vec<String> = differs.iter().map(|(task, how)| format!("{task} {}", how.as_str())).collect();
        let text = format!("the configuration files of {agent} differ from the leader's: {}", list.join(", "));
        screen.line("Files", Style::Warn, &text);
    }
    if let Some(consul) = tasks.as_ref().ok().and_then(|tasks| tasks.consul.as_ref()) {
        consul_lines(&mut screen, consul, now);
    }
    match tasks {
        Err(why) => {
            // The reason stands at the top already.
            let short = why.strip_suffix(&cluster.reason).and_then(|why| why.strip_suffix(": ")).unwrap_or(why);
            screen.line("Tasks", Style::Warn, &format!("not known: {short}"));
        }
        Ok(tasks) => {
            if let Some(age) = stale::age(tasks, now) {
                screen.line("Tasks", Style::Warn, &age);
            }
            if tasks.tasks.is_empty() {
                screen.line("Tasks", Style::Plain, "none configured");
            } else {
                screen.text.push_str(&task_table(&tasks.tasks, now).render(paint));
            }
        }
    }
    screen.text
}

/// Only what is not as it should be: what Consul said last stays true, and the leader stays leader.
fn consul_lines(screen: &mut Screen, consul: &ConsulNow, now: DateTime<FixedOffset>) {
    for fault in &consul.faults {
        let since = time::parse(&fault.since, &now);
        let since = since.map_or_else(String::new, |since| format!(" for {}", time::span(now - since)));
        let what = match &fault.queries[..] {
            [one] => one.clone(),
            all => format!("{} of {} queries", all.len(), consul.watched),
        };
        let text = format!("at {}: {what} not read{since}, trying again: {}", consul.address, fault.error);
        screen.line("Consul", Style::Warn, &text);
    }
    if consul.faults.is_empty() && consul.waiting > 0 {
        let text = format!(
            "at {}: {} of {} queries wait for their first answer",
            consul.address, consul.waiting, consul.watched
        );
        screen.line("Consul", Style::Plain, &text);
    }
}

/// Terraform states that runs could not write: nobody may lose a resource because it was not said.
fn set_aside(states: &[SetAsideSummary], paint: Paint) -> String {
    let mut screen = Screen { text: String::new(), paint };
    for state in states {
        screen.text.push('\n');
        screen.line("State", Style::Bad, &state.text);
        screen.line("", Style::Plain, &state.command);
    }
    screen.text
}

struct Screen {
    text: String,
    paint: Paint,
}

impl Screen {
    /// A name and its text, wrapped under itself.
    fn line(&mut self, name: &str, style: Style, text: &str) {
        const INDENT: usize = 9;
        for (number, line) in wrap(&clean(text), WIDTH - INDENT, 4).iter().enumerate() {
            let name = if number == 0 { name } else { "" };
            let painted = self.paint.apply(style, line);
            let name = self.paint.apply(Style::Head, &format!("{name:INDENT$}"));
            self.text.extend([name.as_str(), painted.as_str(), "\n"]);
        }
    }
}

fn head(screen: &mut Screen, cluster: &Cluster, now: DateTime<FixedOffset>) {
    let details = cluster.details.as_ref();
    let clustered = details.is_none_or(|details| details.high_availability);
    if clustered {
        screen.line("Cluster", Style::Plain, &format!("{}, as {} sees it", cluster.cluster_name, cluster.observed_by));
    } else {
        screen.line("Cluster", Style::Plain, &format!("none: {} is a single agent", cluster.observed_by));
    }
    match &cluster.leader {
        Some(leader) => screen.line("Leader", Style::Good, &leader_line(cluster, leader, now)),
        None if cluster.reason.is_empty() => screen.line("Leader", Style::Bad, "none: an election is under way"),
        None => screen.line("Leader", Style::Bad, &format!("none: {}", cluster.reason)),
    }
    let quorum = &cluster.quorum;
    let count = format!("{} of {} voters alive, {} needed", quorum.alive, quorum.voters, quorum.needed);
    match (quorum.mode.as_str(), quorum.held) {
        ("alive", _) => {
            let text = "not asked for (leadership = \"alive\"): while the network is cut, two agents may lead";
            screen.line("Quorum", Style::Warn, text);
        }
        (_, true) => screen.line("Quorum", Style::Good, &format!("held: {count}")),
        (_, false) if details.is_some_and(|details| !details.formed) => {
            screen.line("Quorum", Style::Warn, &format!("not yet: {} agents found the cluster", quorum.voters));
        }
        (_, false) if quorum.alive < quorum.needed => screen.line("Quorum", Style::Bad, &format!("lost: {count}")),
        (_, false) => {
            screen.line("Quorum", Style::Warn, &format!("not held: {count}; this agent follows nobody yet"));
        }
    }
    if cluster.leader.is_some() && !cluster.reason.is_empty() {
        screen.line("Note", Style::Warn, &cluster.reason);
    }
    let not_ready = details.and_then(|details| details.not_ready.as_ref());
    if let Some(why) = not_ready.filter(|why| cluster.leader.is_some() || **why != cluster.reason) {
        screen.line("Ready", Style::Warn, &format!("{} is not: {why}", cluster.observed_by));
    }
    match details.and_then(|details| details.state_encrypted) {
        Some(true) => {
            screen.line(
                "At rest",
                Style::Good,
                "tasks, events and Terraform state are encrypted on the disk of each agent",
            );
        }
        Some(false) => {
            let text = "tasks, events and Terraform state are in plain text on the disk of each agent";
            screen.line("At rest", Style::Plain, text);
        }
        None => {}
    }
}

fn leader_line(cluster: &Cluster, leader: &str, now: DateTime<FixedOffset>) -> String {
    let epoch = cluster.epoch;
    let Some(details) = &cluster.details else { return format!("{leader}, epoch {epoch}") };
    let since = details.leader_since.as_deref().and_then(|text| time::parse(text, &now));
    let since = since
        .map_or_else(String::new, |since| format!(" since {} ({})", time::moment(since, now), time::span(now - since)));
    let colon = if details.leader_why.is_empty() { "" } else { ": " };
    format!("{leader}{since}, epoch {epoch}{colon}{}", details.leader_why)
}

fn members(cluster: &Cluster, now: DateTime<FixedOffset>) -> Table {
    let mut table = Table::new(&["MEMBER", "STATE", "FOR", "VOTER", "API ADDRESS", "VERSION", ""]);
    for member in &cluster.members {
        let since = member.state_since.as_deref().and_then(|text| time::parse(text, &now));
        let role = match (member.leader, member.id == cluster.observed_by) {
            (true, true) => "leader, this agent",
            (true, false) => "leader",
            (false, true) => "this agent",
            (false, false) => "",
        };
        table.row(vec![
            plain(&member.id),
            cell(state_style(&member.state), &member.state),
            plain(since.map_or_else(|| "-".to_owned(), |at| time::span(now - at))),
            plain(yes(member.voter)),
            plain(&member.api_address),
            plain(&member.version),
            cell(if member.leader { Style::Good } else { Style::Plain }, role),
        ]);
    }
    table
}

fn task_table(tasks: &[TaskNow], now: DateTime<FixedOffset>) -> Table {
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

pub(super) fn status_style(status: &str) -> Style {
    match status {
        "successful" => Style::Good,
        "errored" | "critical" => Style::Bad,
        _ => Style::Dim,
    }
}

/// When a run ended.
pub(super) fn ended(run: &RunNow, now: DateTime<FixedOffset>) -> String {
    match time::parse(&run.end_time, &now) {
        Some(at) => format!("{} ({} ago)", time::moment(at, now), time::span(now - at)),
        None => "?".to_owned(),
    }
}

/// How long it took.
pub(super) fn run_took(run: &RunNow, now: DateTime<FixedOffset>) -> String {
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
pub(super) fn activity(task: &TaskNow, now: DateTime<FixedOffset>) -> super::table::Cell {
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
        "idle" => match at(&task.next_run) {
            Some(next) => plain(format!("idle, next at {}", time::moment(next, now))),
            None => plain("idle"),
        },
        other => plain(other),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::http::reply::{ConsulFaultNow, Details, Member, Quorum};

    const NO_COLOUR: Paint = Paint { colour: false };

    /// A cluster of three, one of them down, and the time.
    pub(in super::super) fn sample() -> (Cluster, DateTime<FixedOffset>) {
        let member = |number: u8, state: &str, since: Option<&str>| Member {
            id: format!("cts-0{number}"),
            service_name: "edge".to_owned(),
            address: String::new(),
            healthy: state == "alive",
            leader: number == 1,
            state: state.to_owned(),
            voter: true,
            incarnation: 0,
            gossip_address: format!("10.0.0.{number}:8559"),
            api_address: format!("10.0.0.{number}:8558"),
            version: "0.1.0".to_owned(),
            state_since: since.map(str::to_owned),
        };
        let cluster = Cluster {
            cluster_name: "edge".to_owned(),
            members: vec![
                member(1, "alive", Some("2026-11-23T04:00:00.123Z")),
                member(2, "alive", Some("2026-11-22T21:13:00Z")),
                member(3, "down", None),
            ],
            leader: Some("cts-01".to_owned()),
            epoch: 7,
            quorum: Quorum { mode: "quorum".to_owned(), voters: 3, alive: 2, needed: 2, held: true },
            observed_by: "cts-02".to_owned(),
            index: 42,
            request_id: "r".to_owned(),
            reason: String::new(),
            alarms: Vec::new(),
            details: Some(Details {
                high_availability: true,
                formed: true,
                leading: false,
                leader_since: Some("2026-11-23T04:00:01Z".to_owned()),
                leader_why: "lowest id alive, after cts-03 went down".to_owned(),
                not_ready: None,
                access: None,
                state_encrypted: None,
            }),
        };
        (cluster, DateTime::parse_from_rfc3339("2026-11-23T04:03:13Z").unwrap())
    }

    pub(in super::super) fn sample_tasks() -> TasksNow {
        let run = |success: bool, end: &str, error: Option<&str>| RunNow {
            id: "8f0c".to_owned(),
            success,
            outcome: if success { "success" } else { "failure" }.to_owned(),
            start_time: "2026-11-23T04:00:01Z".to_owned(),
            end_time: end.to_owned(),
            error: error.map(str::to_owned),
            epoch: 7,
            trigger: "take-over".to_owned(),
            asked_by: None,
        };
        let task = |name: &str, status: &str, enabled, state: &str, events| TaskNow {
            name: name.to_owned(),
            status: status.to_owned(),
            enabled,
            activity: Activity {
                state: state.to_owned(),
                since: Some("2026-11-23T04:03:01Z".to_owned()),
                until: Some("2026-11-23T04:03:20Z".to_owned()),
                progress: None,
                why: None,
            },
            next_run: Some("2026-11-23T04:05:00Z".to_owned()),
            source: format!("./{name}"),
            providers: vec!["local".to_owned()],
            timeout: Some("10m".to_owned()),
            grace: "10s".to_owned(),
            events,
            changed: None,
        };
        let refused = "exit status 1\n\u{1b}[31mcannot reach the firewall";
        TasksNow {
            answered_by: "cts-01".to_owned(),
            stale_since: None,
            trials: Vec::new(),
            differences: std::collections::BTreeMap::new(),
            consul: None,
            tasks: vec![
                task("web", "successful", true, "idle", vec![run(true, "2026-11-23T04:00:02.250Z", None)]),
                task("db", "errored", true, "retrying", vec![run(false, "2026-11-23T04:01:13Z", Some(refused))]),
                task("new", "unknown", false, "idle", vec![]),
                task("dns", "unknown", true, "running", vec![]),
            ],
            request_id: "r".to_owned(),
        }
    }

    #[test]
    fn consul_is_told_of_when_it_cannot_be_read() {
        let (cluster, now) = sample();
        let fault = |queries: &[&str]| ConsulFaultNow {
            error: "cannot reach Consul at localhost:8500: connection refused".to_owned(),
            queries: queries.iter().map(|query| (*query).to_owned()).collect(),
            since: "2026-11-23T02:04:05Z".to_owned(),
        };
        let consul = |faults, waiting| ConsulNow { address: "localhost:8500".to_owned(), watched: 3, waiting, faults };
        let screen =
            |consul| render(&cluster, &Ok(TasksNow { consul: Some(consul), ..sample_tasks() }), now, NO_COLOUR);
        let away = screen(consul(vec![fault(&["service \"web\"", "key \"a\""])], 0));
        assert!(away.contains("Consul   at localhost:8500: 2 of 3 queries not read for 1h59m"), "{away}");
        let one = screen(consul(vec![fault(&["service \"web\""])], 0));
        assert!(one.contains("service \"web\" not read for 1h59m"), "{one}");
        assert!(screen(consul(Vec::new(), 2)).contains("2 of 3 queries wait for their first answer"));
        assert!(!screen(consul(Vec::new(), 0)).contains("Consul"), "nothing to tell");
    }

    #[test]
    fn the_screen_is_as_it_is() {
        let (cluster, now) = sample();
        let expected = "\
Cluster  edge, as cts-02 sees it
Leader   cts-01 since 04:00:01 (3m12s), epoch 7: lowest id alive, after cts-03 went down
Quorum   held: 2 of 3 voters alive, 2 needed

MEMBER  STATE  FOR    VOTER  API ADDRESS    VERSION
cts-01  alive  3m12s  yes    10.0.0.1:8558  0.1.0    leader
cts-02  alive  6h50m  yes    10.0.0.2:8558  0.1.0    this agent
cts-03  down   -      yes    10.0.0.3:8558  0.1.0

TASK  STATUS      LAST RUN              TOOK   TRIGGER    NOW
web   successful  04:00:02 (3m10s ago)  1.2s   take-over  idle, next at 04:05:00
db    errored     04:01:13 (2m0s ago)   1m12s  take-over  tries again in 7s
    last error, 04:01:13 (2m0s ago): exit status 1 [31mcannot reach the firewall
new   unknown     never                                   disabled
dns   unknown     never                                   running for 12s
";
        assert_eq!(render(&cluster, &Ok(sample_tasks()), now, NO_COLOUR), expected);
    }

    #[test]
    fn trouble_comes_first_and_says_why() {
        let (mut cluster, now) = sample();
        cluster.leader = None;
        cluster.reason = "2 of 3 voters are down".to_owned();
        cluster.alarms = vec!["two agents use the id cts-02".to_owned()];
        cluster.quorum.alive = 1;
        cluster.quorum.held = false;
        cluster.members.truncate(1);
        let tasks = Err("no agent leads at the moment: 2 of 3 voters are down".to_owned());
        let expected = "\
ALARM    two agents use the id cts-02

Cluster  edge, as cts-02 sees it
Leader   none: 2 of 3 voters are down
Quorum   lost: 1 of 3 voters alive, 2 needed

MEMBER  STATE  FOR    VOTER  API ADDRESS    VERSION
cts-01  alive  3m12s  yes    10.0.0.1:8558  0.1.0    leader

Tasks    not known: no agent leads at the moment
";
        assert_eq!(render(&cluster, &tasks, now, NO_COLOUR), expected);
    }

    #[test]
    fn without_a_leader_the_tasks_are_shown_as_they_were_known_last() {
        let (mut cluster, now) = sample();
        cluster.leader = None;
        cluster.reason = "2 of 3 voters are down".to_owned();
        let stale = TasksNow {
            answered_by: "cts-02".to_owned(),
            stale_since: Some("2026-11-23T04:02:00Z".to_owned()),
            ..sample_tasks()
        };
        let text = render(&cluster, &Ok(stale), now, NO_COLOUR);
        let line = "\nTasks    as cts-02 knew them last, at 04:02:00 (1m13s ago): nobody leads, so nothing runs\nTASK ";
        assert!(text.contains(line) && text.contains("\nweb   successful"), "{text}");
    }

    #[test]
    fn a_long_reason_to_wait_stands_below_its_task() {
        let (cluster, now) = sample();
        let mut tasks = sample_tasks();
        tasks.tasks.truncate(2);
        let whys = ["for the next leader", "waiting for the interrupted run of cts-01 (epoch 6)"];
        for (task, why) in tasks.tasks.iter_mut().zip(whys) {
            task.events.clear();
            task.activity.state = "waiting".to_owned();
            task.activity.why = Some(why.to_owned());
            task.activity.until = None;
        }
        tasks.tasks[1].activity.until = Some((now + chrono::TimeDelta::seconds(3)).to_rfc3339());
        let text = render(&cluster, &Ok(tasks), now, NO_COLOUR);
        assert!(text.contains("waits for the next leader\n"), "{text}");
        assert!(text.contains("  waits\n    waits for the interrupted run of cts-01 (epoch 6), 3s left\n"), "{text}");
    }

    #[test]
    fn a_founding_is_no_lost_quorum_and_says_once_what_it_waits_for() {
        let (mut cluster, now) = sample();
        cluster.leader = None;
        cluster.reason = "founding: the seed a:1 is not here yet".to_owned();
        cluster.quorum = Quorum { alive: 0, held: false, ..cluster.quorum };
        if let Some(details) = &mut cluster.details {
            details.formed = false;
            details.not_ready = Some(cluster.reason.clone());
        }
        let tasks = Err(format!("no agent leads at the moment: {}", cluster.reason));
        let text = render(&cluster, &tasks, now, NO_COLOUR);
        assert!(text.contains("\nQuorum   not yet: 3 agents found the cluster\n"), "{text}");
        assert_eq!(text.matches("the seed a:1").count(), 1, "{text}");
    }

    #[test]
    fn a_single_agent_and_the_mode_alive_are_named() {
        let (mut cluster, now) = sample();
        if let Some(details) = &mut cluster.details {
            details.high_availability = false;
        }
        cluster.quorum.mode = "alive".to_owned();
        let text = render(&cluster, &Ok(sample_tasks()), now, NO_COLOUR);
        assert!(text.starts_with("Cluster  none: cts-02 is a single agent\n"), "{text}");
        assert!(text.contains("Quorum   not asked for (leadership = \"alive\"): while the network is cut"), "{text}");
    }

    #[test]
    fn everything_fits_whatever_the_names() {
        let (mut cluster, now) = sample();
        let mut tasks = sample_tasks();
        cluster.reason = "word ".repeat(200);
        cluster.members[0].id = "x".repeat(63);
        cluster.members[0].api_address = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".to_owned();
        for task in &mut tasks.tasks {
            task.name = "y".repeat(64);
            task.activity.state = "waiting".to_owned();
            task.activity.why = Some("z".repeat(300));
            for run in &mut task.events {
                run.error = run.error.as_ref().map(|_| "e".repeat(5000));
            }
        }
        let text = render(&cluster, &Ok(tasks), now, NO_COLOUR);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }
}
