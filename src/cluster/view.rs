//! What one agent knows of its cluster at one moment: the source of `status`, `members` and the logs.

use std::net::SocketAddr;

use quorate_proto::{Epoch, Instance, MemberId};

use super::settings::LeadershipMode;

/// State of a member as gossip sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    /// Answers.
    Alive,
    /// Did not answer a probe; has time to refute.
    Suspect,
    /// Did not refute.
    Down,
    /// Left cleanly.
    Left,
}

impl MemberState {
    /// The word in the API, the logs and the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Name.
    pub id: MemberId,
    /// Data directory.
    pub instance: Instance,
    /// Gossip state.
    pub state: MemberState,
    /// Number of its process start.
    pub generation: u64,
    /// SWIM incarnation.
    pub incarnation: u16,
    /// Where it gossips.
    pub gossip_addr: SocketAddr,
    /// Where its API listens.
    pub api_addr: SocketAddr,
    /// What it tells people (`instance { address }`), perhaps empty.
    pub address: String,
    /// Software version.
    pub software: (u16, u16, u16),
    /// Its promises count.
    pub voter: bool,
    /// It holds a lease, as far as this agent knows.
    pub leader: bool,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Grows by one whenever anything below changes.
    pub index: u64,
    /// Cluster name.
    pub name: String,
    /// Who looks.
    pub observer: MemberId,
    /// Sorted by id, the observer included.
    pub members: Vec<MemberView>,
    /// Who holds a live lease, as this agent knows it.
    pub leader: Option<MemberId>,
    /// Who released a lease last, and how, for people.
    pub last_release: Option<(MemberId, &'static str)>,
    /// Highest epoch seen.
    pub epoch: Epoch,
    /// The rule.
    pub mode: LeadershipMode,
    /// How many voters there are (`expect` until the cluster is formed).
    pub voters: usize,
    /// How many of them are alive or suspect here.
    pub voters_alive: usize,
    /// A majority of them.
    pub needed: usize,
    /// Whether the founding is over.
    pub formed: bool,
    /// Whether this agent's own lease is live or it follows a leader whose lease is.
    pub held: bool,
    /// Whether this agent has what the leader it follows had committed when it began to follow.
    pub caught_up: bool,
    /// Why there is no leader, or what the founding waits for; empty when all is well. For people.
    pub reason: String,
    /// Loud problems: conflicts, clocks. For people.
    pub alarms: Vec<String>,
}

#[cfg(test)]
impl View {
    /// As the first of these members sees it, under this epoch: all of them vote, and nobody leads.
    pub(crate) fn sample(epoch: u64, members: &[(&str, MemberState)]) -> Self {
        let id = |name: &str| MemberId::new(name).expect("a name");
        let addr = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let member = |(name, state): &(&str, MemberState)| MemberView {
            id: id(name),
            instance: Instance([7; 16]),
            state: *state,
            generation: 1,
            incarnation: 0,
            gossip_addr: addr(8559),
            api_addr: addr(8558),
            address: String::new(),
            software: (0, 1, 0),
            voter: true,
            leader: false,
        };
        Self {
            index: 1,
            name: "edge".to_owned(),
            observer: id(members.first().map_or("a1", |(name, _)| name)),
            members: members.iter().map(member).collect(),
            leader: None,
            last_release: None,
            epoch: Epoch(epoch),
            mode: LeadershipMode::Quorum,
            voters: members.len(),
            voters_alive: members.len(),
            needed: members.len() / 2 + 1,
            formed: true,
            held: true,
            caught_up: true,
            reason: String::new(),
            alarms: Vec::new(),
        }
    }
}
