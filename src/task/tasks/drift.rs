//! Looks for drift: a run that changes nothing, when nothing else of the task is going on.

use super::Tasks;
use crate::task::output::{Level, Outcome, RunId, Trigger};
use crate::task::slot::{Moment, Slot};

impl Slot {
    /// Whether the run under way only looks.
    pub(super) fn is_checking(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.trigger == Trigger::DriftCheck)
    }
}

impl Tasks {
    /// Whether this run, which is under way, only looks for drift.
    pub fn is_drift_check(&self, run: RunId) -> bool {
        self.slots.iter().any(|slot| slot.is_checking() && slot.run.as_ref().is_some_and(|here| here.id == run))
    }

    /// A look has ended. It is no event of the task: what it found is kept beside them.
    pub(super) fn checked(&mut self, index: usize, run: RunId, outcome: Outcome, at: Moment) {
        let leads = self.lease.is_some();
        let slot = &mut self.slots[index];
        let knew = slot.history.kept().drift.as_ref().is_some_and(|drift| drift.found.is_some());
        let (level, text) = match outcome {
            Outcome::Drifted(text) => {
                let level = if knew { Level::Info } else { Level::Warn };
                let said = format!("drift: {text}");
                slot.conclude_check(Ok(Some(text)), at);
                let corrects = slot.spec.run.drift.is_some_and(|drift| drift.corrects);
                if leads && slot.enabled && !slot.removed && corrects {
                    slot.ask(Trigger::Drift, None, at);
                }
                (level, said)
            }
            Outcome::Success | Outcome::Unchanged | Outcome::Planned(_) => {
                slot.conclude_check(Ok(None), at);
                (Level::Info, if knew { "drift: none any more" } else { "drift: none" }.to_owned())
            }
            Outcome::Failure(why) | Outcome::TimedOut(why) => {
                let said = format!("it cannot be looked for drift: {why}");
                slot.conclude_check(Err(why), at);
                (Level::Warn, said)
            }
            Outcome::Interrupted(why) | Outcome::Cancelled(why) => {
                // It has changed nothing; the next look comes in its time.
                slot.run = None;
                (Level::Info, format!("the look for drift was interrupted: {why}"))
            }
        };
        self.log_at(index, level, run, text);
    }
}
