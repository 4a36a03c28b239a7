//! Who is next in line: the lowest id alive that has not given leadership up (the rule of Omega).

use std::time::Duration;

use quorate_proto::message::{Process, Voter};
use quorate_proto::{BootNonce, Generation, MemberId};

use super::{Leadership, Peer};
use crate::cluster::Now;
use crate::cluster::view::MemberState;

/// Members whose newest process is remembered; membership bounds them as well.
const PROCESSES_MAX: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Withdrawal {
    pub(super) boot: BootNonce,
    /// The process by its number in gossip: a newer one is a candidate again, before it has said anything here.
    pub(super) generation: Generation,
    /// `None`: until it comes as another process.
    pub(super) until: Option<Duration>,
}

impl Leadership {
    /// Voters that may lead now, lowest id first (the rule of Omega). Those that gave leadership up lately count only when
    /// there is nobody else: better they than nobody.
    pub(super) fn candidates(&self) -> Vec<MemberId> {
        let willing = self.candidates_but(|id| self.withdrawn.contains_key(id));
        if !willing.is_empty() {
            return willing;
        }
        self.candidates_but(|id| self.withdrawn.get(id).is_some_and(|w| w.until.is_none()))
    }

    pub(super) fn candidates_but(&self, excluded: impl Fn(&MemberId) -> bool) -> Vec<MemberId> {
        let last_holder = self.acceptor.holder().map(|p| &p.id);
        let may = |v: &Voter| {
            if excluded(&v.id) {
                return false;
            }
            if v.id == self.me.id {
                return true;
            }
            match self.peers.get(&v.id).map(|p| p.state) {
                Some(MemberState::Alive) => true,
                // Its lease has ended here and it does not answer probes: not worth waiting for its funeral.
                Some(MemberState::Suspect) => last_holder != Some(&v.id),
                Some(MemberState::Down | MemberState::Left) | None => false,
            }
        };
        let mut ids: Vec<MemberId> = self.voters().iter().filter(|v| may(v)).map(|v| v.id.clone()).collect();
        ids.sort();
        ids
    }

    pub(super) fn first_in_line(&self) -> Option<MemberId> {
        self.candidates().into_iter().next()
    }

    /// A message from a process: one that gave up as another process is a candidate again.
    pub(super) fn note_process(&mut self, from: &Process) {
        if self.boots.get(&from.id) != Some(&from.boot) && self.boots.len() < PROCESSES_MAX {
            self.boots.insert(from.id.clone(), from.boot);
        }
        if self.withdrawn.get(&from.id).is_some_and(|w| w.boot != from.boot) {
            self.withdrawn.remove(&from.id);
        }
        // A removal that was asked for is about the process that leaves: what comes back is a learner like any other.
        if self.leavers.get(&from.id).is_some_and(|leaver| *leaver != Some(from.boot)) {
            self.leavers.remove(&from.id);
        }
    }

    /// It is no candidate until then, or until it comes as another process.
    pub(super) fn withdraw(&mut self, holder: &Process, until: Option<Duration>) {
        let generation = self.peers.get(&holder.id).map(|peer| peer.generation).unwrap_or_default();
        self.withdrawn.insert(holder.id.clone(), Withdrawal { boot: holder.boot, generation, until });
    }

    /// Members that came back as another process have not given anything up. Membership hears of them before they send
    /// a message of leadership, and it tells everybody the same.
    pub(super) fn forget_withdrawals_of_the_past(&mut self) {
        let peers = &self.peers;
        self.withdrawn.retain(|id, withdrawal| {
            let newer = |peer: &Peer| peer.state == MemberState::Alive && peer.generation > withdrawal.generation;
            !peers.get(id).is_some_and(newer)
        });
    }

    /// Somebody else is about to claim: this agent waits for it, for longer than a claim takes.
    pub(super) fn hold_back_for(&mut self, who: MemberId, now: Now) {
        self.named_successor = Some((who, now.mono + self.timing.renew * 2));
    }

    pub(super) fn watch_lease(&mut self, now: Now) {
        self.withdrawn.retain(|_, w| w.until.is_none_or(|until| until > now.mono));
        if self.named_successor.as_ref().is_some_and(|(_, until)| *until <= now.mono) {
            self.named_successor = None;
        }
        let runs = self.acceptor.lease_until() > now.mono;
        match (runs, self.leaderless_since) {
            (true, _) => self.leaderless_since = None,
            (false, None) => self.leaderless_since = Some(now.mono),
            (false, Some(_)) => {}
        }
    }
}
