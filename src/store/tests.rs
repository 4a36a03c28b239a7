use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use quorate_proto::message::{Process, Proposal, Voter};
use quorate_proto::{BootNonce, ClusterId, Epoch, Seq, Stamp};
use tempfile::TempDir;

use super::*;
use crate::cluster::durable::{Founding, Promise};

const INSTANCE: Instance = Instance([7; 16]);
const NOW_MS: u64 = 1_800_000_000_000;

fn id(text: &str) -> MemberId {
    MemberId::new(text).unwrap()
}

fn promise(epoch: u64) -> Change {
    let holder = Process { id: id("b"), instance: Instance([8; 16]), boot: BootNonce([9; 16]) };
    Change::Promise(Promise { epoch: Epoch(epoch), holder, lease: Duration::from_millis(1_050) })
}

fn register(key: &str, seq: u64, value: Option<&[u8]>) -> Change {
    let stamp = Stamp { epoch: Epoch(3), seq: Seq(seq) };
    Change::Register { key: key.to_owned(), stamp, value: value.map(|bytes| Value::Inline(bytes.to_vec())) }
}

fn everything() -> Vec<Change> {
    let founders = vec![Voter { id: id("a"), instance: INSTANCE }];
    let proposal = Proposal { name: "edge".to_owned(), expect: 1, seeds: [1; 16], founders };
    vec![
        promise(3),
        register("voters", 1, Some(b"voters")),
        register("run/x", 2, None),
        register("", 3, Some(b"")),
        Change::Founding(Founding { accepted: Some(proposal.clone()), formed: Some(proposal) }),
        Change::Cluster(ClusterId([4; 16])),
    ]
}

fn open(path: &Path) -> Result<(Store, Opened), OpenError> {
    Store::open(path, &id("a"), INSTANCE, NOW_MS)
}

fn applied(changes: &[Change]) -> Durable {
    let mut durable = Durable::fresh(id("a"), INSTANCE);
    for change in changes.iter().cloned() {
        change.apply(&mut durable);
    }
    durable
}

/// What was read, apart from how many transactions it took to come there.
fn state(opened: Opened) -> Durable {
    Durable { commits: 0, ..opened.durable }
}

/// A directory whose store was closed cleanly after `changes`.
fn closed(changes: &[Change]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).unwrap().0.commit(changes).unwrap();
    directory
}

#[test]
fn a_forgotten_register_is_gone_and_an_older_version_refuses_the_file() {
    let directory = closed(&everything());
    let format = || read(&builder().open(directory.path().join(FILE)).unwrap()).unwrap().format;
    assert_eq!(format(), FORMAT, "as before, while nothing is forgotten");
    let forget = Change::Forget { key: "run/x".to_owned() };
    open(directory.path()).unwrap().0.commit(&[register("kept", 4, Some(b"1")), forget]).unwrap();
    assert_eq!(format(), FORMAT_FORGETS);
    let (_, opened) = open(directory.path()).unwrap();
    let keys: Vec<_> = opened.durable.registers.keys().cloned().collect();
    assert_eq!(keys, ["", "kept", "voters"]);
}

#[test]
fn a_new_directory_is_fresh_and_for_its_owner_only() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/data");
    let (_, opened) = open(&path).unwrap();
    assert!(opened.fresh);
    assert_eq!(opened.generation, Generation(NOW_MS));
    assert_eq!(state(opened), Durable::fresh(id("a"), INSTANCE));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join(FILE)), 0o600);
    assert!(!path.join(FILE_NEW).exists());
}

#[test]
fn every_change_is_there_after_a_restart() {
    let directory = closed(&everything());
    let (_, opened) = Store::open(directory.path(), &id("a"), Instance([99; 16]), NOW_MS).unwrap();
    assert!(!opened.fresh);
    assert_eq!(state(opened), applied(&everything()));
}

