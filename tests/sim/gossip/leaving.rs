//! Leaving is not dying (R9).

use quorate::cluster::membership::{Event, Membership};
use quorate::cluster::view::MemberState;

use super::world::{World, addr, id, identity, ms, secs};
use crate::net::Link;

#[test]
fn a_leave_is_seen_as_one_by_all_whatever_is_lost() {
    for count in [3, 5, 10] {
        for seed in 0..15 {
            let mut world = World::formed(seed, count, Link::LAN.losing(0.2));
            world.forget_events();
            world.act(addr(1), Membership::leave);
            world.run_until("the leave is said", ms(200), |world| world.agent(1).left);
            world.run_until("all know", ms(1_000), |world| world.all_say(1, MemberState::Left));
            world.run_for(secs(10));
            assert_eq!(world.count(|event| *event == Event::Left { id: id(1) }), count - 1);
            assert_eq!(world.count(|event| *event == Event::Down { id: id(1) }), 0);
            assert!(world.all_say(1, MemberState::Left), "it stays left");
        }
    }
}

#[test]
fn a_leave_in_a_large_cluster_reaches_all() {
    let mut world = World::formed(1, 40, Link::LAN.losing(0.1));
    world.act(addr(7), Membership::leave);
    world.run_until("all know", secs(2), |world| world.all_say(7, MemberState::Left));
    assert_eq!(world.false_downs, []);
}

#[test]
fn after_a_leave_nothing_brings_it_back_but_a_new_start() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.act(addr(2), Membership::leave);
    world.run_for(secs(60));
    assert_eq!(world.agent(2).membership.stats().renewals, 0);
    assert!(world.all_say(2, MemberState::Left));
    world.start(identity(2, 2_000));
    world.run_until("it is back", secs(1), World::all_see_all);
    assert_eq!(world.count(|event| *event == Event::Up { id: id(2), restarted: true }), 2);
}
