//! The composed core, membership and leadership together, under simulated faults, with runs and clients on top.
//!
//! `world` is the order of events, `driver` obeys the core as `runtime::core` does, `runs` is the agent's loop and its
//! guardian, `clients` ask and remember, `faults` what goes wrong, `healing` what must come back. The checkers are those of
//! `leadership`, with `overlaps` (I9, I8), `gaps` (liveness) and `history` (linearizability). Environment, read by
//! `scripts/sim`: `SIM_SCENARIO`, `SIM_SEED` (one run with a trace), `SIM_SEEDS` and `SIM_FROM` (a band).
//!
//! # Not here
//!
//! Sealing and framing (corruption is loss), names, torn sectors: the store's checksums make a torn transaction one
//! that did not happen, which is what the simulated disk does with it.

mod clients;
mod driver;
mod faults;
mod gaps;
mod healing;
mod host;
mod mutations;
mod overlaps;
mod quiet;
mod registers;
mod runner;
mod runs;
mod scenario;
mod world;

use quorate::cluster::leadership::Rules;

use crate::leadership::stats::Stats;
use crate::leadership::{fresh_seed, number, wanted};
use runner::{Failure, run, run_band};
use scenario::Scenario;

/// Seeds that once found a defect: they stay found.
const OLD_SEEDS: &[(&str, u64)] = &[
    // The release of a claimant that lost was taken for one of the winner's: two runs of one task at once (I9).
    ("cluster-splits", 1_795_429_874_000_037),
];

fn chosen() -> Vec<Scenario> {
    let all = Scenario::all();
    match wanted() {
        Some(name) => all.into_iter().filter(|s| s.name == name).collect(),
        None => all,
    }
}

#[test]
fn seeds_that_found_a_defect_stay_found() {
    for (name, seed) in OLD_SEEDS {
        let scenario = Scenario::all().into_iter().find(|s| s.name == *name).unwrap();
        let outcome = run(&scenario, Rules::default(), *seed, false);
        if let Err(violation) = outcome.result {
            panic!("{}", Failure { scenario: name, seed: *seed, violation });
        }
    }
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let trace = |seed| {
        let outcome = run(&Scenario::mixed(), Rules::default(), seed, false);
        (outcome.simulated, outcome.stats.to_string())
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

#[test]
fn a_band_of_seeds_keeps_every_invariant() {
    if let Some(seed) = number("SIM_SEED") {
        return replay(seed);
    }
    let from = number("SIM_FROM").unwrap_or_else(fresh_seed);
    let keep_going = number("SIM_KEEP_GOING").is_some();
    println!("seeds from {from}");
    for scenario in chosen() {
        let seeds = number("SIM_SEEDS").unwrap_or(scenario.seeds_in_ci());
        let began = fresh_seed();
        let band = run_band(&scenario, Rules::default(), from..from + seeds, |_| !keep_going);
        let took = ((fresh_seed() - began) / 1_000_000).max(1);
        println!(
            "{}: {} runs in {took} s ({} seeds/s), {} s simulated, longest time without a leader that there could have been \
             {} ms; {}",
            scenario.name,
            band.runs,
            band.runs / took,
            band.simulated / 1_000_000,
            band.longest_gap / 1_000,
            band.stats
        );
        for failure in &band.failures {
            println!("{failure}");
        }
        assert!(band.failures.is_empty(), "{}: {} of {} runs failed", scenario.name, band.failures.len(), band.runs);
        if band.runs >= 200 {
            assert_eq!(idle(&scenario, &band.stats), Vec::<&str>::new(), "{}: these never happened", scenario.name);
        }
    }
}

/// One run, with all that happens in it.
fn replay(seed: u64) {
    for scenario in chosen() {
        let outcome = run(&scenario, Rules::default(), seed, true);
        println!("{}", outcome.stats);
        if let Err(violation) = outcome.result {
            panic!("{violation}");
        }
    }
}

/// What should have happened in so many runs and did not: a run whose faults did nothing proves nothing.
fn idle(scenario: &Scenario, stats: &Stats) -> Vec<&'static str> {
    let mut due: Vec<&'static str> = scenario.faults.iter().map(|(fault, _)| fault.name()).collect();
    due.extend(["leaders", "lost datagrams", "runs", "members down"]);
    if scenario.mode == quorate::cluster::settings::LeadershipMode::Quorum {
        due.extend(["writes acknowledged", "calls answered", "calls of unknown outcome", "histories", "runs stopped"]);
        due.extend(["deaths heard", "waits for unfinished runs"]);
    }
    due.retain(|what| stats.get(what) == 0);
    due
}