#[test]
fn a_later_change_replaces_an_earlier_one_also_in_one_batch() {
    let changes = [promise(3), register("k", 1, Some(b"1")), register("k", 2, Some(b"2")), promise(4)];
    let directory = closed(&changes);
    assert_eq!(state(open(directory.path()).unwrap().1), applied(&changes));
}

#[test]
fn the_generation_grows_at_every_start_whatever_the_clock_says() {
    let directory = tempfile::tempdir().unwrap();
    let start = |ms: u64| Store::open(directory.path(), &id("a"), INSTANCE, ms).unwrap().1.generation.0;
    assert_eq!([start(100), start(100), start(5), start(1_000)], [100, 101, 102, 1_000]);
}

#[test]
fn an_adopted_generation_is_remembered_and_never_lowers() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    store.adopt_generation(Generation(NOW_MS + 500)).unwrap();
    store.adopt_generation(Generation(5)).unwrap();
    assert_eq!(store.generation(), Generation(NOW_MS + 500));
    drop(store);
    assert_eq!(open(directory.path()).unwrap().1.generation, Generation(NOW_MS + 501));
}

#[test]
fn the_address_book_is_remembered_and_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    let peers: Vec<_> = (0..1_000_u16).map(|n| (id(&format!("m{n}")), SocketAddr::from(([10, 0, 0, 1], n)))).collect();
    store.put_address_book(&peers).unwrap();
    assert_eq!(store.address_book(), &peers[..PEERS_MAX]);
    drop(store);
    assert_eq!(open(directory.path()).unwrap().1.peers, &peers[..PEERS_MAX]);
}

#[test]
fn a_second_opener_is_refused_and_told_by_whom() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path()).unwrap();
    let refused = open(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{refused}");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(first);
    open(directory.path()).unwrap();
}

#[test]
fn another_id_is_refused_with_both_names() {
    let directory = closed(&everything());
    let before = fs::read(directory.path().join(FILE)).unwrap();
    let refused = Store::open(directory.path(), &id("z"), INSTANCE, NOW_MS).unwrap_err().to_string();
    assert!(refused.contains("\"a\"") && refused.contains("\"z\""), "{refused}");
    assert!(fs::read(directory.path().join(FILE)).unwrap() == before);
}

#[test]
fn a_kill_without_goodbye_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    store.commit(&everything()).unwrap();
    // What a SIGKILL leaves: the file as it is while the store is open.
    let copy = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join(FILE), copy.path().join(FILE)).unwrap();
    assert_eq!(state(open(copy.path()).unwrap().1), applied(&everything()));
}

#[test]
fn an_old_copy_of_the_file_is_refused_and_a_torn_witness_is_not() {
    let directory = closed(&[promise(3)]);
    let file = directory.path().join(FILE);
    let old = fs::read(&file).unwrap();
    open(directory.path()).unwrap().0.commit(&[promise(4)]).unwrap();
    let new = fs::read(&file).unwrap();
    fs::write(&file, &old).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(fs::read(&file).unwrap() == old);

    for torn in [&b""[..], b"000000", &[0; 21]] {
        fs::write(&file, &new).unwrap();
        fs::write(directory.path().join(witness::FILE), torn).unwrap();
        assert_eq!(state(open(directory.path()).unwrap().1), applied(&[promise(4)]));
    }
}

/// A kill, then one byte of the disk goes bad: redb may go back by one commit, and the witness notices.
#[test]
fn no_changed_byte_after_a_kill_brings_back_an_older_state() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    store.commit(&everything()).unwrap();
    store.commit(&[promise(4)]).unwrap();
    let whole = fs::read(directory.path().join(FILE)).unwrap();
    let count = fs::read(directory.path().join(witness::FILE)).unwrap();
    let mut expected = applied(&everything());
    promise(4).apply(&mut expected);

    let copy = tempfile::tempdir().unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut lost = 0;
    for at in used.iter().step_by(used.len() / 300 + 1) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 0x10;
        fs::write(copy.path().join(FILE), &bytes).unwrap();
        fs::write(copy.path().join(witness::FILE), &count).unwrap();
        match open(copy.path()) {
            Ok((_, opened)) => assert_eq!(state(opened), expected, "byte {at}"),
            Err(error) => lost += usize::from(error.to_string().contains("commits of")),
        }
    }
    assert!(lost > 0, "no change made redb go back: this test has lost its point");
}

