//! The three stores of a small cluster, given by hand what the leaders write.

use std::time::Duration;

use quorate_proto::message::{Process, Register, Voter, Voters};
use quorate_proto::{BootNonce, Epoch, Instance};

use super::*;
use crate::cluster::Durable;
use crate::cluster::leadership::Rules;
use crate::cluster::leadership::acceptor::Acceptor;
use crate::cluster::leadership::registers::Registers;

fn leader(epoch: u64) -> Process {
    let boot = BootNonce([u8::try_from(epoch).unwrap(); 16]);
    Process { id: MemberId::new("l").unwrap(), instance: Instance([1; 16]), boot }
}

fn store() -> Acceptor {
    let durable = Durable::fresh(MemberId::new("s").unwrap(), Instance([2; 16]));
    Acceptor::new(durable, Duration::from_secs(1), Rules::default(), Duration::ZERO)
}

fn stamp(epoch: u64, seq: u64) -> Stamp {
    Stamp { epoch: Epoch(epoch), seq: Seq(seq) }
}

fn put(key: &str, value: Option<&[u8]>) -> Put {
    Put { key: key.to_owned(), value: value.map(|bytes| Value::Inline(bytes.to_vec())) }
}

fn voters(upto: Stamp, forgotten: Stamp) -> Put {
    let voters = Voters(vec![Voter { id: MemberId::new("s").unwrap(), instance: Instance([2; 16]) }]);
    put(VOTERS_KEY, Some(&encode_voters(&voters, Horizon { upto, forgotten }).unwrap()))
}

fn write(store: &mut Acceptor, epoch: u64, seq: u64, put: Put) {
    store.write(Epoch(epoch), Seq(seq), &[put], &leader(epoch)).unwrap();
}

/// What a claimant makes of two stores.
fn merged(one: &Acceptor, other: &Acceptor) -> Registers {
    let mut merged = one.registers().clone();
    let theirs = other.registers().iter();
    let register = |(key, (stamp, value)): (&String, &(Stamp, Option<Value>))| Register {
        key: key.clone(),
        stamp: *stamp,
        value: value.clone(),
    };
    registers::merge(&mut merged, theirs.map(register).collect());
    registers::bury(&mut merged, Rules::default());
    merged
}

fn lives(registers: &Registers, key: &str) -> bool {
    registers.get(key).is_some_and(|(_, value)| value.is_some())
}

/// A member that was away has the old value; the others deleted it, wrote what lives again, and forgot.
fn forgotten() -> (Acceptor, Acceptor) {
    let (mut here, mut away) = (store(), store());
    for store in [&mut here, &mut away] {
        write(store, 1, 1, voters(Stamp::default(), Stamp::default()));
        write(store, 1, 2, put("gone", Some(b"old")));
        write(store, 1, 3, put("kept", Some(b"new")));
    }
    write(&mut here, 1, 4, put("gone", None));
    write(&mut here, 1, 5, put("kept", Some(b"new")));
    write(&mut here, 1, 6, voters(stamp(1, 4), Stamp::default()));
    write(&mut here, 1, 7, voters(stamp(1, 4), stamp(1, 4)));
    (here, away)
}

#[test]
fn what_is_forgotten_is_removed_and_what_lives_stays() {
    let (here, _) = forgotten();
    assert_eq!(here.registers().keys().collect::<Vec<_>>(), ["kept", VOTERS_KEY]);
    assert_eq!(here.deleted(), 0);
}

#[test]
fn an_old_value_of_a_member_that_was_away_stays_deleted() {
    let (here, away) = forgotten();
    for merged in [merged(&here, &away), merged(&away, &here)] {
        assert!(!lives(&merged, "gone") && lives(&merged, "kept"));
    }
}

#[test]
fn a_late_copy_of_an_old_write_brings_nothing_back() {
    let (mut here, _) = forgotten();
    write(&mut here, 1, 2, put("gone", Some(b"old")));
    assert!(!lives(here.registers(), "gone"));
    let register = Register { key: "gone".to_owned(), stamp: stamp(1, 2), value: Some(Value::Inline(b"old".to_vec())) };
    here.catch_up(Epoch(1), vec![register], &leader(1)).unwrap();
    assert!(!lives(here.registers(), "gone"));
    write(&mut here, 1, 9, put("gone", Some(b"again")));
    assert!(lives(here.registers(), "gone"), "its name is free");
}

#[test]
fn a_member_that_comes_back_removes_what_was_forgotten_when_it_catches_up() {
    let (here, mut away) = forgotten();
    let all = here.registers().iter().map(|(key, (stamp, value))| Register {
        key: key.clone(),
        stamp: *stamp,
        value: value.clone(),
    });
    let changes = away.catch_up(Epoch(1), all.collect(), &leader(1)).unwrap();
    assert_eq!(away.registers(), here.registers());
    let forget = |change: &crate::cluster::durable::Change| matches!(change, crate::cluster::durable::Change::Forget { key } if key == "gone");
    assert!(changes.iter().any(forget), "on the disk as well: {changes:?}");
}

/// Step 3 may not come with step 2. A leader dies when only its own disk has the horizon; the next one, which never met it,
/// dies when that disk has its voters and nobody else anything of what it recovered.
#[test]
fn a_deletion_that_is_forgotten_before_its_horizon_is_on_a_majority_comes_back() {
    for at_once in [false, true] {
        let (mut first, mut away) = (store(), store());
        for store in [&mut first, &mut away] {
            write(store, 1, 1, voters(Stamp::default(), Stamp::default()));
            write(store, 1, 2, put("gone", Some(b"old")));
        }
        // On the first and on a third one, which leads next and is not asked after that.
        write(&mut first, 1, 3, put("gone", None));
        let forgotten = if at_once { stamp(1, 3) } else { Stamp::default() };
        write(&mut first, 1, 4, voters(stamp(1, 3), forgotten));
        write(&mut first, 2, 9, voters(Stamp::default(), Stamp::default()));
        assert_eq!(lives(&merged(&first, &away), "gone"), at_once);
    }
}

#[test]
fn an_agent_that_knows_no_horizon_finds_no_voters_behind_one() {
    let (here, away) = forgotten();
    let older = Rules::default().older();
    assert!(registers::voters(&merged(&here, &away), older).is_none());
    assert!(registers::voters(away.registers(), older).is_some(), "before there was one");
}
