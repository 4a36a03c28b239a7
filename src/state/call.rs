//! What can be asked about a task's state, by whom, and what is answered. All of it travels from agent to agent.

use std::fmt;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::{Epoch, MemberId};

use super::list::Summary;

/// The fencing token of a run. Tokens compare by epoch; two of one epoch are told apart by the run.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Token {
    /// The leadership that started it.
    pub epoch: Epoch,
    /// Which run.
    pub run: [u8; 16],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, {})", self.epoch, quorate_proto::hex(&self.run[..4]))
    }
}

/// The newest run of a task, as the journal of runs has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// Of that run.
    pub token: Token,
    /// It is surely over.
    pub finished: bool,
}

/// Who leads while the request is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// The agent.
    pub leader: MemberId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Caller {
    /// A run, known by its credential to the agent that started it.
    Run {
        /// Of the credential, never of the request.
        token: Token,
        /// The agent.
        agent: MemberId,
    },
    /// A person.
    Operator,
    /// An agent, about what it found after a run.
    Agent(MemberId),
}

/// One request about the state of one task (or of all: [`Request::List`], its task is not read).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct StateCall {
    /// Name of the task.
    pub task: String,
    /// See there.
    pub caller: Caller,
    /// See there.
    pub request: Request,
}

/// What is asked. The first five are Terraform's.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum Request {
    /// The current content; for a person also an older one.
    Get {
        /// Number of the version; `None`: the current one.
        version: Option<u64>,
    },
    /// A run writes a new version.
    Put {
        /// Of the lock that it holds.
        lock_id: Option<String>,
        /// At most [`super::CONTENT_MAX`] bytes.
        content: Vec<u8>,
    },
    /// A run deletes the state; the kept versions stay.
    Delete {
        /// Of the lock that it holds; Terraform's `http` backend sends none.
        lock_id: Option<String>,
    },
    /// A run takes the lock.
    Lock {
        /// JSON as Terraform sent it, with an `ID`.
        info: Vec<u8>,
    },
    /// A run gives the lock back.
    Unlock {
        /// JSON as Terraform sent it, with the `ID`.
        info: Vec<u8>,
    },
    /// A person puts a content in place, while no run is in flight.
    Push {
        /// At most [`super::CONTENT_MAX`] bytes.
        content: Vec<u8>,
        /// Do not compare lineage and serial.
        force: bool,
    },
    /// A person makes a kept version the current one again, while no run is in flight.
    Restore {
        /// Its number.
        version: u64,
    },
    /// Everything but the contents, of one task.
    Show,
    /// Everything but the contents, of all tasks.
    List,
    /// An agent found a state that a run of its own could not write.
    SetAside(super::SetAside),
    /// A person has looked at what was set aside: it is forgotten.
    Dismiss,
}

impl fmt::Debug for Request {
    /// Without contents: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get { version } => write!(f, "Get({version:?})"),
            Self::Put { lock_id, content } => write!(f, "Put({lock_id:?}, {} bytes)", content.len()),
            Self::Delete { lock_id } => write!(f, "Delete({lock_id:?})"),
            Self::Lock { .. } => f.write_str("Lock"),
            Self::Unlock { .. } => f.write_str("Unlock"),
            Self::Push { content, force } => write!(f, "Push({} bytes, force {force})", content.len()),
            Self::Restore { version } => write!(f, "Restore({version})"),
            Self::Show => f.write_str("Show"),
            Self::List => f.write_str("List"),
            Self::SetAside(_) => f.write_str("SetAside"),
            Self::Dismiss => f.write_str("Dismiss"),
        }
    }
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub enum StateAnswer {
    /// A content, byte for byte as it was written.
    Content {
        /// MD5 of it, for Terraform's `Content-MD5`.
        md5: [u8; 16],
        /// The bytes.
        content: Vec<u8>,
    },
    /// There is no state.
    Nothing,
    /// Done, and durable on a majority; or nothing had to be done.
    Done,
    /// Of one task.
    Shown(Box<Summary>),
    /// Of all tasks, sorted by name.
    Listed(Vec<Summary>),
    /// Somebody else has the lock. Nothing changed.
    Locked {
        /// The holder's lock info, as it sent it.
        info: Vec<u8>,
    },
    /// The run that asks is not the newest of its task, or is over. Nothing changed, nor ever will by it.
    Fenced {
        /// Who leads.
        leader: MemberId,
        /// With which epoch.
        epoch: Epoch,
        /// For people.
        why: String,
    },
    /// It does not fit what is there. Nothing changed.
    Conflict(String),
    /// It makes no sense. Nothing changed.
    Invalid(String),
    /// Nobody leads now. Nothing changed; try again.
    NoLeader(String),
    /// No answer in time. Whether it took effect is unknown; it may be repeated.
    Unknown(String),
    /// The cluster keeps no state. Nothing changed.
    Unavailable(String),
    /// What is stored cannot be used: written by a newer version, or damaged. Nothing changed.
    Broken(String),
}

impl fmt::Debug for StateAnswer {
    /// Without contents: they hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { content, .. } => write!(f, "Content({} bytes)", content.len()),
            Self::Nothing => f.write_str("Nothing"),
            Self::Done => f.write_str("Done"),
            Self::Shown(summary) => write!(f, "Shown({summary:?})"),
            Self::Listed(list) => write!(f, "Listed({list:?})"),
            Self::Locked { info } => write!(f, "Locked({})", String::from_utf8_lossy(info)),
            Self::Fenced { why, .. } => write!(f, "Fenced({why})"),
            Self::Conflict(why) => write!(f, "Conflict({why})"),
            Self::Invalid(why) => write!(f, "Invalid({why})"),
            Self::NoLeader(why) => write!(f, "NoLeader({why})"),
            Self::Unknown(why) => write!(f, "Unknown({why})"),
            Self::Unavailable(why) => write!(f, "Unavailable({why})"),
            Self::Broken(why) => write!(f, "Broken({why})"),
        }
    }
}
