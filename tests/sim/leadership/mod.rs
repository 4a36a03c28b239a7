//! The leadership core under simulated faults: checkers after every event, and proof that they bite.
//!
//! `world` is the event loop, `scenario` what a run is like, `faults` what goes wrong, `checkers` what must hold,
//! `healing` what must come back. Environment, read by `scripts/sim`: `SIM_SCENARIO`, `SIM_SEED` (one run with a
//! trace), `SIM_SEEDS` and `SIM_FROM` (a band).

mod checkers;
mod clock;
mod dice;
mod disk;
mod facts;
mod faults;
mod healing;
mod mutations;
mod network;
mod node;
mod oracle;
mod resource;
mod runner;
mod scenario;
mod stats;
mod world;

use quorate::cluster::leadership::Rules;

use runner::{run, run_band};
use scenario::Scenario;

#[expect(clippy::disallowed_methods, reason = "the simulator's switches come from scripts/sim")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "the simulator's switches come from scripts/sim")]
fn chosen() -> Vec<Scenario> {
    match std::env::var("SIM_SCENARIO") {
        Ok(name) => vec![Scenario::by_name(&name).unwrap()],
        Err(_) => Scenario::all(),
    }
}

#[expect(clippy::disallowed_methods, reason = "new seeds each time are the point; they are printed")]
fn fresh_seed() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs() * 1_000_000
}

#[test]
fn a_band_of_seeds_keeps_every_invariant() {
    if let Some(seed) = number("SIM_SEED") {
        for scenario in chosen() {
            let outcome = run(&scenario, Rules::default(), seed, true);
            println!("{}", outcome.stats);
            if let Err(violation) = outcome.result {
                panic!("{violation}");
            }
        }
        return;
    }
    let from = number("SIM_FROM").unwrap_or_else(fresh_seed);
    let seeds = number("SIM_SEEDS").unwrap_or(30);
    println!("seeds from {from}");
    let keep_going = number("SIM_KEEP_GOING").is_some();
    for scenario in chosen() {
        let began = fresh_seed();
        let band = run_band(&scenario, Rules::default(), from..from + seeds, |_| !keep_going);
        let took = (fresh_seed() - began) / 1_000_000;
        println!(
            "{}: {} runs, {} s simulated, {took} s; {}",
            scenario.name,
            band.runs,
            band.simulated / 1_000_000,
            band.stats
        );
        for failure in &band.failures {
            println!("{failure}");
        }
        assert!(band.failures.is_empty(), "{} failed: {}", scenario.name, band.failures[0]);
    }
}
