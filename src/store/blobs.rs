//! Contents of large values: one file each, named by the hash of what is in it, in `blobs/` inside the data directory.
//!
//! A file gets its name only when it is whole and durable: it is written under another name, compared with its hash,
//! fsynced and renamed, and the directory is fsynced. So a crash leaves a whole file or a leftover. [`Blobs::open`]
//! removes leftovers and what no register names, and reads the rest once: what is damaged counts as absent, and the core
//! gets it from another agent.
//!
//! Files rather than records of the database: 16 MiB in one transaction would keep a promise waiting, and a page that
//! redb replaces is written twice.
//!
//! # Not here
//!
//! Which contents are needed (`cluster::leadership`). All calls block.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quorate_proto::BlobHash;
use quorate_proto::message::VALUE_MAX;

use super::error::StoreError;
use super::free_space;

/// The directory inside the data directory.
pub(super) const DIRECTORY: &str = "blobs";
/// How the name of a file ends that is not whole yet.
const PART: &str = ".part";

/// Access to the files. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Blobs {
    directory: Arc<PathBuf>,
    next: Arc<AtomicU64>,
}

/// Contents that are being written. Removed when dropped before [`Incoming::finish`].
#[derive(Debug)]
pub struct Incoming {
    path: PathBuf,
    file: Option<File>,
    hash: BlobHash,
    left: usize,
    hasher: blake3::Hasher,
}

/// Contents that are whole and durable, but have no name yet. Removed when dropped before [`Blobs::keep`].
#[derive(Debug)]
pub struct Whole {
    path: Option<PathBuf>,
    hash: BlobHash,
}

impl Blobs {
    /// Opens or makes the directory, keeps of it what is in `named` (hash and length) and whole, removes the rest of
    /// ours, and says what is there.
    pub(super) fn open(data_dir: &Path, named: &BTreeSet<(BlobHash, u32)>) -> io::Result<(Self, BTreeSet<BlobHash>)> {
        let directory = data_dir.join(DIRECTORY);
        if !directory.is_dir() {
            DirBuilder::new().mode(0o700).create(&directory)?;
            File::open(data_dir)?.sync_all()?;
        }
        let blobs = Self { directory: Arc::new(directory), next: Arc::default() };
        let mut here = BTreeSet::new();
        for (hash, len) in named {
            match blobs.read(*hash, *len) {
                Ok(_) => drop(here.insert(*hash)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
        }
        for entry in fs::read_dir(&*blobs.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let stem = name.split('.').next().unwrap_or_default();
            let ours = stem.len() == 64 && stem.bytes().all(|b| b.is_ascii_hexdigit());
            if ours && !here.iter().any(|hash| hash.to_string() == name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok((blobs, here))
    }

    fn path(&self, hash: BlobHash) -> PathBuf {
        self.directory.join(hash.to_string())
    }

    /// Begins to write contents of this hash and length. `Err` when there is no room for them.
    pub fn begin(&self, hash: BlobHash, len: u32) -> Result<Incoming, StoreError> {
        let left = usize::try_from(len).unwrap_or(usize::MAX);
        if left > VALUE_MAX {
            return Err(StoreError::Other(format!("a value of {len} bytes is above the limit of {VALUE_MAX}")));
        }
        free_space::check(&self.directory, left)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{hash}.{number}{PART}"));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let file = Some(file.map_err(|source| StoreError::at(&path, source))?);
        Ok(Incoming { path, file, hash, left, hasher: blake3::Hasher::new() })
    }

    /// Gives whole contents their name: from now on they are there, also after a crash.
    pub fn keep(&self, mut whole: Whole) -> Result<BlobHash, StoreError> {
        let Some(path) = whole.path.take() else { return Err(StoreError::Stopped) };
        let named = fs::rename(&path, self.path(whole.hash)).and_then(|()| File::open(&*self.directory)?.sync_all());
        named.map_err(|source| StoreError::at(&path, source))?;
        Ok(whole.hash)
    }

    /// Stores contents; nothing is written when they are there already.
    pub fn put(&self, contents: &[u8]) -> Result<BlobHash, StoreError> {
        let hash = BlobHash::of(contents);
        if fs::metadata(self.path(hash)).is_ok_and(|there| there.len() == contents.len() as u64) {
            return Ok(hash);
        }
        let len = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        let mut incoming = self.begin(hash, len)?;
        incoming.write(contents)?;
        self.keep(incoming.finish()?)
    }

    /// The contents, compared with their hash: `InvalidData` when they are not what they were.
    pub fn read(&self, hash: BlobHash, len: u32) -> io::Result<Vec<u8>> {
        let (mut file, length) = self.file(hash)?;
        if length != u64::from(len) {
            return Err(damaged(&self.path(hash), &format!("it has {length} bytes of {len}")));
        }
        let mut contents = Vec::with_capacity(usize::try_from(len).unwrap_or_default());
        file.read_to_end(&mut contents)?;
        if BlobHash::of(&contents) != hash {
            return Err(damaged(&self.path(hash), "it does not match its hash"));
        }
        Ok(contents)
    }

    /// What the contents begin with, so many bytes at most. Not compared.
    pub fn start(&self, hash: BlobHash, most: usize) -> io::Result<Vec<u8>> {
        let (file, _) = self.file(hash)?;
        let mut start = Vec::with_capacity(most);
        file.take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut start)?;
        Ok(start)
    }

    /// The file with these contents, and its length: for sending it on. The receiver compares.
    pub fn file(&self, hash: BlobHash) -> io::Result<(File, u64)> {
        let file = File::open(self.path(hash))?;
        let length = file.metadata()?.len();
        Ok((file, length))
    }

    /// Removes contents. It is no harm when a crash brings them back: the next start removes them.
    pub fn remove(&self, hash: BlobHash) -> Result<(), StoreError> {
        match fs::remove_file(self.path(hash)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StoreError::at(&self.path(hash), source)),
            _ => Ok(()),
        }
    }
}

impl Incoming {
    /// Takes the next bytes. More than were announced are refused.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.left = self.left.checked_sub(bytes.len()).ok_or_else(|| self.wrong("more bytes than announced"))?;
        self.hasher.update(bytes);
        let Some(file) = &mut self.file else { return Err(StoreError::Stopped) };
        file.write_all(bytes).map_err(|source| StoreError::at(&self.path, source))
    }

    /// Compares with length and hash, and waits for the disk.
    pub fn finish(mut self) -> Result<Whole, StoreError> {
        if self.left > 0 {
            return Err(self.wrong("fewer bytes than announced"));
        }
        if *self.hasher.finalize().as_bytes() != self.hash.0 {
            return Err(self.wrong("other contents than announced"));
        }
        let Some(file) = self.file.take() else { return Err(StoreError::Stopped) };
        let whole = Whole { path: Some(self.path.clone()), hash: self.hash };
        file.sync_all().map_err(|source| StoreError::at(&self.path, source))?;
        Ok(whole)
    }

    fn wrong(&self, what: &str) -> StoreError {
        StoreError::Other(format!("the contents of {} came with {what}", self.hash))
    }
}

impl Whole {
    /// Of the contents.
    pub fn hash(&self) -> BlobHash {
        self.hash
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if self.file.is_some() {
            fs::remove_file(&self.path).ok();
        }
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            fs::remove_file(path).ok();
        }
    }
}

