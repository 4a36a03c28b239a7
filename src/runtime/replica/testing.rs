//! Registers of a leader without a cluster: what is proposed is there at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use quorate_proto::message::Value;
use quorate_proto::{Epoch, Instance, MemberId, Seq, Stamp};
use tokio::sync::mpsc;

use super::{AtRest, Command, Reading, Replica};
use crate::runtime::core::ProposeError;
use crate::store::Store;

/// What is kept, and what happens to it.
#[derive(Debug, Default)]
pub(crate) struct Board {
    pub(crate) kept: BTreeMap<String, (u64, Vec<u8>)>,
    /// Writes of this register are refused.
    pub(crate) refused: Option<&'static str>,
    /// Somebody else writes this before the next value that is written anew.
    pub(crate) meanwhile: Option<(&'static str, Vec<u8>)>,
    /// How many times values were written anew.
    pub(crate) replaced: usize,
    writes: u64,
}

impl Board {
    /// A write.
    pub(crate) fn put(&mut self, key: &str, value: Vec<u8>) {
        self.writes += 1;
        self.kept.insert(key.to_owned(), (self.writes, value));
    }

    fn replace(&mut self, entries: Vec<(Stamp, quorate_proto::message::Entry)>) -> Result<(), ProposeError> {
        self.replaced += 1;
        if let Some((key, value)) = self.meanwhile.take() {
            self.put(key, value);
        }
        if entries.iter().any(|(_, entry)| self.refused == Some(entry.key.as_str())) {
            return Err(ProposeError::Refused("the disk is full".to_owned()));
        }
        for (stamp, entry) in entries {
            if self.kept.get(&entry.key).is_some_and(|(at, _)| stamp.seq == Seq(*at)) {
                self.put(&entry.key, entry.value.unwrap_or_default());
            }
        }
        Ok(())
    }
}

/// The replica of such a leader.
pub(crate) fn leading(at_rest: AtRest) -> (Replica, Arc<Mutex<Board>>) {
    let (commands, mut core) = mpsc::channel(8);
    let board = Arc::new(Mutex::new(Board::default()));
    let shared = board.clone();
    tokio::spawn(async move {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path(), &MemberId::new("a1").unwrap(), Instance([1; 16]), 0).unwrap();
        while let Some(command) = core.recv().await {
            let mut board = shared.lock().unwrap();
            match command {
                Command::Read { prefix, most, reply } => {
                    let registers = board.kept.iter().filter(|(key, _)| key.starts_with(&prefix));
                    let registers = registers.map(|(key, (at, value))| {
                        let value = value.iter().copied().take(most).collect();
                        (key.clone(), Stamp { epoch: Epoch(1), seq: Seq(*at) }, Value::Inline(value), true)
                    });
                    let files = store.blobs().clone();
                    drop(reply.send(Reading { registers: registers.collect(), files }));
                }
                Command::Propose(_, entries, reply) => {
                    for entry in entries {
                        match entry.value {
                            Some(value) => board.put(&entry.key, value),
                            None => drop(board.kept.remove(&entry.key)),
                        }
                    }
                    drop(reply.send(Ok(())));
                }
                Command::Replace(_, entries, reply) => drop(reply.send(board.replace(entries))),
                other => panic!("{other:?}"),
            }
        }
    });
    (Replica::new(commands, at_rest), board)
}
