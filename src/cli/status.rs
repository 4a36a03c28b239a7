//! `quorate status`: one screen for 3 a.m.
//!
//! In the order of need: alarms; who leads, since when and why, and whether the quorum holds; who is here; how the tasks
//! are, what they do now and what last went wrong.

#[cfg(test)]
pub(super) mod samples;
mod tasks;
#[cfg(test)]
mod tests;

use chrono::{DateTime, FixedOffset};
use clap::Args;
use serde_json::{Value, json};

use super::address::Address;
use super::client::Client;
use super::client_error::ClientError;
use super::output::{Failure, pretty, say};
use super::paint::{Paint, Style, clean, state_style};
use super::stale;
use super::table::{Table, WIDTH, cell, plain, wrap, yes};
use super::time;
use super::watch::{Shown, watch};
use crate::http::reply::{AccessNow, Cluster, ConsulNow, States, TasksNow};
use crate::runtime::clock;
use crate::state::SetAsideSummary;

use self::tasks::task_table;
pub(super) use self::tasks::{activity, ended, run_took, status_style};

/// How often tasks are asked for while watching: the long poll wakes for changes of the cluster only.
const WATCH_WAIT: &str = "2s";

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
    if let Some(access) = details.and_then(|details| details.access.as_ref()).filter(|access| access.enabled) {
        screen.line("Access", Style::Good, access_line(access));
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

/// What `access` lets callers do that show nothing.
fn access_line(access: &AccessNow) -> &'static str {
    match access.anonymous.as_str() {
        "deny" => "by token or certificate only",
        "read" => "by token or certificate; without one, callers may read",
        _ => {
            "by token or certificate; without one, callers may still change everything but tokens (default = \"write\")"
        }
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
