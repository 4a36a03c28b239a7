//! The disk: `quorate.redb`, which holds what the cluster core must not forget, and a file for each large value.
//!
//! A promise that is given and then forgotten breaks the protocol, so the store is built around three habits.
//! *Durable before done:* [`Store::commit`] writes all changes in one transaction and returns after the fsync.
//! *Fail-stop:* after any error the store takes nothing more (protocol-safety R6); an fsync that failed once may
//! succeed the next time without having written anything, so only a new process that reads the file again may believe it.
//! *Look before touching:* redb repairs a file in place when it opens one. [`Store::open`] therefore first opens it
//! through an overlay in memory, verifies every page and every record, and only then opens it for writing. A file that
//! is foreign, damaged or newer is left as it is, byte for byte.
//!
//! *Full is not failed:* room is asked for before every commit, and a commit that the disk had no room for is not believed
//! either way: the file is closed, read back from the disk and verified before the same changes are tried again.
//!
//! A lock on `quorate.lock` keeps a second process out of the directory; `quorate.witness` (the count of commits) notices a lost commit.
//!
//! # Not here
//!
//! What the state means (`cluster::durable`). A disk that takes back an acknowledged fsync, or a whole directory
//! restored from an old copy, cannot be detected here; protocol-safety 2 says what that costs. All calls block: keep
//! them off the gossip thread.

mod blobs;
mod commit_count;
mod error;
mod free_space;
mod lock;
mod overlay;
mod record;

#[cfg(test)]
mod tests;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use quorate_proto::message::Value;
use quorate_proto::{Generation, Instance, MemberId};
use redb::backends::FileBackend;
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};

use crate::cluster::Durable;
use crate::cluster::durable::Change;

pub use blobs::{Blobs, Incoming, Whole};
pub use error::{OpenError, StoreError};
pub use free_space::RESERVE;
pub use record::check_record;

use commit_count::CommitCount;
use error::Cause;
use lock::Lock;
use overlay::Overlay;
use record::{FORMAT, FORMAT_FORGETS, FORMAT_OLDEST, Record};

/// The file inside the data directory.
pub const FILE: &str = "quorate.redb";
/// Where a new file is made before it gets its name.
const FILE_NEW: &str = "quorate.redb.new";
/// Every record, by key; the value ends with a checksum.
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("quorate records");
/// Pages that redb may keep in memory: the state is small and read once.
const CACHE: usize = 1024 * 1024;
/// A file below this size is not worth compacting.
const COMPACT_ABOVE: u64 = 8 * 1024 * 1024;
/// Peers remembered: more than enough to find one that lives.
pub const PEERS_MAX: usize = 256;

/// What the disk held at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The state of the core.
    pub durable: Durable,
    /// Number of this start, already durable: `max(stored + 1, unix ms)`.
    pub generation: Generation,
    /// The data directory was made just now.
    pub fresh: bool,
    /// Members remembered from last time, to be tried as seeds.
    pub peers: Vec<(MemberId, SocketAddr)>,
    /// Large values that registers name and that are damaged or missing: to be fetched from others.
    pub damaged: usize,
}

/// The open store. One per data directory, among all processes.
#[derive(Debug)]
pub struct Store {
    /// `None` while the file has to be read again.
    db: Option<Database>,
    path: PathBuf,
    blobs: Blobs,
    generation: Generation,
    peers: Vec<(MemberId, SocketAddr)>,
    commits: u64,
    commit_count: CommitCount,
    failed: bool,
    _lock: Lock,
}

impl Store {
    /// Opens or makes the data directory. `instance_if_new` is 128 random bits, used only when it is made; `unix_ms`
    /// is the wall clock, which only has to be roughly right. On error nothing was changed, except that a new
    /// directory may be left half made (the next open completes it).
    pub fn open(
        data_dir: &Path,
        id: &MemberId,
        instance_if_new: Instance,
        unix_ms: u64,
    ) -> Result<(Self, Opened), OpenError> {
        Self::open_on(data_dir, id, instance_if_new, unix_ms, |file| file)
    }

