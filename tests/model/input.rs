//! What can happen to one agent, and what comes of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use quorate_proto::message::{Message, Voters};
use quorate_proto::{ClusterId, Epoch, Instance, Stamp};

use crate::host::Host;

pub(crate) fn hash64<T: Hash + ?Sized>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// A message on its way: for ever, since it may be lost, late and repeated.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) from: SocketAddr,
    pub(crate) to: usize,
    pub(crate) message: Message,
    pub(crate) hash: u64,
}

/// What happens to one agent.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Message(Arc<Envelope>),
    /// The oldest write reaches the disk.
    Persisted,
    /// Its clock advances by one step; timers fire if it wakes.
    Pass {
        wakes: bool,
    },
    Wake,
    /// The process is gone, with what was not on disk; a new one starts.
    Crash,
    LoseDisk,
    /// Membership: who is alive, with which instance.
    Advise {
        sees: u8,
        instances: Vec<u8>,
    },
    Propose(u8),
    StepDown,
    RunsStopped,
    Remove(usize),
    StartRun,
    RunEnds,
    /// An interrupted run obeys before it is killed.
    RunDies(usize),
    /// The guardian of a dead agent says so, while its run may live.
    TellOfDeath(usize),
    SendRelease(usize),
}

impl Input {
    /// Its name for [`crate::memo`].
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::Message(envelope) => envelope.hash,
            Self::Persisted => 1,
            Self::Pass { wakes } => 2 + u64::from(*wakes),
            Self::Wake => 4,
            Self::Crash => 5,
            Self::LoseDisk => 6,
            Self::StepDown => 7,
            Self::RunsStopped => 8,
            Self::StartRun => 9,
            Self::RunEnds => 10,
            Self::Propose(value) => 1_000 + u64::from(*value),
            Self::Remove(agent) => 2_000 + *agent as u64,
            Self::RunDies(guard) => 3_000 + *guard as u64,
            Self::SendRelease(guard) => 4_000 + *guard as u64,
            Self::TellOfDeath(guard) => 5_000 + *guard as u64,
            Self::Advise { sees, instances } => hash64(&("advise", sees, instances)),
        }
    }
}

/// What the world has to know of a step, for its checks.
#[derive(Debug, Clone)]
pub(crate) enum Fact {
    Leads {
        epoch: Epoch,
        instance: Instance,
        boot: u8,
    },
    Stamped {
        stamp: Stamp,
        content: u64,
    },
    Proposed {
        value: u8,
        stamp: Stamp,
    },
    Acknowledged {
        value: u8,
    },
    Active {
        epoch: Epoch,
        value: Option<u8>,
    },
    VotersSent {
        stamp: Stamp,
        voters: Voters,
    },
    Formed(ClusterId),
    /// It promised itself an epoch.
    Promised {
        epoch: Epoch,
    },
    /// The journal entry of a run is agreed.
    Entered,
    HandedOver,
    Broken(&'static str),
}

/// What a step came to.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) host: Arc<Host>,
    pub(crate) sent: Vec<Arc<Envelope>>,
    pub(crate) facts: Vec<Fact>,
}
