//! What is remembered of one task.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::task::TaskSpec;

/// Names one definition of a task: 16 bytes of a hash, as hexadecimal text.
pub type Hash = String;

/// What is remembered of one task: JSON in the register `task/<name>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who defined it.
    pub origin: Origin,
    /// The flag set at run time, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// When that was, in seconds since 1970: a timetable owes nothing from before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled_at: Option<i64>,
    /// Deleted at run time; kept so that the files do not bring it back.
    #[serde(default)]
    pub deleted: bool,
    /// Who changed it last at run time, and how. Agents of before leave it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Changed>,
}

/// The last change of a task at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// `created`, `enabled`, `disabled` or `deleted`.
    pub what: String,
    /// Who, for people.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// Who defined a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The configuration files of the leader.
    Files {
        /// Which definition.
        hash: Hash,
        /// What `enabled` said in it.
        enabled: bool,
    },
    /// The API.
    Api {
        /// Grows with each task that is made.
        order: u64,
        /// The whole definition.
        spec: Box<TaskSpec>,
        /// The definition of the files that was deleted before, if there was one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shadow: Option<Hash>,
    },
}

impl Record {
    /// Of a task that the files define and nobody has touched.
    pub(super) fn of_files(spec: &TaskSpec) -> Self {
        Self {
            origin: Origin::Files { hash: hash(spec), enabled: spec.enabled },
            enabled: None,
            enabled_at: None,
            deleted: false,
            changed: None,
        }
    }

    /// Whether what the files define under this name does not count because of what was done at run time. Whatever the
    /// definition: that of another agent may differ a little, and a take-over must not undo a deletion.
    pub(super) fn hides(&self) -> bool {
        match &self.origin {
            Origin::Files { .. } => self.deleted,
            Origin::Api { shadow, .. } => shadow.is_some(),
        }
    }

    /// The flag that counts.
    pub(super) fn enabled_of(&self, spec: &TaskSpec) -> bool {
        match (&self.origin, self.enabled) {
            (Origin::Files { enabled: said, .. }, Some(_)) if *said != spec.enabled => spec.enabled,
            (_, Some(enabled)) => enabled,
            (_, None) => spec.enabled,
        }
    }

    /// The record when the files say this now.
    pub(super) fn followed_by(&self, spec: &TaskSpec) -> Self {
        let stands = matches!(&self.origin, Origin::Files { enabled, .. } if *enabled == spec.enabled);
        let (enabled, enabled_at) = if stands { (self.enabled, self.enabled_at) } else { (None, None) };
        let changed = self.changed.clone().filter(|_| enabled.is_some());
        Self { enabled, enabled_at, changed, ..Self::of_files(spec) }
    }

    pub(super) fn order(&self) -> Option<u64> {
        match &self.origin {
            Origin::Api { order, .. } => Some(*order),
            Origin::Files { .. } => None,
        }
    }
}

/// Names a definition. Where a task works does not count when that is the place it gets by its name: agents may keep their
/// working directories in different places.
pub fn hash(spec: &TaskSpec) -> Hash {
    let by_name = spec.working_dir.file_name().is_some_and(|name| name == spec.name.as_str());
    let working_dir = if by_name { PathBuf::new() } else { spec.working_dir.clone() };
    // Serialising plain data to memory cannot fail; if it did, nothing would equal anything.
    let text = serde_json::to_vec(&TaskSpec { working_dir, ..spec.clone() }).unwrap_or_default();
    let mut hex = String::with_capacity(32);
    for byte in &blake3::hash(&text).as_bytes()[..16] {
        // Writing to a String cannot fail.
        let _written = write!(hex, "{byte:02x}");
    }
    hex
}
