//! One checker per invariant (protocol-safety 6). Each reads the facts one by one and says when it is broken.
//!
//! Each is fed a broken history in its own test, and a broken product by the mutations.

mod active_data;
pub(crate) use active_data::{hash_of, value_of};
mod clusters;
mod contents;
mod effects;
mod epochs;
mod fence;
mod given_up;
mod leases;
mod one_actor;
mod promises;
mod silence;
mod stamps;
mod timers;
mod voter_sets;
mod windows;

use super::clock::Real;
use super::facts::{Fact, Violation};

/// What is wrong, and which invariant says so.
pub(crate) type Broken = (&'static str, String);

/// Reads facts.
pub(crate) trait Checker {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken>;
}

/// All of them.
#[derive(Default)]
pub(crate) struct Checkers {
    one_actor: one_actor::OneActor,
    promises: promises::Promises,
    stamps: stamps::Stamps,
    active_data: active_data::ActiveData,
    contents: contents::Contents,
    windows: windows::Windows,
    effects: effects::Effects,
    fence: fence::Fence,
    given_up: given_up::GivenUp,
    voter_sets: voter_sets::VoterSets,
    clusters: clusters::Clusters,
    epochs: epochs::Epochs,
    leases: leases::Leases,
    timers: timers::Timers,
    silence: silence::Silence,
}

impl Checkers {
    pub(crate) fn check(&mut self, fact: &Fact<'_>, at: Real) -> Result<(), Violation> {
        let all: [&mut dyn Checker; 15] = [
            &mut self.one_actor,
            &mut self.promises,
            &mut self.stamps,
            &mut self.active_data,
            &mut self.contents,
            &mut self.windows,
            &mut self.effects,
            &mut self.fence,
            &mut self.given_up,
            &mut self.voter_sets,
            &mut self.clusters,
            &mut self.epochs,
            &mut self.leases,
            &mut self.timers,
            &mut self.silence,
        ];
        for checker in all {
            checker.check(fact).map_err(|(invariant, text)| Violation { invariant, text, at })?;
        }
        Ok(())
    }

    /// What has to be in the registers of whoever leads at the end.
    pub(crate) fn data(&self) -> &active_data::ActiveData {
        &self.active_data
    }
}

/// Feeds a history to a checker: which invariant it finds broken at the last fact, and nothing before.
#[cfg(test)]
fn finds(checker: &mut dyn Checker, history: &[Fact<'_>]) -> Option<&'static str> {
    let (last, before) = history.split_last().unwrap();
    for fact in before {
        assert_eq!(checker.check(fact), Ok(()), "too early: {fact:?}");
    }
    checker.check(last).err().map(|(invariant, _)| invariant)
}
