//! The production machine under a model checker (`stateright`): every behaviour within small bounds, not only random ones.
//!
//! What runs is `cluster::leadership::Leadership` itself, its registers, lease and last words, and `runtime::journal`.
//! `host` drives one machine as a driver must (outputs in order, a disk that forgets what was not synced), `guard` adds
//! the runs and their guardian, `world` makes the model of them, `ghost` holds the invariants, `models` the bounds,
//! `mutations` takes each rule away and must be told. A message that was sent stays deliverable for ever: lost, late,
//! reordered and repeated are one thing. Membership is advice, given as badly as it helps to break something.
//!
//! Why so many states: an agent's step is a pure function of the agent and its input, so each is computed once and the
//! states share agents. Millions of states need some tens of thousands of steps of the production machine.
//!
//! # What is covered
//!
//! I1 to I5, I8, I10, I11 with clocks that have no bound at all (I12), I6 and I9 with every clock at the edge of its bound;
//! R1 and R5 as rules of one agent; crashes, lost disks, founding with N + 1 and 2N agents, removal and growth of voters,
//! hand-over, journal, guardian, release, W. Reported as `exhausted`: every behaviour within the bounds of that model.
//! `cut off`: all behaviours up to about that depth. The short run takes one thread for a model, so that it sees the same
//! states every time; it goes further by itself where something that should be reachable was not reached (`runner`).
//!
//! # What is not
//!
//! - More than three epochs, two crashes, two removals, a few clock steps in one behaviour. Depth beyond what is reported.
//! - Models named `bare` in the code claim without pre-claims: a superset of the behaviours with them.
//! - Clocks are slow or fast for a whole behaviour, and advance together by steps of a third or half of D.
//! - The thread, socket and process code of `runtime` and `guardian`: `guard` makes their moves (see there). Suspended
//!   clocks, VM freezes, settle and flapping, mode `alive`, two agents of one name: the simulator has those.
//! - Two states with one 64-bit fingerprint are taken for one (`leadership::fingerprint` says what is left out of it).

#![expect(clippy::print_stdout, reason = "counts and traces are for the person who runs it")]
#![expect(clippy::unwrap_used, reason = "the model's own mistakes shall stop it")]

mod config;
mod ghost;
mod guard;
mod host;
mod input;
mod memo;
mod models;
mod mutations;
mod runner;
mod script;
mod world;

use std::time::Duration;

use runner::{Bounds, explore_all};

/// Generated states of a model in the short run; most of them are bounded by it, so that its work does not depend on the
/// machine it runs on.
const STATES: usize = 400_000;

#[expect(clippy::disallowed_methods, reason = "the switches come from scripts/model")]
fn switch(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn every_model_keeps_every_invariant() {
    let number = |name| switch(name).and_then(|text| text.parse::<usize>().ok());
    let long = number("MODEL_SECONDS");
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // The short run is the same every time: with a thread for each model, states alone bound it. The long one goes as far
    // as it gets, with all threads in one model after the other.
    let (threads, side_by_side) = if long.is_some() { (cores, 1) } else { (1, cores) };
    let bounds = Bounds {
        time: long.map_or(Duration::from_hours(1), |seconds| Duration::from_secs(seconds as u64)),
        depth: number("MODEL_DEPTH"),
        states: number("MODEL_STATES").unwrap_or(if long.is_some() { usize::MAX } else { STATES }),
        threads,
    };
    let only = switch("MODEL_NAME");
    let chosen = models::all().into_iter().filter(|config| only.as_ref().is_none_or(|only| only == config.name));
    let chosen: Vec<_> = chosen
        .map(|config| {
            let states = bounds.states.saturating_mul(config.effort);
            (config, Bounds { states, ..bounds })
        })
        .collect();
    assert!(!chosen.is_empty(), "no model has that name");
    let reports = explore_all(chosen, side_by_side, |report| println!("{report}"));
    let (states, unique) = reports.iter().fold((0, 0), |(s, u), report| (s + report.states, u + report.unique));
    println!("together {states} states, {unique} unique");
    let failed = reports.iter().filter(|report| !report.broken.is_empty() || !report.missing.is_empty());
    let failed: Vec<_> = failed.map(|report| report.name).collect();
    assert!(failed.is_empty(), "failed: {failed:?}");
}
