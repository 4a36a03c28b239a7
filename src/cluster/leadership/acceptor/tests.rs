//! What a voter promises, grants and stores, one rule after another.

use quorate_proto::{BootNonce, Instance, MemberId};

use super::*;

const D: Duration = Duration::from_secs(1);

fn process(name: &str, boot: u8) -> Process {
    Process { id: MemberId::new(name).unwrap(), instance: Instance([1; 16]), boot: BootNonce([boot; 16]) }
}

fn acceptor(promised: Option<Promise>) -> Acceptor {
    let mut durable = Durable::fresh(MemberId::new("me").unwrap(), Instance([9; 16]));
    durable.promised = promised;
    Acceptor::new(durable, D, Rules::default(), Duration::ZERO)
}

#[test]
fn an_epoch_is_promised_to_one_process_only() {
    let (a, b) = (process("a", 1), process("b", 1));
    let mut voter = acceptor(None);
    assert_eq!(voter.promise(Epoch(1), &a, D, D).unwrap().1.len(), 1);
    assert!(voter.promise(Epoch(1), &a, D, D).unwrap().1.is_empty(), "the same process asks again");
    let later = D * 10;
    assert_eq!(voter.promise(Epoch(1), &b, D, later).unwrap_err().reason, RefuseReason::Promised);
    assert_eq!(voter.promise(Epoch(1), &process("a", 2), D, later).unwrap_err().reason, RefuseReason::Promised);
}

#[test]
fn a_running_lease_refuses_others_until_it_ends() {
    let mut voter = acceptor(None);
    voter.promise(Epoch(1), &process("a", 1), D, D).unwrap();
    let refusal = voter.promise(Epoch(2), &process("b", 1), D, D + D / 2).unwrap_err();
    assert_eq!((refusal.reason, refusal.remaining), (RefuseReason::LeaseRuns, D / 2));
    assert!(voter.promise(Epoch(2), &process("b", 1), D, D * 2).is_ok());
}

#[test]
fn after_a_restart_the_recorded_lease_is_waited_for() {
    let promise = Promise { epoch: Epoch(4), holder: process("a", 1), lease: D * 3 };
    let voter = acceptor(Some(promise));
    let other = process("a", 2);
    assert_eq!(voter.would_promise(Epoch(5), &other, D).unwrap_err().reason, RefuseReason::Quiet);
    assert!(voter.would_promise(Epoch(5), &process("a", 1), D).is_ok(), "the recorded process itself");
    assert!(voter.would_promise(Epoch(5), &other, D * 3).is_ok());
}

#[test]
fn a_renewal_is_never_longer_than_what_a_restart_waits_for() {
    let a = process("a", 1);
    let mut voter = acceptor(None);
    voter.promise(Epoch(1), &a, D / 2, D).unwrap();
    assert_eq!(voter.extend(D, D), D / 2);
}

#[test]
fn a_late_claim_does_not_shorten_a_renewed_lease() {
    let a = process("a", 1);
    let mut voter = acceptor(None);
    // Promised by way of a write, with this voter's own length; then the claim arrives, which asks for less.
    voter.write(Epoch(1), Seq(1), &[], &a).unwrap();
    voter.extend(D, D);
    voter.promise(Epoch(1), &a, D / 4, D).unwrap();
    assert_eq!(voter.lease_until(), D * 2);
}

#[test]
fn a_lease_that_was_ended_is_not_extended_by_what_was_under_way() {
    let (a, b) = (process("a", 1), process("b", 1));
    let mut voter = acceptor(None);
    voter.promise(Epoch(1), &a, D, D).unwrap();
    assert!(voter.release(Epoch(1), &a, D));
    assert_eq!(voter.extend(D, D), Duration::ZERO, "a renewal that came late");
    assert_eq!(voter.promise(Epoch(1), &a, D, D).unwrap(), (Duration::ZERO, Vec::new()), "a claim that came late");
    assert!(voter.would_promise(Epoch(2), &b, D).is_ok());
    voter.promise(Epoch(2), &b, D, D).unwrap();
    assert_eq!(voter.extend(D, D), D, "another lease");
}

