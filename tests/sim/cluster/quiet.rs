//! Without faults nothing changes: no leader falls, nobody is taken for dead, over simulated hours.

use quorate::cluster::leadership::Rules;
use quorate::cluster::settings::Profile;

use super::scenario::{MS, SECOND, Scenario};
use super::world::World;
use crate::leadership::number;

/// Minutes for each profile; hours with `SIM_CALM_MINUTES`.
const MINUTES: u64 = 4;

fn check(profile: Profile, agents: usize, factor: u64) {
    let busy = Scenario {
        drift: 0.0049,
        ask_every: 200 * MS * factor,
        run_every: SECOND * factor,
        ..Scenario::calm(profile, agents)
    };
    let mut world = World::new(busy, Rules::default(), 1, number("SIM_SEED").is_some());
    // Founding, and the hand-over to the lowest id if another was first.
    let settled = micros(profile) * 4 + 20 * SECOND;
    world.run_until(settled).unwrap();
    let (before, down) = (world.led.len(), world.stats.get("members down"));
    let leader = world.only_leader();
    assert_eq!(leader, Some(0), "{profile}: the lowest id leads");
    let minutes = number("SIM_CALM_MINUTES").unwrap_or(MINUTES) * factor;
    world.run_until(settled + minutes * 60 * SECOND).unwrap();
    assert_eq!(world.led.len(), before, "{profile}: a leader fell though nothing was wrong: {:?}", world.led);
    assert_eq!(world.stats.get("members down"), down, "{profile}: somebody was taken for dead");
    assert_eq!(world.only_leader(), Some(0));
    assert_eq!(world.stats.get("leases lost"), u64::try_from(before).unwrap() - 1);
    assert!(world.stats.get("runs") > minutes * 20 / factor, "{}", world.stats);
    println!("{profile}: {agents} agents, {minutes} quiet minutes; {}", world.stats);
}

fn micros(profile: Profile) -> u64 {
    u64::try_from(profile.timing().lease.settle.as_micros()).unwrap()
}

/// Who leads after some minutes with these clocks, and how often leadership began.
fn with_clocks(rates: [f64; 3], minutes: u64) -> (Option<usize>, usize) {
    let slow = Scenario { ask_every: 10 * SECOND, run_every: 10 * SECOND, ..Scenario::calm(Profile::Lan, 3) };
    let mut world = World::new(slow, Rules::default(), 1, false);
    for (host, rate) in rates.into_iter().enumerate() {
        world.hosts[host].clock.set_rate(rate, 0);
    }
    world.run_until(30 * SECOND).unwrap();
    assert_eq!(world.only_leader(), Some(0));
    let before = world.led.len();
    world.run_until((30 + minutes * 60) * SECOND).unwrap();
    (world.only_leader(), world.led.len() - before)
}

#[test]
fn a_follower_with_a_wrong_clock_is_no_reason_to_change_the_leader() {
    assert_eq!(with_clocks([1.0, 1.0, 1.015], 5), (Some(0), 0));
    assert_eq!(with_clocks([1.0, 0.984, 1.0], 5), (Some(0), 0));
}

#[test]
fn a_leader_whose_clock_differs_from_the_others_gives_up() {
    let (_, changes) = with_clocks([1.03, 1.0, 1.0], 2);
    assert!(changes > 0);
}

#[test]
fn a_calm_local_cluster_keeps_its_leader() {
    check(Profile::Local, 3, 1);
}

#[test]
fn a_calm_lan_cluster_keeps_its_leader() {
    check(Profile::Lan, 5, 1);
}

#[test]
fn a_calm_wan_cluster_keeps_its_leader() {
    check(Profile::Wan, 5, 8);
}
