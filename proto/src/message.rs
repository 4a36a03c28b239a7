//! Control messages: leadership, replication, founding (protocol-safety 4 and 8).
//!
//! Every message is idempotent and may be lost, repeated, delayed or reordered: the sender repeats by
//! timer until it is answered, the receiver never relies on order. A message that fits goes as one
//! datagram; a larger one goes over the control connection. The meaning does not depend on which.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::{BlobHash, BootNonce, ClusterId, Epoch, Instance, MemberId, Seq, Stamp};

/// One process of one agent: the unit that promises and leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Process {
    /// Its name.
    pub id: MemberId,
    /// Its data directory.
    pub instance: Instance,
    /// Its start.
    pub boot: BootNonce,
}

/// How many transactions the sender's disk has taken in the life of its data directory. A process that begins at or
/// below what an earlier process of the same directory had reached runs on an old copy of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Commits {
    /// When the process had started: every start is a transaction.
    pub started: u64,
    /// At least so many now. Everything that the message depends on is among them.
    pub now: u64,
}

/// What every control message starts with (`h` in protocol-safety 4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Header {
    /// `None` until the sender's cluster is founded.
    pub cluster: Option<ClusterId>,
    /// Who sends.
    pub from: Process,
    /// Stamp of the sender's `voters` register.
    pub voters: Stamp,
    /// Of the sender's disk.
    pub commits: Commits,
}

/// A whole control message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Message {
    /// Who, of which cluster.
    pub header: Header,
    /// What.
    pub body: Body,
}

/// [`Body::Renew`] in few bytes, for version 2: see [`crate::renewal`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Renewal {
    /// Stands for the cluster and the sender.
    pub tag: [u8; 8],
    /// As in [`Header`].
    pub voters: Stamp,
    /// As in [`Header`].
    pub commits: Commits,
    /// As in [`Body::Renew`].
    pub epoch: Epoch,
    /// As in [`Body::Renew`].
    pub round: Round,
    /// As in [`Body::Renew`].
    pub committed: Seq,
}

/// Number of one (re)transmission round of a claimant or leader. A reply repeats it, so that the lease is
/// counted from before *that* round was sent (R13). Grows over the life of a process, never repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Round(pub u64);

/// Largest value of a register, in bytes.
pub const VALUE_MAX: usize = 16 * 1024 * 1024;

/// Values up to this many bytes travel and are kept inside the register; larger ones are blobs. An agent may meet
/// inline values above it (an older store held them) and takes them as they are.
pub const INLINE_MAX: usize = 2 * 1024;

/// What a register holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Value {
    /// The value itself.
    Inline(Vec<u8>),
    /// A large value by its name: the contents are on the disk of whoever has taken the register, and are fetched
    /// from there.
    Blob {
        /// Of the contents.
        hash: BlobHash,
        /// How many bytes they are; at most [`VALUE_MAX`].
        len: u32,
    },
}

impl Value {
    /// How many bytes the value has.
    pub fn len(&self) -> usize {
        match self {
            Self::Inline(bytes) => bytes.len(),
            Self::Blob { len, .. } => usize::try_from(*len).unwrap_or(usize::MAX),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value, if it is here.
    pub fn inline(&self) -> Option<&[u8]> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Blob { .. } => None,
        }
    }

    /// Name and length of the contents, if they are elsewhere.
    pub fn blob(&self) -> Option<(BlobHash, u32)> {
        match self {
            Self::Inline(_) => None,
            Self::Blob { hash, len } => Some((*hash, *len)),
        }
    }
}

/// One register: a key, its stamp and its value; `None` is a tombstone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Register {
    /// The key: `voters`, `run/<task>`, ...
    pub key: String,
    /// The write that put it there.
    pub stamp: Stamp,
    /// What it holds.
    pub value: Option<Value>,
}

/// A key and its new contents (`None` deletes), as somebody wants them written. What travels is a [`Put`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// What it shall hold: at most [`VALUE_MAX`] bytes.
    pub value: Option<Vec<u8>>,
}

impl Entry {
    /// A key and its new contents; `None` deletes.
    pub fn new(key: impl Into<String>, value: Option<Vec<u8>>) -> Self {
        Self { key: key.into(), value }
    }
}

/// A key and its new value (`None` deletes) in a [`Body::Write`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Put {
    /// The key.
    pub key: String,
    /// What it shall hold.
    pub value: Option<Value>,
}

