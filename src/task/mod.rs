//! When a task should run, and what a finished run means (`reference/cts.md` 1). Pure: inputs and time in, outputs out.
//!
//! Only a leader's tasks run. With a new lease every enabled task runs once; after that its condition decides. Triggers are
//! gathered for the buffer period; a change during a run leads to exactly one further run with the newest data. A failed run
//! is repeated (CTS: twice, after 1 s and 2 s and a little). A run that was interrupted because authority ended is no failure:
//! it is forgotten here and made again by whoever leads next.
//!
//! # Invariants
//!
//! - No `Start` without a lease, none after `stop_starting`, and never two runs of one task at once.
//! - Every trigger while leading is followed by a run that starts after it.
//!
//! # Not here
//!
//! How a run is carried out (`runtime`), and parking of tasks that keep failing.

pub mod cron;
mod entry;
pub mod members;
pub mod report;
pub mod spec;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};
use quorate_proto::Epoch;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use self::entry::{Entry, Phase};
use self::members::MemberInput;
use self::report::TaskReport;
use self::spec::{Condition, TaskSpec};
use crate::cluster::Now;

/// Names a run for ever.
pub type RunId = Uuid;

/// Settings of the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Runs under way at once; more wait in the order in which they became due.
    pub max_parallel: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_parallel: 8 }
    }
}

/// What a run gets to see of the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The cluster's members, for tasks that ask for them.
    pub members: Option<Vec<MemberInput>>,
}

/// One run to carry out.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Name of the task.
    pub task: String,
    /// The run.
    pub run: RunId,
    /// Why: `take-over`, `schedule`, `members`, `request`.
    pub trigger: &'static str,
    /// 0 for the first try.
    pub attempt: u32,
    /// What to run.
    pub spec: Arc<TaskSpec>,
    /// With what.
    pub inputs: Inputs,
}

impl Start {
    /// The input of a command: JSON with the fencing token in it.
    pub fn input_json(&self, epoch: Epoch) -> Value {
        let mut input = json!({
            "task": self.task, "epoch": epoch.0, "run_id": self.run.to_string(), "trigger": self.trigger,
        });
        if let Some(members) = &self.inputs.members {
            input["members"] = members::render(members);
        }
        input
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// Not; the reason.
    Failure(String),
    /// Authority ended or somebody stopped it: not the task's fault.
    Interrupted(String),
}

/// A run of a former leader that may still be alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Of which task.
    pub task: String,
    /// Surely over at this moment of the monotonic clock.
    pub until: Duration,
    /// For people.
    pub text: String,
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Of which task.
    pub task: String,
    /// What.
    pub text: String,
}

/// What the room asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Carry this run out, then call `handle_run_finished`.
    Start(Start),
    /// The reports have changed.
    Changed,
    /// Write this down.
    Log(LogLine),
}

/// Why a request about a task was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// CTS's text.
    #[error("a task with name '{0}' does not exist or has not been initialized yet")]
    Unknown(String),
    /// Only the leader runs tasks.
    #[error("this agent does not lead")]
    NotLeading,
}

/// All tasks of an agent.
#[derive(Debug)]
pub struct Tasks {
    settings: Settings,
    entries: Vec<Entry>,
    members: Vec<MemberInput>,
    leading: Option<Epoch>,
    stopping: bool,
    rng: StdRng,
    outputs: VecDeque<Output>,
}

