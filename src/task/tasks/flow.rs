//! How a wish becomes a start and a start an event: what every input of [`Tasks`] ends with.

use std::time::Duration;

use chrono::{DateTime, Local, TimeDelta};
use quorate_proto::Epoch;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};

use super::data::instances;
use super::{Tasks, tell_served};
use crate::task::history::{Basis, Fingerprint, Kept, failure_text};
use crate::task::output::{Level, Outcome, Output, RunId, Start, Trigger};
use crate::task::report::{CutShort, RunEvent};
use crate::task::slot::{Moment, Run, Slot, Step};
use crate::task::spec::{Buffer, Retry};

/// A step back of the wall clock beyond this is a correction, not a repeated hour (Vixie's cron draws the same line).
const SET_BACK: TimeDelta = TimeDelta::hours(3);

/// Pause before an interrupted run starts again under the same lease: whatever refused it gets time to settle.
const INTERRUPTED_PAUSE: Duration = Duration::from_secs(1);

/// What the end of a run leaves, to be kept before it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conclusion {
    /// All that is kept of the task, with the event of this run.
    pub kept: Kept,
    /// Who asked for the run.
    pub tickets: Vec<u64>,
}

impl Tasks {
    /// A leader before promised a run of this task; the next lease makes it. `by` is for people.
    pub fn note_asker(&mut self, task: &str, by: String) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name() == task) {
            slot.promised_to = Some(by);
        }
    }

    /// A run that was not this machine's (a new task's, tried before it was there) went well.
    pub fn note_run(&mut self, task: &str, event: RunEvent, fingerprint: Option<Fingerprint>) {
        if let Some(slot) = self.slots.iter_mut().find(|slot| slot.name() == task && !slot.removed) {
            let compares = slot.spec.guards.max_change_percent.is_some();
            let instances = compares.then(|| instances(&slot.spec, &self.data));
            slot.history.record(event, Basis { fingerprint, instances });
            self.outputs.push_back(Output::Recorded(task.to_owned()));
            self.changed();
        }
    }

    /// The process of this run has ended like this, at `wall`. What is to be kept of it before [`Tasks::handle_run_finished`];
    /// nothing when no event comes of it.
    pub fn conclusion(
        &mut self,
        run: RunId,
        outcome: &Outcome,
        fingerprint: Option<Fingerprint>,
        wall: DateTime<Local>,
    ) -> Option<Conclusion> {
        let lease = self.lease;
        let is_it = |slot: &&mut Slot| slot.is_started() && slot.run.as_ref().is_some_and(|here| here.id == run);
        let slot = self.slots.iter_mut().find(is_it)?;
        let outcome = slot.after_cancel(outcome.clone());
        if slot.is_checking() && !matches!(outcome, Outcome::Cancelled(_)) {
            return None;
        }
        let is_wanted = slot.enabled && !slot.removed;
        let here = slot.run.as_mut()?;
        here.ended = Some(wall);
        here.basis.fingerprint = fingerprint;
        let (error, cut_short) = match outcome {
            Outcome::Success => (None, None),
            Outcome::Planned(_) => (None, Some(CutShort::Planned)),
            Outcome::Failure(_) if is_tried_again(lease, is_wanted, here, slot.spec.retry) => return None,
            Outcome::Failure(cause) => {
                let causes: Vec<String> = here.causes.iter().cloned().chain([cause]).collect();
                (Some(failure_text(&causes)), None)
            }
            Outcome::Cancelled(by) => (Some(failure_text(&[by])), Some(CutShort::Cancelled)),
            Outcome::TimedOut(text) => (Some(failure_text(&[text])), Some(CutShort::TimedOut)),
            Outcome::Unchanged | Outcome::Drifted(_) | Outcome::Interrupted(_) => return None,
        };
        if slot.removed {
            return None;
        }
        let kept = slot.history.kept_with(here.event(error, cut_short, wall), here.basis.clone());
        Some(Conclusion { kept, tickets: here.tickets.clone() })
    }

    pub(super) fn interrupted(&mut self, index: usize, run: RunId, why: &str, at: Moment) {
        let leads = self.lease.is_some();
        let slot = &mut self.slots[index];
        let trigger = slot.run.take().map_or(Trigger::TakeOver, |run| {
            slot.tickets.extend(run.tickets);
            slot.asked_by = run.asked_by.or(slot.asked_by.take());
            run.trigger
        });
        // What it did is not known: it runs again whatever has not changed.
        slot.interrupted = true;
        if leads && slot.enabled && !slot.removed && slot.wish.is_none() {
            slot.ask(trigger, Some(Buffer { min: INTERRUPTED_PAUSE, max: INTERRUPTED_PAUSE }), at);
        }
        self.log_at(index, Level::Warn, run, format!("run interrupted: {why}"));
    }

    pub(super) fn failed(&mut self, index: usize, run: RunId, cause: &str, at: Moment) {
        let lease = self.lease;
        let slot = &mut self.slots[index];
        let retry = slot.spec.retry;
        let Some(here) = &mut slot.run else { return };
        here.causes.push(cause.to_owned());
        if is_tried_again(lease, slot.enabled && !slot.removed, here, retry) {
            let wait = pause(retry, here.attempt, &mut self.rng);
            here.step = Step::Pausing(at.plus(wait));
            here.attempt += 1;
            let text = format!("run failed, tries again in {:.1} s: {cause}", wait.as_secs_f64());
            self.log_at(index, Level::Warn, run, text);
        } else {
            let error = slot.conclude(false, None, at).unwrap_or_default();
            let text = format!("could not apply changes for task {}: {error}", slot.name());
            self.log_at(index, Level::Error, run, text);
        }
    }

    /// After each input: timers, ticks, starts, the next ticks; then tells if anything changed.
    pub(super) fn settle(&mut self, mut changed: bool, at: Moment) {
        let set_back = self.last.replace(at).is_some_and(|last| is_set_back(last, at));
        let leads = self.lease.is_some();
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if set_back {
                (slot.next, slot.last_tick) = (None, None);
            }
            if !leads {
                continue;
            }
            let (ripened, over) = slot.ripen(at);
            let ticked = slot.next.take_if(|next| *next <= at.wall);
            changed |= ripened || ticked.is_some();
            if let Some(text) = over {
                let name = self.slots[index].name().to_owned();
                self.log(Level::Info, &name, None, format!("waits no longer: {text}"));
            }
            if let Some(tick) = ticked {
                self.tick(index, tick, at);
            }
        }
        if leads {
            changed |= self.look_at_guards();
        }
        if leads && !self.stopping {
            while let Some(index) = self.next_to_start() {
                if !self.stays_cancelled(index) {
                    self.start(index, at);
                }
                changed = true;
            }
        }
        if leads {
            for slot in &mut self.slots {
                let before = slot.next;
                slot.schedule(at);
                changed |= slot.next != before;
            }
        }
        for slot in &mut self.slots {
            tell_served(slot, &mut self.outputs);
        }
        if changed {
            self.changed();
        }
    }

    fn tick(&mut self, index: usize, tick: DateTime<Local>, at: Moment) {
        let slot = &mut self.slots[index];
        slot.last_tick = Some(tick);
        if let Some(run) = &slot.run {
            let (run, name) = (run.id, slot.name().to_owned());
            let text = format!("task '{name}' is active and cannot be run at this time");
            self.log(Level::Error, &name, Some(run), text);
        } else if slot.has_news() {
            slot.ask(Trigger::Schedule, None, at);
        } else {
            let (epoch, id) = (self.lease.unwrap_or_default(), run_id(&mut self.rng));
            slot.conclude_idle(id, epoch, at);
            let name = slot.name().to_owned();
            self.log(Level::Info, &name, Some(id), "scheduled task triggered but had no changes".to_owned());
        }
    }

    /// First due, first started; at equal times in order of configuration.
    fn next_to_start(&self) -> Option<usize> {
        if self.running() >= self.settings.max_parallel.max(1) {
            return None;
        }
        let ready = self.slots.iter().enumerate().filter_map(|(index, slot)| Some((slot.ready()?, index, slot)));
        let ready = ready.filter(|(_, _, slot)| slot.guard.is_none() && self.lacks(slot).is_none());
        ready.map(|(since, index, _)| (since, index)).min().map(|(_, index)| index)
    }

    /// Looks at the guards of what could start. Returns whether one has begun or ended to hold.
    fn look_at_guards(&mut self) -> bool {
        let mut changed = false;
        for index in 0..self.slots.len() {
            let slot = &self.slots[index];
            let could_start = slot.ready().is_some() && self.lacks(slot).is_none();
            let guard = if could_start { self.guarded(slot) } else { None };
            if guard == slot.guard {
                continue;
            }
            changed = true;
            let name = slot.name().to_owned();
            match &guard {
                Some(why) => self.log(Level::Warn, &name, None, format!("does not run, {why}")),
                None => self.log(Level::Info, &name, None, "its guard holds it no longer".to_owned()),
            }
            self.slots[index].guard = guard;
        }
        changed
    }

    fn start(&mut self, index: usize, at: Moment) {
        let Some(epoch) = self.lease else { return };
        let slot = &mut self.slots[index];
        // The newest inputs go with any try, so it serves all triggers so far.
        let trigger = slot.wish.take().map_or(Trigger::Request, |wish| wish.trigger);
        let rng = &mut self.rng;
        let run = slot.run.get_or_insert_with(|| Run {
            id: run_id(rng),
            trigger,
            epoch,
            began: at.wall,
            attempt: 0,
            causes: Vec::new(),
            basis: Basis::default(),
            tickets: Vec::new(),
            asked_by: None,
            cancelled: None,
            ended: None,
            step: Step::Started,
        });
        (run.step, run.ended) = (Step::Started, None);
        let compares = slot.spec.guards.max_change_percent.is_some();
        run.basis = Basis { fingerprint: None, instances: compares.then(|| instances(&slot.spec, &self.data)) };
        run.tickets.append(&mut slot.tickets);
        run.asked_by = slot.asked_by.take().or(run.asked_by.take());
        if trigger != Trigger::DriftCheck {
            slot.stale = false;
        }
        slot.next_check = None;
        let (id, trigger, attempt) = (run.id, run.trigger, run.attempt);
        // A retry comes after a try that may have done half of its work.
        let first = attempt == 0 && !slot.interrupted && !slot.by_hand;
        let calm = match trigger {
            Trigger::TakeOver => first && !self.settings.take_over_all,
            Trigger::Reload => first,
            Trigger::DriftCheck => true,
            _ => false,
        };
        let unless = slot.history.unchanged_since().filter(|_| calm);
        let (task, spec) = (slot.name().to_owned(), slot.spec.clone());
        let inputs = self.inputs_for(&spec);
        self.outputs.push_back(Output::Start(Start { task, run: id, epoch, trigger, attempt, spec, inputs, unless }));
    }
}

/// Whether a failed try is followed by another.
fn is_tried_again(lease: Option<Epoch>, is_wanted: bool, run: &Run, retry: Retry) -> bool {
    lease == Some(run.epoch) && is_wanted && run.attempt < retry.retries
}

/// Whether the wall clock went back by more than a repeated hour could explain.
fn is_set_back(last: Moment, at: Moment) -> bool {
    last.plus(at.mono.saturating_sub(last.mono)).wall - at.wall > SET_BACK
}

/// CTS's back-off before retry `n`, from 0: a doubling step plus up to half of it at random, never above the cap.
fn pause(retry: Retry, n: u32, rng: &mut StdRng) -> Duration {
    let step = retry.base.saturating_mul(2_u32.saturating_pow(n));
    if step >= retry.cap {
        return retry.cap;
    }
    (step + (step / 2).mul_f64(rng.random::<f64>())).min(retry.cap)
}

fn run_id(rng: &mut StdRng) -> RunId {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    RunId(uuid::Builder::from_random_bytes(bytes).into_uuid())
}