    /// `wrap` is the seam for tests that make the disk fail.
    fn open_on<B: StorageBackend>(
        data_dir: &Path,
        id: &MemberId,
        instance_if_new: Instance,
        unix_ms: u64,
        wrap: impl Fn(FileBackend) -> B,
    ) -> Result<(Self, Opened), OpenError> {
        check_directory(data_dir)
            .and_then(|()| make_directory(data_dir))
            .map_err(|source| OpenError::Io { path: data_dir.to_owned(), source })?;
        let lock = Lock::take(data_dir)?;
        let path = data_dir.join(FILE);
        let at = |cause: Cause| cause.at(&path);

        let fresh = !path.try_exists().map_err(|e| at(e.into()))?;
        if fresh {
            create(data_dir, &path, id, instance_if_new).map_err(at)?;
        }
        let seen = of_agent(&path, id)?;
        let commit_count = CommitCount::open(data_dir).map_err(|e| at(e.into()))?;
        if commit_count.commits() > seen.commits {
            let what = format!("it holds {} commits of {}", seen.commits, commit_count.commits());
            return Err(OpenError::Damaged { path, what });
        }

        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(|e| at(e.into()))?;
        file.set_permissions(Permissions::from_mode(0o600)).map_err(|e| at(e.into()))?;
        let mut db = FileBackend::new(file)
            .and_then(|backend| builder().create_with_backend(wrap(backend)))
            .map_err(|e| at(e.into()))?;
        compact(&mut db, &path).map_err(at)?;
        let Contents { mut durable, generation, peers, commits, format } = read(&db).map_err(at)?;
        let named = durable.registers.values().filter_map(|(_, value)| value.as_ref()?.blob()).collect();
        let blobs = Blobs::open(data_dir, &named);
        let (blobs, here) = blobs.map_err(|source| OpenError::Io { path: data_dir.join(blobs::DIRECTORY), source })?;
        let damaged = named.len() - here.len();
        durable.blobs = here;

        let next = generation.0.checked_add(1).ok_or_else(|| at(Cause::damaged("the generation is used up")))?;
        let generation = Generation(next.max(unix_ms));
        let mut records = if format >= FORMAT { Vec::new() } else { rewritten(&durable) };
        records.push(Record::Generation(generation));
        let mut store = Self {
            db: Some(db),
            path: path.clone(),
            blobs,
            generation,
            peers: peers.clone(),
            commits,
            commit_count,
            failed: false,
            _lock: lock,
        };
        store.put(records, 1).map_err(|e| OpenError::Write { path, source: e })?;
        durable.commits = store.commits;
        Ok((store, Opened { durable, generation, fresh, peers, damaged }))
    }

    /// Whether [`Self::open`] would take this directory now. Nothing is made or changed.
    pub fn check(data_dir: &Path, id: &MemberId) -> Result<(), OpenError> {
        check_directory(data_dir).map_err(|source| OpenError::Io { path: data_dir.to_owned(), source })?;
        let _lock = Lock::look(data_dir)?;
        let path = data_dir.join(FILE);
        if path.try_exists().map_err(|source| OpenError::Io { path: path.clone(), source })? {
            of_agent(&path, id)?;
        }
        Ok(())
    }

    /// The files of large values.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Whether `bytes` more fit the disk with the reserve that is kept free; `Err` says how much is missing.
    pub fn check_room(&self, bytes: usize) -> Result<(), StoreError> {
        free_space::check(&self.path, bytes)
    }

