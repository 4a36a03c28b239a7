//! Runs of former leaders that nobody saw the end of: once they are surely over, the journal says so. Until then, and
//! unless their task runs again, nobody but a run may write the task's Terraform state.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate_proto::{Epoch, MemberId, codec};
use tracing::info;

use super::cycle::Loop;
use crate::runtime::clock;
use crate::runtime::journal::{self, Entered, Unfinished};

/// One of them.
#[derive(Debug)]
pub(super) struct Interrupted {
    entered: Entered,
    /// Surely over from then on, by `Now::mono`.
    until: Duration,
}

impl Loop {
    /// What a new leader finds in the journal. `unfinished`: those that may still be alive.
    pub(super) fn note_interrupted(
        &mut self,
        journal: &BTreeMap<String, Vec<u8>>,
        unfinished: &[Unfinished],
        epoch: Epoch,
    ) {
        let now = clock::now().mono;
        let entries = journal.iter().filter_map(|(key, value)| {
            let entered = codec::decode_frame::<Entered>(value).ok()?;
            Some((key.strip_prefix("run/")?.to_owned(), entered))
        });
        let open = entries.filter(|(_, entered)| !entered.finished && entered.epoch < epoch).map(|(task, entered)| {
            let wait = unfinished.iter().find(|it| it.task == task).map_or(Duration::ZERO, |it| it.wait);
            (task, Interrupted { entered, until: now + wait })
        });
        self.interrupted = open.collect();
    }

    /// An agent says, late, that nothing it started under this epoch runs any more: what waited for that goes ahead.
    pub(super) fn runs_released(&mut self, epoch: Epoch, by: &MemberId) {
        let now = clock::now();
        let mut over = Vec::new();
        for (task, it) in &mut self.interrupted {
            if it.entered.epoch == epoch && it.entered.agent == *by && it.until > now.mono {
                it.until = now.mono;
                over.push(task.clone());
            }
        }
        for task in over {
            info!(task, %epoch, agent = %by, "the interrupted run is over, its agent says");
            self.tasks.handle_unfinished_over(&task, now, clock::wall());
        }
    }

    /// Whether the run of this task that was in flight is known to be over by now.
    pub(super) fn is_over(&self, task: &str) -> bool {
        self.interrupted.get(task).is_none_or(|it| it.until <= clock::now().mono)
    }

    /// Says in the journal which of them are over by now. A task that has begun to run again is not among them any more
    /// ([`Loop::drain`]); what is sent here goes before the journal of any later run.
    pub(super) async fn close_interrupted(&mut self) {
        if self.interrupted.is_empty() {
            return;
        }
        // Before the records are read it is not known which tasks there are: the entry of one would be taken away.
        let Some(epoch) = self.leads() else { return };
        let now = clock::now().mono;
        let (over, open) = std::mem::take(&mut self.interrupted).into_iter().partition(|(_, it)| it.until <= now);
        self.interrupted = open;
        let over: BTreeMap<String, Interrupted> = over;
        for (task, Interrupted { entered, .. }) in over {
            let closed = Entered { finished: true, interrupted: true, ..entered };
            let forgotten = (!self.roster.has(&task)).then(|| journal::forget(&task));
            let entries = forgotten.or_else(|| closed.entry(&task)).into_iter().collect();
            // Refused or lost: the next leader finds it again.
            let (command, _) = self.replica.proposal(epoch, entries);
            self.command(command).await;
        }
    }
}
