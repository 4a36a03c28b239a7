//! Runs seeds: one, or a band of them on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quorate::cluster::leadership::Rules;

use super::facts::Violation;
use super::scenario::Scenario;
use super::stats::Stats;
use super::world::World;

/// What a seed came to.
pub(crate) struct Outcome {
    pub(crate) stats: Stats,
    pub(crate) result: Result<(), Violation>,
    /// Simulated, in microseconds.
    pub(crate) simulated: u64,
}

/// A failure with what is needed to see it again.
pub(crate) struct Failure {
    pub(crate) scenario: &'static str,
    pub(crate) seed: u64,
    pub(crate) violation: Violation,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { scenario, seed, violation } = self;
        write!(f, "{violation}\n  replay: scripts/sim --scenario {scenario} --seed {seed}")
    }
}

/// One run from its founding to its healing.
pub(crate) fn run(scenario: &Scenario, rules: Rules, seed: u64, trace: bool) -> Outcome {
    let mut world = World::new(scenario.clone(), rules, seed, trace);
    // A panic of the core is a finding like any other: it takes the seed along.
    let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| live(&mut world)));
    let result = lived.unwrap_or_else(|cause| {
        let text = cause.downcast_ref::<String>().map_or("a panic", String::as_str).to_owned();
        Err(Violation { invariant: "panic", text, at: world.real })
    });
    let mut stats = std::mem::take(&mut world.stats);
    stats.add("lost messages", world.network.lost);
    stats.add("doubled messages", world.network.duplicated);
    stats.add("messages into a cut", world.network.cut_off);
    stats.add("fenced off", world.resources.refused);
    stats.add("fence passed", world.resources.accepted);
    Outcome { stats, result, simulated: world.real }
}

fn live(world: &mut World) -> Result<(), Violation> {
    world.run_until(world.scenario.until)?;
    if !world.scenario.must_heal {
        return Ok(());
    }
    world.end_faults();
    if world.is_stuck_by_lost_disks() {
        world.stats.count("stuck by lost disks");
        return world.run_until(world.real + 5 * super::scenario::SECOND);
    }
    let took = world.run_until_healed()?;
    world.stats.add("healing, ms", took / 1_000);
    Ok(())
}

/// What a band of seeds came to.
#[derive(Default)]
pub(crate) struct Band {
    pub(crate) runs: u64,
    pub(crate) simulated: u64,
    pub(crate) stats: Stats,
    pub(crate) failures: Vec<Failure>,
}

/// Runs `seeds` on all cores until a failure that `stops`.
pub(crate) fn run_band(
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