impl From<&Put> for Put {
    fn from(put: &Put) -> Self {
        put.clone()
    }
}

impl From<&Entry> for Put {
    /// Inline, whatever the size: whoever writes large values stores them first and makes the put itself.
    fn from(entry: &Entry) -> Self {
        Self { key: entry.key.clone(), value: entry.value.clone().map(Value::Inline) }
    }
}

/// Why a request was refused. Refusing changes nothing at the refuser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum RefuseReason {
    /// A promise to an equal or higher epoch stands.
    Promised,
    /// A lease granted to somebody else still runs.
    LeaseRuns,
    /// The quiet period after a restart is not over (R12).
    Quiet,
    /// The sender is not a voter in the refuser's voter set (R21).
    NotAVoter,
    /// The epoch is too far ahead to be believed (R5).
    Jump,
    /// The refuser cannot write to its disk.
    Disk,
}

/// The set of voters, as the register [`VOTERS_KEY`] holds it (R17).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Voters(pub Vec<Voter>);

/// One voter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Voter {
    /// Its name.
    pub id: MemberId,
    /// The only data directory whose promises count.
    pub instance: Instance,
}

/// What of the deletions is forgotten (R22). It lies in the register of the voters, behind them, and is left out while nothing
/// is: an agent that knows no horizon cannot read a register with one, finds no voters, and so never leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Horizon {
    /// Whatever has a stamp up to this one is deleted or was written again above it.
    pub upto: Stamp,
    /// Registers with a stamp up to this one are removed; never above `upto`.
    pub forgotten: Stamp,
}

/// The contents of the register [`VOTERS_KEY`].
pub fn encode_voters(voters: &Voters, horizon: Horizon) -> Result<Vec<u8>, CodecError> {
    if horizon == Horizon::default() { codec::encode(voters) } else { codec::encode(&(voters, horizon)) }
}

/// What [`encode_voters`] wrote, and nothing else.
pub fn decode_voters(bytes: &[u8]) -> Result<(Voters, Horizon), CodecError> {
    if let Ok(voters) = codec::decode_frame(bytes) {
        return Ok((voters, Horizon::default()));
    }
    let (voters, horizon): (Voters, Horizon) = codec::decode_frame(bytes)?;
    if horizon == Horizon::default() || horizon.forgotten > horizon.upto {
        return Err(CodecError::NotCanonical);
    }
    Ok((voters, horizon))
}

/// The key of the voter set's register.
pub const VOTERS_KEY: &str = "voters";

/// Into how many buckets registers are counted for a [`Body::Pull`], which so fits a datagram.
pub const BUCKETS: usize = 64;

/// What a founder proposes: a pure function of the candidates it sees (F2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Proposal {
    /// Cluster name.
    pub name: String,
    /// `expect`.
    pub expect: u16,
    /// Hash of the sorted list of seeds, the same on every founder.
    pub seeds: [u8; 16],
    /// The founders, sorted by id; exactly `expect` of them.
    pub founders: Vec<Voter>,
}

