//! One process per data directory: an advisory lock on a file that also says who holds it.
//!
//! The kernel drops the lock when the process is gone, however it went, so there is nothing to clean up. The file
//! stays: removing it would let two processes lock two files of one name.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::error::OpenError;

const FILE: &str = "quorate.lock";

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(data_dir: &Path) -> Result<Self, OpenError> {
        let path = data_dir.join(FILE);
        let failed = |source: io::Error| OpenError::Io { path: path.clone(), source };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: data_dir.to_owned(), pid: pid_in(&file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // Only a hint for people: on a full disk the lock is as good without it, and the store will say so itself.
        if file.set_len(0).is_ok() {
            file.write_all(std::process::id().to_string().as_bytes()).ok();
        }
        Ok(Self { _file: file })
    }
}

impl Lock {
    /// Whether it could be taken now: held for that long, if there is one. `None`: nobody has ever been here.
    pub(super) fn look(data_dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = data_dir.join(FILE);
        let failed = |source: io::Error| OpenError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: data_dir.to_owned(), pid: pid_in(&file) }),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}

fn pid_in(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
