//! The machine over all tasks: inputs and the time go in, [`Output`]s come out.
//!
//! - **A lease begins**: every enabled task gets a wish, in the order of configuration; a task whose run of a former leader may
//!   still live waits for that, alone. Unlike CTS's once phase a failed first run is repeated like any other, because
//!   here a failure is logged and never ends the process.
//! - **A lease ends**: wishes, timers and retries are forgotten; the next leader runs every task anyway. Processes under
//!   way are remembered until their end is reported, so that a lease regained meanwhile does not start a second one.
//! - **An interrupted run** is nobody's failure: no event. If this agent leads (still or again), the task runs again.
//! - **First due, first started**, at most `max_parallel` processes at a time.
//!
//! # Steps of the wall clock
//!
//! A tick of a timetable is a moment in time and comes once. The clock is looked at again every [`RECHECK`], so a step
//! forward past a tick makes it come once, late by at most that. After a step back, ticks that came do not come again
//! and the task waits for the next new one; only a step back of more than three hours is taken as the correction of a
//! clock that was wrong, and the timetable begins anew from the corrected time.

mod cancel;
mod data;
mod drift;
mod flow;
mod reports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};
use quorate_proto::Epoch;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;

pub use self::cancel::Cancelling;
pub use self::flow::Conclusion;
use super::consul_data::{Data, Query};
use super::cron::Cron;
use super::history::{Fingerprint, History, Kept};
use super::members::{self, MemberInput};
use super::output::{Level, Log, Outcome, Output, RunId, Trigger};
use super::report::CutShort;
use super::slot::{Hold, Moment, Run, Slot, Step};
use super::spec::{Condition, TaskSpec};
use crate::cluster::Now;

/// Longest time between two looks at the wall clock while a timetable waits. Timers do not notice when it is set.
const RECHECK: Duration = Duration::from_secs(30);

/// Settings of this room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Processes at a time over all tasks. More finish a take-over sooner and load the machine and the APIs that they
    /// talk to more. At least 1 counts.
    pub max_parallel: usize,
    /// Run every task at a take-over, also what has not changed (CTS's behaviour).
    pub take_over_all: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { max_parallel: 8, take_over_all: false }
    }
}

/// A run that a former leader started and nobody saw the end of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Name of the task.
    pub task: String,
    /// It may live until this moment of `Now::mono` (protocol-safety 7, W).
    pub until: Duration,
    /// What is waited for, for people.
    pub text: String,
}

/// Why a command to the tasks was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// No such task.
    #[error("a task with name '{0}' does not exist or has not been initialized yet")]
    Unknown(String),
    /// A process of it is under way; try again when it has ended.
    #[error("task '{0}' is active and cannot be updated at this time")]
    Active(String),
    /// Enable it first.
    #[error("task '{0}' is disabled, enable it to run it")]
    Disabled(String),
    /// Nothing of it is under way.
    #[error("task '{0}' is not running: there is nothing to cancel{1}")]
    Idle(String, String),
    /// Ask the leader.
    #[error("this agent does not lead")]
    NotLeading,
    /// Ask the next leader, who is about to begin and runs every enabled task then.
    #[error("leadership is being handed over")]
    HandingOver,
}

/// All tasks of the configuration.
#[derive(Debug)]
pub struct Tasks {
    pub(super) settings: Settings,
    rng: StdRng,
    slots: Vec<Slot>,
    lease: Option<Epoch>,
    stopping: bool,
    pub(super) members: Option<Value>,
    /// What Consul said last to each query that is asked.
    data: BTreeMap<Query, Arc<Data>>,
    /// Queries that cannot be asked at the moment, and why.
    faults: BTreeMap<String, String>,
    outputs: VecDeque<Output>,
    /// The last that was given out.
    tickets: u64,
    /// The last reading.
    last: Option<Moment>,
}

