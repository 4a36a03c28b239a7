//! The registers, for the rooms that keep something in them: read the copy on this agent, write through the leadership.
//!
//! What is read here is this agent's own copy. It is the truth while this agent leads (R11: read inside the act window,
//! after recovery); on any other agent it is a view that may be behind.

use quorate_proto::message::{Entry, Value};
use quorate_proto::{Epoch, Stamp};
use tokio::sync::{mpsc, oneshot};

use super::core::{Command, ProposeError};
use crate::store;

/// How often a register is looked up again when its contents were replaced while they were being read.
const LOOKS: usize = 3;

/// Access to the registers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replica {
    commands: mpsc::Sender<Command>,
}

/// A register without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Its key.
    pub key: String,
    /// The write that put its value there; another value has another stamp, but a new leader gives every value a new one.
    pub stamp: Stamp,
    /// Bytes of its value.
    pub len: usize,
}

/// Registers as the core has them, and where their contents lie.
#[derive(Debug)]
pub struct Reading {
    /// Key, stamp, value, and whether its contents are here (always while this agent leads); tombstones are left out.
    pub registers: Vec<(String, Stamp, Value, bool)>,
    /// The files.
    pub files: store::Blobs,
}

impl Replica {
    /// Of the core behind this queue.
    pub fn new(commands: mpsc::Sender<Command>) -> Self {
        Self { commands }
    }

    /// Writes one batch on a majority under the leadership of this epoch and no other. `Ok`: it is durable there, large
    /// values (up to `VALUE_MAX`) included.
    pub async fn propose(&self, epoch: Epoch, entries: Vec<Entry>) -> Result<(), ProposeError> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Propose(epoch, entries, reply)).await.is_err() {
            return Err(ProposeError::NotLeader);
        }
        answer.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Every register whose key begins like this, sorted by key, with its contents. An agent that does not lead may lack
    /// some contents: those registers are left out.
    pub async fn list(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let begins = prefix.to_owned();
        self.load(prefix, move |key| key.starts_with(&begins)).await
    }

    /// One register.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let wanted = key.to_owned();
        self.load(key, move |found| found == wanted).await.pop().map(|(_, contents)| contents)
    }

    /// What there is under these keys, sorted by key, without loading any contents.
    pub async fn index(&self, prefix: &str) -> Vec<Indexed> {
        let Some(Reading { registers, .. }) = self.read(prefix).await else { return Vec::new() };
        registers.into_iter().map(|(key, stamp, value, _)| Indexed { key, stamp, len: value.len() }).collect()
    }

    async fn read(&self, prefix: &str) -> Option<Reading> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Read(prefix.to_owned(), reply)).await.ok()?;
        answer.await.ok()
    }

    async fn load(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, Vec<u8>)> {
        let mut why = String::new();
        for _ in 0..LOOKS {
            let Some(Reading { mut registers, files }) = self.read(prefix).await else { return Vec::new() };
            registers.retain(|(key, _, _, here)| *here && wanted(key));
            let loaded = tokio::task::spawn_blocking(move || contents(registers, &files)).await;
            match loaded {
                Ok(Ok(loaded)) => return loaded,
                Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => why = error.to_string(),
                Ok(Err(error)) => {
                    why = error.to_string();
                    break;
                }
                Err(error) => {
                    why = error.to_string();
                    break;
                }
            }
        }
        // A leader that said "there is none" of a value that it cannot read would be believed (R6).
        drop(self.commands.send(Command::Damaged(format!("failed to read a large value: {why}"))).await);
        std::future::pending().await
    }
}

fn contents(
    registers: Vec<(String, Stamp, Value, bool)>,
    files: &store::Blobs,
) -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let load = |(key, _, value, _)| match value {
        Value::Inline(bytes) => Ok((key, bytes)),
        Value::Blob { hash, len } => Ok((key, files.read(hash, len)?)),
    };
    registers.into_iter().map(load).collect()
}
