//! What the core needs from the disk, and what it asks the disk to keep (protocol-safety 3).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_proto::message::{Process, Proposal, Value};
use quorate_proto::{BlobHash, ClusterId, Epoch, Instance, MemberId, Stamp};

/// A promise: no epoch below it is accepted any more, and no other holder for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Promise {
    /// The epoch.
    pub epoch: Epoch,
    /// To whom.
    pub holder: Process,
    /// The lease granted with it; after a restart the voter waits this long (R12).
    pub lease: Duration,
}

/// How far the founding came (protocol-safety F3, F4).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Founding {
    /// The one proposal accepted in this data directory's life.
    pub accepted: Option<Proposal>,
    /// The proposal that all founders accepted.
    pub formed: Option<Proposal>,
}

/// Everything durable, as read back at start.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Durable {
    /// Own name, fixed for the life of the data directory.
    pub id: MemberId,
    /// Made with the data directory.
    pub instance: Instance,
    /// The cluster it belongs to.
    pub cluster: Option<ClusterId>,
    /// The newest promise.
    pub promised: Option<Promise>,
    /// Every register.
    pub registers: BTreeMap<String, (Stamp, Option<Value>)>,
    /// Contents of large values that are here, whole and durable.
    pub blobs: BTreeSet<BlobHash>,
    /// The founding record.
    pub founding: Founding,
    /// Transactions in the life of the data directory, as of this process's start (which is one).
    pub commits: u64,
}

impl Durable {
    /// What a new data directory holds.
    pub fn fresh(id: MemberId, instance: Instance) -> Self {
        Self {
            id,
            instance,
            cluster: None,
            promised: None,
            registers: BTreeMap::new(),
            blobs: BTreeSet::new(),
            founding: Founding::default(),
            commits: 0,
        }
    }
}

/// One change of the durable state. A batch of them is one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// Replaces the promise.
    Promise(Promise),
    /// Replaces one register.
    Register {
        /// Its key.
        key: String,
        /// Its stamp.
        stamp: Stamp,
        /// Its value; `None` is a tombstone.
        value: Option<Value>,
    },
    /// Removes one register: its deletion is forgotten (R22).
    Forget {
        /// Its key.
        key: String,
    },
    /// Replaces the founding record.
    Founding(Founding),
    /// Sets the cluster id. Once.
    Cluster(ClusterId),
}

impl Change {
    /// Applies the change to a copy of the durable state: what the store does to the disk.
    pub fn apply(self, durable: &mut Durable) {
        match self {
            Self::Promise(promise) => durable.promised = Some(promise),
            Self::Register { key, stamp, value } => {
                durable.registers.insert(key, (stamp, value));
            }
            Self::Forget { key } => drop(durable.registers.remove(&key)),
            Self::Founding(founding) => durable.founding = founding,
            Self::Cluster(cluster) => durable.cluster = Some(cluster),
        }
    }
}
