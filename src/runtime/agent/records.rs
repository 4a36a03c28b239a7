//! Events on their way to a majority. Of one task one write is under way at a time, so a later one never falls behind.

use super::cycle::{Internal, Loop};
use crate::cluster::leadership::Lease;
use crate::runtime::history;

impl Loop {
    /// What is kept of a task has changed.
    pub(super) fn record(&mut self, task: &str) {
        if self.is_written(task) {
            return;
        }
        if let Some(newer) = self.recording.get_mut(task) {
            *newer = true;
            return;
        }
        let Some(epoch) = self.lease.borrow().as_ref().map(Lease::epoch) else {
            // The lease is away for a moment, or the leadership is over.
            self.unrecorded.insert(task.to_owned());
            return;
        };
        // Nothing to keep: it is gone, or has never run.
        let Some(kept) = self.tasks.kept(task).filter(|kept| kept.count > 0) else {
            return self.answer_served(task, true);
        };
        let entries = history::entries(task, kept);
        self.recording.insert(task.to_owned(), false);
        let (replica, internal, task) = (self.replica.clone(), self.internal.clone(), task.to_owned());
        tokio::spawn(async move {
            // Refused or lost: the leadership is over, and what a majority has is what the next leader tells.
            let is_kept = replica.propose(epoch, entries).await.is_ok();
            drop(internal.send(Internal::Kept(task, is_kept)));
        });
    }

    /// The lease is back: what happened meanwhile is kept now.
    pub(super) fn record_late(&mut self) {
        for task in std::mem::take(&mut self.unrecorded) {
            self.record(&task);
        }
    }

    /// A write has ended.
    pub(super) fn kept_on_majority(&mut self, task: &str, is_kept: bool) {
        if self.recording.remove(task) == Some(true) {
            self.record(task);
        } else {
            self.answer_served(task, is_kept);
            if is_kept {
                self.asked_kept(task);
            }
        }
        // Deleted while this was on its way: what arrived after the deletion goes too.
        if let Some(epoch) = self.leads().filter(|_| !self.roster.has(task)) {
            self.writer.write(epoch, history::forget(task), None);
        }
        self.publish();
    }
}
