//! Whether there is room on the disk, asked before something is written: a store that meets the end of the disk in the
//! middle of a transaction has to be read again (protocol-safety R6), so it had better not come that far.

use std::io;
use std::path::Path;

use super::error::StoreError;

/// Never used up by us: what others on the same disk need to go on, and we to repair.
pub const RESERVE: u64 = 8 * 1024 * 1024;

/// Bytes that this process may still write there.
pub(super) fn free(path: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether `bytes` more can be written twice over and the reserve is left.
pub(super) fn check(path: &Path, bytes: usize) -> Result<(), StoreError> {
    let needed = RESERVE.saturating_add((bytes as u64).saturating_mul(2));
    match free(path) {
        Ok(free) if free < needed => Err(StoreError::Full { path: path.to_owned(), free, needed }),
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::at(path, source)),
    }
}