    /// Makes all changes durable, or none. `Err` with `is_disk_full`: try the same changes again when there is room, before
    /// anything else. After any other error it is unknown whether they are durable: stop the process.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.put_with_room(changes.iter().cloned().map(Record::from).collect(), 1)
    }

    /// As [`Self::commit`], for several transactions that wait at once: one write and one fsync for all of them, in their
    /// order. They count as many as they are.
    pub fn commit_together(&mut self, transactions: &[Vec<Change>]) -> Result<(), StoreError> {
        let records = transactions.iter().flatten().cloned().map(Record::from).collect();
        self.put_with_room(records, transactions.len() as u64)
    }

    /// Raises the stored generation, when peers remember a higher one than ours (gossip R8). A lower one changes nothing.
    pub fn adopt_generation(&mut self, generation: Generation) -> Result<(), StoreError> {
        if generation <= self.generation {
            return Ok(());
        }
        self.put_with_room(vec![Record::Generation(generation)], 1)?;
        self.generation = generation;
        Ok(())
    }

    /// The number of this start.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Remembers members to be tried as seeds after a restart; the first [`PEERS_MAX`] of them. Nothing safety
    /// relevant. Writes only when the list differs from the remembered one.
    pub fn put_address_book(&mut self, peers: &[(MemberId, SocketAddr)]) -> Result<(), StoreError> {
        let peers = &peers[..peers.len().min(PEERS_MAX)];
        if peers == self.peers {
            return Ok(());
        }
        self.put_with_room(vec![Record::Peers(peers.to_vec())], 1)?;
        self.peers = peers.to_vec();
        Ok(())
    }

    /// The members remembered.
    pub fn address_book(&self) -> &[(MemberId, SocketAddr)] {
        &self.peers
    }

    fn put_with_room(&mut self, records: Vec<Record>, transactions: u64) -> Result<(), StoreError> {
        let mut bytes = 0;
        for record in &records {
            bytes += record.encode(&record.key())?.len();
        }
        free_space::check(&self.path, bytes)?;
        self.put(records, transactions)
    }

    fn put(&mut self, mut records: Vec<Record>, transactions: u64) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Stopped);
        }
        let written = self.reopen(transactions).and_then(|()| {
            let db = self.db.as_ref().ok_or_else(|| Cause::damaged("it is not open"))?;
            if records.iter().any(Record::removes) {
                records.push(Record::Format(FORMAT_FORGETS));
            }
            records.push(Record::Commits(self.commits + transactions));
            write(db, &records)
        });
        match written.map_err(StoreError::from) {
            Ok(()) => {
                self.commits += transactions;
                self.commit_count.note(self.commits);
                Ok(())
            }
            Err(error) => {
                // Nothing is believed of a file on which a write failed, least of all its fsyncs.
                self.db = None;
                self.failed = !error.is_disk_full();
                Err(error)
            }
        }
    }

    /// Reads the file again after the disk was full. What failed is in it or not: it is written once more.
    fn reopen(&mut self, failed: u64) -> Result<(), Cause> {
        if self.db.is_some() {
            return Ok(());
        }
        // What the system still holds in memory may never have reached the disk: it shall read from there.
        rustix::fs::fadvise(File::open(&self.path)?, 0, None, rustix::fs::Advice::DontNeed).map_err(io::Error::from)?;
        let seen = examine(&self.path)?.commits;
        if seen != self.commits && seen != self.commits + failed {
            return Err(Cause::Damaged(format!("it holds {seen} commits of {}", self.commits)));
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        self.db = Some(builder().create_with_backend(FileBackend::new(file)?)?);
        self.commits = seen;
        Ok(())
    }
}

/// What the records add up to.
struct Contents {
    durable: Durable,
    generation: Generation,
    peers: Vec<(MemberId, SocketAddr)>,
    commits: u64,
    format: u32,
}

/// All records whose form has changed since an older format, and the format.
fn rewritten(durable: &Durable) -> Vec<Record> {
    let register = |(key, (stamp, value)): (&String, &(quorate_proto::Stamp, Option<Value>))| {
        Record::State(Change::Register { key: key.clone(), stamp: *stamp, value: value.clone() })
    };
    durable.registers.iter().map(register).chain([Record::Format(FORMAT)]).collect()
}

/// Gives room back to the disk when most of a large file is free.
fn compact(db: &mut Database, path: &Path) -> Result<(), Cause> {
    let size = fs::metadata(path)?.len();
    if size < COMPACT_ABOVE {
        return Ok(());
    }
    let transaction = db.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    let used = stats.stored_bytes() + stats.metadata_bytes() + stats.fragmented_bytes();
    if used < size / 4 {
        db.compact().map_err(|e| Cause::from(redb::Error::from(e)))?;
    }
    Ok(())
}

/// Makes the directory for its owner only. One that exists keeps its mode: it may be somebody's mount point.
/// Reads everything, and that it is this agent's.
fn of_agent(path: &Path, id: &MemberId) -> Result<Contents, OpenError> {
    let seen = examine(path).map_err(|cause| cause.at(path))?;
    if seen.durable.id == *id {
        return Ok(seen);
    }
    Err(OpenError::OtherId { path: path.to_owned(), stored: seen.durable.id, given: id.clone() })
}

