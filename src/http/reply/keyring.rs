//! Bodies about the keys of the cluster's traffic.

use serde::{Deserialize, Serialize};

/// `GET /v1/keyring`. It holds no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyring {
    /// `cluster { name }`.
    pub cluster_name: String,
    /// The keys that any member has, the one that most seal with first.
    pub keys: Vec<KeyringKey>,
    /// Sorted by id.
    pub members: Vec<KeyringMember>,
    /// Who looked.
    pub observed_by: String,
    /// Of this answer.
    pub request_id: String,
}

/// A key, and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringKey {
    /// A short hash of it.
    pub fingerprint: String,
    /// Members that seal with it.
    pub primary_on: Vec<String>,
    /// Members that open with it.
    pub installed_on: Vec<String>,
}

impl KeyringKey {
    /// Nobody has it.
    pub fn new(fingerprint: &str) -> Self {
        Self { fingerprint: fingerprint.to_owned(), primary_on: Vec::new(), installed_on: Vec::new() }
    }
}

/// A member, and its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringMember {
    /// Name.
    pub id: String,
    /// `alive`, `suspect`, `down` or `left`.
    pub state: String,
    /// Its promises count.
    pub voter: bool,
    /// How many changes the cluster had agreed on when it took these keys; 0: they are those of its configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Fingerprints, the one that it seals with first.
    pub keys: Vec<String>,
    /// Why its keys are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
}

/// `POST /v1/keyring/install|use|remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringChanged {
    /// Which key.
    pub fingerprint: String,
    /// False: it was so already.
    pub changed: bool,
    /// Members that are here and have not carried it out yet.
    pub waiting_for: Vec<String>,
    /// What an operator must know, one sentence each.
    pub warnings: Vec<String>,
    /// Of this answer.
    pub request_id: String,
}