#[test]
fn a_stale_write_is_refused_and_a_newer_one_is_a_promise() {
    let (a, b) = (process("a", 1), process("b", 1));
    let mut voter = acceptor(None);
    voter.promise(Epoch(3), &a, D, D).unwrap();
    assert!(voter.write(Epoch(2), Seq(1), &[], &b).is_err());
    assert!(matches!(voter.write(Epoch(4), Seq(1), &[], &b).unwrap()[..], [Change::Promise(_)]));
    assert!(voter.write(Epoch(3), Seq(9), &[], &a).is_err());
}

#[test]
fn a_write_of_the_winner_ends_a_promise_of_the_same_epoch_to_another() {
    let (a, b) = (process("a", 1), process("b", 1));
    let mut voter = acceptor(None);
    voter.promise(Epoch(3), &a, D, D).unwrap();
    voter.handle_durable(voter.promise_number());
    assert!(voter.is_bound_to(Epoch(3), &a));
    assert!(matches!(voter.write(Epoch(3), Seq(1), &[], &b).unwrap()[..], [Change::Promise(_)]));
    assert!(!voter.is_bound_to(Epoch(3), &b), "not before it is on disk");
    voter.handle_durable(voter.promise_number());
    assert!(voter.is_bound_to(Epoch(3), &b));
}

#[test]
fn applied_counts_without_gaps() {
    let a = process("a", 1);
    let mut voter = acceptor(None);
    voter.promise(Epoch(1), &a, D, D).unwrap();
    voter.handle_applied(Epoch(1), Seq(2));
    assert_eq!(voter.applied(), Seq(0));
    voter.handle_applied(Epoch(1), Seq(1));
    assert_eq!(voter.applied(), Seq(2));
    voter.handle_caught_up(Epoch(1), Seq(5));
    voter.handle_applied(Epoch(1), Seq(6));
    assert_eq!(voter.applied(), Seq(6));
}

#[test]
fn a_rogue_epoch_is_not_believed() {
    let promise = Promise { epoch: Epoch(7), holder: process("a", 1), lease: Duration::ZERO };
    let mut voter = acceptor(Some(promise));
    for rogue in [u64::MAX, u64::MAX - 1, EPOCH_MAX, 8 + JUMP_MAX] {
        voter.hear(Epoch(rogue));
        assert_eq!(voter.highest(), Epoch(7), "{rogue}");
        let refusal = voter.would_promise(Epoch(rogue), &process("a", 1), D).unwrap_err();
        assert_eq!(refusal.reason, RefuseReason::Jump, "{rogue}");
        assert!(voter.write(Epoch(rogue), Seq(1), &[], &process("a", 1)).is_err(), "{rogue}");
    }
    assert!(voter.would_promise(Epoch(7 + JUMP_MAX), &process("a", 1), D).is_ok());
}

#[test]
fn hearsay_moves_the_next_claim_only_so_far_that_the_others_believe_it() {
    let promise = Promise { epoch: Epoch(7), holder: process("a", 1), lease: Duration::ZERO };
    let mut voter = acceptor(Some(promise));
    for _ in 0..100 {
        voter.hear(Epoch(voter.highest().0 + JUMP_MAX / 2));
    }
    assert_eq!(voter.highest(), Epoch(7 + HEARSAY_MAX));
}

#[test]
fn a_new_data_directory_joins_a_cluster_of_any_age() {
    let mut learner = acceptor(None);
    assert!(learner.write(Epoch(1 << 40), Seq(1), &[], &process("a", 1)).is_ok());
    assert!(learner.write(Epoch(1 << 62), Seq(1), &[], &process("a", 1)).is_err(), "from now on it knows");
    assert!(acceptor(None).write(Epoch(EPOCH_MAX), Seq(1), &[], &process("a", 1)).is_err());
}

#[test]
fn the_highest_numbers_neither_wrap_nor_panic() {
    let a = process("a", 1);
    let promise = Promise { epoch: Epoch(u64::MAX), holder: a.clone(), lease: Duration::ZERO };
    let mut voter = acceptor(Some(promise));
    assert_eq!(voter.highest().next(), Epoch(u64::MAX));
    assert_eq!(voter.would_promise(voter.highest().next(), &a, D).unwrap_err().reason, RefuseReason::Jump);
    voter.handle_caught_up(Epoch(u64::MAX), Seq(u64::MAX));
    voter.handle_applied(Epoch(u64::MAX), Seq(u64::MAX));
    assert_eq!(voter.applied(), Seq(u64::MAX));
}