#[test]
fn a_directory_left_half_made_is_completed() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE_NEW), b"half of a").unwrap();
    fs::write(directory.path().join(witness::FILE), format!("{:020}\n", 77)).unwrap();
    assert!(open(directory.path()).unwrap().1.fresh);
}

/// Opens `bytes` as a store and gives the error, after checking that they were not touched.
fn refused(bytes: &[u8]) -> OpenError {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    fs::write(&path, bytes).unwrap();
    let error = open(directory.path()).unwrap_err();
    assert!(fs::read(&path).unwrap() == bytes, "the file was touched: {error}");
    error
}

#[test]
fn foreign_cut_off_and_newer_files_are_refused_and_left_as_they_are() {
    let whole = fs::read(closed(&everything()).path().join(FILE)).unwrap();
    assert!(matches!(refused(b"#!/bin/sh\necho hello"), OpenError::Foreign { .. }));
    assert!(matches!(refused(b""), OpenError::Damaged { .. }));
    assert!(matches!(refused(&whole[..5]), OpenError::Damaged { .. }));
    for length in [9, 100, 4_096, whole.len() / 2, whole.len() - 4_096, whole.len() - 1] {
        let error = refused(&whole[..length]);
        assert!(matches!(error, OpenError::Damaged { .. }), "{length}: {error}");
    }

    let foreign = made_by_hand(|db| {
        let other: TableDefinition<u64, u64> = TableDefinition::new("somebody else's");
        let transaction = db.begin_write().unwrap();
        transaction.open_table(other).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
    });
    assert!(matches!(refused(&foreign), OpenError::Foreign { .. }));

    let newer = made_by_hand(|db| write(db, &[Record::Format(FORMAT_FORGETS + 1)]).unwrap());
    let error = refused(&newer);
    assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT_FORGETS + 1), "{error}");
}

#[test]
fn a_record_that_does_not_match_its_checksum_or_key_is_refused() {
    let check = |key: &'static str, value: Vec<u8>, text: &str| {
        let bytes = made_by_hand(|db| {
            let owner = Record::Owner { id: id("a"), instance: INSTANCE };
            write(db, &[Record::Format(FORMAT), owner, Record::Generation(Generation(1)), Record::Commits(0)]).unwrap();
            let transaction = db.begin_write().unwrap();
            transaction.open_table(RECORDS).unwrap().insert(key, value.as_slice()).unwrap();
            transaction.commit().unwrap();
        });
        let error = refused(&bytes);
        assert!(matches!(error, OpenError::Damaged { .. }) && error.to_string().contains(text), "{error}");
    };
    let good = Record::from(promise(3)).encode("promise").unwrap();
    let mut flipped = good.clone();
    flipped[0] ^= 1;
    check("promise", flipped, "checksum");
    check("promise", good[..10].to_vec(), "cut off");
    check("register/promise", good.clone(), "checksum");
    check("later", Record::Generation(Generation(1)).encode("later").unwrap(), "unknown");
}

/// The bytes of a file that redb made for us.
fn made_by_hand(fill: impl Fn(&Database)) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let db = Database::create(&path).unwrap();
    fill(&db);
    db.close().unwrap();
    fs::read(path).unwrap()
}

