//! What a record is: a key, a body in the encoding of the wire, and a checksum over both.
//!
//! redb's own checksums protect pages; this one protects against everything above, a defect of ours included, and
//! makes sure that a record is read under the key that it was written for.
//!
//! | key | body |
//! |---|---|
//! | `format` | u32: version of this table |
//! | `owner` | member id, instance |
//! | `generation` | u64 |
//! | `commits` | u64: transactions so far, this one included |
//! | `promise` | epoch, holder (id, instance, boot), lease (seconds u64, nanoseconds u32) |
//! | `founding` | accepted proposal or none, formed proposal or none |
//! | `cluster` | cluster id |
//! | `register/<key>` | stamp, value or none: the bytes, or hash and length of a file in `blobs/` |
//! | `peers` | list of (member id, address) |

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::codec::{self, FRAME_LIMIT};
use quorate_proto::message::{Process, Proposal, Value};
use quorate_proto::{ClusterId, Epoch, Generation, Instance, MemberId, Stamp};

use super::error::Cause;
use crate::cluster::durable::{Change, Founding, Promise};

/// Version of the records of a new file. Raise it whenever an older reader would misread.
pub(super) const FORMAT: u32 = 2;
/// Version of a file from which registers were removed (R22): the same records, but an agent that knows no horizon must not
/// lead from it. A newer version is refused.
pub(super) const FORMAT_FORGETS: u32 = 3;
/// The oldest that is still read: registers held their values as plain bytes. It is rewritten when it is opened.
pub(super) const FORMAT_OLDEST: u32 = 1;

const CHECKSUM: usize = 16;
const CONTEXT: &str = "quorate 2026 v1 stored record";
const REGISTER: &str = "register/";

/// One record, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Format(u32),
    Owner { id: MemberId, instance: Instance },
    Generation(Generation),
    Commits(u64),
    Peers(Vec<(MemberId, SocketAddr)>),
    State(Change),
}

impl From<Change> for Record {
    fn from(change: Change) -> Self {
        Self::State(change)
    }
}

impl Record {
    pub(super) const FORMAT_KEY: &str = "format";

    /// Whether it takes a record away.
    pub(super) fn removes(&self) -> bool {
        matches!(self, Self::State(Change::Forget { .. }))
    }

    pub(super) fn key(&self) -> String {
        match self {
            Self::Format(_) => Self::FORMAT_KEY.to_owned(),
            Self::Owner { .. } => "owner".to_owned(),
            Self::Generation(_) => "generation".to_owned(),
            Self::Commits(_) => "commits".to_owned(),
            Self::Peers(_) => "peers".to_owned(),
            Self::State(Change::Promise(_)) => "promise".to_owned(),
            Self::State(Change::Founding(_)) => "founding".to_owned(),
            Self::State(Change::Cluster(_)) => "cluster".to_owned(),
            Self::State(Change::Register { key, .. } | Change::Forget { key }) => format!("{REGISTER}{key}"),
        }
    }

    /// Body and checksum. Refuses what could not be read back.
    pub(super) fn encode(&self, key: &str) -> Result<Vec<u8>, Cause> {
        let mut value = self.body().map_err(|e| Cause::damaged(&format!("record {key:?}: {e}")))?;
        if value.len() > FRAME_LIMIT {
            return Err(Cause::damaged(&format!("record {key:?} has {} bytes, above {FRAME_LIMIT}", value.len())));
        }
        let sum = checksum(key, &value);
        value.extend_from_slice(&sum);
        Ok(value)
    }

    /// As a file of this format holds it.
    pub(super) fn decode(key: &str, value: &[u8], format: u32) -> Result<Self, Cause> {
        let (body, sum) = value
            .split_last_chunk::<CHECKSUM>()
            .ok_or_else(|| Cause::damaged(&format!("record {key:?} is cut off")))?;
        if checksum(key, body) != *sum {
            return Err(Cause::damaged(&format!("record {key:?} does not match its checksum")));
        }
        Self::parse(key, body, format)
    }

