//! How a cluster is to behave: names, timing, who founds it. Resolved; nothing here is optional by accident.

use std::fmt;
use std::time::Duration;

/// Which rule decides who may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeadershipMode {
    /// A majority of voters must grant it.
    Quorum,
    /// The lowest id alive in its own view; no majority, so two may lead while the network is cut.
    Alive,
}

/// Named timing of gossip and lease together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// One machine or one rack without overcommitment: FAST of the gossip reference.
    Local,
    /// The default: STD of the gossip reference.
    Lan,
    /// Overcommitted virtual machines: tolerates pauses of 1.8 s.
    Calm,
    /// Between sites.
    Wan,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Lan => "lan",
            Self::Calm => "calm",
            Self::Wan => "wan",
        })
    }
}

/// Timing of SWIM (gossip reference 1.2 and 4.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GossipTiming {
    /// P: one member is probed each period.
    pub probe_period: Duration,
    /// When the indirect probe starts; about the round trip's 99th percentile.
    pub probe_rtt: Duration,
    /// S: how long a suspect has to refute.
    pub suspect_to_down: Duration,
    /// How often an update is repeated (R10), before scaling with the cluster's size.
    pub transmissions: u8,
    /// Period of pushing pending updates.
    pub gossip_period: Duration,
    /// Period of telling suspects about it (R11).
    pub buddy_period: Duration,
    /// Period of announcing to seeds and known members that are missing (R4).
    pub reseed_period: Duration,
}

/// Timing of leases (protocol-safety 9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTiming {
    /// D: length of a grant.
    pub grant: Duration,
    /// R: period of renewal.
    pub renew: Duration,
    /// How soon an unanswered message of the protocol is sent again; about twice the round trip.
    pub retry: Duration,
    /// What must be left of the act window for a run to start.
    pub start_margin: Duration,
    /// How long a lower id must have been alive before leadership is handed to it.
    pub settle: Duration,
}

/// All timing, checked together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// SWIM.
    pub gossip: GossipTiming,
    /// Leases.
    pub lease: LeaseTiming,
}

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Profile {
    /// The timing of this profile. R = D / 4, and D is at most P + S, so that gossip has seen a death before the lease is
    /// over. In `lan` D is shorter: it is what a fail-over after the death of a machine waits for.
    pub fn timing(self) -> Timing {
        let (period, rtt, suspect, transmissions, gossip, buddy, reseed) = match self {
            Self::Local => (200, 60, 500, 30, 50, 50, 1_000),
            Self::Lan => (250, 80, 800, 20, 100, 100, 3_000),
            Self::Calm => (300, 100, 1_500, 20, 100, 50, 3_000),
            Self::Wan => (2_000, 500, 8_000, 20, 200, 200, 5_000),
        };
        let (grant, retry, margin, settle) = match self {
            Self::Local => (period + suspect, 40, 60, 2_000),
            Self::Lan => (840, 60, 100, 10_000),
            Self::Calm => (period + suspect, 80, 150, 15_000),
            Self::Wan => (period + suspect, 400, 1_000, 60_000),
        };
        Timing {
            gossip: GossipTiming {
                probe_period: ms(period),
                probe_rtt: ms(rtt),
                suspect_to_down: ms(suspect),
                transmissions,
                gossip_period: ms(gossip),
                buddy_period: ms(buddy),
                reseed_period: ms(reseed),
            },
            lease: LeaseTiming {
                grant: ms(grant),
                renew: ms(grant / 4),
                retry: ms(retry),
                start_margin: ms(margin),
                settle: ms(settle),
            },
        }
    }
}

/// Everything the core is told about the cluster it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `cluster { name }`.
    pub name: String,
    /// `expect`: how many agents found the cluster.
    pub expect: u16,
    /// `join`, as configured (`host:port`), sorted, without repeats.
    pub seeds: Vec<String>,
    /// Who may lead.
    pub mode: LeadershipMode,
    /// When.
    pub timing: Timing,
    /// Up to how many voters the leader keeps (protocol-safety 8): 5.
    pub max_voters: usize,
    /// How long a voter must be down before a learner takes its place: 10 min.
    pub replace_after: Duration,
}
