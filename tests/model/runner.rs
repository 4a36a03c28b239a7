//! Explores a model, and says what came of it.

#![expect(
    clippy::disallowed_methods,
    reason = "how long an exploration takes is measured, and decides nothing in a model"
)]

use std::collections::BTreeMap;
use std::sync::Mutex;
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
    /// With one, which states are seen within the bounds, and what is reached in them, is the same every time.
    pub(crate) threads: usize,
}

/// How many times as far an exploration goes that was cut off before it reached what it should.
const FURTHER: usize = 4;

/// What an exploration came to.
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
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
    /// What should have been reachable and was, and how many states had been generated when it was first seen.
    pub(crate) reached: Vec<(&'static str, usize)>,
    /// What should have been reachable and was not.
    pub(crate) missing: Vec<&'static str>,
    /// The bound at which it was cut off with something missing, before this longer exploration.
    pub(crate) cut_off_at: Option<usize>,
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
        let Self { name, about, states, unique, depth, steps, .. } = self;
        let seconds = self.took.as_secs_f64();
        write!(
            f,
            "{name:<14} {states:>11} states {unique:>10} unique, depth {depth:>3}, {steps:>8} steps of agents, \
             {seconds:>6.1} s, {how}; held: {}",
            held.join(" ")
        )?;
        write!(f, "\n{:14} {about}", "")?;
        for (invariant, trace) in &self.broken {
            write!(f, "\n  {invariant} BROKEN after {} steps:", trace.len())?;
            for (number, step) in trace.iter().enumerate() {
                write!(f, "\n    {:>2}. {step}", number + 1)?;
            }
        }
        if let Some(states) = self.cut_off_at {
            write!(f, "\n  explored again, {FURTHER} times as far: something was missing after {states} states")?;
        }
        for (what, states) in &self.reached {
            write!(f, "\n  after {states} states: {what}")?;
        }
        if !self.missing.is_empty() {
            write!(f, "\n  never reached: {}", self.missing.join("; "))?;
        }
        Ok(())
    }
}

/// Explores a model. If that was cut off before everything was reached that should be, explores it once more and further:
/// a change of the machine may move what a model is about beyond its bound, without making it unreachable.
pub(crate) fn explore_far_enough(config: Config, bounds: Bounds) -> Report {
    let report = explore(config.clone(), bounds, None);
    if report.missing.is_empty() || report.exhausted || !report.broken.is_empty() {
        return report;
    }
    let further = Bounds { states: bounds.states.saturating_mul(FURTHER), ..bounds };
    Report { cut_off_at: Some(report.states), ..explore(config, further, None) }
}

/// Explores models, so many at the same time, long ones first. `tell` hears of each at its end; the answer is in their order.
pub(crate) fn explore_all(
    models: Vec<(Config, Bounds)>,
    side_by_side: usize,
    tell: impl Fn(&Report) + Sync,
) -> Vec<Report> {
    let mut waiting: Vec<_> = models.into_iter().enumerate().collect();
    // Taken from the end.
    waiting.sort_by_key(|(number, (_, bounds))| (bounds.states, std::cmp::Reverse(*number)));
    let waiting = Mutex::new(waiting);
    let reports = Mutex::new(BTreeMap::new());
    let next = || waiting.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..side_by_side {
            scope.spawn(|| {
                while let Some((number, (config, bounds))) = next() {
                    let report = explore_far_enough(config, bounds);
                    let mut reports = reports.lock().unwrap();
                    tell(&report);
                    reports.insert(number, report);
                }
            });
        }
    });
    reports.into_inner().unwrap().into_values().collect()
}

/// Breadth first, so that the first trace found is a shortest one (exactly so with one thread).
pub(crate) fn explore(config: Config, bounds: Bounds, stop_at: Option<&[&'static str]>) -> Report {
    let (name, about, sometimes) = (config.name, config.about, config.sometimes);
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
    for (property, path) in checker.discoveries().into_iter().collect::<BTreeMap<_, _>>() {
        if INVARIANTS.contains(&property) {
            let trace = path.into_actions().iter().map(|action| format!("{action:?}")).collect();
            broken.push((property, trace));
        }
    }
    broken.sort();
    let reached = checker.model().reached();
    let is_missing = |name: &&str| !reached.iter().any(|(had, _)| had == name);
    let missing = sometimes.iter().copied().filter(is_missing).collect();
    Report {
        name,
        about,
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth(),
        steps: checker.model().memo.len(),
        took,
        exhausted: took < bounds.time && checker.state_count() < bounds.states && broken.is_empty(),
        broken,
        reached,
        missing,
        cut_off_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models;
    use crate::world::{HAND_OVER, SUCCESSION};

    fn bounds(states: usize) -> Bounds {
        Bounds { time: Duration::from_hours(1), depth: None, states, threads: 1 }
    }

    #[test]
    fn what_is_beyond_the_bound_is_looked_for_further() {
        let report = explore(models::succession(), bounds(100_000), None);
        let found = report.reached.iter().find(|(what, _)| *what == SUCCESSION);
        let (_, enough) = found.unwrap_or_else(|| panic!("{report}"));
        let short = explore(models::succession(), bounds(enough / 2), None);
        assert_eq!(short.missing, [SUCCESSION], "{short}");
        let report = explore_far_enough(models::succession(), bounds(enough / 2));
        assert_eq!((report.cut_off_at, report.missing.len()), (Some(short.states), 0), "{report}");
    }

    #[test]
    fn what_cannot_be_reached_is_missing_in_the_end() {
        // Nobody is told to step down in it.
        let config = Config { sometimes: &[HAND_OVER], ..models::lease() };
        let report = explore_far_enough(config, bounds(20_000));
        assert_eq!(report.missing, [HAND_OVER], "{report}");
        assert!(report.cut_off_at.is_some() && report.states >= FURTHER * 20_000, "{report}");
    }

    #[test]
    fn with_one_thread_an_exploration_is_the_same_every_time() {
        let counts = || {
            let report = explore(models::take_over(), bounds(50_000), None);
            (report.states, report.unique, report.depth, report.reached)
        };
        assert_eq!(counts(), counts());
    }
}