fn damaged(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged: {what}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(directory: &Path, named: &[(BlobHash, u32)]) -> (Blobs, BTreeSet<BlobHash>) {
        Blobs::open(directory, &named.iter().copied().collect()).unwrap()
    }

    fn names(directory: &Path) -> usize {
        directory.join(DIRECTORY).read_dir().unwrap().count()
    }

    #[test]
    fn contents_come_back_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let contents = vec![7; 300_000];
        let hash = opened(directory.path(), &[]).0.put(&contents).unwrap();
        let (blobs, here) = opened(directory.path(), &[(hash, 300_000)]);
        assert_eq!(here, BTreeSet::from([hash]));
        assert_eq!(blobs.read(hash, 300_000).unwrap(), contents);
        assert_eq!(blobs.start(hash, 12).unwrap(), [7; 12]);
        assert_eq!(blobs.start(hash, 400_000).unwrap().len(), 300_000);
        blobs.remove(hash).unwrap();
        blobs.remove(hash).unwrap();
        assert_eq!(blobs.read(hash, 300_000).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_came_in_pieces_is_compared_before_it_gets_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let (blobs, _) = opened(directory.path(), &[]);
        let hash = BlobHash::of(b"hello");
        let receive = |pieces: &[&[u8]]| {
            let mut incoming = blobs.begin(hash, 5)?;
            pieces.iter().try_for_each(|piece| incoming.write(piece))?;
            blobs.keep(incoming.finish()?)
        };
        for wrong in [&[&b"hell"[..]][..], &[b"hello", b"!"], &[b"hellO"], &[]] {
            assert!(matches!(receive(wrong), Err(StoreError::Other(_))), "{wrong:?}");
            assert_eq!(names(directory.path()), 0, "something is left of {wrong:?}");
        }
        assert_eq!(receive(&[b"he", b"", b"llo"]).unwrap(), hash);
        assert_eq!(blobs.read(hash, 5).unwrap(), b"hello");
    }

    #[test]
    fn torn_changed_and_nameless_files_are_gone_after_a_start_and_others_are_not() {
        let directory = tempfile::tempdir().unwrap();
        let (blobs, _) = opened(directory.path(), &[]);
        let texts = ["torn", "changed", "nameless", "whole"].map(|text| text.repeat(10).into_bytes());
        let hashes = texts.clone().map(|text| blobs.put(&text).unwrap());
        let lens = texts.clone().map(|text| u32::try_from(text.len()).unwrap());
        fs::write(blobs.path(hashes[0]), &texts[0][..7]).unwrap();
        fs::write(blobs.path(hashes[1]), texts[1].to_ascii_uppercase()).unwrap();
        let leftover = blobs.begin(hashes[0], 9).unwrap();
        std::mem::forget(leftover);
        fs::write(directory.path().join(DIRECTORY).join("notes.txt"), "somebody's").unwrap();
        let named = [0, 1, 3].map(|i| (hashes[i], lens[i]));
        let (_, here) = opened(directory.path(), &named);
        assert_eq!(here, BTreeSet::from([hashes[3]]));
        assert_eq!(names(directory.path()), 2);
    }

    #[test]
    fn a_value_above_the_limit_is_refused_before_anything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (blobs, _) = opened(directory.path(), &[]);
        assert!(blobs.begin(BlobHash([0; 32]), u32::try_from(VALUE_MAX).unwrap() + 1).is_err());
        assert_eq!(names(directory.path()), 0);
    }
}
