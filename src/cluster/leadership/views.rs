//! What others may read of the machine: views, and the lease in hand.

use std::borrow::Cow;
use std::time::Duration;

use quorate_proto::message::{Process, Voter};
use quorate_proto::{Epoch, MemberId, Seq};

use super::{Leadership, Lease, Released, Role};
use crate::cluster::Now;
use crate::cluster::durable::Durable;
use crate::cluster::settings::LeadershipMode;

impl Leadership {
    /// The lease in hand: only while this agent is an active leader.
    pub fn lease(&self, now: Now) -> Option<Lease> {
        match &self.role {
            Role::Leading(leading) => leading.lease().filter(|lease| lease.is_live(Duration::ZERO, now)),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => None,
        }
    }

    /// Who is known to have released which epoch, with nothing of theirs left running.
    pub fn released(&self) -> &Released {
        &self.released
    }

    /// Who released a lease last, and how, for people.
    pub fn last_release(&self) -> Option<&(MemberId, &'static str)> {
        self.last_release.as_ref()
    }

    /// Who holds a live lease, as this agent knows it.
    pub fn leader(&self) -> Option<&MemberId> {
        self.known_leader.as_ref()
    }

    /// Highest epoch seen.
    pub fn epoch(&self) -> Epoch {
        self.acceptor.highest()
    }

    /// The voters as this agent knows them.
    pub fn voters(&self) -> Cow<'_, [Voter]> {
        match self.mode {
            LeadershipMode::Quorum => {
                self.acceptor.voters().map_or(Cow::default(), |(_, voters)| Cow::Borrowed(voters.0.as_slice()))
            }
            LeadershipMode::Alive => Cow::Owned(self.alive_as_voters().0),
        }
    }

    /// Whether the founding is over.
    pub fn is_formed(&self) -> bool {
        self.acceptor.durable.cluster.is_some()
    }

    /// What the durable state is, including what is not on disk yet. For the simulator's checkers and the views.
    pub fn durable(&self) -> &Durable {
        &self.acceptor.durable
    }

    /// How many registers are deleted keys that are not forgotten yet.
    pub fn deleted_keys(&self) -> usize {
        self.acceptor.deleted()
    }

    /// Whether this member has followed the promised epoch from its beginning, or has caught up with it since.
    pub fn has_caught_up(&self) -> bool {
        self.acceptor.applied() > Seq(0)
    }

    /// Why there is no leader, or what the founding waits for; empty when all is well.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Loud problems, for people.
    pub fn alarms(&self) -> impl Iterator<Item = &String> {
        self.alarms.values()
    }

    /// This process.
    pub fn process(&self) -> &Process {
        &self.me
    }
}