#[test]
fn no_changed_byte_makes_a_different_state() {
    let whole = fs::read(closed(&everything()).path().join(FILE)).unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let directory = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for at in used.iter().step_by(used.len() / 150 + 1) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 0x10;
        fs::write(directory.path().join(FILE), &bytes).unwrap();
        match open(directory.path()) {
            Ok((_, opened)) => assert_eq!(state(opened), applied(&everything()), "byte {at}"),
            Err(error) => {
                refused += 1;
                assert!(!matches!(error, OpenError::Io { .. }), "byte {at}: {error}");
                assert!(fs::read(directory.path().join(FILE)).unwrap() == bytes, "byte {at}: touched, {error}");
            }
        }
    }
    assert!(refused > 20, "only {refused} changes were noticed");
}

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

/// What another process would find in the file now.
fn copy_of(path: &Path) -> Database {
    let overlay = Overlay::new(File::open(path.join(FILE)).unwrap()).unwrap();
    builder().set_check_integrity_on_open(true).create_with_backend(overlay).unwrap()
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

#[test]
fn a_file_of_the_format_before_is_read_and_rewritten() {
    let stamp = Stamp { epoch: Epoch(3), seq: Seq(1) };
    let small = b"voters".to_vec();
    let bytes = made_by_hand(|db| {
        let owner = Record::Owner { id: id("a"), instance: INSTANCE };
        write(db, &[Record::Format(1), owner, Record::Generation(Generation(1)), Record::Commits(7)]).unwrap();
        let transaction = db.begin_write().unwrap();
        for (key, value) in [("register/voters", Some(small.clone())), ("register/gone", None)] {
            let mut body = quorate_proto::codec::encode(&(stamp, value)).unwrap();
            let sum = record::checksum(key, &body);
            body.extend_from_slice(&sum);
            transaction.open_table(RECORDS).unwrap().insert(key, body.as_slice()).unwrap();
        }
        transaction.commit().unwrap();
    });
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), bytes).unwrap();
    let first = open(directory.path()).unwrap().1.durable;
    assert_eq!(first.registers.get("voters"), Some(&(stamp, Some(Value::Inline(small)))));
    assert_eq!(first.registers.get("gone"), Some(&(stamp, None)));
    let again = open(directory.path()).unwrap().1.durable;
    assert_eq!(again.registers, first.registers);
    assert_eq!((first.commits, again.commits), (8, 9), "every start is a transaction");
    assert_eq!(read(&copy_of(directory.path())).unwrap().format, FORMAT);
}

#[test]
fn large_values_come_back_with_the_registers_that_name_them() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    let named = |contents: &[u8]| {
        let hash = store.blobs().put(contents).unwrap();
        (hash, u32::try_from(contents.len()).unwrap())
    };
    let [(kept, len), (nameless, _)] = [named(&[1; 5_000]), named(&[2; 5_000])];
    let missing = quorate_proto::BlobHash([3; 32]);
    let change = |key: &str, hash| Change::Register {
        key: key.to_owned(),
        stamp: Stamp::default(),
        value: Some(Value::Blob { hash, len }),
    };
    store.commit(&[change("kept", kept), change("missing", missing)]).unwrap();
    drop(store);
    let (store, opened) = open(directory.path()).unwrap();
    assert_eq!(opened.durable.blobs, std::collections::BTreeSet::from([kept]));
    assert_eq!(opened.damaged, 1);
    assert_eq!(store.blobs().read(kept, len).unwrap(), [1; 5_000]);
    assert!(store.blobs().read(nameless, len).is_err());
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
    let acknowledged = fs::read(directory.path().join(witness::FILE)).unwrap();
    store.commit(&next).unwrap();
    let acknowledged_next = fs::read(directory.path().join(witness::FILE)).unwrap();
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
        let witness = if kept < steps.len() { &acknowledged } else { &acknowledged_next };
        fs::write(crashed.path().join(witness::FILE), witness).unwrap();
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

proptest! {
    #[test]
    fn arbitrary_records_never_panic(
        key in prop_oneof!["format", "owner", "generation", "commits", "peers", "promise", "founding", "cluster", "register/.*", ".*"],
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let key = key.replace('\0', "");
        check_record(&[key.as_bytes(), &[0], &body].concat());
    }
}
