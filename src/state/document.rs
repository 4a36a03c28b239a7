//! What is kept of a task's state, and under which keys.

use quorate_proto::MemberId;
use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec::{self, CodecError};
use quorate_proto::message::Entry;

use super::call::Token;
use super::content::Content;
use super::{SET_ASIDE_MAX, VERSIONS};

/// Every index begins like this, and nothing else does.
pub const INDEX_PREFIX: &str = "state/";
/// Every content begins like this.
pub const CONTENT_PREFIX: &str = "state-content/";
/// Of the encoding below. An index of another format is left alone.
const FORMAT: u8 = 1;

/// The register of a task's index.
pub fn index_key(task: &str) -> String {
    format!("{INDEX_PREFIX}{task}")
}

/// The register that holds the content of a version.
pub fn slot_key(task: &str, version: u64) -> String {
    format!("{CONTENT_PREFIX}{task}/{}", version % VERSIONS)
}

/// The index of a task: everything but the contents.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Document {
    /// The highest token that changed it. Never falls.
    pub fence: Option<Token>,
    /// Number of the newest version ever made; the first is 1.
    pub newest: u64,
    /// The version that `GET` returns; `None`: no state, or deleted.
    pub current: Option<u64>,
    /// The kept ones, oldest first, at most [`VERSIONS`].
    pub versions: Vec<Version>,
    /// Who holds it.
    pub lock: Option<Lock>,
    /// What deposed runs could not write, oldest first, at most [`SET_ASIDE_MAX`].
    pub set_aside: Vec<SetAside>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Version {
    /// Its number: it lies in slot `number % 10`.
    pub number: u64,
    /// See [`Content`].
    pub lineage: String,
    /// See [`Content`].
    pub serial: u64,
    /// Bytes.
    pub size: u64,
    /// See [`Content`].
    pub md5: [u8; 16],
    /// See [`Content`].
    pub hash: [u8; 32],
    /// When it was written, Unix milliseconds on the leader's clock. For people.
    pub at_ms: u64,
    /// The run that wrote it; `None`: a person.
    pub token: Option<Token>,
    /// The agent of that run, or the leader that a person asked.
    pub agent: MemberId,
}

/// The lock.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Lock {
    /// `ID` of the info.
    pub id: String,
    /// JSON as Terraform sent it.
    pub info: Vec<u8>,
    /// Of the run that holds it.
    pub token: Token,
    /// The agent of that run.
    pub agent: MemberId,
    /// Since when, Unix milliseconds.
    pub at_ms: u64,
}

/// A state that a run could not write, kept in a file on the agent that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct SetAside {
    /// See [`Content`].
    pub lineage: String,
    /// See [`Content`].
    pub serial: u64,
    /// Bytes.
    pub size: u64,
    /// See [`Content`].
    pub hash: [u8; 32],
    /// Of the run.
    pub token: Token,
    /// Where the file is.
    pub agent: MemberId,
    /// The file.
    pub path: String,
    /// When it was found, Unix milliseconds.
    pub at_ms: u64,
}

impl SetAside {
    /// Of a file's content.
    pub fn of(content: &Content, token: Token, agent: MemberId, path: String, at_ms: u64) -> Self {
        let Content { lineage, serial, size, hash, .. } = content.clone();
        Self { lineage, serial, size, hash, token, agent, path, at_ms }
    }

    /// For people: what happened, and the command that puts it right.
    pub fn text(&self, task: &str) -> String {
        let lineage = if self.lineage.is_empty() { "none yet" } else { &self.lineage };
        format!(
            "task {task}: a run of {} (epoch {}) could not save its state (lineage {lineage}, serial {}); look at it, then \
             on {} run: {}",
            self.agent,
            self.token.epoch,
            self.serial,
            self.agent,
            self.command(task)
        )
    }

    /// The command that pushes it.
    pub fn command(&self, task: &str) -> String {
        format!("quorate state push {task} {}", quoted(&self.path))
    }
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=@:".contains(c);
    if path.chars().all(plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

impl Document {
    /// Out of its register; `None`: there is none yet.
    pub fn decode(value: Option<&[u8]>) -> Result<Self, CodecError> {
        let Some(value) = value else { return Ok(Self::default()) };
        match value.split_first() {
            Some((&FORMAT, rest)) => codec::decode_frame(rest),
            Some((format, _)) => Err(CodecError::Decode(format!("format {format}, this version reads {FORMAT}"))),
            None => Err(CodecError::Decode("empty".to_owned())),
        }
    }

    /// As its register.
    pub fn entry(&self, task: &str) -> Result<Entry, CodecError> {
        let mut value = vec![FORMAT];
        value.extend(codec::encode(self)?);
        Ok(Entry { key: index_key(task), value: Some(value) })
    }

    /// A kept version; `None` as number: the current one.
    pub fn version(&self, number: Option<u64>) -> Option<&Version> {
        let number = number.or(self.current)?;
        self.versions.iter().find(|version| version.number == number)
    }

    /// Makes a content the current version; the oldest gives way. Returns its number.
    pub(super) fn push(&mut self, content: Content, at_ms: u64, token: Option<Token>, agent: MemberId) -> u64 {
        self.newest += 1;
        let Content { lineage, serial, size, md5, hash } = content;
        self.versions.push(Version { number: self.newest, lineage, serial, size, md5, hash, at_ms, token, agent });
        let newest = self.newest;
        self.versions.retain(|version| version.number + VERSIONS > newest);
        self.current = Some(newest);
        // What was set aside has found its way.
        self.set_aside.retain(|aside| aside.hash != hash);
        newest
    }

    pub(super) fn set_aside(&mut self, aside: SetAside) {
        self.set_aside.retain(|known| known.hash != aside.hash);
        self.set_aside.push(aside);
        let over = self.set_aside.len().saturating_sub(SET_ASIDE_MAX);
        self.set_aside.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_of_another_format_is_not_read() {
        let mut value = Document::default().entry("fw").unwrap().value.unwrap();
        assert_eq!(Document::decode(Some(&value)).unwrap(), Document::default());
        value[0] = 2;
        let error = Document::decode(Some(&value)).unwrap_err().to_string();
        assert!(error.contains("format 2, this version reads 1"), "{error}");
        assert!(Document::decode(Some(&[])).is_err());
        assert!(Document::decode(Some(&[1, 255, 255])).is_err());
    }

    #[test]
    fn no_content_is_listed_with_the_indexes() {
        assert!(index_key("fw").starts_with(INDEX_PREFIX));
        assert!(!slot_key("fw", 3).starts_with(INDEX_PREFIX));
        assert_eq!(slot_key("fw", 13), slot_key("fw", 3));
    }

    #[test]
    fn the_command_can_be_pasted() {
        assert_eq!(quoted("/var/a-b/errored.tfstate"), "/var/a-b/errored.tfstate");
        assert_eq!(quoted("/a b'c;d"), "'/a b'\\''c;d'");
    }
}