    fn body(&self) -> Result<Vec<u8>, codec::CodecError> {
        match self {
            Self::Format(format) => codec::encode(format),
            Self::Owner { id, instance } => codec::encode(&(id, instance)),
            Self::Generation(generation) => codec::encode(generation),
            Self::Commits(commits) => codec::encode(commits),
            Self::Peers(peers) => codec::encode(peers),
            Self::State(Change::Promise(Promise { epoch, holder, lease })) => codec::encode(&(epoch, holder, lease)),
            Self::State(Change::Founding(Founding { accepted, formed })) => codec::encode(&(accepted, formed)),
            Self::State(Change::Cluster(cluster)) => codec::encode(cluster),
            Self::State(Change::Register { stamp, value, .. }) => codec::encode(&(stamp, value)),
            // Nothing is written: it is removed.
            Self::State(Change::Forget { .. }) => Ok(Vec::new()),
        }
    }

    fn parse(key: &str, body: &[u8], format: u32) -> Result<Self, Cause> {
        Ok(match key {
            Self::FORMAT_KEY => Self::Format(field(key, body)?),
            "owner" => {
                let (id, instance) = field(key, body)?;
                Self::Owner { id, instance }
            }
            "generation" => Self::Generation(field(key, body)?),
            "commits" => Self::Commits(field(key, body)?),
            "peers" => Self::Peers(field(key, body)?),
            "promise" => {
                let (epoch, holder, lease): (Epoch, Process, Duration) = field(key, body)?;
                Self::State(Change::Promise(Promise { epoch, holder, lease }))
            }
            "founding" => {
                let (accepted, formed): (Option<Proposal>, Option<Proposal>) = field(key, body)?;
                Self::State(Change::Founding(Founding { accepted, formed }))
            }
            "cluster" => Self::State(Change::Cluster(field::<ClusterId>(key, body)?)),
            other => {
                let register = other
                    .strip_prefix(REGISTER)
                    .ok_or_else(|| Cause::damaged(&format!("record {key:?} is unknown")))?;
                let (stamp, value): (Stamp, Option<Value>) = if format == FORMAT_OLDEST {
                    let (stamp, bytes): (Stamp, Option<Vec<u8>>) = field(key, body)?;
                    (stamp, bytes.map(Value::Inline))
                } else {
                    field(key, body)?
                };
                Self::State(Change::Register { key: register.to_owned(), stamp, value })
            }
        })
    }
}

fn field<T: codec::Wire>(key: &str, body: &[u8]) -> Result<T, Cause> {
    codec::decode_frame(body).map_err(|e| Cause::damaged(&format!("record {key:?}: {e}")))
}

/// The length keeps key and body apart.
pub(super) fn checksum(key: &str, body: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key.as_bytes()).update(body);
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM]);
    sum
}

/// For fuzzing: reads bytes as `key, zero byte, value`, once as they would lie on the disk and once as if the checksum
/// matched. Says whether either was accepted; panics only if an accepted record would be written back differently.
pub fn check_record(bytes: &[u8]) -> bool {
    let Some(zero) = bytes.iter().position(|&byte| byte == 0) else { return false };
    let Ok(key) = std::str::from_utf8(&bytes[..zero]) else { return false };
    let value = &bytes[zero + 1..];
    let on_disk = Record::decode(key, value, FORMAT);
    if let Ok(record) = &on_disk {
        assert_eq!(record.encode(key).ok().as_deref(), Some(value), "a record changes when it is written back");
    }
    let body = Record::parse(key, value, FORMAT);
    if let Ok(record) = &body {
        assert_eq!(record.key(), key, "a record moves when it is written back");
        assert_eq!(record.body().ok().as_deref(), Some(value), "a body changes when it is written back");
    }
    on_disk.is_ok() || body.is_ok()
}
