//! Explores a model, and says what came of it.

#![expect(
    clippy::disallowed_methods,
    reason = "how long an exploration takes is measured, and decides nothing in a model"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model};

use crate::config::Config;
use crate::world::{INVARIANTS, World};

/// How far to go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) time: Duration,
    pub(crate) depth: Option<usize>,
    /// Generated, with repeats: what bounds the memory.
    pub(crate) states: usize,
    pub(crate) threads: usize,
}

/// What an exploration came to.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) states: usize,
    pub(crate) unique: usize,
    pub(crate) depth: usize,
    /// Steps of one agent that were really computed.
    pub(crate) steps: usize,
    pub(crate) took: Duration,
    /// Every state within the bounds was seen.
    pub(crate) exhausted: bool,
    /// Broken invariants, each with its trace.
    pub(crate) broken: Vec<(&'static str, Vec<String>)>,
    /// What should have been reachable and was not.
    pub(crate) missing: Vec<&'static str>,
}

impl Report {
    pub(crate) fn broke(&self, invariants: &[&str]) -> Option<&(&'static str, Vec<String>)> {
        self.broken.iter().filter(|(name, _)| invariants.contains(name)).min_by_key(|(_, trace)| trace.len())
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = if self.exhausted { "exhausted" } else { "cut off" };
        let held: Vec<&str> = INVARIANTS.into_iter().filter(|i| !self.broken.iter().any(|(b, _)| b == i)).collect();
        let Self { name, states, unique, depth, steps, .. } = self;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{name:<14} {states:>11} states {unique:>10} unique, depth {depth:>3}, {steps:>8} steps of agents, \
             {seconds:>6.1} s, {how}; held: {}",
            held.join(" ")
        )?;
        for (invariant, trace) in &self.broken {
            write!(f, "\n  {invariant} BROKEN after {} steps:", trace.len())?;
            for (number, step) in trace.iter().enumerate() {
                write!(f, "\n    {:>2}. {step}", number + 1)?;
            }
        }
        if !self.missing.is_empty() {
            write!(f, "\n  never reached: {}", self.missing.join("; "))?;
        }
        Ok(())
    }
}

/// Breadth first, so that the first trace found is a shortest one (exactly so with one thread).
pub(crate) fn explore(config: Config, bounds: Bounds, stop_at: Option<&[&'static str]>) -> Report {
    let (name, sometimes) = (config.name, config.sometimes);
    let began = Instant::now();
    let mut builder = World::new(config).checker().threads(bounds.threads).timeout(bounds.time);
    builder = builder.target_state_count(bounds.states);
    if let Some(depth) = bounds.depth {
        builder = builder.target_max_depth(depth);
    }
    builder = builder.finish_when(match stop_at {
        Some(names) => HasDiscoveries::AnyOf(names.iter().copied().collect()),
        None => HasDiscoveries::AnyFailures,
    });
    let checker = builder.spawn_bfs().join();
    let took = began.elapsed();
    let mut broken = Vec::new();
    let mut found = BTreeSet::new();
    for (property, path) in checker.discoveries().into_iter().collect::<BTreeMap<_, _>>() {
        found.insert(property);
        if INVARIANTS.contains(&property) {
            let trace = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
            broken.push((property, trace));
        }
    }
    broken.sort();
    let missing = sometimes.iter().copied().filter(|name| !found.contains(name)).collect();
    Report {
        name,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        steps: checker.model().memo.len(),
        took,
        exhausted: took < bounds.time && checker.state_count() < bounds.states && broken.is_empty(),
        broken,
        missing,
    }
}
