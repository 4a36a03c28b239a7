//! The registers, for the rooms that keep something in them: read the copy on this agent, write through the leadership.
//!
//! What is read here is this agent's own copy. It is the truth while this agent leads (R11: read inside the act window,
//! after recovery); on any other agent it is a view that may be behind.
//!
//! This is the one place where values are sealed on their way to the registers and opened on their way back ([`AtRest`]). A
//! value that cannot be opened is an error of the whole answer: nobody may take it for absent.

mod anew;
#[cfg(test)]
pub(crate) mod testing;

use std::future::Future;
use std::io;

use quorate_proto::message::{Entry, Value};
use quorate_proto::{Epoch, Stamp};
use tokio::sync::{mpsc, oneshot};

use super::at_rest::{AtRest, LOOKED_AT, Unreadable};
use super::core::{Command, ProposeError};
use crate::store;

pub use anew::keep_sealed;

/// How often a register is looked up again when its contents were replaced while they were being read.
const LOOKS: usize = 3;

/// Access to the registers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Replica {
    commands: mpsc::Sender<Command>,
    at_rest: AtRest,
}

/// A register without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// Its key.
    pub key: String,
    /// The write that put its value there; another value has another stamp, but a new leader gives every value a new one.
    pub stamp: Stamp,
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
    pub fn new(commands: mpsc::Sender<Command>, at_rest: AtRest) -> Self {
        Self { commands, at_rest }
    }

    /// What seals and opens.
    pub fn at_rest(&self) -> &AtRest {
        &self.at_rest
    }

    /// Writes one batch on a majority under the leadership of this epoch and no other. `Ok`: it is durable there, large
    /// values (up to `VALUE_MAX`) included.
    pub async fn propose(&self, epoch: Epoch, entries: Vec<Entry>) -> Result<(), ProposeError> {
        let (command, outcome) = self.proposal(epoch, entries);
        if self.commands.send(command).await.is_err() {
            return Err(ProposeError::NotLeader);
        }
        // Off this task: whoever gives up waiting does not take the write back.
        tokio::spawn(outcome).await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// The same for whoever has to hand it to the core in its own order. Wait for the outcome: what it holds counts the write
    /// as being on its way.
    pub fn proposal(
        &self,
        epoch: Epoch,
        entries: Vec<Entry>,
    ) -> (Command, impl Future<Output = Result<(), ProposeError>> + Send + use<>) {
        let (reply, answer) = oneshot::channel();
        let sealed = self.at_rest.seal(entries);
        let outcome = async move {
            let outcome = answer.await.unwrap_or(Err(ProposeError::Unknown));
            drop(sealed.under_way);
            outcome
        };
        (Command::Propose(epoch, sealed.entries, reply), outcome)
    }

    /// Every register whose key begins like this, sorted by key, with its contents. An agent that does not lead may lack
    /// some contents: those registers are left out.
    pub async fn list(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, Unreadable> {
        let begins = prefix.to_owned();
        self.opened(prefix, move |key| key.starts_with(&begins)).await
    }

    /// One register.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Unreadable> {
        let wanted = key.to_owned();
        Ok(self.opened(key, move |found| found == wanted).await?.pop().map(|(_, contents)| contents))
    }

    /// Whether there is a key for the value of a register, if it has one. It is not opened.
    pub async fn check(&self, key: &str) -> Result<(), Unreadable> {
        let wanted = key.to_owned();
        let found = self.load(key, LOOKED_AT, move |found| found == wanted, start).await;
        found.iter().try_for_each(|(key, _, start)| self.at_rest.check(key, start))
    }

    /// What there is under these keys, sorted by key, without loading any contents.
    pub async fn index(&self, prefix: &str) -> Vec<Indexed> {
        let Some(Reading { registers, .. }) = self.read(prefix, 0).await else { return Vec::new() };
        registers.into_iter().map(|(key, stamp, ..)| Indexed { key, stamp }).collect()
    }

    /// Whether the gossip thread answers a question about these keys.
    pub(super) async fn answers(&self, prefix: &str) -> bool {
        self.read(prefix, 0).await.is_some()
    }

    /// `most`: so many bytes of a small value at most.
    async fn read(&self, prefix: &str, most: usize) -> Option<Reading> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Read { prefix: prefix.to_owned(), most, reply }).await.ok()?;
        answer.await.ok()
    }

    async fn opened(&self, prefix: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, Vec<u8>)>, Unreadable> {
        let at_rest = self.at_rest.clone();
        let open = move |key: &str, value: Value, files: &store::Blobs| {
            whole(key, value, files).map(|kept| at_rest.open(key, kept))
        };
        let loaded = self.load(prefix, usize::MAX, wanted, open).await;
        loaded.into_iter().map(|(key, _, opened)| Ok((key, opened?))).collect()
    }

    /// Takes what is asked for of the values, off this task: files are read.
    async fn load<T: Send + 'static>(
        &self,
        prefix: &str,
        most: usize,
        wanted: impl Fn(&str) -> bool,
        take: impl Fn(&str, Value, &store::Blobs) -> io::Result<T> + Clone + Send + 'static,
    ) -> Vec<(String, Stamp, T)> {
        let mut why = String::new();
        for _ in 0..LOOKS {
            let Some(Reading { mut registers, files }) = self.read(prefix, most).await else { return Vec::new() };
            registers.retain(|(key, _, _, here)| *here && wanted(key));
            let take = take.clone();
            let all = move || {
                let taken = registers.into_iter().map(|(key, stamp, value, _)| {
                    let taken = take(&key, value, &files)?;
                    Ok((key, stamp, taken))
                });
                taken.collect::<io::Result<Vec<_>>>()
            };
            match tokio::task::spawn_blocking(all).await {
                Ok(Ok(loaded)) => return loaded,
                Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => why = error.to_string(),
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

/// A value as it is kept.
fn whole(_: &str, value: Value, files: &store::Blobs) -> io::Result<Vec<u8>> {
    match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Blob { hash, len } => files.read(hash, len),
    }
}

/// What a value begins with; of a small one, so much as was read.
fn start(_: &str, value: Value, files: &store::Blobs) -> io::Result<Vec<u8>> {
    match value {
        Value::Inline(bytes) => Ok(bytes),
        Value::Blob { hash, .. } => files.start(hash, LOOKED_AT),
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::at_rest::Keys;
    use quorate_proto::message::INLINE_MAX;
    use quorate_proto::{Instance, MemberId, Seq};

    use super::*;
    use crate::runtime::at_rest::Source;
    use crate::runtime::keyring;

    fn replica(keys: &[[u8; 32]]) -> (Replica, mpsc::Receiver<Command>) {
        let (commands, core) = mpsc::channel(8);
        let source = Source::File(Keys::new(keys, true));
        (Replica::new(commands, AtRest::new(source, keyring::Keys::new(None, None), None)), core)
    }

    #[tokio::test]
    async fn a_write_counts_as_under_way_until_it_has_ended_whoever_waits_for_it() {
        let (replica, mut core) = replica(&[[1; 32]]);
        let id = quorate_proto::at_rest::KeyId::of(&[1; 32]);
        let entries = vec![Entry::new("task/a", Some(b"text".to_vec())), Entry::new("run/a", Some(b"text".to_vec()))];
        let waiting = tokio::spawn({
            let replica = replica.clone();
            async move { replica.propose(Epoch(1), entries).await }
        });
        let Some(Command::Propose(_, entries, reply)) = core.recv().await else { panic!("a proposal") };
        assert_eq!(quorate_proto::at_rest::KeyId::of_envelope(entries[0].value.as_ref().unwrap()), Some(id));
        assert_eq!(entries[1].value.as_deref(), Some(b"text".as_slice()));
        // Nobody waits for it any more; it is on its way all the same.
        waiting.abort();
        assert!(waiting.await.is_err());
        drop(replica.at_rest.seal(Vec::new()));
        reply.send(Ok(())).unwrap();
    }

    #[tokio::test]
    async fn one_value_that_cannot_be_opened_is_an_error_of_the_whole_answer() {
        let dir = tempfile::tempdir().unwrap();
        let (agent, instance) = (MemberId::new("a1").unwrap(), Instance([1; 16]));
        let (store, _) = store::Store::open(dir.path(), &agent, instance, 0).unwrap();
        let files = store.blobs().clone();
        let (replica, mut core) = replica(&[[1; 32]]);
        let other = Keys::new(&[[2; 32]], true);
        let ours = Keys::new(&[[1; 32]], true);
        let long = vec![b'x'; INLINE_MAX + 1];
        let sealed = ours.seal("task/b", long.clone());
        let hash = files.put(&sealed).unwrap();
        let stamp = Stamp { epoch: Epoch(1), seq: Seq(1) };
        let register = move |key: &str, keys: &Keys| {
            (key.to_owned(), stamp, Value::Inline(keys.seal(key, b"text".to_vec())), true)
        };
        let large = Value::Blob { hash, len: u32::try_from(sealed.len()).unwrap() };
        tokio::spawn(async move {
            while let Some(Command::Read { prefix, reply, .. }) = core.recv().await {
                let mut registers = vec![
                    register("task/a", &ours),
                    ("task/b".to_owned(), stamp, large.clone(), true),
                    register("task/c", &other),
                ];
                registers.retain(|(key, ..)| key.starts_with(&prefix));
                drop(reply.send(Reading { registers, files: files.clone() }));
            }
        });
        assert_eq!(replica.get("task/a").await, Ok(Some(b"text".to_vec())));
        assert_eq!(replica.get("task/b").await, Ok(Some(long)));
        assert_eq!(replica.get("task/d").await, Ok(None));
        assert_eq!(replica.list("task/").await.unwrap_err().key, "task/c");
        assert_eq!(replica.check("task/b").await, Ok(()));
        assert_eq!(replica.check("task/c").await.unwrap_err().key, "task/c");
        assert_eq!(replica.check("task/d").await, Ok(()));
    }
}
