//! One simulated machine: clocks, disk, the agent's process, and the guardians of this and of earlier processes.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::leadership::Lease;
use quorate::cluster::output::{Ticket, WriteId};
use quorate::cluster::{Cluster, LastWords, Now};
use quorate_proto::{Epoch, Generation, MemberId};

use crate::leadership::clock::{HostClock, Real};
use crate::leadership::disk::Disk;
use crate::leadership::facts::Who;

/// Datagrams that a stopped agent's socket holds.
pub(super) const SOCKET: usize = 300;
/// SIGINT to SIGKILL.
pub(super) const GRACE: Real = 600_000;

/// A run of a task, unique in a simulation.
pub(super) type RunNumber = u64;

/// What a write was for.
#[derive(Debug, Clone)]
pub(super) enum Purpose {
    /// The journal says that a run starts, or that it is over.
    Started(RunNumber),
    Ended(RunNumber),
    /// The call with this number.
    Call(usize),
}

/// What reaches a process; held back while it is stopped.
#[derive(Debug, Clone)]
pub(super) enum Input {
    Datagram(SocketAddr, Vec<u8>),
    /// Over a control connection.
    Frame(SocketAddr, Vec<u8>),
    Persisted(Ticket),
    Generation(Generation),
    Seeds,
    /// From the core's thread to the agent's loop.
    Notice(Notice),
    /// From the guardian.
    RunEnded(RunNumber),
    /// The loop looks for a task to run, and whether it may stop.
    Look,
    Patience,
    Call(usize),
}

/// See `runtime::core::Notice`.
#[derive(Debug, Clone)]
pub(super) enum Notice {
    /// Leads, with what has to be waited for: task, microseconds.
    Led(Lease, Vec<(usize, Real)>),
    Extended(Lease),
    Suspended,
    Lost,
    HandOver,
    Committed(Purpose),
    Unknown(Purpose),
}

/// A run in the hands of the agent's loop, from the journal to the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct InHand {
    pub(super) task: usize,
    pub(super) epoch: Epoch,
}

/// SIGTERM was received.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stopping {
    pub(super) until: Option<Real>,
    pub(super) said_goodbye: bool,
}

/// A running agent.
pub(super) struct Process {
    pub(super) cluster: Cluster,
    pub(super) life: u32,
    /// The lease as the core's events give it, for the checkers.
    pub(super) window: Option<Lease>,
    /// The lease in the loop's hand, a notice later.
    pub(super) lease: Option<Lease>,
    pub(super) leads: Option<Epoch>,
    pub(super) writes: BTreeMap<WriteId, (String, Purpose)>,
    pub(super) held: VecDeque<Input>,
    pub(super) held_datagrams: usize,
    pub(super) wake_at: Option<Real>,
    pub(super) fatal: bool,
    /// When the last notice arrives: they do not overtake each other.
    pub(super) last_notice: Real,
    pub(super) in_hand: BTreeMap<RunNumber, InHand>,
    /// Tasks that wait for what a former leader had started (monotonic clock).
    pub(super) waits: BTreeMap<usize, Duration>,
    pub(super) hand_over: bool,
    pub(super) stopping: Option<Stopping>,
    pub(super) looking: bool,
    pub(super) seen_view: u64,
}

/// A child process group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) epoch: Epoch,
    pub(super) stopped: bool,
}

/// See `guardian`: outlives its agent.
pub(super) struct Guardian {
    pub(super) life: u32,
    /// On the boot clock.
    pub(super) deadline: Duration,
    pub(super) watching: bool,
    pub(super) runs: BTreeMap<RunNumber, Run>,
    pub(super) agent_dead: bool,
    pub(super) words: Option<LastWords>,
    pub(super) told_of_death: bool,
}

/// See the module.
pub(super) struct Host {
    pub(super) id: MemberId,
    pub(super) addr: SocketAddr,
    pub(super) clock: HostClock,
    /// Of the wall clock against real time, in milliseconds.
    pub(super) wall_offset: i64,
    pub(super) disk: Disk,
    pub(super) generation: Generation,
    pub(super) process: Option<Process>,
    pub(super) guardians: Vec<Guardian>,
    /// The agent is stopped; `still`: the whole machine is.
    pub(super) paused: bool,
    pub(super) still: bool,
    pub(super) pause: u32,
    /// Till when what the machine believes of its leases proves nothing: its clocks stood still.
    pub(super) excused_until: Real,
    /// Till when its runs may overlap with others: it stood still, and nobody could end them.
    pub(super) runs_excused_until: Real,
    /// Starts again at some time.
    pub(super) returns: bool,
}

impl Host {
    pub(super) fn now(&self, real: Real) -> Now {
        self.clock.now(real)
    }

    pub(super) fn who(&self, host: usize) -> Option<Who> {
        self.process.as_ref().map(|p| Who { host, disk: self.disk.number, life: p.life })
    }

    pub(super) fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|p| !p.fatal) && !self.paused
    }

    /// Its window is open, whether it runs or not.
    pub(super) fn open(&self, real: Real) -> Option<Lease> {
        let lease = self.process.as_ref()?.window?;
        lease.is_live(Duration::ZERO, self.now(real)).then_some(lease)
    }
}
