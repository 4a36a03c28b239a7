//! Changes of the tasks on their way to a majority: one at a time, in the order in which they were made. Two at once could
//! change places, and an older one would be what the next leader finds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use quorate_proto::Epoch;
use quorate_proto::message::Entry;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::runtime::core::ProposeError;
use crate::runtime::replica::Replica;

/// Told how a write has ended.
pub(super) type Then = oneshot::Sender<Result<(), ProposeError>>;

struct Change {
    epoch: Epoch,
    entries: Vec<Entry>,
    then: Option<Then>,
}

/// Where changes are handed in. What waits is answered when the leadership ends, so it does not grow without end.
#[derive(Debug)]
pub(super) struct Writer {
    changes: mpsc::UnboundedSender<Change>,
    /// Changes that are not answered yet.
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Writes until it is dropped.
    pub(super) fn new(replica: Replica) -> Self {
        let (sender, mut changes) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(Change { epoch, entries, then }) = changes.recv().await {
                let outcome = replica.propose(epoch, entries).await;
                left.fetch_sub(1, Ordering::AcqRel);
                if let Err(error) = &outcome {
                    debug!(%error, "a change of the tasks was not acknowledged");
                }
                if let Some(then) = then {
                    // Who asked may have gone away.
                    drop(then.send(outcome));
                }
            }
        });
        Self { changes: sender, waiting }
    }

    /// Whether everything that was handed in is answered.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// One batch, under this leadership and no other.
    pub(super) fn write(&self, epoch: Epoch, entries: Vec<Entry>, then: Option<Then>) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // Its task lives as long as this.
        drop(self.changes.send(Change { epoch, entries, then }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::at_rest::AtRest;
    use crate::runtime::core::Command;

    #[tokio::test]
    async fn a_write_begins_when_the_one_before_it_has_ended() {
        let (commands, mut core) = mpsc::channel(8);
        let writer = Writer::new(Replica::new(commands, AtRest::off()));
        let (then, told) = oneshot::channel();
        writer.write(Epoch(1), vec![Entry::new("task/a", Some(b"old".to_vec()))], None);
        writer.write(Epoch(1), vec![Entry::new("task/a", None)], Some(then));
        let Some(Command::Propose(_, first, reply)) = core.recv().await else { panic!("a proposal") };
        assert!(first[0].value.is_some());
        tokio::task::yield_now().await;
        assert!(core.try_recv().is_err(), "the second one waits");
        assert!(!writer.is_idle());
        reply.send(Err(ProposeError::Unknown)).unwrap();
        let Some(Command::Propose(_, second, reply)) = core.recv().await else { panic!("a proposal") };
        assert!(second[0].value.is_none());
        reply.send(Ok(())).unwrap();
        assert_eq!(told.await, Ok(Ok(())));
        assert!(writer.is_idle());
    }
}
