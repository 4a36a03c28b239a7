//! A file that seems writable and is not: writes stay in memory and are forgotten.
//!
//! redb recovers from a crash by writing. Through this it can do so, and we can look at the result, without
//! committing to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

use super::error::Cause;

const PAGE: u64 = 4096;
const MAGIC: &[u8] = b"redb\x1A\x0A\xA9\x0D\x0A";

#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    /// Length of the file itself; behind it there are zeros, as far as `length` reaches.
    file_length: u64,
    changes: Mutex<Changes>,
}

#[derive(Debug)]
struct Changes {
    length: u64,
    /// Behind this the file itself is no longer seen: it was cut there once.
    visible: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let file_length = file.metadata()?.len();
        let changes = Changes { length: file_length, visible: file_length, pages: BTreeMap::new() };
        Ok(Self { file, file_length, changes: Mutex::new(changes) })
    }

    /// An empty file would be taken for a new one.
    pub(super) fn check_magic(&self) -> Result<(), Cause> {
        let mut start = vec![0; MAGIC.len()];
        match self.file.read_exact_at(&mut start, 0) {
            Ok(()) if start == MAGIC => Ok(()),
            Ok(()) => Err(Cause::foreign("it does not start like one")),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                Err(Cause::Damaged(format!("it has only {} bytes", self.file_length)))
            }
            Err(e) => Err(e.into()),
        }
    }

    /// One page as it is on the disk, filled up with zeros.
    fn original(&self, page: u64, visible: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(PAGE).map_err(io::Error::other)?];
        let start = page * PAGE;
        let there = visible.saturating_sub(start).min(PAGE);
        let there = usize::try_from(there).map_err(io::Error::other)?;
        self.file.read_exact_at(&mut bytes[..there], start)?;
        Ok(bytes)
    }
}

/// The pieces of `offset..offset + length`, page by page: number of the page, where in it, how many bytes.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let left = length - done;
        let at = offset + done as u64;
        let inside = usize::try_from(at % PAGE).ok()?;
        let size = left.min(usize::try_from(PAGE).ok()? - inside);
        done += size;
        (size > 0).then_some((at / PAGE, inside, size))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.changes.lock().unwrap_or_else(PoisonError::into_inner).length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let end = offset.checked_add(out.len() as u64).filter(|&end| end <= changes.length);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut rest = out;
        for (page, inside, size) in pieces(offset, rest.len()) {
            let (piece, more) = rest.split_at_mut(size);
            match changes.pages.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[inside..inside + size]),
                None => piece.copy_from_slice(&self.original(page, changes.visible)?[inside..inside + size]),
            }
            rest = more;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if length < changes.length {
            changes.visible = changes.visible.min(length);
            changes.pages.retain(|&page, _| page * PAGE < length);
            if let Some(last) = changes.pages.get_mut(&(length / PAGE)) {
                last[usize::try_from(length % PAGE).map_err(io::Error::other)?..].fill(0);
            }
        }
        changes.length = length;
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = data;
        for (page, inside, size) in pieces(offset, data.len()) {
            let (piece, more) = rest.split_at(size);
            if !changes.pages.contains_key(&page) {
                let original = self.original(page, changes.visible)?;
                changes.pages.insert(page, original);
            }
            if let Some(bytes) = changes.pages.get_mut(&page) {
                bytes[inside..inside + size].copy_from_slice(piece);
            }
            rest = more;
        }
        changes.length = changes.length.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_like_a_file_and_the_file_does_not_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let original: Vec<u8> = (0..10_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
        std::fs::write(&path, &original).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let mut model = original.clone();

        let write = |model: &mut Vec<u8>, at: usize, data: &[u8]| {
            overlay.write(at as u64, data).unwrap();
            model.resize(model.len().max(at + data.len()), 0);
            model[at..at + data.len()].copy_from_slice(data);
        };
        let cut = |model: &mut Vec<u8>, length: usize| {
            overlay.set_len(length as u64).unwrap();
            model.resize(length, 0);
        };
        write(&mut model, 4_000, &[1; 5_000]);
        cut(&mut model, 9_500);
        cut(&mut model, 6_000);
        cut(&mut model, 20_000);
        write(&mut model, 19_999, &[2; 10]);
        write(&mut model, 0, &[3]);

        let mut all = vec![0; model.len()];
        overlay.read(0, &mut all).unwrap();
        assert_eq!(overlay.len().unwrap(), model.len() as u64);
        assert!(all == model);
        assert!(overlay.read(20_000, &mut [0; 10]).is_err());
        assert!(std::fs::read(&path).unwrap() == original);
    }
}
