//! Runs seeds of the composed core: one, or a band of them on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quorate::cluster::leadership::Rules;

use super::scenario::{MS, SECOND, Scenario};
use super::world::World;
use crate::leadership::facts::Violation;
use crate::leadership::stats::Stats;

/// What a seed came to.
pub(super) struct Outcome {
    pub(super) stats: Stats,
    pub(super) result: Result<(), Violation>,
    /// Simulated, and the longest time without a leader that there could have been, in microseconds.
    pub(super) simulated: u64,
    pub(super) gap: u64,
}

/// A failure with what is needed to see it again.
pub(super) struct Failure {
    pub(super) scenario: &'static str,
    pub(super) seed: u64,
    pub(super) violation: Violation,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scenario, seed, violation } = self;
        write!(f, "{violation}\n  replay: scripts/sim --scenario {scenario} --seed {seed}")
    }
}

/// One run from its founding to its healing.
pub(super) fn run(scenario: &Scenario, rules: Rules, seed: u64, trace: bool) -> Outcome {
    let mut world = World::new(sized(scenario, seed), rules, seed, trace);
    // A panic of the core is a finding like any other: it takes the seed along.
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(&mut world, seed)));
    let result = lived.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map_or("a panic", String::as_str).to_owned();
        Err(Violation { invariant: "panic", text, at: world.real() })
    });
    let mut stats = std::mem::take(&mut world.stats);
    let counts = &world.net.counts;
    stats.add("datagrams", counts.sent);
    stats.add("lost datagrams", counts.lost);
    stats.add("doubled datagrams", counts.duplicated);
    stats.add("datagrams into a cut", counts.cut);
    stats.add("fenced off", world.resources.refused);
    stats.add("fence passed", world.resources.accepted);
    stats.add("excused overlaps of runs", world.overlaps.excused);
    Outcome { stats, result, simulated: world.real(), gap: world.gaps.longest }
}

/// The scenarios with the default timing are of two to seven agents, by seed.
fn sized(scenario: &Scenario, seed: u64) -> Scenario {
    if scenario.name != "cluster-lan" {
        return scenario.clone();
    }
    let agents = 2 + usize::try_from(seed % 6).unwrap();
    Scenario { agents, founders: agents.min(5), ..scenario.clone() }
}

fn live(world: &mut World, seed: u64) -> Result<(), Violation> {
    world.run_until(world.scenario.until)?;
    if let Some(within) = world.scenario.heals_within {
        world.end_faults();
        if world.is_stuck_by_lost_disks() {
            world.stats.count("stuck by lost disks");
            world.run_until(world.real() + 2 * SECOND)?;
        } else {
            let lowest = seed.is_multiple_of(world.scenario.lowest_in);
            let took = world.run_until_healed(within, lowest)?;
            world.stats.add("healing, ms", took / MS);
            world.stats.add("watched until the lowest leads", u64::from(lowest));
            if let Some(leader) = world.only_leader() {
                world.read_all(leader);
            }
        }
    }
    world.check_histories();
    world.run_until(world.real())
}

/// What a band of seeds came to.
#[derive(Default)]
pub(super) struct Band {
    pub(super) runs: u64,
    pub(super) simulated: u64,
    pub(super) longest_gap: u64,
    pub(super) stats: Stats,
    pub(super) failures: Vec<Failure>,
}

/// Runs `seeds` on all cores until a failure that `stops`.
pub(super) fn run_band(
    scenario: &Scenario,
    rules: Rules,
    seeds: std::ops::Range<u64>,
    stops: impl Fn(&Violation) -> bool + Sync,
) -> Band {
    let next = AtomicU64::new(seeds.start);
    let halt = AtomicBool::new(false);
    let band = Mutex::new(Band::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !halt.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let outcome = run(scenario, rules, seed, false);
                    let mut band = band.lock().unwrap();
                    band.runs += 1;
                    band.simulated += outcome.simulated;
                    band.longest_gap = band.longest_gap.max(outcome.gap);
                    band.stats.merge(&outcome.stats);
                    if let Err(violation) = outcome.result {
                        halt.fetch_or(stops(&violation), Ordering::Relaxed);
                        band.failures.push(Failure { scenario: scenario.name, seed, violation });
                    }
                }
            });
        }
    });
    let mut band = band.into_inner().unwrap();
    band.failures.sort_by_key(|f| f.seed);
    band
}