impl Tasks {
    /// Tasks in order of configuration.
    pub fn new(specs: Vec<TaskSpec>, settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            settings,
            entries: specs.into_iter().map(Entry::new).collect(),
            members: Vec::new(),
            leading: None,
            stopping: false,
            rng: StdRng::from_seed(seed),
            outputs: VecDeque::new(),
        }
    }

    // Inputs.

    /// This agent leads now: every enabled task runs once, in order of configuration. A task with an unfinished run of a
    /// former leader waits until that is surely over; the others do not wait for it.
    pub fn handle_lease(&mut self, epoch: Epoch, unfinished: Vec<Unfinished>, now: Now, wall: DateTime<Local>) {
        self.leading = Some(epoch);
        self.stopping = false;
        for entry in &mut self.entries {
            entry.forget_triggers();
            entry.waits = unfinished.iter().find(|u| u.task == entry.spec.name).cloned();
            if entry.enabled {
                entry.due(now, "take-over");
            }
        }
        self.outputs.push_back(Output::Changed);
        self.advance(now, wall);
    }

    /// This agent leads no longer: triggers, timers and retries are forgotten. Runs under way are being stopped elsewhere.
    pub fn handle_lease_lost(&mut self) {
        self.leading = None;
        for entry in &mut self.entries {
            entry.forget_triggers();
        }
        self.outputs.push_back(Output::Changed);
    }

    /// Who is here now. Triggers the tasks that wait for it; the newest is used by every later run.
    pub fn handle_members(&mut self, members: Vec<MemberInput>, now: Now, wall: DateTime<Local>) {
        if members == self.members {
            return;
        }
        self.members = members;
        if self.leading.is_some() {
            for entry in &mut self.entries {
                if matches!(entry.spec.condition, Condition::Members { .. }) && entry.enabled {
                    entry.trigger(now, "members");
                }
            }
        }
        self.advance(now, wall);
    }

    /// A deadline has passed.
    pub fn handle_timeout(&mut self, now: Now, wall: DateTime<Local>) {
        self.advance(now, wall);
    }

    /// A run is over, with nothing of it left. Unknown runs are ignored.
    pub fn handle_run_finished(&mut self, run: RunId, outcome: Outcome, now: Now, wall: DateTime<Local>) {
        let jitter = self.rng.random_range(0.0..0.5);
        let current = self.leading;
        let Some(entry) = self.entries.iter_mut().find(|entry| entry.is_running(run)) else { return };
        let lines = entry.finish(outcome, current, jitter, now, wall);
        self.outputs.extend(lines.into_iter().map(Output::Log));
        self.outputs.push_back(Output::Changed);
        self.advance(now, wall);
    }

    // Commands.

    /// Enables or disables a task. An enabled one runs at its next trigger (CTS).
    pub fn set_enabled(&mut self, name: &str, enabled: bool, now: Now, wall: DateTime<Local>) -> Result<(), TaskError> {
        let entry = self.entry(name)?;
        if entry.enabled != enabled {
            entry.enabled = enabled;
            if !enabled {
                entry.forget_triggers();
            }
            self.outputs.push_back(Output::Changed);
        }
        self.advance(now, wall);
        Ok(())
    }

    /// Runs a task now, because somebody asked.
    pub fn trigger(&mut self, name: &str, now: Now, wall: DateTime<Local>) -> Result<(), TaskError> {
        if self.leading.is_none() {
            return Err(TaskError::NotLeading);
        }
        self.entry(name)?.due(now, "request");
        self.advance(now, wall);
        Ok(())
    }

    /// Leadership is about to be handed over: nothing starts any more until the next lease.
    pub fn stop_starting(&mut self) {
        self.stopping = true;
    }

    // Answers.

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        if self.leading.is_none() || self.stopping {
            return None;
        }
        let room = self.running() < self.settings.max_parallel;
        self.entries.iter().filter_map(|entry| entry.poll_timeout(room)).min()
    }

    /// What is told about each task.
    pub fn reports(&self) -> Vec<TaskReport> {
        self.entries.iter().map(Entry::report).collect()
    }

    /// How many runs are under way.
    pub fn running(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.phase, Phase::Running(_))).count()
    }

    // Inside.

    fn entry(&mut self, name: &str) -> Result<&mut Entry, TaskError> {
        let found = self.entries.iter_mut().find(|entry| entry.spec.name == name);
        found.ok_or_else(|| TaskError::Unknown(name.to_owned()))
    }

    /// Starts what is due, the longest due first, as far as there is room.
    fn advance(&mut self, now: Now, wall: DateTime<Local>) {
        let Some(epoch) = self.leading.filter(|_| !self.stopping) else { return };
        for entry in &mut self.entries {
            entry.keep_time(now, wall);
        }
        while self.running() < self.settings.max_parallel {
            let due = self.entries.iter().enumerate().filter_map(|(n, e)| Some((e.ready_since(now)?, n))).min();
            let Some((_, n)) = due else { return };
            let run = uuid::Builder::from_random_bytes(self.rng.random()).into_uuid();
            let members = self.members.clone();
            let start = self.entries[n].start(run, epoch, members, wall);
            self.outputs.push_back(Output::Start(start));
            self.outputs.push_back(Output::Changed);
        }
    }
}
