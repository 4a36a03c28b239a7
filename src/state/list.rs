//! What people are shown of a document.

use quorate_proto::bincode_derive::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::document::{Document, Lock, SetAside, Version};
use quorate_proto::hex;

/// A task's state without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Summary {
    /// Name of the task.
    pub task: String,
    /// Number of the current version; null: no state, or deleted.
    pub current: Option<u64>,
    /// The kept ones, newest first.
    pub versions: Vec<VersionSummary>,
    /// Who holds it.
    pub lock: Option<LockSummary>,
    /// What runs could not write, newest first.
    pub errored: Vec<SetAsideSummary>,
}

/// One kept version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct VersionSummary {
    /// Counts from 1.
    pub version: u64,
    /// Of Terraform.
    pub lineage: String,
    /// Of Terraform.
    pub serial: u64,
    /// Bytes.
    pub size: u64,
    /// Hex.
    pub md5: String,
    /// Hex.
    pub blake3: String,
    /// Unix milliseconds.
    pub written_ms: u64,
    /// The run that wrote it, 32 hex digits; null: a person did.
    pub run: Option<String>,
    /// Of that run.
    pub epoch: Option<u64>,
    /// Where that was.
    pub agent: String,
}

/// Who holds the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct LockSummary {
    /// Terraform's.
    pub id: String,
    /// 32 hex digits.
    pub run: String,
    /// Of that run.
    pub epoch: u64,
    /// Its agent.
    pub agent: String,
    /// Unix milliseconds.
    pub since_ms: u64,
}

/// A state that a run could not write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct SetAsideSummary {
    /// Of Terraform.
    pub lineage: String,
    /// Of Terraform.
    pub serial: u64,
    /// Bytes.
    pub size: u64,
    /// 32 hex digits.
    pub run: String,
    /// Of that run.
    pub epoch: u64,
    /// Where the file is.
    pub agent: String,
    /// The file.
    pub path: String,
    /// Unix milliseconds.
    pub found_ms: u64,
    /// What happened and what to do: one line for `quorate status`.
    pub text: String,
    /// The command that pushes it, on that agent.
    pub command: String,
}

/// What people are shown.
pub fn summary(task: &str, document: &Document) -> Summary {
    Summary {
        task: task.to_owned(),
        current: document.current,
        versions: document.versions.iter().rev().map(version).collect(),
        lock: document.lock.as_ref().map(lock),
        errored: document.set_aside.iter().rev().map(|aside| set_aside(task, aside)).collect(),
    }
}

fn version(version: &Version) -> VersionSummary {
    VersionSummary {
        version: version.number,
        lineage: version.lineage.clone(),
        serial: version.serial,
        size: version.size,
        md5: hex(&version.md5),
        blake3: hex(&version.hash),
        written_ms: version.at_ms,
        run: version.token.map(|token| hex(&token.run)),
        epoch: version.token.map(|token| token.epoch.0),
        agent: version.agent.to_string(),
    }
}

fn lock(lock: &Lock) -> LockSummary {
    LockSummary {
        id: lock.id.clone(),
        run: hex(&lock.token.run),
        epoch: lock.token.epoch.0,
        agent: lock.agent.to_string(),
        since_ms: lock.at_ms,
    }
}

fn set_aside(task: &str, aside: &SetAside) -> SetAsideSummary {
    SetAsideSummary {
        lineage: aside.lineage.clone(),
        serial: aside.serial,
        size: aside.size,
        run: hex(&aside.token.run),
        epoch: aside.token.epoch.0,
        agent: aside.agent.to_string(),
        path: aside.path.clone(),
        found_ms: aside.at_ms,
        text: aside.text(task),
        command: aside.command(task),
    }
}
