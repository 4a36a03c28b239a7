//! Cuts, pauses, and verdicts that were wrong: everybody comes back, and nobody does so at wire speed (R3, R7).

use quorate::cluster::membership::Event;
use quorate::cluster::settings::Profile;
use quorate::cluster::view::MemberState;
use quorate_proto::Generation;

use super::world::{World, addr, id, ms, secs};
use crate::net::Link;

#[test]
fn a_healed_partition_is_whole_again_within_the_reseed_period_and_two_seconds() {
    let limit = Profile::Lan.timing().gossip.reseed_period.mul_f64(1.1) + secs(2);
    for (count, seed) in [(5, 1), (5, 2), (6, 3), (6, 4), (3, 5), (7, 6), (2, 7)] {
        let mut world = World::formed(seed, count, Link::LAN.losing(0.05));
        let (here, there): (Vec<_>, Vec<_>) =
            ((0..count / 2).map(addr).collect(), (count / 2..count).map(addr).collect());
        world.net.part(&here, &there);
        world.run_for(secs(30));
        assert!(world.count(|event| matches!(event, Event::Down { .. })) >= count);
        world.net.heal();
        world.run_until("all see all", limit, World::all_see_all);
        world.run_for(secs(20));
        assert!(world.all_see_all());
        assert!(world.total(|stats| stats.renewals) <= 2 * count as u64, "each renews about once");
    }
}

#[test]
fn all_alone_for_a_day_still_find_each_other() {
    let mut world = World::formed(1, 3, Link::LAN);
    let hosts: Vec<_> = (0..3).map(addr).collect();
    for host in &hosts {
        let others: Vec<_> = hosts.iter().copied().filter(|other| other != host).collect();
        world.net.part(&[*host], &others);
    }
    world.run_for(secs(26 * 60 * 60));
    assert!(world.agents.values().all(|agent| agent.membership.members().count() == 1), "the dead are forgotten");
    world.net.heal();
    world.run_until("all see all", secs(5), World::all_see_all);
}

#[test]
fn a_cut_between_two_members_is_bridged_by_the_others() {
    for both_ways in [false, true] {
        let mut world = World::formed(1, 3, Link::LAN);
        world.net.cut(addr(0), addr(1));
        if both_ways {
            world.net.cut(addr(1), addr(0));
        }
        world.run_for(secs(120));
        assert!(world.net.counts.cut > 100);
        assert_eq!(world.false_downs, []);
        assert!(world.all_see_all());
    }
}

#[test]
fn a_link_that_loses_most_in_one_direction_is_bridged_as_well() {
    let mut world = World::formed(1, 5, Link::LAN);
    world.net.set_link_between(addr(0), addr(1), Link::LAN.losing(0.9));
    world.run_for(secs(120));
    assert!(world.net.counts.lost > 50);
    assert_eq!(world.false_downs, []);
}

#[test]
fn a_pause_shorter_than_p_plus_s_is_forgiven() {
    for seed in 0..10 {
        let mut world = World::formed(seed, 3, Link::LAN);
        for _ in 0..20 {
            world.net.pause(addr(1), ms(950));
            world.run_for(secs(6));
        }
        assert_eq!(world.false_downs, []);
        assert!(world.count(|event| matches!(event, Event::Late { .. })) >= 15);
    }
}

#[test]
fn an_agent_that_slept_comes_back_and_accuses_nobody() {
    for seed in 0..10 {
        let mut world = World::formed(seed, 5, Link::LAN.losing(0.1));
        world.forget_events();
        world.net.pause(addr(0), secs(5));
        world.run_for(secs(4));
        assert_eq!(world.state(1, 0), Some(MemberState::Down));
        world.run_until("it is back", secs(5), World::all_see_all);
        world.run_for(secs(5));
        assert_eq!(world.agent(0).events.iter().filter(|(_, event)| matches!(event, Event::Down { .. })).count(), 0);
        assert!(world.false_downs.iter().all(|(_, _, about)| *about == id(0)), "{:?}", world.false_downs);
    }
}

#[test]
fn a_renewed_agent_whose_first_words_were_lost_is_heard_again() {
    for seed in 0..10 {
        let mut world = World::formed(seed, 3, Link::LAN);
        declare_down(&mut world, 2);
        world.run_until("it hears of it", secs(1), |world| world.stats(2).standing == "declared down");
        let others: Vec<_> = (0..2).map(addr).collect();
        world.net.part(&[addr(2)], &others);
        world.run_until("it renews", ms(200), |world| world.stats(2).renewals == 1);
        world.run_for(ms(50));
        world.net.heal();
        world.run_until("all see all", ms(1_200), World::all_see_all);
    }
}

#[test]
fn an_agent_that_is_declared_down_over_and_over_renews_ever_more_slowly() {
    let mut world = World::formed(1, 3, Link::LAN);
    for _ in 0..1_200 {
        declare_down(&mut world, 2);
        world.run_for(ms(50));
    }
    let renewals = world.stats(2).renewals;
    assert!((5..=20).contains(&renewals), "{renewals} in a minute");
    world.run_until("all see all", secs(10), World::all_see_all);
}

/// The others are told, wrongly, that an agent has ended.
pub(super) fn declare_down(world: &mut World, number: usize) {
    for other in (0..3).filter(|other| *other != number) {
        world.act(addr(other), |membership, now| membership.handle_gone(&id(number), Generation(u64::MAX), now));
    }
}
