//! A second place that knows how many commits there were, so that a lost one is noticed.
//!
//! After a kill redb chooses the newer of its two last commits *that verifies*. If a page of the last one went bad, it
//! quietly goes back to the one before: a promise would be forgotten. The same happens when somebody puts an old copy
//! of the file back. So every transaction counts itself in the file, and after it is durable the count also goes
//! here, without an fsync: this file may lag behind, but it is never ahead of what was acknowledged. A store that
//! holds less than this says has lost something.
//!
//! # Not here
//!
//! A whole directory or disk that was rolled back takes the count back with it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The file inside the data directory: the count as 20 digits and a line end, always written as a whole.
pub(super) const FILE: &str = "quorate.witness";

#[derive(Debug)]
pub(super) struct CommitCount {
    file: File,
}

impl CommitCount {
    pub(super) fn open(data_dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        Ok(Self { file: options.open(data_dir.join(FILE))? })
    }

    /// The count it knows; zero when it is new, or was torn by a power loss.
    pub(super) fn commits(&self) -> u64 {
        let mut text = [0; 20];
        match self.file.read_exact_at(&mut text, 0) {
            Ok(()) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0),
            Err(_) => 0,
        }
    }

    /// Notes a commit that is durable. A failure is of no consequence: the count then knows less.
    pub(super) fn note(&self, commits: u64) {
        self.file.write_all_at(format!("{commits:020}\n").as_bytes(), 0).ok();
    }
}
