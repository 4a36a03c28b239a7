//! The end of a run on its way to a majority: the journal's record, the task's events and the promise that it kept go in one
//! batch, and only then it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate_proto::Epoch;
use quorate_proto::message::Entry;

use super::cycle::{Internal, Loop};
use crate::runtime::clock;
use crate::runtime::history::{self, ASKED_PREFIX};
use crate::runtime::journal;
use crate::runtime::runs::Carried;
use crate::task::report::RunEvent;
use crate::task::{Conclusion, Fingerprint, Kept, Outcome, RunId};

/// A run whose end is journalled, or will not be.
#[derive(Debug)]
pub(super) struct Ended {
    run: RunId,
    task: String,
    outcome: Outcome,
    fingerprint: Option<Fingerprint>,
    begun: Option<Duration>,
    /// Under which it ran, if it began.
    epoch: Option<Epoch>,
    written: Option<Written>,
}

/// What a majority knows of a task before it is told.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// How many events there were with the newest.
    count: u64,
    /// The newest event.
    newest: Option<RunEvent>,
    /// Nothing that was promised is left.
    keeps_promise: bool,
}

impl Loop {
    /// A process has ended, or never started.
    pub(super) async fn run_over(&mut self, run: RunId, carried: Carried) {
        let Carried { task, outcome, fingerprint, end, begun } = carried;
        let epoch = end.as_ref().map(|end| end.epoch);
        let mut ended = Ended { run, task, outcome, fingerprint, begun, epoch, written: None };
        let Some(end) = end else { return self.run_ended(ended).await };
        // Of a task that is deleted nothing is kept, its journal neither: no entry says the same as a finished one.
        let end_entry =
            if self.roster.has(&ended.task) { end.entry(&ended.task) } else { Some(journal::forget(&ended.task)) };
        let mut entries: Vec<Entry> = end_entry.into_iter().collect();
        let conclusion = self.tasks.conclusion(run, &ended.outcome, fingerprint, clock::wall());
        // An older write of the same registers may be under way: the newer one is made after it.
        if let Some(Conclusion { kept, tickets }) = conclusion.filter(|_| !self.recording.contains_key(&ended.task)) {
            entries.extend(history::entries(&ended.task, &kept));
            let is_of_run = |asked: &BTreeSet<u64>| asked.iter().all(|ticket| tickets.contains(ticket));
            // A promise that is still on its way must not arrive after it was kept.
            let keeps_promise = self.asked.get(&ended.task).is_some_and(is_of_run) && self.writer.is_idle();
            if keeps_promise {
                entries.push(Entry::new(format!("{ASKED_PREFIX}{}", ended.task), None));
            }
            ended.written = Some(Written { count: kept.count, newest: kept.events.front().cloned(), keeps_promise });
        }
        let (command, outcome) = self.replica.proposal(end.epoch, entries);
        self.command(command).await;
        let internal = self.internal.clone();
        tokio::spawn(async move {
            let journalled = outcome.await;
            ended.written = ended.written.filter(|_| journalled.is_ok());
            ended.outcome = journal::outcome(ended.outcome, journalled);
            drop(internal.send(Internal::RunEnded(Box::new(ended))));
        });
    }

    /// It is told.
    pub(super) async fn run_ended(&mut self, ended: Ended) {
        let Ended { run, task, outcome, fingerprint, begun, epoch, written } = ended;
        self.runner.told(&task, run, begun, &outcome);
        self.written.extend(written.map(|written| (task.clone(), written)));
        self.running.remove(&run);
        self.runner.interruptions.forget(run);
        self.tasks.note_fingerprint(run, fingerprint);
        // Hundreds of logs that say that nothing differs would take the place of the others.
        let says_nothing = self.tasks.is_drift_check(run) && outcome == Outcome::Success;
        self.tasks.handle_run_finished(run, outcome, clock::now(), clock::wall());
        // Another try adds to the log; a task that is deleted has none.
        match epoch {
            Some(_) if says_nothing => self.runner.logs.discard(run),
            Some(epoch) if self.roster.has(&task) => self.runner.logs.ended(run, epoch, !self.tasks.is_open(run)),
            Some(_) => self.runner.logs.discard(run),
            None if self.tasks.is_open(run) => {}
            None => self.runner.logs.close(run),
        }
        self.publish();
        self.check_lost().await;
        self.check_hand_over().await;
    }

    /// Whether a majority has the events of this task already; then all that waited for it goes ahead.
    ///
    /// It has not when the run was cancelled while its end was on the way: then the newest event says something else now.
    pub(super) fn is_written(&mut self, task: &str) -> bool {
        let Some(written) = self.written.remove(task) else { return false };
        let is_same = |kept: &Kept| kept.count == written.count && kept.events.front() == written.newest.as_ref();
        if self.recording.contains_key(task) || !self.tasks.kept(task).is_some_and(is_same) {
            return false;
        }
        if written.keeps_promise && self.asked.get(task).is_some_and(BTreeSet::is_empty) {
            self.asked.remove(task);
        }
        self.kept_on_majority(task, true);
        true
    }
}
