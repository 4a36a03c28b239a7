//! What membership tells its caller: members, events, and things to do.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::{Generation, Identity, Instance, MemberId};

use crate::cluster::view::MemberState;

/// A member, this agent included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who. Of one that is gone: its last known life.
    pub identity: Identity,
    /// How it is.
    pub state: MemberState,
    /// Times it refuted suspicions in this life.
    pub incarnation: u16,
    /// Since when it is in this state, on the monotonic clock.
    pub since: Duration,
    /// Since when it has been alive or suspect without a break or a restart, on the monotonic clock.
    pub alive_since: Duration,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is here: new, back, or started anew before anybody noticed that it was gone.
    Up {
        /// Who.
        id: MemberId,
        /// True when it is another process than the one known before.
        restarted: bool,
    },
    /// A member does not answer probes.
    Suspect {
        /// Who.
        id: MemberId,
    },
    /// A suspect proved that it lives.
    Refuted {
        /// Who.
        id: MemberId,
    },
    /// A member did not refute, or is known to have ended.
    Down {
        /// Who.
        id: MemberId,
    },
    /// A member left cleanly.
    Left {
        /// Who.
        id: MemberId,
    },
    /// Two live processes with different data directories use one id. Repeated while it lasts, at most every 10 s.
    Conflict {
        /// The id.
        id: MemberId,
        /// Both.
        instances: [Instance; 2],
        /// Where each says it is.
        addresses: [SocketAddr; 2],
    },
    /// Two live processes use one id and one data directory, or copies of it. Repeated like a conflict.
    Twin {
        /// The id.
        id: MemberId,
        /// The data directory.
        instance: Instance,
        /// The start of each.
        generations: [Generation; 2],
        /// Where each says it is.
        addresses: [SocketAddr; 2],
    },
    /// Others held this agent as down; it takes a new bump and joins again. Usually the end of a pause or partition.
    Renewed {
        /// The new bump.
        bump: u32,
    },
    /// This agent did not run for a while: a pause of the process or the machine.
    Late {
        /// How long.
        by: Duration,
    },
    /// Probing had stopped and was started again. A defect, survived.
    Rebuilt,
}

/// One thing for the caller to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Seal and send as one datagram.
    Transmit {
        /// The peer's gossip address, or a seed's.
        to: SocketAddr,
        /// At most [`super::PACKET_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// Tell whoever wants to know.
    Event(Event),
    /// Make this generation durable, then call [`super::Membership::handle_generation`] with it (R8).
    AdoptGeneration(Generation),
    /// The leave has been said often enough; nothing follows.
    Left,
}
