//! A few seconds of fuzzing on the stable toolchain: the checked-in corpus of each fuzz target, changed at random.
//!
//! The functions are those that the targets in `fuzz/` call. The randomness has a fixed seed, so a failure repeats.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail this way")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use quorate_proto::fuzzing;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};

/// A fuzz target: its name, the function behind it, and how many inputs are tried (by what one costs).
type Target = (&'static str, fn(&[u8]) -> bool, u32);

/// One line for each file in `fuzz/fuzz_targets/`.
const TARGETS: &[Target] = &[
    ("control_message", fuzzing::control_message, 500_000),
    ("control_stream", fuzzing::control_stream, 20_000),
    ("datagram", fuzzing::datagram, 300_000),
    ("stored_record", quorate::store::check_record, 500_000),
    ("swim_packet", quorate::cluster::membership::fuzz_datagram, 2_000),
    ("configuration", quorate::config::fuzzing::configuration, 5_000),
    ("http_request", quorate::http::fuzz_request, 200_000),
    ("task_object", quorate::config::fuzzing::task_object, 10_000),
    ("token", quorate::access::fuzz_token, 100_000),
];

#[test]
fn control_messages_hold_against_changed_bytes() {
    run("control_message");
}

#[test]
fn control_connections_hold_against_changed_bytes() {
    run("control_stream");
}

#[test]
fn datagrams_hold_against_changed_bytes() {
    run("datagram");
}

#[test]
fn stored_records_hold_against_changed_bytes() {
    run("stored_record");
}

#[test]
fn a_member_holds_against_changed_swim_packets() {
    run("swim_packet");
}

#[test]
fn configurations_hold_against_changed_bytes() {
    run("configuration");
}

#[test]
fn http_requests_hold_against_changed_bytes() {
    run("http_request");
}

#[test]
fn tasks_of_the_api_hold_against_changed_bytes() {
    run("task_object");
}

#[test]
fn tokens_hold_against_changed_bytes() {
    run("token");
}

#[test]
fn every_target_has_a_line_a_corpus_and_a_binary() {
    let names = |path: &str| -> BTreeSet<String> {
        let stem = |path: PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
        home(path).read_dir().unwrap().map(|entry| stem(entry.unwrap().path())).collect()
    };
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), listed);
    assert_eq!(names("corpus"), listed);
    let manifest = std::fs::read_to_string(home("Cargo.toml")).unwrap();
    for name in listed {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in fuzz/Cargo.toml");
    }
}

/// Feeds the corpus as it is, then changed.
fn run(name: &str) {
    let (_, target, count) = TARGETS.iter().find(|target| target.0 == name).expect("a line in TARGETS");
    let mut paths: Vec<PathBuf> =
        home("corpus").join(name).read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let corpus: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    let accepted = corpus.iter().filter(|bytes| target(bytes)).count();
    assert!(
        accepted * 10 >= corpus.len() * 6,
        "only {accepted} of {} files are accepted: the corpus is old",
        corpus.len()
    );

    let mut rng = SmallRng::seed_from_u64(8_559);
    for round in 0..*count {
        let mut bytes = corpus.choose(&mut rng).expect("a corpus").clone();
        for _ in 0..rng.random_range(1..6) {
            change(&mut bytes, &corpus, &mut rng);
        }
        let outcome = std::panic::catch_unwind(|| target(&bytes));
        assert!(outcome.is_ok(), "{name} panics in round {round} on {bytes:02x?}");
    }
}

/// One random change: what a coverage-guided fuzzer does, without the guidance.
fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut impl Rng) {
    /// Bytes at the edges of the encodings: ends of ranges, marks of long numbers, zero and one.
    const EDGES: [u8; 10] = [0, 1, 2, 127, 128, 250, 251, 252, 253, 255];
    let at = rng.random_range(0..=bytes.len());
    let edge = *EDGES.choose(rng).expect("edges");
    match rng.random_range(0..7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = edge,
        2 if at < bytes.len() => {
            bytes.remove(at);
        }
        3 => bytes.insert(at, edge),
        4 => bytes.truncate(at),
        5 => bytes.splice(at..at, std::iter::repeat_n(edge, rng.random_range(0..40))).for_each(drop),
        _ => {
            let other = corpus.choose(rng).expect("a corpus");
            let from = rng.random_range(0..=other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
    }
}

fn home(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(path)
}
