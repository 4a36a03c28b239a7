//! Runs that are ended before their own end: somebody asked, or their time was up.
//!
//! A cancelled run is an event and is not tried again. What was triggered behind it stays and runs afterwards: it is about
//! something that the cancelled run has not seen. A take-over is no such trigger ([`Tasks::stays_cancelled`]).

use chrono::{DateTime, Local};
use uuid::Uuid;

use super::TaskError;
use super::Tasks;
use crate::cluster::Now;
use crate::task::history::Fingerprint;
use crate::task::output::{Level, Outcome, RunId, Trigger};
use crate::task::report::{Activity, CutShort, RunEvent};
use crate::task::slot::{Moment, Slot, Step};
use crate::task::spec::{Condition, TaskSpec};

/// A run that ends because it was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelling {
    /// Its event, if it ends at this moment.
    pub event: RunEvent,
    /// A process is under way and must be stopped; otherwise the run is over.
    pub started: bool,
    /// What was triggered behind it: it runs when this run is over.
    pub queued: Option<Trigger>,
    /// Somebody asked for the queued run and was promised it.
    pub promised: bool,
    /// The run before it.
    pub before: Option<Uuid>,
    /// What its condition sees now, hashed.
    pub watched: Fingerprint,
    /// Its task is deleted: nothing of it is kept.
    pub deleted: bool,
}

impl Tasks {
    /// Ends the run of a task. `by`: who asks, for people. The caller stops the process, if there is one, and reports its end
    /// as ever; asking again changes nothing.
    pub fn cancel(&mut self, task: &str, by: &str, now: Now, wall: DateTime<Local>) -> Result<Cancelling, TaskError> {
        let at = Moment { mono: now.mono, wall };
        self.lease.ok_or(TaskError::NotLeading)?;
        let index = self.slots.iter().position(|slot| slot.name() == task);
        let index = index.ok_or_else(|| TaskError::Unknown(task.to_owned()))?;
        let watched = self.watched(&self.slots[index].spec);
        let slot = &mut self.slots[index];
        let before = slot.history.newest().map(|event| event.id);
        let wish = slot.wish.as_ref().map(|wish| wish.trigger);
        let Some(run) = &mut slot.run else {
            return Err(TaskError::Idle(task.to_owned(), self.why_idle(index)));
        };
        let by = run.cancelled.get_or_insert_with(|| by.to_owned()).clone();
        let cancelling = Cancelling {
            event: run.event(Some(by.clone()), Some(CutShort::Cancelled), at.wall),
            started: matches!(run.step, Step::Started),
            queued: wish.filter(|_| slot.enabled && !slot.removed),
            promised: !slot.tickets.is_empty(),
            before,
            watched,
            deleted: slot.removed,
        };
        if !cancelling.started {
            let id = run.id;
            self.cut_short(index, id, CutShort::Cancelled, &by, at);
        }
        self.settle(true, at);
        Ok(cancelling)
    }

    /// The run ends here, with an event and without another try.
    pub(super) fn cut_short(&mut self, index: usize, run: RunId, how: CutShort, text: &str, at: Moment) {
        let slot = &mut self.slots[index];
        if let Some(run) = &mut slot.run {
            run.causes = vec![text.to_owned()];
        }
        slot.conclude(false, Some(how), at);
        let level = if how == CutShort::Cancelled { Level::Warn } else { Level::Error };
        self.log_at(index, level, run, format!("run ended before its own end: {text}"));
    }

    /// Whether a task that could start was only asked to by a take-over, and its newest run was cancelled with nothing
    /// triggered after it. Then it does not want to any more.
    pub(super) fn stays_cancelled(&mut self, index: usize) -> bool {
        let slot = &self.slots[index];
        let wish = slot.wish.as_ref().filter(|wish| slot.run.is_none() && wish.trigger == Trigger::TakeOver);
        let Some(cancelled) = slot.history.cancelled().filter(|_| wish.is_some()) else { return false };
        let wanted = slot.by_hand || slot.interrupted || cancelled.queued || !slot.tickets.is_empty();
        if wanted || cancelled.watched != self.watched(&slot.spec) {
            return false;
        }
        let by = cancelled.event.error.clone().unwrap_or_default();
        let name = slot.name().to_owned();
        self.slots[index].wish = None;
        self.log(Level::Info, &name, None, format!("not run at the take-over: its newest run was {by}"));
        true
    }

    /// What its condition sees, hashed. Other inputs trigger nothing, so they do not count.
    fn watched(&self, spec: &TaskSpec) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        for query in spec.condition.queries() {
            hasher.update(format!("{query}={:?};", self.data.get(&query)).as_bytes());
        }
        if matches!(spec.condition, Condition::Members { .. }) {
            hasher.update(format!("{:?}", self.members).as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn why_idle(&self, index: usize) -> String {
        let slot = &self.slots[index];
        match slot.activity(|_| "for its turn".to_owned(), self.last) {
            Activity::Waiting(why) | Activity::Held { why, .. } => format!(" (it waits: {why})"),
            Activity::Buffering(_) => " (its trigger is in the buffer period)".to_owned(),
            Activity::Idle | Activity::Running(_) | Activity::Retrying(_) => String::new(),
        }
    }
}

impl Slot {
    /// What the end of a try means when its run was cancelled meanwhile. One that went well all the same went well.
    pub(super) fn after_cancel(&mut self, outcome: Outcome) -> Outcome {
        let cancelled = self.run.as_ref().and_then(|run| run.cancelled.clone());
        match (outcome, cancelled) {
            (outcome @ (Outcome::Success | Outcome::Unchanged | Outcome::Planned(_) | Outcome::Drifted(_)), _)
            | (outcome, None) => outcome,
            (Outcome::Failure(cause), Some(by)) => Outcome::Cancelled(format!("{by}; it had failed: {cause}")),
            (Outcome::Interrupted(_) | Outcome::Cancelled(_) | Outcome::TimedOut(_), Some(by)) => {
                Outcome::Cancelled(by)
            }
        }
    }
}
