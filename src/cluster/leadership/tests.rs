//! What single machines say, without a world around them (that is in `tests/sim`).

use std::time::Duration;

use quorate_proto::message::{Header, Process, VOTERS_KEY, Value, Voter, Voters};
use quorate_proto::{BootNonce, ClusterId, Epoch, Instance, MemberId, Stamp, codec};

use super::*;
use crate::cluster::durable::Promise;
use crate::cluster::settings::{LeadershipMode, Profile};

const START: Duration = Duration::from_mins(1);

fn id(text: &str) -> MemberId {
    MemberId::new(text).unwrap()
}

fn at(after: Duration) -> Now {
    Now { mono: START + after, boot: START + after }
}

fn settings() -> Settings {
    Settings {
        name: "edge".to_owned(),
        expect: 3,
        seeds: Vec::new(),
        mode: LeadershipMode::Quorum,
        timing: Profile::Lan.timing(),
        max_voters: 5,
        replace_after: Duration::from_mins(10),
    }
}

fn address(number: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, number], 8559))
}

fn process(number: u8) -> Process {
    Process { id: id(&format!("a{number}")), instance: Instance([number; 16]), boot: BootNonce([number; 16]) }
}

/// Agent `a<number>` of three voters.
fn machine(number: u8, promised: Option<Promise>) -> Leadership {
    let me = process(number);
    let mut durable = Durable::fresh(me.id, me.instance);
    let voters = (1..=3).map(|voter| Voter { id: process(voter).id, instance: process(voter).instance }).collect();
    let stamp = Stamp { epoch: Epoch(0), seq: Seq(1) };
    durable.cluster = Some(ClusterId([7; 16]));
    durable.registers.insert(VOTERS_KEY.to_owned(), (stamp, codec::encode(&Voters(voters)).ok().map(Value::Inline)));
    durable.promised = promised;
    Leadership::new(&settings(), durable, me.boot, Rules::default(), [number; 32], at(Duration::ZERO))
}

fn peers(states: &[(u8, MemberState)]) -> BTreeMap<MemberId, Peer> {
    let peer = |(number, state): &(u8, MemberState)| {
        let (addr, generation) = (address(*number), Generation(1));
        let peer = Peer {
            instance: process(*number).instance,
            addr,
            generation,
            state: *state,
            alive_since: Duration::ZERO,
            has_horizon: true,
        };
        (process(*number).id, peer)
    };
    states.iter().map(peer).collect()
}

/// Lets machines talk until all are silent: disks are instant, nothing is lost. Returns what happened.
fn talk(machines: &mut [(u8, Leadership)], now: Now) -> Vec<(u8, Event)> {
    let mut events = Vec::new();
    loop {
        let mut sent = Vec::new();
        for (number, machine) in machines.iter_mut() {
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send { to, message } => sent.push((*number, to, message)),
                    Output::Persist { ticket, .. } => machine.handle_persisted(ticket, now),
                    Output::Event(event) => events.push((*number, event)),
                    Output::Fetch { .. } | Output::DropBlob { .. } => {}
                }
            }
        }
        if sent.is_empty() {
            return events;
        }
        for (from, to, message) in sent {
            for (_, machine) in machines.iter_mut().filter(|(number, _)| address(*number) == to) {
                machine.handle_message(address(from), message.clone(), now);
            }
        }
    }
}

/// A leader of three, and what is proposed to it is on all who are in `machines` at once.
fn led() -> Vec<(u8, Leadership)> {
    let mut three: Vec<(u8, Leadership)> = (1..=3).map(|number| (number, machine(number, None))).collect();
    for (number, machine) in &mut three {
        let others: Vec<_> = (1..=3).filter(|other| other != number).map(|other| (other, MemberState::Alive)).collect();
        machine.handle_members(peers(&others), at(Duration::ZERO));
    }
    let events = talk(&mut three, at(Duration::ZERO));
    assert_eq!(leaders(&events).len(), 1, "{events:?}");
    three
}

