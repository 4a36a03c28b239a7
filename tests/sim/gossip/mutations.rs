//! Each rule taken away, to see what it held: a scenario that passes without its rule proves nothing.
//!
//! Run with `--features mutations`. Each test here has its counterpart with the rule in place in the other modules.

use quorate::cluster::membership::{Event, Membership, Rule};

use super::faults::declare_down;
use super::world::{World, addr, id, identity, ms, secs};
use crate::net::Link;

#[test]
fn without_rejoining_a_lost_first_word_is_not_repeated() {
    let slow = |tweak: fn(&mut Membership)| {
        let mut world = World::with(1, tweak);
        let others: Vec<_> = (1..3).map(addr).collect();
        world.net.part(&[addr(0)], &others);
        world.net.part(&[addr(1)], &[addr(2)]);
        world.start_all(3);
        world.run_for(secs(1));
        world.net.heal();
        world.run_for(secs(30));
        world.all_see_all()
    };
    assert!(slow(|_| {}));
    assert!(!slow(|membership| {
        membership.take_away(Rule::Rejoin);
        membership.take_away(Rule::Reseed);
    }));
}

#[test]
fn without_reseeding_islands_stay_islands() {
    let mut world = World::with(1, |membership| membership.take_away(Rule::Reseed));
    world.seeds = (0..6).map(addr).collect();
    let (here, there): (Vec<_>, Vec<_>) = ((0..3).map(addr).collect(), (3..6).map(addr).collect());
    world.net.part(&here, &there);
    world.start_all(6);
    world.run_for(secs(20));
    world.net.heal();
    world.run_for(secs(120));
    assert!(!world.all_see_all());
}

#[test]
fn without_the_join_burst_a_large_cluster_is_slow_to_be_whole() {
    let mut world = World::with(1, |membership| {
        membership.take_away(Rule::Burst);
        membership.take_away(Rule::Budget);
    });
    world.start_all(50);
    world.run_for(secs(2));
    assert!(!world.all_see_all());
}

#[test]
fn without_dropping_refuted_suspicions_healthy_agents_are_turned_out() {
    let mut world =
        World::formed_with(1, 3, Link::LAN.losing(0.2), |membership| membership.take_away(Rule::StaleTimer));
    world.run_for(secs(600));
    assert!(world.total(|stats| stats.renewals) > 10, "{}", world.total(|stats| stats.renewals));
}

#[test]
fn without_a_back_off_renewals_come_at_the_speed_of_the_wire() {
    let mut world = World::formed_with(1, 3, Link::LAN, |membership| membership.take_away(Rule::Backoff));
    for _ in 0..200 {
        declare_down(&mut world, 2);
        world.run_for(ms(50));
    }
    let renewals = world.stats(2).renewals;
    assert!(renewals > 30, "{renewals} in ten seconds");
}

#[test]
fn without_adopting_a_generation_an_agent_behind_its_past_stays_out() {
    let mut world = World::formed_with(1, 3, Link::LAN, |membership| membership.take_away(Rule::Adopt));
    world.kill(2);
    world.run_for(secs(10));
    world.start(identity(2, 5));
    world.run_for(secs(60));
    assert!(!world.all_see_all());
}

#[test]
fn a_leave_said_once_is_sometimes_not_heard_in_time() {
    use quorate::cluster::view::MemberState;
    let late = |tweak: fn(&mut Membership)| {
        (0..150)
            .filter(|seed| {
                let mut world = World::formed_with(*seed, 3, Link::LAN.losing(0.3), tweak);
                world.act(addr(1), Membership::leave);
                world.run_for(secs(1));
                !world.all_say(1, MemberState::Left)
            })
            .count()
    };
    let (with, without) = (late(|_| {}), late(|membership| membership.take_away(Rule::LeaveRepeats)));
    assert!(with == 0 && without > 3, "{with} with the rule, {without} without");
}

#[test]
fn without_budget_and_buddy_suspects_die_of_not_being_told() {
    let false_downs = |tweak: fn(&mut Membership)| {
        let mut world = World::formed_with(1, 3, Link::LAN.losing(0.2), tweak);
        world.run_for(secs(600));
        world.false_downs.len()
    };
    let neither = false_downs(|membership| {
        membership.take_away(Rule::Budget);
        membership.take_away(Rule::Buddy);
    });
    let no_buddy = false_downs(|membership| membership.take_away(Rule::Buddy));
    let no_budget = false_downs(|membership| membership.take_away(Rule::Budget));
    assert!(neither > 50, "{neither}");
    assert_eq!((no_buddy, no_budget), (0, 0), "either alone is enough for three agents");
}

#[test]
fn probing_that_stopped_starts_again_only_with_the_watchdog() {
    let detects = |tweak: fn(&mut Membership)| {
        let mut world = World::formed_with(1, 2, Link::LAN, tweak);
        world.act(addr(0), |membership, _| membership.stop_probing());
        world.run_for(secs(3));
        world.kill(1);
        world.run_for(secs(10));
        world.agent(0).events.iter().any(|(_, event)| *event == Event::Down { id: id(1) })
    };
    assert!(detects(|_| {}));
    assert!(!detects(|membership| membership.take_away(Rule::Watchdog)));
}

#[test]
fn an_agent_that_slept_accuses_others_unless_its_sleep_is_discounted() {
    let suspicions = |tweak: fn(&mut Membership)| {
        let mut total = 0;
        for seed in 0..20 {
            let slow = Link { delay: ms(20), ..Link::LAN.losing(0.3) };
            let mut world = World::formed_with(seed, 3, slow, tweak);
            for _ in 0..20 {
                let before = world.stats(0).suspicions;
                world.net.pause(addr(0), ms(900));
                world.run_for(ms(905));
                total += world.stats(0).suspicions - before;
                world.run_for(secs(2));
            }
        }
        total
    };
    let (with, without) = (suspicions(|_| {}), suspicions(|membership| membership.take_away(Rule::Lateness)));
    assert!(with * 3 < without, "{with} with the rule, {without} without");
}
