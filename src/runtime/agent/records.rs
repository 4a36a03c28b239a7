//! Events on their way to a majority. Of one task one write is under way at a time, so a later one never falls behind.

use super::cycle::{Internal, Loop};
use crate::cluster::leadership::Lease;
use crate::runtime::history;

impl Loop {
    /// What is kept of a task has changed.
    pub(super) fn record(&mut self, task: &str) {
        if let Some(newer) = self.recording.get_mut(task) {
            *newer = true;
            return;
        }
        let Some(epoch) = self.lease.borrow().as_ref().map(Lease::epoch) else { return };
        let Some(entries) = self.tasks.kept(task).map(|kept| history::entries(task, kept)) else { return };
        self.recording.insert(task.to_owned(), false);
        let (replica, internal, task) = (self.replica.clone(), self.internal.clone(), task.to_owned());
        tokio::spawn(async move {
            // Refused or lost: the leadership is over, and what a majority has is what the next leader tells.
            drop(replica.propose(epoch, entries).await);
            drop(internal.send(Internal::Kept(task)));
        });
    }

    /// A write has ended.
    pub(super) fn kept_on_majority(&mut self, task: &str) {
        if self.recording.remove(task) == Some(true) {
            self.record(task);
        }
        self.publish();
    }
}