fn write_all(machines: &mut [(u8, Leadership)], names: std::ops::Range<u64>, value: Option<&[u8]>) {
    let entry = |name| Put { key: format!("task/{name}"), value: value.map(|bytes| Value::Inline(bytes.to_vec())) };
    let entries: Vec<Put> = names.map(entry).collect();
    assert!(machines[0].1.propose(&entries, at(Duration::ZERO)).is_some());
    let events = talk(machines, at(Duration::ZERO));
    assert!(events.iter().any(|(_, event)| matches!(event, Event::Committed(_))), "{events:?}");
}

#[test]
fn a_million_keys_that_are_made_and_deleted_leave_a_bounded_store() {
    let mut three = led();
    write_all(&mut three, 0..50, Some(b"stays"));
    for round in 1..=10_000 {
        let names = round * 100..(round + 1) * 100;
        write_all(&mut three, names.clone(), Some(b"a task"));
        write_all(&mut three, names, None);
        for (number, machine) in &three {
            let kept = machine.durable().registers.len();
            assert!(kept <= 4_096 + 500, "round {round}: a{number} keeps {kept} keys");
        }
    }
    for (_, machine) in &three {
        let lives = |(_, (_, value)): &(&String, &(Stamp, Option<Value>))| value.is_some();
        assert_eq!(machine.durable().registers.iter().filter(lives).count(), 51, "the voters and what stays");
    }
}

#[test]
fn nothing_is_forgotten_while_a_voter_knows_no_horizon() {
    let mut three = led();
    let mut mixed = peers(&[(2, MemberState::Alive), (3, MemberState::Alive)]);
    mixed.get_mut(&id("a3")).unwrap().has_horizon = false;
    three[0].1.handle_members(mixed, at(Duration::ZERO));
    write_all(&mut three, 0..6_000, Some(b"a task"));
    write_all(&mut three, 0..6_000, None);
    assert_eq!(three[0].1.deleted_keys(), 6_000);
    let upgraded = peers(&[(2, MemberState::Alive), (3, MemberState::Alive)]);
    three[0].1.handle_members(upgraded, at(Duration::ZERO));
    talk(&mut three, at(Duration::ZERO));
    assert!(three.iter().all(|(_, machine)| machine.deleted_keys() == 0));
}

#[test]
fn a_voter_with_a_promise_from_the_far_future_ends_no_leadership() {
    let mut three = led();
    let refuse = Body::Refuse {
        epoch: Epoch(1),
        round: Round(0),
        promised: Epoch(1 << 62),
        holder: None,
        remaining_ms: u32::MAX,
        reason: quorate_proto::message::RefuseReason::Promised,
    };
    let header = three[2].1.header();
    for _ in 0..3 {
        three[0].1.handle_message(
            address(3),
            Message { header: header.clone(), body: refuse.clone() },
            at(Duration::ZERO),
        );
    }
    assert!(three[0].1.lease(at(Duration::ZERO)).is_some(), "it leads on");
    let events = talk(&mut three, at(Duration::ZERO));
    let odd = events.iter().filter_map(|(_, event)| match event {
        Event::Odd { number, text, .. } => Some((*number, text.is_some())),
        _ => None,
    });
    assert_eq!(odd.collect::<Vec<_>>(), [("epoch", true), ("epoch", false), ("epoch", false)], "told once a minute");
}

fn leaders(events: &[(u8, Event)]) -> Vec<(u8, Epoch)> {
    let gained = |(number, event): &(u8, Event)| match event {
        Event::LeaseGained(lease) => Some((*number, lease.epoch())),
        _ => None,
    };
    events.iter().filter_map(gained).collect()
}

#[test]
fn a_follower_that_stops_does_not_release_the_epoch_of_the_leader() {
    let promise = Promise { epoch: Epoch(6), holder: process(1), lease: Duration::from_secs(1) };
    let mut follower = machine(2, Some(promise));
    follower.step_down("this agent stops", true, at(Duration::ZERO));
    assert!(follower.released().is_empty(), "runs of epoch 6 may still be alive: {:?}", follower.released());
}

