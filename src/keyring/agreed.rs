//! The register: the keys that the cluster agreed on.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use quorate_proto::seal::{Fingerprint, Key, Ring};
use serde::{Deserialize, Serialize};

/// The key of the register.
pub const REGISTER: &str = "keyring";

/// The value is padded to this many bytes: more than a datagram holds, so that keys travel over control connections only, whose
/// session keys nobody can compute afterwards, not even with the group key; less than what makes a value a file of its own.
const PADDED: usize = 1_600;

/// Removed keys of which the fingerprint is kept.
const REMOVED_MAX: usize = 48;

/// What the cluster agreed on.
#[derive(Clone, PartialEq, Eq)]
pub struct Agreed {
    /// Grows by one with each change.
    pub revision: u64,
    /// The keys.
    pub ring: Ring,
    /// Keys that were removed, the last one last: a configuration that still names them is out of date.
    pub removed: Vec<Fingerprint>,
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreed").field("revision", &self.revision).field("ring", &self.ring).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Text {
    revision: u64,
    keys: Vec<String>,
    #[serde(default)]
    removed: Vec<String>,
    #[serde(default)]
    padding: String,
}

impl Agreed {
    /// What the first change begins with: nothing was agreed, and the leader has these keys.
    pub fn first(ring: Ring) -> Self {
        Self { revision: 0, ring, removed: Vec::new() }
    }

    /// The value of the register.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = Text {
            revision: self.revision,
            keys: self.ring.keys().map(key_text).collect(),
            removed: self.removed.iter().map(ToString::to_string).collect(),
            padding: String::new(),
        };
        let bare = serde_json::to_vec(&text).map_or(0, |bytes| bytes.len());
        text.padding = " ".repeat(PADDED.saturating_sub(bare));
        serde_json::to_vec(&text).unwrap_or_default()
    }

    /// Reads it back. `Err`: why it is none, without anything of the keys.
    pub fn decode(value: &[u8]) -> Result<Self, String> {
        let text: Text = serde_json::from_slice(value).map_err(|error| format!("at column {}", error.column()))?;
        let keys: Option<Vec<Key>> = text.keys.iter().map(|text| key_of_text(text)).collect();
        let ring = Ring::new(keys.ok_or("a key is not 32 bytes in base64")?).map_err(|error| error.to_string())?;
        let removed = text.removed.iter().filter_map(|text| text.parse().ok()).collect();
        Ok(Self { revision: text.revision, ring, removed })
    }

    /// The same with other keys: its own count as removed.
    pub(super) fn replaced(&self, ring: &Ring) -> Self {
        let mut replaced = self.clone();
        replaced.removed.extend(self.ring.fingerprints());
        replaced.ring = ring.clone();
        replaced
    }

    /// The next state.
    pub(super) fn next(&self, ring: Ring, removed: Option<Fingerprint>) -> Self {
        let mut all: Vec<_> = self.removed.iter().copied().filter(|print| !ring.contains(*print)).collect();
        all.extend(removed);
        let from = all.len().saturating_sub(REMOVED_MAX);
        Self { revision: self.revision + 1, ring, removed: all.split_off(from) }
    }
}

/// A key as people have it: 32 bytes in base64, blanks around it allowed.
pub fn key_of_text(text: &str) -> Option<Key> {
    let text = text.trim();
    let bytes = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok()?;
    Key::from_bytes(&bytes)
}

/// The same the other way.
pub fn key_text(key: &Key) -> String {
    STANDARD.encode(key.bytes())
}
