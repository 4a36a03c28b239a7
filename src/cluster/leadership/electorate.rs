//! Whose grants count here: the voter set in force and its arithmetic, and where its members are.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_proto::message::{Voter, Voters};
use quorate_proto::{Instance, MemberId};

use super::quorum::Quorum;
use super::{Leadership, Role, Rule, is_here, registers};
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::MemberState;

impl Leadership {
    /// The voter set and arithmetic in force here.
    pub(super) fn quorum(&self) -> Quorum {
        match self.mode {
            LeadershipMode::Alive => Quorum::at_least(&self.alive_as_voters(), 1),
            LeadershipMode::Quorum => {
                let nobody = Voters(Vec::new());
                self.majority(self.acceptor.voters().map_or(&nobody, |(_, voters)| voters))
            }
        }
    }

    /// Everybody whose grant may count: the voters known here, and those of a newer set that a grant has brought. Without
    /// the latter, a set of which only this claimant's grantors know could never elect anybody.
    pub(super) fn electorate(&self) -> Quorum {
        let newer = match &self.role {
            Role::Claiming(c) => registers::voters(&c.merged, self.rules).map(|(_, voters, _)| voters),
            Role::PreClaiming(_) | Role::Leading(_) | Role::Follower => None,
        };
        match (self.mode, self.acceptor.voters(), newer) {
            (LeadershipMode::Quorum, Some((_, known)), Some(newer)) => Quorum::joint(known, &newer),
            _ => self.quorum(),
        }
    }

    pub(super) fn majority(&self, voters: &Voters) -> Quorum {
        if self.rules.keep(Rule::Majority) {
            Quorum::majority(voters)
        } else {
            Quorum::at_least(voters, voters.0.len() / 2)
        }
    }

    pub(super) fn alive_as_voters(&self) -> Voters {
        let mut all: BTreeMap<&MemberId, Instance> =
            self.peers.iter().filter(|(_, peer)| is_here(peer.state)).map(|(id, peer)| (id, peer.instance)).collect();
        all.insert(&self.me.id, self.me.instance);
        Voters(all.into_iter().map(|(id, instance)| Voter { id: id.clone(), instance }).collect())
    }

    pub(super) fn is_voter(&self) -> bool {
        self.voters().iter().any(|v| v.id == self.me.id && v.instance == self.me.instance)
    }

    /// Every member that may be reached: known to membership and not gone for good.
    pub(super) fn reachable(&self) -> Vec<SocketAddr> {
        let others = self.peers.iter().filter(|(id, _)| **id != self.me.id);
        others.filter(|(_, peer)| peer.state != MemberState::Left).map(|(_, peer)| peer.addr).collect()
    }

    /// Where the other voters are, as far as known, whatever gossip thinks of their health.
    pub(super) fn voter_addrs(&self, quorum: &Quorum) -> Vec<(MemberId, SocketAddr)> {
        let known = |v: &&Voter| Some((v.id.clone(), self.peers.get(&v.id)?.addr));
        let voters = quorum.voters();
        voters.iter().filter(|v| v.id != self.me.id).filter_map(known).collect()
    }
}
