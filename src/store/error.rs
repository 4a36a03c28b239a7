//! What can go wrong with the disk, in words for the person who must repair it.

use std::io;
use std::path::{Path, PathBuf};

use quorate_proto::MemberId;

use super::record::FORMAT_FORGETS;

/// Why the data directory cannot be used. The file in it was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works with it. Retry when that one is gone.
    #[error("{} is in use by {}; stop it, or give this agent another data_dir", path.display(), owner(*.pid))]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The other process, if it said so.
        pid: Option<u32>,
    },
    /// The file is not of this program. Retrying is useless.
    #[error("{} is not a store of quorate: {what}; move it away, or give another data_dir", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The file is cut off or its contents have changed. This agent must not vote with what is left of it.
    #[error(
        "{} is damaged: {what}; move the whole data_dir away and start again with an empty one \
         (the agent then joins as a new one)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A newer version of this program wrote it.
    #[error("{} has format {found}, this version reads {FORMAT_FORGETS}; install the newer version again", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It belongs to another agent.
    #[error("{} belongs to agent \"{stored}\", not \"{given}\"; set id = \"{stored}\", or give another data_dir", path.display())]
    OtherId {
        /// The file.
        path: PathBuf,
        /// The id inside.
        stored: MemberId,
        /// The id configured.
        given: MemberId,
    },
    /// The operating system refuses. Nothing is known to be wrong with the contents.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is fine, but the number of this start could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
}

impl OpenError {
    /// Whether freeing disk space is what helps.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Write { source, .. } => source.is_disk_full(),
            _ => false,
        }
    }
}

/// Why a commit failed. When the disk is full nothing has changed: try again when there is room. After any other
/// error it is unknown whether the changes are on the disk; the store takes nothing more. Stop the process.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written, because there is too little room. Try again.
    #[error(
        "the disk of {} is full: {} MiB are free, {} MiB are needed to go on",
        path.display(), *free / MIB, needed.div_ceil(MIB)
    )]
    Full {
        /// A directory on that disk.
        path: PathBuf,
        /// Bytes that are free.
        free: u64,
        /// Bytes that have to be.
        needed: u64,
    },
    /// The disk refused.
    #[error("write to the store: {0}")]
    Io(io::Error),
    /// The disk refused to write this file.
    #[error("write {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store itself refused: a defect, or damage found while writing.
    #[error("write to the store: {0}")]
    Other(String),
    /// An earlier commit failed.
    #[error("the store stopped after an earlier error; restart the agent")]
    Stopped,
}

const MIB: u64 = 1024 * 1024;

impl StoreError {
    pub(super) fn at(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }

    /// Whether freeing disk space is what helps.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Full { .. } => true,
            Self::Io(source) | Self::File { source, .. } => is_full(source),
            Self::Other(_) | Self::Stopped => false,
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn owner(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// An error inside the room, before it knows its path.
#[derive(Debug)]
pub(super) enum Cause {
    Io(io::Error),
    Foreign(String),
    Damaged(String),
    Newer(u32),
}

impl Cause {
    pub(super) fn foreign(what: &str) -> Self {
        Self::Foreign(what.to_owned())
    }

    pub(super) fn damaged(what: &str) -> Self {
        Self::Damaged(what.to_owned())
    }

    pub(super) fn at(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => OpenError::Io { path, source },
            Self::Foreign(what) => OpenError::Foreign { path, what },
            Self::Damaged(what) => OpenError::Damaged { path, what },
            Self::Newer(found) => OpenError::Newer { path, found },
        }
    }
}

impl From<Cause> for StoreError {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Io(source) => Self::Io(source),
            Cause::Foreign(what) | Cause::Damaged(what) => Self::Other(what),
            Cause::Newer(found) => Self::Other(format!("format {found}")),
        }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<redb::Error> for Cause {
    fn from(error: redb::Error) -> Self {
        match error {
            // The overlay reads behind the end of a file that was cut off.
            redb::Error::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => Self::damaged("it is cut off"),
            redb::Error::Io(e) => Self::Io(e),
            redb::Error::Corrupted(what) => Self::Damaged(what),
            redb::Error::PreviousIo => Self::Io(io::Error::other("an earlier access to the disk failed")),
            busy @ (redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch) => {
                Self::Io(io::Error::new(io::ErrorKind::ResourceBusy, busy))
            }
            redb::Error::UpgradeRequired(version) => {
                Self::Foreign(format!("it was written by another version of the storage engine (format {version})"))
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// `?` on each of redb's errors.
macro_rules! from_redb {
    ($($name:ident),*) => {$(
        impl From<redb::$name> for Cause {
            fn from(error: redb::$name) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

from_redb!(CommitError, DatabaseError, SetDurabilityError, StorageError, TableError, TransactionError);
