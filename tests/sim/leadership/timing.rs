//! How long nobody leads: after a crash, after a crash with a guardian's release, and when leadership is handed over.
//!
//! Measured on a quiet network, from the event to the moment the next leader is active.

use quorate::cluster::leadership::Rules;

use super::clock::Real;
use super::network::Weather;
use super::scenario::{MS, SECOND, Scenario};
use super::world::World;

/// How leadership ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Crash,
    CrashWithRelease,
    HandOver,
}

/// Times without a leader, sorted, in microseconds.
fn leaderless(end: End, seeds: u64) -> Vec<Real> {
    let mut times: Vec<Real> = (1..=seeds).map(|seed| once(end, seed)).collect();
    times.sort_unstable();
    times
}

fn once(end: End, seed: u64) -> Real {
    let quiet = Scenario { faults: &[], ..Scenario::three() };
    let mut world = World::new(quiet, Rules::default(), seed, false);
    world.network.weather = Weather::FINE;
    // Not at the same point of the renewal interval every time.
    let when = 9 * SECOND + world.dice.range(0, SECOND);
    world.run_until(when).unwrap();
    let leader = world.leading_host().unwrap();
    let words = world.hosts[leader].running.as_ref().and_then(|r| r.machine.last_words());
    match end {
        End::Crash => assert!(world.crash(leader)),
        End::CrashWithRelease => {
            assert!(world.crash(leader));
            let words = words.unwrap();
            for to in words.to {
                world.post(leader, to, words.release.clone());
            }
        }
        End::HandOver => world.with(leader, |machine, now| {
            machine.step_down("asked", false, now);
            machine.runs_stopped(now);
        }),
    }
    world.run_until(when + 10 * SECOND).unwrap();
    let (at, _, _) = world.led.iter().find(|(at, _, _)| *at >= when).unwrap();
    at - when
}

fn check(end: End, median: Real, worst: Real) {
    let times = leaderless(end, 200);
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    let ms = |micros: Real| Real::to_string(&(micros / MS));
    println!("{end:?}: leaderless for {} ms (median), {} ms (p95), {} ms (worst)", ms(at(50)), ms(at(95)), ms(at(100)));
    assert!(at(50) <= median && at(100) <= worst, "{end:?}: too long without a leader");
}

#[test]
fn a_crash_costs_the_detection_and_little_more() {
    // The advice says down after 1.2 s, looking every 100 ms.
    check(End::Crash, 1_350 * MS, 1_600 * MS);
}

#[test]
fn a_released_lease_costs_a_few_round_trips() {
    check(End::CrashWithRelease, 40 * MS, 250 * MS);
}

#[test]
fn a_hand_over_costs_a_few_round_trips() {
    check(End::HandOver, 40 * MS, 250 * MS);
}
