//! What the tasks are told as: made anew only where something has changed.

use std::sync::Arc;

use super::{TaskError, Tasks};
use crate::task::output::RunId;
use crate::task::report::{Progress, TaskReport};
use crate::task::slot::Slot;

impl Tasks {
    /// All tasks, in order of configuration; those that are gone stand last, until their process has ended. `progress`: how
    /// far a run is. What has not changed is the same report as before.
    pub fn reports(&mut self, progress: impl Fn(&str) -> Option<Progress>) -> Vec<Arc<TaskReport>> {
        let last = self.last;
        let mut slots = std::mem::take(&mut self.slots);
        let report = |slot: &mut Slot| {
            let progress = progress(slot.name());
            slot.report(|slot| self.waits_for(slot), progress, last)
        };
        let reports = slots.iter_mut().map(report).collect();
        self.slots = slots;
        reports
    }

    /// `Err`: something of this task runs, or is about to.
    pub fn check_idle(&self, task: &str) -> Result<(), TaskError> {
        let slot = &self.slots[self.index(task)?];
        if slot.run.is_some() || slot.wish.is_some() || slot.hold.is_some() {
            return Err(TaskError::Active(task.to_owned()));
        }
        if slot.enabled { Ok(()) } else { Err(TaskError::Disabled(task.to_owned())) }
    }

    /// Whether this run is not over: a process of it is under way, or another try is to come.
    pub fn is_open(&self, run: RunId) -> bool {
        self.slots.iter().any(|slot| slot.run.as_ref().is_some_and(|here| here.id == run))
    }

    /// The same, all made anew.
    #[cfg(test)]
    pub(in crate::task) fn look(&self) -> Vec<TaskReport> {
        let activity = |slot: &Slot| slot.activity(|slot| self.waits_for(slot), self.last);
        self.slots.iter().map(|slot| slot.report_with(activity(slot), None)).collect()
    }

    /// What a task that could start waits for.
    fn waits_for(&self, slot: &Slot) -> String {
        if self.stopping {
            "for the next leader".to_owned()
        } else if let Some(lacking) = self.lacks(slot) {
            lacking
        } else if let Some(guard) = &slot.guard {
            guard.clone()
        } else {
            "for a free place among the runs under way".to_owned()
        }
    }
}