/// Body of a control message. U = urgent and small, T = may be large.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Body {
    /// U, claimant to voters: "would you grant this epoch?" Changes nothing (R5).
    PreClaim {
        /// The epoch it would claim.
        epoch: Epoch,
        /// Repeated in the answer.
        round: Round,
    },
    /// U: answer to [`Body::PreClaim`]: yes.
    PreGrant {
        /// As asked.
        epoch: Epoch,
        /// As asked.
        round: Round,
    },
    /// U, claimant to voters: promise me this epoch (phase 1a). Sent only after the claimant's own promise is durable (R4).
    Claim {
        /// The epoch.
        epoch: Epoch,
        /// Length of the lease asked for, in milliseconds; the grantor grants the smaller of this and its own.
        lease_ms: u32,
        /// Repeated in the answer.
        round: Round,
    },
    /// U: the promise is durable, the lease runs (phase 1b).
    Grant {
        /// As claimed.
        epoch: Epoch,
        /// As claimed.
        round: Round,
        /// D that this voter counts from sending this grant.
        lease_ms: u32,
        /// Hash over the voter's register index: equal to the claimant's means nothing to pull.
        index: [u8; 16],
    },
    /// U: no; a claimant or leader whose epoch is below `promised` steps down (R10).
    Refuse {
        /// The epoch that was refused.
        epoch: Epoch,
        /// As in the request; zero for a refused write.
        round: Round,
        /// Highest epoch promised here.
        promised: Epoch,
        /// To whom, if to anybody.
        holder: Option<MemberId>,
        /// What is left of the lease or quiet period here, in milliseconds.
        remaining_ms: u32,
        /// Why.
        reason: RefuseReason,
    },
    /// U, leader to voters and learners: extends the lease; says "I lead".
    Renew {
        /// Its epoch.
        epoch: Epoch,
        /// Repeated in the answer.
        round: Round,
        /// Highest `seq` that a majority has acknowledged.
        committed: Seq,
    },
    /// U: the lease is extended.
    Renewed {
        /// As asked.
        epoch: Epoch,
        /// As asked.
        round: Round,
        /// D that this voter counts from sending this.
        lease_ms: u32,
        /// Sender's monotonic clock in milliseconds, for the clock rate check (protocol-safety 10).
        clock_ms: u64,
        /// Highest `seq` of this epoch up to which this member has applied every batch.
        applied: Seq,
    },
    /// T, leader to voters and learners: phase 2. One batch has one stamp and is applied in one transaction.
    Write {
        /// The leader's epoch.
        epoch: Epoch,
        /// Number of the batch, counting from 1 in this epoch.
        seq: Seq,
        /// The registers.
        entries: Vec<Put>,
    },
    /// T: the batch is on this voter's disk (R2).
    Ack {
        /// As written.
        epoch: Epoch,
        /// As written.
        seq: Seq,
    },
    /// U, leader to all: "I no longer act and nothing of mine runs" (R16). True for ever about this epoch and boot.
    Release {
        /// Its epoch.
        epoch: Epoch,
        /// Whose release it is: a guardian may send it for its dead agent (protocol-safety 7).
        holder: Process,
        /// Who should claim at once (hand-over); `None`: the rule decides.
        successor: Option<MemberId>,
        /// The holder's process is gone or going: it is no candidate until it starts again.
        leaving: bool,
    },
    /// T, claimant or learner: send the registers of every bucket whose hash is not the one listed. A key's bucket is
    /// the first byte of its hash modulo the number of buckets, so what is asked does not grow with what is stored.
    Pull {
        /// The claimant's epoch, or the epoch it knows.
        epoch: Epoch,
        /// Repeated in the answer.
        round: Round,
        /// What the asker has: a hash over the (key, stamp) of each bucket, [`BUCKETS`] of them.
        have: Vec<[u8; 12]>,
    },
    /// T: answer to [`Body::Pull`]. Values keep their stamp.
    Values {
        /// As asked.
        epoch: Epoch,
        /// As asked.
        round: Round,
        /// Every register in the buckets that differ; not more than fits one message well.
        registers: Vec<Register>,
        /// Whether that is all of them; if not, the asker takes these and asks again.
        complete: bool,
    },
    /// U, founder to all members: I am fresh and look for these (F1); with the proposal I accepted (F3), if I have.
    Found {
        /// Cluster name.
        name: String,
        /// `expect`.
        expect: u16,
        /// Hash of the seed list.
        seeds: [u8; 16],
        /// The one proposal accepted in this data directory's life.
        accepted: Option<Proposal>,
        /// Ids of founders known to have accepted that same proposal, the sender included.
        acceptances: Vec<MemberId>,
    },
    /// U: the cluster is formed (F4). Answer to [`Body::Found`] from a member that knows it.
    Formed {
        /// The proposal that all its founders accepted.
        proposal: Proposal,
    },
    /// U: two agents claim one id (protocol-safety 10). The receiver is the one that does not count and exits.
    Conflict {
        /// The id.
        id: MemberId,
        /// The instance that counts.
        instance: Instance,
    },
    /// U, to one process: it is not the one that its peers know by its data directory (protocol-safety 10). Either it
    /// runs on an old copy, or two run on copies of one. What it says is ignored; it stops.
    Amnesia {
        /// The data directory.
        instance: Instance,
        /// The process that is meant. Any other one ignores this.
        boot: BootNonce,
        /// How many commits the sender knows of; zero: another process with the same directory is alive.
        known: u64,
    },
    /// U, leader or its guardian to all: "I do not act any more; my runs may still be ending" (R16). Frees the leases
    /// granted to it, like [`Body::Release`], which follows when nothing runs. True for ever about this epoch and boot.
    LeaseEnded {
        /// Its epoch.
        epoch: Epoch,
        /// Whose lease.
        holder: Process,
        /// Its process has ended, as its guardian has seen (protocol-safety 7).
        dead: bool,
    },
}
