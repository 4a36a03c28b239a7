//! Two agents of one name are told apart from one agent that lost its disk (protocol-safety 10).

use quorate::cluster::leadership::Rules;
use quorate_proto::message::{Body, Commits, Header, Message, Process, Round};
use quorate_proto::{BootNonce, Instance, Stamp};

use super::scenario::{MS, SECOND, Scenario};
use super::world::{Happening, World};

/// A quiet cluster, and a stranger with a follower's name that speaks to the leader for five seconds.
fn told_to_stop(follower_is_dead: bool) -> u64 {
    let quiet = Scenario { faults: &[], ..Scenario::three() };
    let mut world = World::new(quiet, Rules::default(), 1, false);
    world.run_until(9 * SECOND).unwrap();
    let leader = world.leading_host().unwrap();
    let follower = (leader + 1) % 3;
    if follower_is_dead {
        assert!(world.crash(follower));
    }
    let machine = &world.hosts[leader].running.as_ref().unwrap().machine;
    let from = Process { id: world.hosts[follower].id.clone(), instance: Instance([7; 16]), boot: BootNonce([7; 16]) };
    let header =
        Header { cluster: machine.durable().cluster, from, voters: Stamp::default(), commits: Commits::default() };
    let body = Body::Pull { epoch: machine.epoch(), round: Round::default(), have: Vec::new() };
    let message = Message { header, body };
    for n in 0..25 {
        let (from, message) = (world.hosts[follower].addr, Box::new(message.clone()));
        world.after(n * 200 * MS, Happening::Arrives { to: leader, from, message });
    }
    world.run_until(15 * SECOND).unwrap();
    world.stats.get("conflicts told")
}

#[test]
fn a_second_agent_of_a_voters_name_is_told_to_stop() {
    assert!(told_to_stop(false) > 0);
}

#[test]
fn an_agent_that_lost_its_disk_is_not() {
    assert_eq!(told_to_stop(true), 0);
}

/// A quiet cluster of which one follower's directory is put back to an old copy after it has run on; how often it was told.
fn put_back(rest: bool) -> (u64, u64) {
    let quiet = Scenario { faults: &[], ..Scenario::three() };
    let mut world = World::new(quiet, Rules::default(), 1, false);
    world.run_until(9 * SECOND).unwrap();
    let follower = (world.leading_host().unwrap() + 1) % 3;
    let copy = world.hosts[follower].disk.durable.clone();
    world.run_until(15 * SECOND).unwrap();
    assert!(world.crash(follower));
    if rest {
        world.hosts[follower].disk.durable = copy;
    }
    world.after(SECOND, Happening::Start { host: follower });
    world.run_until(25 * SECOND).unwrap();
    (world.stats.get("old copies told"), world.stats.get("processes told to stop"))
}

#[test]
fn an_old_copy_of_a_directory_is_told_to_stop() {
    let (told, stopped) = put_back(true);
    assert!(told > 0 && stopped > 0, "told {told} times, stopped {stopped} times");
}

#[test]
fn a_restart_on_the_true_directory_is_not() {
    assert_eq!(put_back(false), (0, 0));
}