#[test]
fn of_two_claims_of_one_epoch_the_higher_id_gives_its_own_up_and_the_lower_one_leads_the_next_epoch_at_once() {
    let mut both = [(1, machine(1, None)), (2, machine(2, None))];
    // a3 is dead, and a2 takes itself for the lowest alive.
    both[0].1.handle_members(peers(&[(2, MemberState::Alive), (3, MemberState::Down)]), at(Duration::ZERO));
    both[1].1.handle_members(peers(&[(1, MemberState::Down), (3, MemberState::Down)]), at(Duration::ZERO));
    // Neither hears the other until both have promised themselves epoch 1.
    for (_, machine) in &mut both {
        machine.claim(Epoch(1), at(Duration::ZERO));
    }
    let events = talk(&mut both, at(Duration::ZERO));
    let given_up =
        |(number, event): &(u8, Event)| matches!(event, Event::ClaimGivenUp { epoch: Epoch(1), .. }).then_some(*number);
    assert_eq!(events.iter().filter_map(given_up).collect::<Vec<_>>(), [2], "{events:?}");
    assert_eq!(leaders(&events), [(1, Epoch(2))], "no time passes: {events:?}");
    let promised = both[1].1.durable().promised.clone().unwrap();
    assert_eq!((promised.epoch, promised.holder), (Epoch(2), process(1)));
}

#[test]
fn a_claim_is_not_given_up_for_a_higher_id_nor_once_it_is_won() {
    let mut both = [(1, machine(1, None)), (2, machine(2, None))];
    both[0].1.handle_members(peers(&[(2, MemberState::Alive), (3, MemberState::Down)]), at(Duration::ZERO));
    both[1].1.handle_members(peers(&[(1, MemberState::Alive), (3, MemberState::Down)]), at(Duration::ZERO));
    both[1].1.claim(Epoch(1), at(Duration::ZERO));
    let events = talk(&mut both, at(Duration::ZERO));
    assert_eq!(leaders(&events), [(2, Epoch(1))], "{events:?}");
    let claim = Body::Claim { epoch: Epoch(1), lease_ms: 1_000, round: Round(1) };
    let header = both[0].1.header();
    both[1].1.handle_message(address(1), Message { header, body: claim }, at(Duration::ZERO));
    assert!(both[1].1.lease(at(Duration::ZERO)).is_some(), "it leads on");
}

#[test]
fn a_voter_that_missed_a_release_is_told_by_the_claimant_and_asked_again_at_once() {
    let dead = process(3);
    let promise = Promise { epoch: Epoch(4), holder: dead.clone(), lease: Duration::from_secs(1) };
    let mut both = [(1, machine(1, Some(promise.clone()))), (2, machine(2, Some(promise)))];
    let later = at(Duration::from_millis(10));
    for (number, machine) in &mut both {
        let other = 3 - *number;
        machine.handle_members(peers(&[(other, MemberState::Alive), (3, MemberState::Alive)]), later);
    }
    // The guardian's datagram to a2 is lost.
    let header = Header { from: dead.clone(), ..both[0].1.header() };
    let body = Body::LeaseEnded { epoch: Epoch(4), holder: dead, dead: true };
    both[0].1.handle_message(address(3), Message { header, body }, later);
    let events = talk(&mut both, later);
    assert_eq!(leaders(&events), [(1, Epoch(5))], "{events:?}");
}

#[test]
fn a_member_that_came_back_as_another_process_is_a_candidate_again_for_everybody() {
    let dead = process(1);
    let promise = Promise { epoch: Epoch(4), holder: dead.clone(), lease: Duration::from_secs(1) };
    let mut survivor = machine(3, Some(promise));
    let all = [(1, MemberState::Alive), (2, MemberState::Alive)];
    survivor.handle_members(peers(&all), at(Duration::ZERO));
    let header = Header { from: dead.clone(), ..survivor.header() };
    let body = Body::Release { epoch: Epoch(4), holder: dead, successor: None, leaving: true };
    survivor.handle_message(address(1), Message { header, body }, at(Duration::ZERO));
    assert_eq!(survivor.first_in_line(), Some(id("a2")), "a1 is dead");
    // Nothing but gossip has said so yet.
    let mut back = peers(&all);
    back.get_mut(&id("a1")).unwrap().generation = Generation(2);
    survivor.handle_members(back, at(Duration::from_secs(1)));
    assert_eq!(survivor.first_in_line(), Some(id("a1")));
}