/// Whether files could be made in a directory: it is there, or could be made. Nothing is.
pub fn check_directory(path: &Path) -> io::Result<()> {
    let mut nearest = path;
    while let Err(error) = nearest.metadata() {
        let above = nearest.parent().filter(|above| !above.as_os_str().is_empty());
        match above {
            Some(above) if error.kind() == io::ErrorKind::NotFound => nearest = above,
            _ => return Err(error),
        }
    }
    if !nearest.is_dir() {
        if nearest == path {
            return Err(rustix::io::Errno::NOTDIR.into());
        }
        return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is no directory", nearest.display())));
    }
    let access = rustix::fs::access(nearest, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    access.map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", nearest.display())))
}

fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Makes a new file under another name, and renames it when it is complete and durable: a crash leaves either
/// nothing or a whole file.
fn create(data_dir: &Path, path: &Path, id: &MemberId, instance: Instance) -> Result<(), Cause> {
    let new: PathBuf = data_dir.join(FILE_NEW);
    // The count of commits, if one is there, belongs to a file that somebody removed.
    for leftover in [&new, &data_dir.join(commit_count::FILE)] {
        match fs::remove_file(leftover) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&new)?;
    let db = builder().create_with_backend(FileBackend::new(file)?)?;
    let owner = Record::Owner { id: id.clone(), instance };
    write(&db, &[Record::Format(FORMAT), owner, Record::Generation(Generation(0)), Record::Commits(0)])?;
    db.close()?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, path)?;
    File::open(data_dir)?.sync_all()?;
    Ok(())
}

/// Reads and verifies everything without changing a byte of the file.
fn examine(path: &Path) -> Result<Contents, Cause> {
    let overlay = Overlay::new(File::open(path)?)?;
    overlay.check_magic()?;
    read(&builder().set_check_integrity_on_open(true).create_with_backend(overlay)?)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

fn read(db: &Database) -> Result<Contents, Cause> {
    let transaction = db.begin_read()?;
    let table = match transaction.open_table(RECORDS) {
        Err(redb::TableError::TableDoesNotExist(_) | redb::TableError::TableTypeMismatch { .. }) => {
            return Err(Cause::foreign("it has no table of ours"));
        }
        other => other?,
    };
    // The version first: what a newer version wrote may not even be readable.
    let key = Record::FORMAT_KEY;
    let format = match table.get(key)?.map(|value| Record::decode(key, value.value(), FORMAT)).transpose()? {
        Some(Record::Format(found @ FORMAT_OLDEST..=FORMAT_FORGETS)) => found,
        Some(Record::Format(found)) => return Err(Cause::Newer(found)),
        _ => return Err(Cause::damaged("it does not say its format version")),
    };
    let mut owner = None;
    let mut generation = None;
    let mut peers = Vec::new();
    let mut commits = None;
    let mut changes = Vec::new();
    for row in table.iter()? {
        let (key, value) = row?;
        match Record::decode(key.value(), value.value(), format)? {
            Record::Format(_) => {}
            Record::Owner { id, instance } => owner = Some((id, instance)),
            Record::Generation(stored) => generation = Some(stored),
            Record::Peers(stored) => peers = stored,
            Record::Commits(stored) => commits = Some(stored),
            Record::State(change) => changes.push(change),
        }
    }
    let (id, instance) = owner.ok_or_else(|| Cause::damaged("it does not say whose it is"))?;
    let generation = generation.ok_or_else(|| Cause::damaged("it has no generation"))?;
    let commits = commits.ok_or_else(|| Cause::damaged("it does not count its commits"))?;
    let mut durable = Durable::fresh(id, instance);
    for change in changes {
        change.apply(&mut durable);
    }
    Ok(Contents { durable, generation, peers, commits, format })
}

fn write(db: &Database, records: &[Record]) -> Result<(), Cause> {
    let mut transaction = db.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    {
        let mut table = transaction.open_table(RECORDS)?;
        for record in records {
            let key = record.key();
            if record.removes() {
                table.remove(key.as_str())?;
            } else {
                table.insert(key.as_str(), record.encode(&key)?.as_slice())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
