//! The thread that gives large values their place on the disk, and takes it away again: one job after the other.
//!
//! It is apart from the thread of the store, so that 16 MiB on their way to the disk do not keep a promise waiting. What
//! comes from a peer is written by whoever receives it ([`super::fetch`]); only the last step is done here.
//!
//! Contents may be dropped and put back at about the same time: the core drops what it knew of, and does not know yet of
//! what was put since. So every message to the core that something is there has a number, a drop tells the newest number
//! that the core had seen, and what is younger stays.

use std::collections::BTreeMap;
use std::sync::mpsc;

use quorate_proto::message::{Entry, INLINE_MAX, Put, VALUE_MAX, Value};
use quorate_proto::{BlobHash, Epoch, Stamp};
use tokio::sync::oneshot;

use super::core::{Command, ProposeError};
use super::persist;
use crate::store::{self, StoreError, Whole};

/// Inline bytes of one proposal: it has to fit one message, with room.
const BATCH_MAX: usize = 8 * 1024 * 1024;

/// To the thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    jobs: mpsc::Sender<Job>,
    /// The files, for reading.
    pub files: store::Blobs,
}

/// Entries whose large values have to be stored before they can be proposed.
#[derive(Debug)]
pub struct Proposal {
    /// Under which leadership.
    pub epoch: Epoch,
    /// What.
    pub entries: Vec<Entry>,
    /// Of these keys only those whose newest write is still this one; the others are left as they are.
    pub only: BTreeMap<String, Stamp>,
    /// Who waits.
    pub reply: oneshot::Sender<Result<(), ProposeError>>,
}

#[derive(Debug)]
enum Job {
    Put(Proposal),
    Keep(Whole),
    Drop { hash: BlobHash, seen: u64 },
}

impl Blobs {
    /// Stores the large values of a proposal; `Command::Prepared` follows, or the asker is told why not.
    pub fn put(&self, proposal: Proposal) {
        drop(self.jobs.send(Job::Put(proposal)));
    }

    /// Gives fetched contents their name; `Command::Blob` follows.
    pub fn keep(&self, whole: Whole) {
        drop(self.jobs.send(Job::Keep(whole)));
    }

    /// Removes contents, unless they came back after the message numbered `seen`.
    pub fn remove(&self, hash: BlobHash, seen: u64) {
        drop(self.jobs.send(Job::Drop { hash, seen }));
    }
}

/// Whether a proposal needs the disk before it can be made, or why it cannot be made at all.
pub fn needs_disk(entries: &[Entry]) -> Result<bool, String> {
    let sizes = || entries.iter().map(|e| (&e.key, e.value.as_ref().map_or(0, Vec::len)));
    if let Some((key, size)) = sizes().find(|(_, size)| *size > VALUE_MAX) {
        return Err(format!("{key} would have {size} bytes, {VALUE_MAX} are the limit of a value"));
    }
    let inline: usize = sizes().map(|(key, size)| key.len() + if size > INLINE_MAX { 0 } else { size }).sum();
    if inline > BATCH_MAX {
        return Err(format!("{inline} bytes in one write of {} keys, {BATCH_MAX} are the limit", entries.len()));
    }
    Ok(sizes().any(|(_, size)| size > INLINE_MAX))
}

/// Starts the thread. `failed` is told when the disk refused for another reason than being full.
pub fn start(
    files: store::Blobs,
    disk: persist::Store,
    commands: tokio::sync::mpsc::Sender<Command>,
    failed: tokio::sync::mpsc::UnboundedSender<String>,
) -> std::io::Result<Blobs> {
    let (sender, jobs) = mpsc::channel();
    let mut work = Work { files: files.clone(), disk, installs: 0, recent: BTreeMap::new() };
    let run = move || {
        while let Ok(job) = jobs.recv() {
            match work.job(job) {
                Ok(Some(command)) => {
                    if commands.blocking_send(command).is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    drop(failed.send(format!("failed to write to the data directory: {error}")));
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("blobs".to_owned()).stack_size(1 << 20).spawn(run)?;
    Ok(Blobs { jobs: sender, files })
}

struct Work {
    files: store::Blobs,
    disk: persist::Store,
    installs: u64,
    /// What came to be there, by the number of the message that tells it, as long as the core may not have seen that.
    recent: BTreeMap<BlobHash, u64>,
}

impl Work {
    fn job(&mut self, job: Job) -> Result<Option<Command>, StoreError> {
        match job {
            Job::Put(Proposal { epoch, entries, only, reply }) => match self.prepare(entries) {
                Ok((puts, blobs)) => {
                    let install = self.installs;
                    Ok(Some(Command::Prepared { epoch, puts, only, blobs, install, reply }))
                }
                Err(error) if error.is_disk_full() => {
                    drop(reply.send(Err(ProposeError::Refused(error.to_string()))));
                    self.full(&error);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Job::Keep(whole) => match self.files.keep(whole) {
                Ok(hash) => {
                    self.installed(&[hash]);
                    Ok(Some(Command::Blob { hash, install: self.installs }))
                }
                Err(error) if error.is_disk_full() => {
                    self.full(&error);
                    Ok(None)
                }
                Err(error) => Err(error),
            },
            Job::Drop { hash, seen } => {
                self.recent.retain(|_, install| *install > seen);
                if !self.recent.contains_key(&hash) {
                    self.files.remove(hash)?;
                }
                Ok(None)
            }
        }
    }

    fn prepare(&mut self, entries: Vec<Entry>) -> Result<(Vec<Put>, Vec<BlobHash>), StoreError> {
        let (mut puts, mut blobs) = (Vec::new(), Vec::new());
        for Entry { key, value } in entries {
            let value = match value {
                Some(contents) if contents.len() > INLINE_MAX => {
                    let hash = self.files.put(&contents)?;
                    blobs.push(hash);
                    Some(Value::Blob { hash, len: u32::try_from(contents.len()).unwrap_or(u32::MAX) })
                }
                small => small.map(Value::Inline),
            };
            puts.push(Put { key, value });
        }
        self.installed(&blobs);
        Ok((puts, blobs))
    }

    fn installed(&mut self, blobs: &[BlobHash]) {
        self.installs += 1;
        self.recent.extend(blobs.iter().map(|hash| (*hash, self.installs)));
    }

    /// One place watches the disk: the thread of the store.
    fn full(&self, error: &StoreError) {
        let needed = if let StoreError::Full { needed, .. } = error { *needed / 2 } else { 0 };
        self.disk.wait_for_room(usize::try_from(needed).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_or_a_batch_above_the_limit_is_refused_with_its_name() {
        let entry = |size: usize| Entry::new("state/net/1", Some(vec![0; size]));
        assert_eq!(needs_disk(&[entry(INLINE_MAX), Entry::new("gone", None)]), Ok(false));
        assert_eq!(needs_disk(&[entry(1), entry(INLINE_MAX + 1)]), Ok(true));
        assert_eq!(needs_disk(&[entry(VALUE_MAX)]), Ok(true));
        let refused = needs_disk(&[entry(VALUE_MAX + 1)]).unwrap_err();
        assert!(refused.contains("state/net/1") && refused.contains("16777217"), "{refused}");
        assert!(needs_disk(&vec![entry(INLINE_MAX); 5_000]).is_err());
    }
}
