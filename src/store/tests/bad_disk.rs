//! Disks that fail, fill up and lose power.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::*;

/// A disk that fails on demand and, for the crash test, notes every write.
#[derive(Debug)]
struct Bad {
    inner: FileBackend,
    disk: Arc<Disk>,
}

#[derive(Debug, Default)]
struct Disk {
    full: AtomicBool,
    no_sync: AtomicBool,
    syncs: AtomicU64,
    log: Mutex<Vec<Step>>,
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl StorageBackend for Bad {
    fn len(&self) -> Result<u64, io::Error> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, length: u64) -> Result<(), io::Error> {
        self.disk.log.lock().unwrap().push(Step::SetLen(length));
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if self.disk.no_sync.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        self.disk.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        if self.disk.full.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error()));
        }
        self.disk.log.lock().unwrap().push(Step::Write(offset, data.to_vec()));
        self.inner.write(offset, data)
    }

    fn close(&self) -> Result<(), io::Error> {
        self.inner.close()
    }
}

fn open_bad(path: &Path) -> (Store, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    let wrap = |inner| Bad { inner, disk: disk.clone() };
    let (store, _) = Store::open_on(path, &id("a"), INSTANCE, NOW_MS, wrap).unwrap();
    (store, disk)
}

#[test]
fn a_commit_is_one_fsync_also_of_transactions_that_wait_together() {
    let directory = closed(&[promise(3)]);
    let (mut store, disk) = open_bad(directory.path());
    let syncs = |disk: &Disk| disk.syncs.swap(0, Ordering::Relaxed);
    syncs(&disk);
    store.commit(&[register("run/a", 1, Some(b"started"))]).unwrap();
    assert_eq!(syncs(&disk), 1);
    let (first, second) = (register("run/a", 2, Some(b"over")), register("run/a", 3, Some(b"started")));
    let before = store.commits;
    store.commit_together(&[vec![first], vec![second.clone(), register("run/b", 4, None)], vec![promise(4)]]).unwrap();
    assert_eq!((syncs(&disk), store.commits), (1, before + 3), "peers count transactions, not writes");
    drop(store);
    let (_, opened) = open(directory.path()).unwrap();
    assert_eq!(opened.durable.commits, before + 4, "the start is one too");
    assert_eq!(state(opened), applied(&[second, register("run/b", 4, None), promise(4)]));
}

#[test]
fn a_write_error_stops_the_store() {
    let directory = closed(&[promise(3)]);
    let (mut store, disk) = open_bad(directory.path());
    disk.no_sync.store(true, Ordering::Relaxed);
    let error = store.commit(&[promise(4)]).unwrap_err();
    assert!(!error.is_disk_full(), "{error}");
    disk.no_sync.store(false, Ordering::Relaxed);
    assert!(matches!(store.commit(&[promise(4)]), Err(StoreError::Stopped)), "it must not go on");
    assert!(matches!(store.adopt_generation(Generation(u64::MAX)), Err(StoreError::Stopped)));
    drop(store);
    let found = state(open(directory.path()).unwrap().1);
    assert!([applied(&[promise(3)]), applied(&[promise(4)])].contains(&found), "{found:?}");
}

#[test]
fn a_full_disk_keeps_what_was_there_and_takes_the_same_changes_later() {
    let directory = closed(&everything());
    let (mut store, disk) = open_bad(directory.path());
    disk.full.store(true, Ordering::Relaxed);
    let error = store.commit(&[promise(4)]).unwrap_err();
    assert!(error.is_disk_full(), "{error}");
    assert_eq!(read(&copy_of(directory.path())).unwrap().durable, applied(&everything()), "half of it is there");
    // The file is opened anew: what failed is not asked again.
    store.commit(&[promise(4)]).unwrap();
    store.commit(&[register("run/x", 5, Some(b"later"))]).unwrap();
    drop(store);
    let mut expected = applied(&everything());
    for change in [promise(4), register("run/x", 5, Some(b"later"))] {
        change.apply(&mut expected);
    }
    assert_eq!(state(open(directory.path()).unwrap().1), expected);
}

#[test]
fn a_file_that_was_put_in_place_of_a_full_one_is_not_believed() {
    let directory = closed(&[promise(3)]);
    let old = fs::read(directory.path().join(FILE)).unwrap();
    let (mut store, disk) = open_bad(directory.path());
    store.commit(&[promise(4)]).unwrap();
    store.commit(&[promise(5)]).unwrap();
    disk.full.store(true, Ordering::Relaxed);
    assert!(store.commit(&[promise(6)]).unwrap_err().is_disk_full());
    fs::write(directory.path().join(FILE), old).unwrap();
    let error = store.commit(&[promise(6)]).unwrap_err();
    assert!(!error.is_disk_full() && error.to_string().contains("commits of"), "{error}");
}

/// Power loss at every point of a commit: what was written before is there, in any prefix; nothing is half there.
#[test]
fn a_crash_at_any_write_leaves_the_state_before_or_after() {
    let directory = closed(&everything());
    let (mut store, disk) = open_bad(directory.path());
    let image = fs::read(directory.path().join(FILE)).unwrap();
    let before = applied(&everything());
    disk.log.lock().unwrap().clear();
    let next = [promise(9), register("voters", 9, Some(&[1; 9_000])), register("run/x", 9, Some(b"x"))];
    let acknowledged = fs::read(directory.path().join(commit_count::FILE)).unwrap();
    store.commit(&next).unwrap();
    let acknowledged_next = fs::read(directory.path().join(commit_count::FILE)).unwrap();
    let steps = disk.log.lock().unwrap().clone();
    let mut after = before.clone();
    for change in next {
        change.apply(&mut after);
    }

    let crashed = tempfile::tempdir().unwrap();
    let path = crashed.path().join(FILE);
    assert!(steps.len() > 3, "{steps:?}");
    let mut seen = Vec::new();
    for kept in 0..=steps.len() {
        let mut bytes = image.clone();
        for step in &steps[..kept] {
            replay(&mut bytes, step);
        }
        fs::write(&path, &bytes).unwrap();
        let commit_count = if kept < steps.len() { &acknowledged } else { &acknowledged_next };
        fs::write(crashed.path().join(commit_count::FILE), commit_count).unwrap();
        let opened = open(crashed.path()).unwrap_or_else(|e| panic!("after {kept} of {}: {e}", steps.len())).1;
        let durable = state(opened);
        assert!(durable == before || durable == after, "after {kept}: {durable:?}");
        seen.push(durable == after);
    }
    assert_eq!((seen.first(), seen.last()), (Some(&false), Some(&true)));
    assert!(seen.is_sorted(), "an acknowledged state was lost again: {seen:?}");
}

fn replay(bytes: &mut Vec<u8>, step: &Step) {
    match step {
        Step::SetLen(length) => bytes.resize(usize::try_from(*length).unwrap(), 0),
        Step::Write(offset, data) => {
            let offset = usize::try_from(*offset).unwrap();
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        }
    }
}
