//! The keys of the cluster's traffic while it runs: what the cluster agreed on, what an agent makes of it, what may be changed.
//!
//! What the cluster agreed on ([`Agreed`]) is the value of one register: written by the leader, on a majority before it is
//! acknowledged, and on the disk of each agent that has seen it. Before the first change there is none, and each agent has the
//! keys of its configuration ([`Own`]).
//!
//! A rotation is three changes, each safe when all agents have seen the one before:
//!
//! | change | then | needs before |
//! |---|---|---|
//! | install | everybody opens with the new key | nothing |
//! | use | everybody seals with it | everybody has it |
//! | remove | nobody opens with the old one | everybody seals with another |
//!
//! Agents see a change at different times. Between two neighbouring states any two agents have a key in common, so they can
//! always talk; by which key is decided by [`quorate_proto::seal::Speakers`].
//!
//! # Not here
//!
//! Registers, disks, connections: `runtime::keyring`.

mod agreed;
mod decide;
mod own;

#[cfg(test)]
mod tests;

use quorate_proto::seal::{Fingerprint, Ring};
use serde::{Deserialize, Serialize};

pub use agreed::{Agreed, REGISTER, key_of_text, key_text};
pub use decide::{Change, Outcome, Refusal, Standing, Standings, decide, find};
pub use own::{Configured, Own};

/// What one agent says of its keys. Travels between agents and to people; it holds no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many changes the cluster had agreed on when the agent took its keys; 0: those of its configuration.
    pub revision: u64,
    /// Fingerprints, the primary first.
    pub keys: Vec<String>,
}

impl Report {
    /// Of a ring.
    pub fn new(revision: u64, ring: &Ring) -> Self {
        Self { revision, keys: ring.fingerprints().map(|print| print.to_string()).collect() }
    }

    /// Whether the agent opens with this key.
    pub fn has(&self, key: Fingerprint) -> bool {
        self.keys.contains(&key.to_string())
    }

    /// Whether the agent seals with this key.
    pub fn seals_with(&self, key: Fingerprint) -> bool {
        self.keys.first().is_some_and(|first| *first == key.to_string())
    }
}
