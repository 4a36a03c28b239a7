//! Finding each other: R3, R4, R5, addresses that translate, and what it costs to stay.

use std::net::SocketAddr;

use quorate::cluster::membership::Event;
use quorate_proto::{Generation, Identity};

use super::world::{World, addr, id, identity, ms, secs};
use crate::net::{Counts, Link};

#[test]
fn agents_started_together_all_see_each_other_within_two_seconds() {
    for (count, seeds) in [(3, 0..20), (10, 0..20), (50, 0..3)] {
        for seed in seeds {
            let mut world = World::new(seed, Link::LAN);
            world.start_all(count);
            let took = world.run_until("all see all", secs(2), World::all_see_all);
            assert!(took < secs(2), "{count} agents, seed {seed}: {took:?}");
        }
    }
}

#[test]
fn a_lossy_network_does_not_keep_agents_apart() {
    for seed in 0..20 {
        let mut world = World::new(seed, Link::LAN.losing(0.3));
        world.start_all(5);
        world.run_until("all see all", secs(10), World::all_see_all);
    }
}

#[test]
fn one_agent_alone_sends_nothing_and_finds_a_seed_that_starts_later() {
    let mut world = World::new(1, Link::LAN);
    world.seeds = vec![addr(0)];
    world.start(identity(0, 1));
    world.run_for(secs(60));
    assert_eq!(world.net.counts.sent, 0, "its only seed is itself");
    world.seeds = vec![addr(1)];
    world.act(addr(0), |membership, now| membership.handle_seeds(vec![addr(0), addr(1)], now));
    world.run_for(secs(60));
    world.start(identity(1, 1));
    world.run_until("all see all", secs(2), World::all_see_all);
}

#[test]
fn islands_that_never_met_merge_when_the_cut_heals() {
    for seed in 0..10 {
        let mut world = World::new(seed, Link::LAN);
        world.seeds = (0..6).map(addr).collect();
        let (here, there): (Vec<_>, Vec<_>) = ((0..3).map(addr).collect(), (3..6).map(addr).collect());
        world.net.part(&here, &there);
        world.start_all(6);
        world.run_for(secs(20));
        assert!(!world.all_see_all());
        world.net.heal();
        world.run_until("the islands merge", secs(5), World::all_see_all);
        assert_eq!(world.false_downs, []);
    }
}

#[test]
fn an_agent_with_no_seeds_finds_members_of_its_earlier_life() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.seeds.clear();
    world.kill(2);
    world.run_until("it is down", secs(5), |world| world.all_say(2, quorate::cluster::view::MemberState::Down));
    let moved = Identity { gossip_addr: addr(7), ..identity(2, 2_000) };
    for number in 0..2 {
        world.act(addr(number), |membership, now| membership.handle_seeds(Vec::new(), now));
    }
    world.start(moved);
    world.act(addr(7), |membership, now| membership.handle_address_book(vec![(id(0), addr(0))], now));
    world.run_until("it is back", secs(2), World::all_see_all);
}

#[test]
fn seeds_may_be_dialled_at_addresses_that_nobody_advertises() {
    let outside = |number: u8| SocketAddr::from(([192, 0, 2, number], 9_000));
    let mut world = World::new(1, Link::LAN);
    for number in 0..3_u8 {
        world.net.alias(outside(number), addr(number.into()));
    }
    world.seeds = (0..3).map(outside).collect();
    world.start_all(3);
    world.run_until("all see all", secs(2), World::all_see_all);
    world.run_for(secs(20));
    let before = world.total(|stats| stats.announces);
    world.run_for(secs(60));
    assert_eq!(world.total(|stats| stats.announces), before, "a seed that answered is not missing");
}

#[test]
fn a_restart_at_another_address_is_no_down_and_one_restart() {
    for seed in 0..20 {
        let mut world = World::formed(seed, 5, Link::LAN);
        world.forget_events();
        world.kill(4);
        world.start(Identity { gossip_addr: addr(9), ..identity(4, 2_000) });
        world.run_until("the new address is known", secs(2), World::all_see_all);
        world.run_for(secs(10));
        assert_eq!(world.count(|event| matches!(event, Event::Down { .. } | Event::Suspect { .. })), 0);
        assert_eq!(world.count(|event| *event == Event::Up { id: id(4), restarted: true }), 4);
        assert_eq!(world.count(|event| matches!(event, Event::Conflict { .. } | Event::Twin { .. })), 0);
    }
}

#[test]
fn an_agent_that_restarts_behind_what_others_remember_takes_a_later_generation() {
    for (seed, noticed) in [(1, true), (2, false), (3, true), (4, false)] {
        let mut world = World::formed(seed, 3, Link::LAN);
        world.kill(2);
        world.run_for(if noticed { secs(10) } else { ms(20) });
        world.start(identity(2, 5));
        world.run_until("it is back", secs(5), World::all_see_all);
        let own = world.agent(2).membership.identity().unwrap();
        assert!(own.generation > Generation(1_000), "{own:?}");
        assert!(world.stats(2).renewals <= 8, "{:?}", world.stats(2));
    }
}

#[test]
fn a_new_data_directory_whose_clock_is_behind_joins_in_place_of_the_one_that_is_gone() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.kill(2);
    world.run_for(secs(10));
    world.start(Identity { instance: quorate_proto::Instance([77; 16]), ..identity(2, 5) });
    world.run_until("it is in", secs(8), World::all_see_all);
    assert_eq!(world.count(|event| matches!(event, Event::Conflict { .. } | Event::Twin { .. })), 0);
}

#[test]
fn an_idle_agent_of_three_costs_less_than_800_bytes_a_second() {
    let mut world = World::formed(1, 3, Link::LAN);
    world.run_for(secs(10));
    world.net.counts = Counts::default();
    world.run_for(secs(300));
    let per_second = (world.net.counts.bytes + 36 * world.net.counts.sent) / 300 / 3;
    assert!(per_second < 800, "{per_second} bytes");
}

#[test]
fn one_seed_gives_one_run() {
    let run = |seed| {
        let mut world = World::formed(seed, 5, Link::LAN.losing(0.2));
        world.run_for(secs(60));
        world.net.trace()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}
