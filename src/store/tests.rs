//! What a store keeps, and what it refuses.

mod bad_disk;

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
        fs::write(directory.path().join(commit_count::FILE), torn).unwrap();
        assert_eq!(state(open(directory.path()).unwrap().1), applied(&[promise(4)]));
    }
}

/// A kill, then one byte of the disk goes bad: redb may go back by one commit, and the count of commits notices.
#[test]
fn no_changed_byte_after_a_kill_brings_back_an_older_state() {
    let directory = tempfile::tempdir().unwrap();
    let (mut store, _) = open(directory.path()).unwrap();
    store.commit(&everything()).unwrap();
    store.commit(&[promise(4)]).unwrap();
    let whole = fs::read(directory.path().join(FILE)).unwrap();
    let count = fs::read(directory.path().join(commit_count::FILE)).unwrap();
    let mut expected = applied(&everything());
    promise(4).apply(&mut expected);

    let copy = tempfile::tempdir().unwrap();
    let used: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] != 0).collect();
    let mut lost = 0;
    for at in used.iter().step_by(used.len() / 300 + 1) {
        let mut bytes = whole.clone();
        bytes[*at] ^= 0x10;
        fs::write(copy.path().join(FILE), &bytes).unwrap();
        fs::write(copy.path().join(commit_count::FILE), &count).unwrap();
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
    fs::write(directory.path().join(commit_count::FILE), format!("{:020}\n", 77)).unwrap();
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

/// What another process would find in the file now.
fn copy_of(path: &Path) -> Database {
    let overlay = Overlay::new(File::open(path.join(FILE)).unwrap()).unwrap();
    builder().set_check_integrity_on_open(true).create_with_backend(overlay).unwrap()
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
