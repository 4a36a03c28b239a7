//! What the agent and its guardian say to each other. Both ends are the same binary, so there is no version in it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use quorate_proto::Epoch;
use quorate_proto::bincode_derive::{Decode, Encode};
use uuid::Uuid;

use crate::cluster::Now;

/// Names a run: of which task, and which of its runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct RunKey {
    /// The task's name.
    pub task: String,
    id: [u8; 16],
}

impl RunKey {
    /// Of this task, with this id.
    pub fn new(task: impl Into<String>, id: Uuid) -> Self {
        Self { task: task.into(), id: id.into_bytes() }
    }

    /// The run's id, as in `QUORATE_RUN_ID`.
    pub fn id(&self) -> Uuid {
        Uuid::from_bytes(self.id)
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.id())
    }
}

/// When authority ends, on both clocks; it is over when either says so (rule R14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Ends {
    pub(super) boot: Duration,
    pub(super) mono: Duration,
}

impl Ends {
    /// What is left; zero when it is over.
    pub(super) fn left(self, now: Now) -> Duration {
        self.boot.saturating_sub(now.boot).min(self.mono.saturating_sub(now.mono))
    }

    /// The later end on each clock.
    pub(super) fn max(self, other: Self) -> Self {
        Self { boot: self.boot.max(other.boot), mono: self.mono.max(other.mono) }
    }
}

/// What to run, as it travels. See [`super::Spawn`] for what the fields mean.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Order {
    pub(super) run: RunKey,
    pub(super) argv: Vec<Vec<u8>>,
    pub(super) env: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) cwd: Vec<u8>,
    pub(super) stdin: Vec<u8>,
    pub(super) launch: Launch,
    pub(super) grace: Duration,
    pub(super) keep: u32,
    pub(super) epoch: Epoch,
    pub(super) ends: Ends,
}

/// Whom a run becomes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// All groups, that one too.
    pub groups: Vec<u32>,
}

/// What all processes of a run may use together; `None`: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Bounds {
    /// Bytes.
    pub memory: Option<u64>,
    /// Percent of one core.
    pub cpu_percent: Option<u32>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// What is done to a run before its program begins. The default is nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Launch {
    /// Whom it becomes; `None`: it is as the agent.
    pub user: Option<User>,
    /// It can gain no rights any more.
    pub no_new_privs: bool,
    /// What it may use.
    pub bounds: Bounds,
}

impl Launch {
    /// Whether nothing is to be done.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

/// One datagram to send when the agent is dead. The guardian does not look into it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Datagram {
    /// To whom.
    pub to: SocketAddr,
    /// Sealed and ready to send.
    pub bytes: Vec<u8>,
}

/// What to send when the agent has died.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct OnDeath {
    /// Address to send from, if it can be had (the port is always a fresh one: the agent's own may be in use again).
    pub from: Option<IpAddr>,
    /// To send as soon as the agent is dead, when runs are still ending then.
    pub lease_ended: Vec<Datagram>,
    /// To send when nothing of its runs is left. Each is sent three times, in case one is lost. None: send nothing.
    pub release: Vec<Datagram>,
}

/// From the agent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) enum ToGuardian {
    /// Run this. Answered by `Started` or `Refused`.
    Spawn(Order),
    /// The lease of this epoch was extended.
    Deadline { epoch: Epoch, ends: Ends },
    /// Stop one run, perhaps with another grace than its own.
    Stop { run: RunKey, why: String, grace: Option<Duration> },
    /// Stop every run, and start none under the epochs seen so far.
    StopAll { why: String, grace: Option<Duration> },
    /// Replaces what to send after the agent's death.
    OnDeath(OnDeath),
    /// The agent ends cleanly: stop what still runs, then exit.
    Bye,
}

/// To the agent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) enum FromGuardian {
    /// Up, and whether each run gets a cgroup of its own.
    Ready { cgroups: bool },
    /// The run is under way.
    Started { run: RunKey, pid: u32, cgroup: Option<String> },
    /// The run was not started, nothing of it ever ran.
    Refused { run: RunKey, why: Refusal },
    /// Some output. `lost` bytes before it were dropped because the agent did not read.
    Output { run: RunKey, stream: Stream, bytes: Vec<u8>, lost: u64 },
    /// Nothing of the run is left.
    Exited { run: RunKey, exit: Exit, by: Cause, swept: u32, out_of_memory: bool },
}

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How the main process of a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Why a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Cause {
    /// Its main process ended by itself.
    Itself,
    /// Its lease was not extended in time.
    Deadline,
    /// The agent asked; the reason it gave.
    Stop(String),
    /// The agent died, or closed the connection.
    AgentGone,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Itself => f.write_str("by itself"),
            Self::Deadline => f.write_str("stopped, its lease ran out"),
            Self::Stop(why) => write!(f, "stopped: {why}"),
            Self::AgentGone => f.write_str("stopped, the agent was gone"),
        }
    }
}

/// Why the guardian did not start a run. In every case nothing of it ever ran.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Refusal {
    /// The epoch is not the newest or was stopped, or its lease is over. A new lease is needed.
    #[error("the lease of epoch {0} is over")]
    NoAuthority(Epoch),
    /// A run of this task is alive, perhaps being stopped (invariant I9). Wait for its end.
    #[error("{0} of the same task is still under way")]
    Busy(RunKey),
    /// At the limit. Wait for one to end.
    #[error("{0} runs are under way, more are not started")]
    TooMany(u32),
    /// The system refused: no such program or directory, no permission, no memory. The text names the program.
    #[error("{0}")]
    System(String),
}
