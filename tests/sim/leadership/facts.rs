//! What the simulator sees, from outside, of what the agents do: the input of the checkers.

use std::collections::BTreeMap;

use quorate::cluster::leadership::registers::Registers;
use quorate_proto::message::{self, Voter, Voters};
use quorate_proto::{ClusterId, Epoch, Stamp};

use super::clock::Real;

/// One process of one data directory on one host; both numbers are unique in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Who {
    pub(crate) host: usize,
    pub(crate) disk: u32,
    pub(crate) life: u32,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "n{} (disk {}, process {})", self.host + 1, self.disk, self.life)
    }
}

/// A value of a register, unique in a run, for users' keys.
pub(crate) type Value = u64;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) enum Fact<'a> {
    /// A process did what only the leader of an epoch does: sent a write or renewal, or was told that it leads.
    Leads { epoch: Epoch, who: Who },
    /// A process gave its claim of an epoch up.
    GivesUp { epoch: Epoch, who: Who },
    /// A voter's grant or acknowledgement left.
    Answered { disk: u32, epoch: Epoch },
    /// What a disk holds after a transaction, or when a process starts from it.
    OnDisk { disk: u32, promised: Epoch },
    /// A register with this stamp was sent or stored, with this content.
    Stamped { key: &'a str, stamp: Stamp, value: Option<&'a message::Value> },
    /// An agent wrote a value for the first time.
    Proposed { value: Value, stamp: Stamp },
    /// An agent deleted a key for the first time: the value stands for the deletion.
    Deleted { key: &'a str, value: Value, stamp: Stamp },
    /// The write was acknowledged.
    Acknowledged { key: &'a str, value: Value },
    /// An active leader read the value out to somebody, or acted upon it.
    Served { key: &'a str, value: Value, epoch: Epoch },
    /// A leader may act from now on; what it stores.
    Active { epoch: Epoch, registers: &'a Registers },
    /// An active leader has a register that names contents; whether they are on its disk.
    Contents { key: &'a str, epoch: Epoch, here: bool },
    /// Whose act window is open at this moment.
    Windows { open: &'a [(Epoch, Who)] },
    /// Something was changed outside, by a holder of this epoch, whose lease it checked: the checked lease was live.
    Effect { epoch: Epoch, who: Who, live: bool, excused: bool },
    /// The fenced resource accepted this token.
    Accepted { token: Epoch },
    /// The first time a leader sends a voter set: what every disk held at this moment.
    VotersSent { stamp: Stamp, voters: &'a Voters, on_disk: &'a BTreeMap<Voter, Stamp> },
    /// A disk belongs to a cluster.
    Formed { cluster: ClusterId },
    /// The highest epoch a process knows.
    Knows { life: u32, epoch: Epoch },
    /// A lease was handed out: what is left of it and the longest it may be, in microseconds.
    Lease { left: u64, longest: u64 },
    /// A process was woken at its deadline and asks to be woken again at a moment that is past already.
    Spins { life: u32, reason: &'static str },
    /// A process was woken at its deadline and asks for a later one.
    Sleeps { life: u32 },
    /// A process asked for something.
    Output { life: u32 },
    /// A process said that it has to stop.
    Fatal { life: u32 },
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its name in protocol-safety 6.
    pub(crate) invariant: &'static str,
    pub(crate) text: String,
    pub(crate) at: Real,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = std::time::Duration::from_micros(self.at);
        write!(f, "{} broken at {:.6} s: {}", self.invariant, at.as_secs_f64(), self.text)
    }
}
