//! One simulated host: its clock, its disk, the process on it, and what that process believes of the others.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Now;
use quorate::cluster::leadership::{Leadership, Lease, Peer};
use quorate::cluster::output::{Ticket, WriteId};
use quorate_proto::message::Message;
use quorate_proto::{BlobHash, Epoch, Instance, MemberId};

use super::clock::{HostClock, Real};
use super::disk::Disk;
use super::facts::{Value, Who};

/// One thing that reaches a process; held back while it is paused.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Message(SocketAddr, Box<Message>),
    Persisted(Ticket),
    /// These contents are on disk.
    Blob(BlobHash),
    /// That host has none of them.
    BlobGone(BlobHash, SocketAddr),
    DiskFull,
    DiskOk,
    RunsStopped,
}

/// A running agent.
pub(crate) struct Running {
    pub(crate) machine: Leadership,
    pub(crate) life: u32,
    /// The lease in hand, as a driver holds it.
    pub(crate) lease: Option<Lease>,
    /// The epoch under which it last wrote as a leader.
    pub(crate) leads: Option<Epoch>,
    pub(crate) writes: BTreeMap<WriteId, (String, Value)>,
    /// When it is to be woken.
    pub(crate) wake_at: Option<Real>,
    pub(crate) held: VecDeque<Input>,
    pub(crate) peers: BTreeMap<MemberId, Peer>,
    pub(crate) fatal: bool,
}

/// What a host's failure detector saw of another host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Contact {
    pub(crate) reachable: bool,
    pub(crate) since: Real,
    pub(crate) instance: Option<Instance>,
    /// Process it was when last reached.
    pub(crate) life: u32,
    /// When it was last found alive again (local clock).
    pub(crate) alive_since: Duration,
}

/// See the module.
pub(crate) struct Host {
    pub(crate) id: MemberId,
    pub(crate) addr: SocketAddr,
    pub(crate) clock: HostClock,
    /// Its clock was frozen or driven beyond the bound, and no lease from before that may be trusted till then.
    pub(crate) excused_until: Real,
    pub(crate) disk: Disk,
    pub(crate) running: Option<Running>,
    pub(crate) paused: bool,
    /// The pause in force: only its own end ends it.
    pub(crate) pause: u32,
    pub(crate) contacts: Vec<Contact>,
}

impl Host {
    pub(crate) fn now(&self, real: Real) -> Now {
        self.clock.now(real)
    }

    /// The process on it, if there is one, whether paused or not.
    pub(crate) fn who(&self, host: usize) -> Option<Who> {
        self.running.as_ref().map(|r| Who { host, disk: self.disk.number, life: r.life })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.running.as_ref().is_some_and(|r| !r.fatal) && !self.paused
    }
}
