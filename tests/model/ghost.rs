//! What an outside observer remembers of a behaviour, and which invariants (protocol-safety 6) it sees broken.
//!
//! As in the simulator's checkers: a value has an origin, the stamp it was first written with; later means of a higher
//! origin. The memory is part of the state, since what breaks an invariant is a history.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::message::{Voter, Voters};
use quorate_proto::{ClusterId, Epoch, Instance, Stamp};

use crate::input::Fact;

/// See the module.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct Ghost {
    leads: BTreeMap<Epoch, (usize, Instance, u8)>,
    stamps: BTreeMap<Stamp, u64>,
    origins: BTreeMap<u8, Stamp>,
    /// Every leader above this epoch has at least this origin; true: it was acknowledged (I4), false: only served (I5).
    owed: BTreeSet<(Epoch, Stamp, bool)>,
    /// What each leader had when it became active.
    active: BTreeMap<Epoch, Option<Stamp>>,
    cluster: Option<ClusterId>,
    sets: BTreeMap<Stamp, Voters>,
    pub(crate) handed_over: bool,
    pub(crate) runs: u8,
    pub(crate) broken: BTreeSet<&'static str>,
}

fn majority(size: usize) -> usize {
    size / 2 + 1
}

impl Ghost {
    pub(crate) fn has_leader(&self) -> bool {
        !self.active.is_empty()
    }

    pub(crate) fn leaders(&self) -> usize {
        self.active.len()
    }

    pub(crate) fn has_acknowledged(&self) -> bool {
        self.owed.iter().any(|(_, _, acknowledged)| *acknowledged)
    }

    pub(crate) fn is_founded(&self) -> bool {
        self.cluster.is_some()
    }

    /// Voter sets that were sent.
    pub(crate) fn sets(&self) -> usize {
        self.sets.values().map(|set| set.0.len()).collect::<BTreeSet<_>>().len()
    }

    pub(crate) fn note(&mut self, host: usize, fact: &Fact, on_disk: &dyn Fn() -> BTreeMap<Voter, Stamp>) {
        match fact {
            Fact::Leads { epoch, instance, boot } => {
                let who = (host, *instance, *boot);
                if *self.leads.entry(*epoch).or_insert(who) != who {
                    self.broken.insert("I1");
                }
            }
            Fact::Stamped { stamp, content } => {
                if self.stamps.entry(*stamp).or_insert(*content) != content {
                    self.broken.insert("I3");
                }
            }
            Fact::Proposed { value, stamp } => {
                self.origins.insert(*value, *stamp);
            }
            Fact::Acknowledged { value } => {
                let Some(origin) = self.origins.get(value).copied() else { return };
                self.owe(origin.epoch, origin, true);
            }
            Fact::Active { epoch, value } => {
                let has = value.and_then(|value| self.origins.get(&value).copied());
                for (under, origin, acknowledged) in &self.owed {
                    if under < epoch && has.is_none_or(|has| has < *origin) {
                        self.broken.insert(if *acknowledged { "I4" } else { "I5" });
                    }
                }
                self.active.insert(*epoch, has);
                // It serves what it has, at once.
                if let Some(origin) = has {
                    self.owe(*epoch, origin, false);
                }
            }
            Fact::VotersSent { stamp, voters } => self.note_voters(*stamp, voters, &on_disk()),
            Fact::Formed(cluster) => {
                if self.cluster.get_or_insert(*cluster) != cluster {
                    self.broken.insert("I11");
                }
            }
            Fact::Entered => self.runs = (self.runs + 1).min(2),
            Fact::HandedOver => self.handed_over = true,
            Fact::Broken(invariant) => {
                self.broken.insert(invariant);
            }
            Fact::Promised { .. } => {}
        }
    }

    fn owe(&mut self, under: Epoch, origin: Stamp, acknowledged: bool) {
        self.owed.insert((under, origin, acknowledged));
        // An old leader's acknowledgement may come late: whoever leads since then must have had it all along.
        let lacks = |(epoch, has): (&Epoch, &Option<Stamp>)| *epoch > under && has.is_none_or(|has| has < origin);
        if self.active.iter().any(lacks) {
            self.broken.insert(if acknowledged { "I4" } else { "I5" });
        }
    }

    /// I10, as the simulator's checker has it.
    fn note_voters(&mut self, stamp: Stamp, voters: &Voters, on_disk: &BTreeMap<Voter, Stamp>) {
        let before = self.sets.range(..stamp).next_back().map(|(s, v)| (*s, v.clone()));
        self.sets.insert(stamp, voters.clone());
        let Some((old_stamp, old)) = before else { return };
        let all: BTreeSet<&Voter> = old.0.iter().chain(&voters.0).collect();
        let intersect = all.len() < majority(old.0.len()) + majority(voters.0.len());
        let having = old.0.iter().filter(|voter| on_disk.get(voter).is_some_and(|had| *had >= old_stamp)).count();
        let hasty = old_stamp.epoch == stamp.epoch && old != *voters && having < majority(old.0.len());
        if !intersect || hasty {
            self.broken.insert("I10");
        }
    }
}