impl Tasks {
    /// Takes the tasks in order of configuration. `seed` makes run ids and jitter: it must differ between processes.
    pub fn new(specs: Vec<TaskSpec>, settings: Settings, seed: [u8; 32]) -> Self {
        let mut tasks = Self {
            settings,
            rng: StdRng::from_seed(seed),
            slots: Vec::new(),
            lease: None,
            stopping: false,
            members: None,
            data: BTreeMap::new(),
            faults: BTreeMap::new(),
            outputs: VecDeque::new(),
            tickets: 0,
            last: None,
        };
        tasks.replace(specs);
        tasks
    }

    /// This agent leads from now on: every enabled task runs once, unless nothing it depends on has changed. One that came
    /// due while nobody led runs in any case.
    pub fn handle_lease(&mut self, epoch: Epoch, unfinished: Vec<Unfinished>, now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        self.handle_lease_lost();
        self.lease = Some(epoch);
        for Unfinished { task, until, text } in unfinished {
            match self.slots.iter_mut().find(|slot| slot.name() == task) {
                Some(slot) => {
                    let until = slot.hold.as_ref().map_or(until, |hold| hold.until.max(until));
                    slot.hold = Some(Hold { until, text: text.clone() });
                    self.log(Level::Info, &task, None, format!("waits: {text}"));
                }
                None => self.log(Level::Warn, &task, None, "has an unfinished run but is not configured".to_owned()),
            }
        }
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if !slot.enabled || slot.removed {
                continue;
            }
            let missed = slot.missed_tick(at.wall);
            slot.asked_by = slot.promised_to.take();
            slot.ask(if missed.is_some() { Trigger::Schedule } else { Trigger::TakeOver }, None, at);
            if let Some(tick) = missed {
                slot.last_tick = Some(tick);
                let (name, text) = (slot.name().to_owned(), format!("was due at {tick} while nobody led: it runs now"));
                self.log(Level::Info, &name, None, text);
            }
        }
        self.settle(true, at);
    }

    /// What former leaders kept of the tasks, in place of what this agent knows. Call it before [`Tasks::handle_lease`].
    /// `interrupted`: tasks whose newest run did not come to an end of its own; they run again whatever has not changed.
    pub fn restore(&mut self, mut kept: BTreeMap<String, Kept>, interrupted: &BTreeSet<String>) {
        for slot in &mut self.slots {
            slot.history.restore(kept.remove(slot.name()).unwrap_or_default());
            slot.stale = true;
            slot.promised_to = None;
            slot.interrupted = interrupted.contains(slot.name());
            // A run that was cancelled before its end was on a majority has its event from this leader.
            slot.recorded = slot.history.record_cancelled();
        }
    }

    /// What outlives this leader of a task; `None`: there is no such task.
    pub fn kept(&self, task: &str) -> Option<&Kept> {
        self.slots.iter().find(|slot| slot.name() == task && !slot.removed).map(|slot| slot.history.kept())
    }

    /// What the try of a run that is under way depends on, as far as the runtime can tell.
    pub fn note_fingerprint(&mut self, run: RunId, fingerprint: Option<Fingerprint>) {
        let here = self.slots.iter_mut().filter_map(|slot| slot.run.as_mut()).find(|here| here.id == run);
        if let Some(here) = here {
            here.basis.fingerprint = fingerprint;
        }
    }

    /// The unfinished run of this task is known to be over; what was held back may start.
    pub fn handle_unfinished_over(&mut self, task: &str, now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        let held = self.slots.iter_mut().find(|slot| slot.name() == task).and_then(|slot| slot.hold.take());
        self.settle(held.is_some(), at);
    }

    /// Keeps a task from starting while something of it is tried out, until [`Tasks::handle_unfinished_over`]. A task that is
    /// not there (yet) needs no holding back.
    pub fn hold_back(&mut self, task: &str, why: &str) -> Result<(), TaskError> {
        self.lease.ok_or(TaskError::NotLeading)?;
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.name() == task) else { return Ok(()) };
        if slot.run.is_some() || slot.hold.is_some() {
            return Err(TaskError::Active(task.to_owned()));
        }
        slot.hold = Some(Hold { until: Duration::MAX, text: why.to_owned() });
        self.changed();
        Ok(())
    }

    /// This agent leads no longer: nothing starts until the next `handle_lease`.
    pub fn handle_lease_lost(&mut self) {
        self.lease = None;
        self.stopping = false;
        self.slots.iter_mut().for_each(Slot::forget);
        self.changed();
    }

    /// The members that are here, leader or not. Tasks with the condition `members` run when this differs from before;
    /// all others that are fed them get the newest at their next start.
    pub fn handle_members(&mut self, members: &[MemberInput], now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        let rendered = members::render(members);
        let differs = self.members.as_ref().is_some_and(|before| *before != rendered);
        let first = self.members.is_none();
        if differs && self.lease.is_some() {
            let watches = |slot: &&mut Slot| matches!(slot.spec.condition, Condition::Members { .. }) && slot.enabled;
            for slot in self.slots.iter_mut().filter(watches) {
                slot.ask(Trigger::Members, slot.spec.buffer, at);
            }
        }
        self.members = Some(rendered);
        self.settle(differs || first, at);
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Now, wall: DateTime<Local>) {
        self.settle(false, Moment { mono: now.mono, wall });
    }

    /// When `handle_timeout` is due, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        self.lease?;
        let last = self.last?;
        let ticks = self.slots.iter().filter_map(|slot| slot.next).map(|next| {
            let wait = (next - last.wall).to_std().unwrap_or_default();
            if wait > RECHECK { (RECHECK, "look at the wall clock") } else { (wait, "schedule") }
        });
        let ticks = ticks.map(|(wait, why)| (last.mono.saturating_add(wait), why));
        self.slots.iter().flat_map(Slot::deadlines).chain(ticks).min()
    }

    /// A process that a [`Output::Start`] asked for has ended, or could not be started. Once per `Start`.
    pub fn handle_run_finished(&mut self, run: RunId, outcome: Outcome, now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        let is_it = |slot: &Slot| slot.is_started() && slot.run.as_ref().is_some_and(|here| here.id == run);
        let Some(index) = self.slots.iter().position(is_it) else {
            self.log(Level::Warn, "", Some(run), "the end of a run that is not under way was reported".to_owned());
            return;
        };
        match self.slots[index].after_cancel(outcome) {
            Outcome::Cancelled(by) => self.cut_short(index, run, CutShort::Cancelled, &by, at),
            outcome if self.slots[index].is_checking() => self.checked(index, run, outcome, at),
            Outcome::Success | Outcome::Drifted(_) => {
                self.slots[index].conclude(true, None, at);
                self.slots[index].interrupted = false;
                self.log_at(index, Level::Info, run, "run succeeded".to_owned());
            }
            Outcome::Planned(text) => {
                self.slots[index].conclude(true, Some(CutShort::Planned), at);
                self.slots[index].interrupted = false;
                self.log_at(index, Level::Info, run, text);
            }
            Outcome::Unchanged => {
                let tickets = self.slots[index].run.take().map(|run| run.tickets).unwrap_or_default();
                self.slots[index].served.extend(tickets.into_iter().map(|ticket| (ticket, None)));
                self.slots[index].interrupted = false;
                self.log_at(
                    index,
                    Level::Info,
                    run,
                    "not needed: nothing has changed since it last went well".to_owned(),
                );
            }
            Outcome::Interrupted(why) => self.interrupted(index, run, &why, at),
            Outcome::Failure(cause) => self.failed(index, run, &cause, at),
            Outcome::TimedOut(text) => self.cut_short(index, run, CutShort::TimedOut, &text, at),
        }
        // A task that is gone has no events to keep, but somebody may wait for its end.
        for slot in self.slots.iter_mut().filter(|slot| slot.removed) {
            tell_served(slot, &mut self.outputs);
        }
        self.slots.retain(|slot| !slot.removed || slot.is_started());
        self.settle(true, at);
    }

    /// Enables or disables a task. Disabling drops what waits to run, and a run under way comes to its end; enabling runs
    /// nothing until the next trigger.
    pub fn set_enabled(&mut self, task: &str, enabled: bool, now: Now, wall: DateTime<Local>) -> Result<(), TaskError> {
        let at = Moment { mono: now.mono, wall };
        self.lease.ok_or(TaskError::NotLeading)?;
        let index = self.index(task)?;
        let slot = &mut self.slots[index];
        if slot.enabled == enabled {
            return Ok(());
        }
        slot.enabled = enabled;
        slot.stand_down(at);
        self.log(Level::Info, task, None, if enabled { "enabled" } else { "disabled" }.to_owned());
        self.settle(true, at);
        Ok(())
    }

    /// [`Tasks::trigger_by`] nobody in particular.
    pub fn trigger(&mut self, task: &str, now: Now, wall: DateTime<Local>) -> Result<u64, TaskError> {
        self.trigger_by(task, None, now, wall)
    }

    /// Runs a task at once, by hand. While a process of it is under way: once more afterwards. Between two tries: the
    /// next try begins now. Returns a ticket: [`Output::Served`] says how the run ended. It is forgotten when the lease ends.
    /// `by`: who asks, for people; the run's event says so.
    pub fn trigger_by(
        &mut self,
        task: &str,
        by: Option<String>,
        now: Now,
        wall: DateTime<Local>,
    ) -> Result<u64, TaskError> {
        let at = Moment { mono: now.mono, wall };
        self.lease.ok_or(TaskError::NotLeading)?;
        if self.stopping {
            return Err(TaskError::HandingOver);
        }
        let index = self.index(task)?;
        let slot = &mut self.slots[index];
        if !slot.enabled {
            return Err(TaskError::Disabled(task.to_owned()));
        }
        self.tickets += 1;
        slot.tickets.push(self.tickets);
        slot.asked_by = by.or(slot.asked_by.take());
        match &mut slot.run {
            Some(Run { step: step @ Step::Pausing(_), .. }) => *step = Step::Due(at.mono),
            Some(Run { step: Step::Due(_), .. }) => {}
            Some(Run { step: Step::Started, .. }) | None => slot.ask(Trigger::Request, None, at),
        }
        let ticket = self.tickets;
        self.settle(true, at);
        Ok(ticket)
    }

    /// The configuration of these tasks is new or has changed: they run, so that what they made follows it.
    pub fn handle_reload<'a>(&mut self, tasks: impl IntoIterator<Item = &'a String>, now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        if self.lease.is_none() {
            return;
        }
        for task in tasks {
            let slot = self.slots.iter_mut().find(|slot| slot.name() == *task && slot.enabled && !slot.removed);
            if let Some(slot) = slot {
                slot.ask(Trigger::Reload, None, at);
            }
        }
        self.settle(true, at);
    }

    /// Hand-over: what runs may end, nothing new starts, retries included.
    pub fn stop_starting(&mut self) {
        self.stopping = true;
        self.changed();
    }

    /// The hand-over was given up: what waited starts.
    pub fn resume_starting(&mut self, now: Now, wall: DateTime<Local>) {
        self.stopping = false;
        self.settle(true, Moment { mono: now.mono, wall });
    }

    /// Takes a new configuration. A task of the same name keeps its events and its run; the new settings count from its
    /// next start, its `enabled` only if that changed in the configuration. A new task waits for its first trigger. A
    /// removed one starts nothing more and goes when its process has ended.
    pub fn replace(&mut self, specs: Vec<TaskSpec>) {
        let mut old: Vec<Option<Slot>> = std::mem::take(&mut self.slots).into_iter().map(Some).collect();
        let named = |(place, slot): (usize, &Option<Slot>)| Some((slot.as_ref()?.name().to_owned(), place));
        let places: BTreeMap<String, usize> = old.iter().enumerate().rev().filter_map(named).collect();
        let mut names = BTreeSet::new();
        for spec in specs {
            if !names.insert(spec.name.clone()) {
                self.log(Level::Error, &spec.name, None, "is configured twice, the second is ignored".to_owned());
                continue;
            }
            let cron = self.timetable(&spec);
            let before = places.get(&spec.name).and_then(|place| old.get_mut(*place)?.take());
            let slot = match before {
                None => Slot::new(spec, cron),
                Some(mut slot) => {
                    if slot.removed {
                        // Another task of the same name: it inherits nothing but the process that has not ended.
                        slot.history = History::default();
                    }
                    if slot.removed || slot.spec.enabled != spec.enabled {
                        slot.enabled = spec.enabled;
                    }
                    if let Some(last) = self.last.filter(|_| !slot.enabled) {
                        slot.stand_down(last);
                    }
                    slot.set_spec(spec);
                    (slot.cron, slot.next, slot.removed) = (cron, None, false);
                    slot
                }
            };
            self.slots.push(slot);
        }
        let mut old: Vec<Slot> = old.into_iter().flatten().collect();
        for slot in &mut old {
            let gone = "the task is gone".to_owned();
            slot.served.extend(slot.tickets.drain(..).map(|ticket| (ticket, Some(gone.clone()))));
            tell_served(slot, &mut self.outputs);
        }
        for mut slot in old.into_iter().filter(Slot::is_started) {
            slot.forget();
            slot.removed = true;
            self.slots.push(slot);
        }
        self.retain_data();
        if let Some(last) = self.last {
            self.settle(true, last);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tasks that are gone, with a process that has not ended: they are there until it has.
    pub fn ending(&self) -> impl Iterator<Item = &Arc<TaskSpec>> {
        self.slots.iter().filter(|slot| slot.removed).map(|slot| &slot.spec)
    }

    /// Processes under way.
    pub fn running(&self) -> usize {
        self.slots.iter().filter(|slot| slot.is_started()).count()
    }

    fn index(&self, task: &str) -> Result<usize, TaskError> {
        let found = self.slots.iter().position(|slot| slot.name() == task && !slot.removed);
        found.ok_or_else(|| TaskError::Unknown(task.to_owned()))
    }

    fn timetable(&mut self, spec: &TaskSpec) -> Option<Cron> {
        let Condition::Schedule { cron } = &spec.condition else { return None };
        match Cron::parse(cron) {
            Ok(cron) => Some(cron),
            Err(error) => {
                self.log(Level::Error, &spec.name, None, format!("has no timetable: {error}"));
                None
            }
        }
    }

    fn changed(&mut self) {
        if self.outputs.back() != Some(&Output::Changed) {
            self.outputs.push_back(Output::Changed);
        }
    }

    fn log_at(&mut self, index: usize, level: Level, run: RunId, text: String) {
        let task = self.slots[index].name().to_owned();
        self.log(level, &task, Some(run), text);
    }

    fn log(&mut self, level: Level, task: &str, run: Option<RunId>, text: String) {
        // One line an event, also when the words of a program that failed are many.
        let text = if text.contains('\n') { text.split_whitespace().collect::<Vec<_>>().join(" ") } else { text };
        self.outputs.push_back(Output::Log(Log { level, task: task.to_owned(), run, text }));
    }
}

/// Tells whose wait is over; what is kept of the task is told again after it, so that their answer can wait for that.
fn tell_served(slot: &mut Slot, outputs: &mut VecDeque<Output>) {
    slot.recorded |= !slot.served.is_empty();
    for (ticket, error) in slot.served.drain(..) {
        outputs.push_back(Output::Served { ticket, task: slot.spec.name.clone(), error });
    }
    if std::mem::take(&mut slot.recorded) {
        outputs.push_back(Output::Recorded(slot.spec.name.clone()));
    }
}
