//! Everything the cluster core can ask of the world, on one screen.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::{BlobHash, Epoch, MemberId};

use super::durable::Change;
use super::leadership::Lease;

/// Names one [`Output::Persist`], to be repeated in `handle_persisted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Names one proposed write, to recognise its [`Event::Committed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// One thing for the driver to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Seal and send. What does not fit a datagram goes over the control connection to the same address.
    Transmit {
        /// The peer's gossip address.
        to: SocketAddr,
        /// Plain bytes, first byte the kind (see `quorate_proto::seal`).
        plain: Vec<u8>,
    },
    /// Write all of it in one transaction, fsync, then call `handle_persisted(ticket)`. Nothing that depends on it
    /// leaves the core before that (R2). While the disk is full it waits (`handle_disk_full`). If it fails otherwise: stop
    /// the process (R6).
    Persist {
        /// Which.
        ticket: Ticket,
        /// What.
        changes: Vec<Change>,
    },
    /// Get the contents of a large value from a peer's control port, store them, then call `handle_blob(hash)`; or
    /// `handle_blob_failed`. Asked again by timer: what is under way already is not begun again.
    Fetch {
        /// Of the contents.
        hash: BlobHash,
        /// How many bytes.
        len: u32,
        /// The peer's gossip address.
        from: SocketAddr,
    },
    /// No register names these contents any more, on the disk either: remove them.
    DropBlob {
        /// Of the contents.
        hash: BlobHash,
    },
    /// Something that others want to know.
    Event(Event),
}

/// What happened. The driver logs each and acts on some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member was seen for the first time or came back.
    MemberUp {
        /// Who.
        id: MemberId,
        /// True when it is a newer process than the one known before.
        restarted: bool,
    },
    /// A member does not answer probes.
    MemberSuspect {
        /// Who.
        id: MemberId,
    },
    /// A suspected member proved that it lives.
    MemberRefuted {
        /// Who.
        id: MemberId,
    },
    /// A member is down.
    MemberDown {
        /// Who.
        id: MemberId,
    },
    /// A member left cleanly.
    MemberLeft {
        /// Who.
        id: MemberId,
    },
    /// The guardian of a dead leader says that its process has ended and nothing of it runs.
    ProcessEnded {
        /// Who.
        id: MemberId,
    },
    /// Others held this agent as down; it joins again under the same name.
    IdentityRenewed {
        /// How often in this process's life.
        bump: u32,
    },
    /// This agent did not run for a while: a pause of the process or the machine.
    Late {
        /// How long.
        by: Duration,
    },
    /// The founding made a step, or is stuck: text for people.
    Founding {
        /// What.
        text: String,
    },
    /// The cluster is formed, or this agent joined it as a learner.
    Formed {
        /// Ids of the voters.
        voters: Vec<MemberId>,
    },
    /// This agent asks for an epoch.
    Claiming {
        /// Which.
        epoch: Epoch,
        /// Why now.
        why: String,
    },
    /// A voter granted this agent's claim.
    Granted {
        /// Which epoch.
        epoch: Epoch,
        /// By whom.
        by: MemberId,
    },
    /// This voter granted another agent's claim.
    GrantGiven {
        /// Which epoch.
        epoch: Epoch,
        /// To whom.
        to: MemberId,
    },
    /// A claim or pre-claim of this agent came to nothing.
    ClaimFailed {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        why: String,
    },
    /// This agent gave its claim up: another agent claims the same epoch and has the lower id.
    ClaimGivenUp {
        /// Which epoch.
        epoch: Epoch,
        /// Why.
        why: String,
    },
    /// While this agent leads: nothing that this agent started under that epoch runs any more.
    Released {
        /// Which epoch.
        epoch: Epoch,
        /// Whose runs.
        by: MemberId,
    },
    /// This agent leads: its state is recovered on a majority, it may act.
    LeaseGained(Lease),
    /// The window in which it may act now ends later.
    LeaseExtended(Lease),
    /// The clock jumped: start nothing until the next `LeaseExtended`.
    LeaseSuspended {
        /// Of which epoch.
        epoch: Epoch,
    },
    /// This agent leads no longer. Stop everything at once.
    LeaseLost {
        /// Of which epoch.
        epoch: Epoch,
        /// Why.
        why: String,
    },
    /// Somebody (perhaps this agent) is known to lead, or nobody.
    LeaderChanged {
        /// Who.
        leader: Option<MemberId>,
        /// Highest epoch seen.
        epoch: Epoch,
        /// Since the last known leader ended, when there is a new one.
        gap: Option<Duration>,
    },
    /// This agent shall stop starting runs, finish or stop those it has, and then call `runs_stopped`.
    HandOver {
        /// Who follows.
        successor: Option<MemberId>,
        /// Why.
        why: String,
    },
    /// A write is on a majority.
    Committed(WriteId),
    /// A write will not be acknowledged by this leadership; whether it took effect is unknown.
    Unknown(WriteId),
    /// A message with a number in it that no honest member comes to. Nothing was done with it.
    Odd {
        /// Who sent it.
        from: MemberId,
        /// Which number: a fixed word, for counters.
        number: &'static str,
        /// What, and what to do, for people; none if they were told a short while ago.
        text: Option<String>,
    },
    /// While this agent leads: the names of so many deleted keys are forgotten on a majority (R22).
    Forgot {
        /// How many.
        keys: usize,
    },
    /// The disk is full: this agent neither votes nor leads until there is room.
    DiskFull {
        /// Which disk, and how much is missing, for people.
        why: String,
    },
    /// There is room again.
    DiskOk,
    /// A clock rate, an address or an id is not as it must be: text for people.
    Alarm {
        /// What.
        text: String,
    },
    /// Stop the process: the reason is final.
    Fatal {
        /// What.
        text: String,
    },
}
