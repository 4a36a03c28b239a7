//! Rules of the machine, one test each; and random histories against its invariants.

mod cancel;
mod data;
mod drift;
mod lease;
mod model;
mod retry;
mod schedule;
mod trigger;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta};
use quorate_proto::Epoch;

use super::report::{Activity, RunEvent};
use super::spec::*;
use super::*;
use crate::cluster::Now;

/// A task that runs at a take-over and by hand.
pub(super) fn command(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        condition: Condition::None,
        inputs: Vec::new(),
        work: Work::Command { argv: vec!["./render".to_owned(), "--all".to_owned()] },
        buffer: None,
        retry: Retry::default(),
        park: None,
        guards: Guards::default(),
        grace: Duration::from_secs(10),
        timeout: None,
        working_dir: "work".into(),
        run: crate::task::spec::RunOptions::default(),
    }
}

fn on_members(name: &str, buffer: Option<(u64, u64)>) -> TaskSpec {
    let seconds = Duration::from_secs;
    TaskSpec {
        condition: Condition::Members { use_as_module_input: true },
        buffer: buffer.map(|(min, max)| Buffer { min: seconds(min), max: seconds(max) }),
        ..command(name)
    }
}

fn on_schedule(name: &str, cron: &str) -> TaskSpec {
    TaskSpec { condition: Condition::Schedule { cron: cron.to_owned() }, ..command(name) }
}

fn without_retry(spec: TaskSpec) -> TaskSpec {
    TaskSpec { retry: Retry { retries: 0, ..Retry::default() }, ..spec }
}

fn member(id: &str) -> MemberInput {
    MemberInput {
        id: id.to_owned(),
        instance: "00".to_owned(),
        address: String::new(),
        api_address: "10.0.0.1:8558".to_owned(),
        gossip_address: "10.0.0.1:8559".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

/// The tasks, a clock, and all that came out.
struct World {
    tasks: Tasks,
    mono: Duration,
    wall: DateTime<Local>,
    starts: Vec<Start>,
    logs: Vec<Log>,
    served: Vec<(u64, Option<String>)>,
    changes: usize,
}

impl World {
    fn new(specs: Vec<TaskSpec>) -> Self {
        Self::with(specs, Settings::default())
    }

    fn with(specs: Vec<TaskSpec>, settings: Settings) -> Self {
        let mut world = Self {
            tasks: Tasks::new(specs, settings, [7; 32]),
            mono: Duration::from_secs(1000),
            // 1 November 2026, 00:00 UTC: a whole minute in every time zone.
            wall: DateTime::from_timestamp(1_793_491_200, 0).unwrap().with_timezone(&Local),
            starts: Vec::new(),
            logs: Vec::new(),
            served: Vec::new(),
            changes: 0,
        };
        world.drain();
        world
    }

    /// Leads with these tasks, the run of each at take-over already over.
    fn calm(specs: Vec<TaskSpec>) -> Self {
        let mut world = Self::new(specs);
        world.members(&["a"]);
        world.lead(1);
        while let Some(start) = world.starts.pop() {
            world.finish(&start, Outcome::Success);
        }
        world.logs.clear();
        world
    }

    fn now(&self) -> Now {
        Now { mono: self.mono, boot: self.mono }
    }

    fn lead(&mut self, epoch: u64) {
        self.lead_after(epoch, Vec::new());
    }

    fn lead_after(&mut self, epoch: u64, unfinished: Vec<Unfinished>) {
        self.tasks.handle_lease(Epoch(epoch), unfinished, self.now(), self.wall);
        self.drain();
    }

    fn lose(&mut self) {
        self.tasks.handle_lease_lost();
        self.drain();
    }

    fn members(&mut self, ids: &[&str]) {
        let members: Vec<_> = ids.iter().map(|id| member(id)).collect();
        self.tasks.handle_members(&members, self.now(), self.wall);
        self.drain();
    }

    fn finish(&mut self, start: &Start, outcome: Outcome) {
        self.tasks.handle_run_finished(start.run, outcome, self.now(), self.wall);
        self.drain();
    }

    fn fail(&mut self, start: &Start, cause: &str) {
        self.finish(start, Outcome::Failure(cause.to_owned()));
    }

    fn request(&mut self, task: &str) -> Result<u64, TaskError> {
        let answer = self.tasks.trigger(task, self.now(), self.wall);
        self.drain();
        answer
    }

    fn enable(&mut self, task: &str, enabled: bool) -> Result<(), TaskError> {
        let answer = self.tasks.set_enabled(task, enabled, self.now(), self.wall);
        self.drain();
        answer
    }

    /// Lets time pass, stopping at each timer.
    fn pass(&mut self, seconds: f64) {
        let end = self.mono + Duration::from_secs_f64(seconds);
        while let Some((at, _)) = self.tasks.poll_timeout().filter(|(at, _)| *at <= end) {
            self.go_to(at.max(self.mono));
            self.tasks.handle_timeout(self.now(), self.wall);
            self.drain();
            let next = self.tasks.poll_timeout();
            assert!(next.is_none_or(|(next, _)| next > self.mono), "a timer that is over stays: {next:?}");
        }
        self.go_to(end);
    }

    fn go_to(&mut self, mono: Duration) {
        self.wall += TimeDelta::from_std(mono.checked_sub(self.mono).unwrap()).unwrap();
        self.mono = mono;
    }

    fn drain(&mut self) {
        while let Some(output) = self.tasks.poll_output() {
            match output {
                Output::Start(start) => self.starts.push(start),
                Output::Changed | Output::Recorded(_) => self.changes += 1,
                Output::Served { ticket, error, .. } => self.served.push((ticket, error)),
                Output::Log(log) => self.logs.push(log),
            }
        }
    }

    /// The only start since the last look.
    fn started(&mut self) -> Start {
        assert_eq!(self.starts.len(), 1, "{:?}", self.starts);
        self.starts.remove(0)
    }

    /// The starts since the last look, as `task trigger attempt`.
    fn take_starts(&mut self) -> Vec<String> {
        let text = |start: Start| format!("{} {} {}", start.task, start.trigger.as_str(), start.attempt);
        self.starts.drain(..).map(text).collect()
    }

    fn report(&self, task: &str) -> TaskReport {
        self.tasks.look().into_iter().find(|report| report.name == task).unwrap()
    }

    fn events(&self, task: &str) -> Vec<RunEvent> {
        self.report(task).events
    }

    fn activity(&self, task: &str) -> Activity {
        self.report(task).activity
    }

    /// So many seconds from now, as told to people.
    fn in_seconds(&self, seconds: f64) -> DateTime<Local> {
        self.wall + TimeDelta::from_std(Duration::from_secs_f64(seconds)).unwrap()
    }

    fn logged(&self, text: &str) -> bool {
        self.logs.iter().any(|log| log.text.contains(text))
    }
}
