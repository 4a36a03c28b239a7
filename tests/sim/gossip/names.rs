//! Two processes under one name are loud and do not wear the others out.

use quorate::cluster::membership::Event;
use quorate_proto::{Generation, Identity, Instance};

use super::world::{World, addr, id, identity, secs};
use crate::net::Link;

fn is_conflict(event: &Event) -> bool {
    matches!(event, Event::Conflict { id: name, .. } if *name == id(2))
}

fn is_twin(event: &Event) -> bool {
    matches!(event, Event::Twin { id: name, .. } if *name == id(2))
}

#[test]
fn another_data_directory_under_a_living_name_raises_a_conflict_everywhere() {
    for (seed, generation) in [(1, 2_000), (2, 500)] {
        let mut world = World::formed(seed, 3, Link::LAN);
        world.start(Identity { instance: Instance([77; 16]), gossip_addr: addr(5), ..identity(2, generation) });
        world.run_for(secs(30));
        for number in 0..2 {
            let heard = world.agent(number).events.iter().any(|(_, event)| is_conflict(event));
            assert!(heard, "generation {generation}: agent {number} noticed");
        }
        let before = world.net.counts.sent;
        world.run_for(secs(60));
        assert!(world.net.counts.sent - before < 60 * 60, "no storm: {}", world.net.counts.sent - before);
        assert!(world.total(|stats| stats.renewals) < 60, "{}", world.total(|stats| stats.renewals));
        assert!(world.false_downs.iter().all(|(_, _, about)| *about == id(2)));
    }
}

#[test]
fn a_copied_data_directory_raises_an_alarm_and_no_storm() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.start(Identity { gossip_addr: addr(5), ..identity(2, 2_000) });
    world.run_for(secs(60));
    assert!(world.count(is_twin) > 0);
    let before = world.net.counts.sent;
    world.run_for(secs(60));
    assert!(world.net.counts.sent - before < 60 * 60, "no storm: {}", world.net.counts.sent - before);
    let adoptions = world.total(|stats| stats.adoptions);
    assert!(adoptions < 60, "{adoptions} generations taken in two minutes");
}

#[test]
fn a_banned_data_directory_is_not_heard_and_the_other_lives_in_peace() {
    let mut world = World::formed(1, 3, Link::LAN);
    let rogue = Instance([77; 16]);
    world.start(Identity { instance: rogue, gossip_addr: addr(5), ..identity(2, 2_000) });
    world.run_for(secs(5));
    for number in 0..3 {
        world.act(addr(number), |membership, now| membership.handle_banned(rogue, now));
    }
    world.run_for(secs(10));
    world.false_downs.clear();
    world.forget_events();
    world.run_for(secs(60));
    assert_eq!(world.false_downs, []);
    for number in 0..3 {
        let member = world.agent(number).membership.member(&id(2)).unwrap();
        assert_eq!((member.identity.instance, member.state.as_str()), (Instance([2; 16]), "alive"), "agent {number}");
    }
    assert_eq!(world.count(is_conflict), 0);
}

#[test]
fn generations_never_fall() {
    let mut world = World::formed(1, 3, Link::LAN.losing(0.1));
    let mut last = Generation(0);
    for round in 0..20 {
        super::faults::declare_down(&mut world, 2);
        if round % 5 == 4 {
            world.kill(2);
            world.start(identity(2, 1_000 - round));
        }
        world.run_for(secs(3));
        let own = world.agent(0).membership.member(&id(2)).unwrap().identity.generation;
        assert!(own >= last, "{own} after {last}");
        last = own;
    }
}
