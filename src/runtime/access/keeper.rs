//! Changes of the tokens, on the leader: one at a time, from the registers as they are, answered when a majority has them.
//! The leader's own book has them at that moment.

use std::collections::BTreeMap;

use quorate_proto::Epoch;
use quorate_proto::message::Entry;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Gate, Registers, TOKEN, now, records};
use crate::access::{Identity, Record, Role, Secret};
use crate::cluster::leadership::Lease;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::clock;
use crate::runtime::core::ProposeError;
use crate::runtime::handle::Caller;

/// Register that says that the first token was made.
const BOOTSTRAP: &str = "access/bootstrap";
/// Tokens that are kept: each request is compared with all of them.
const TOKENS_MAX: usize = 1000;
/// Longest life of a token, in seconds: a hundred years.
const TTL_MAX: i64 = 100 * 366 * 86_400;

/// A token that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// What its holder may do.
    pub role: Role,
    /// On which tasks; empty: all.
    pub tasks: Vec<String>,
    /// What it is for.
    pub description: String,
    /// How long it lives, in seconds; `None`: until it is revoked.
    pub ttl: Option<i64>,
}

/// A token that was made. Its secret is nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// By which it is called.
    pub accessor: String,
    /// What is kept.
    pub record: Record,
    /// To be told once.
    pub secret: Secret,
}

/// Why tokens were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Nothing changed.
    #[error("access control is off: add an `access` block to the configuration of every agent")]
    Off,
    /// Nothing changed; ask the leader.
    #[error("this agent does not lead")]
    NotLeading,
    /// Nothing changed.
    #[error("there is no token with the accessor {0}")]
    Unknown(String),
    /// Nothing changed; it is asked for in a way that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Nothing changed; it was done before, or there is no room.
    #[error("{0}")]
    Conflict(String),
    /// Nobody knows whether it changed.
    #[error(
        "leadership ended before the change was acknowledged; whether it took effect is unknown: see `quorate token list`"
    )]
    Lost,
}

impl From<Unreadable> for KeepError {
    fn from(why: Unreadable) -> Self {
        Self::Conflict(why.to_string())
    }
}

impl From<ProposeError> for KeepError {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotLeader => Self::NotLeading,
            ProposeError::Unknown => Self::Lost,
            ProposeError::Refused(why) => Self::Conflict(why),
        }
    }
}

/// What [`BOOTSTRAP`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct Bootstrap {
    accessor: String,
    at: i64,
    by: String,
}

impl Gate {
    /// The leadership of this agent, while it has one.
    pub(super) fn leads(&self) -> Option<(&Registers, Epoch)> {
        let registers = self.registers.as_ref()?;
        let lease = *registers.lease.borrow();
        let lease = lease.filter(|lease| lease.is_live(std::time::Duration::ZERO, clock::now()))?;
        Some((registers, Lease::epoch(&lease)))
    }

    fn may_change(&self) -> Result<(&Registers, Epoch), KeepError> {
        self.rules().ok_or(KeepError::Off)?;
        self.leads().ok_or(KeepError::NotLeading)
    }

    /// Makes a token.
    pub async fn create(&self, wanted: NewToken, by: &Caller) -> Result<Made, KeepError> {
        self.make(wanted, by, Vec::new()).await
    }

    /// Makes the first token of all, once.
    pub async fn bootstrap(&self, by: &Caller) -> Result<Made, KeepError> {
        if !matches!(by.identity, Identity::Socket { admin: true, .. }) {
            let why = "the first token is made over the socket admin.sock in the data directory of an agent: \
                       quorate token bootstrap, on its host";
            return Err(KeepError::Invalid(why.to_owned()));
        }
        let (role, description) = (Role::Admin, "the first token (bootstrap)".to_owned());
        let wanted = NewToken { role, tasks: Vec::new(), description, ttl: None };
        self.make(wanted, by, vec![BOOTSTRAP]).await
    }

    async fn make(&self, wanted: NewToken, by: &Caller, once: Vec<&str>) -> Result<Made, KeepError> {
        let NewToken { role, tasks, description, ttl } = wanted;
        let created = now();
        let expires = match ttl {
            Some(1..=TTL_MAX) => ttl.map(|ttl| created + ttl),
            Some(_) => {
                return Err(KeepError::Invalid(
                    "the ttl must be a second or more, and a hundred years at most".to_owned(),
                ));
            }
            None => None,
        };
        let secret = Secret::new(random());
        let created_by = shortened(&by.to_string());
        let record = Record {
            hash: secret.hash(),
            role,
            tasks,
            description,
            created,
            created_by: created_by.clone(),
            expires,
            used: None,
            rotated: None,
        };
        record.check().map_err(|error| KeepError::Invalid(error.to_string()))?;
        let (registers, epoch) = self.may_change()?;
        let mut known = registers.turn.lock().await;
        for key in &once {
            let Some(done) = registers.replica.get(key).await? else { continue };
            return Err(KeepError::Conflict(done_before(&done)));
        }
        let tokens = records(registers.replica.list(TOKEN).await?);
        if tokens.len() >= TOKENS_MAX {
            let why = format!("there are {TOKENS_MAX} tokens, which is the most: revoke some");
            return Err(KeepError::Conflict(why));
        }
        let accessor = free_accessor(&tokens);
        let mut entries = vec![entry(&accessor, Some(&record))];
        for key in once {
            let done = Bootstrap { accessor: accessor.clone(), at: created, by: created_by.clone() };
            entries.push(Entry::new(key.to_owned(), serde_json::to_vec(&done).ok()));
        }
        registers.replica.propose(epoch, entries).await?;
        info!(accessor, role = %record.role, tasks = record.tasks.join(","), by = %by, "a token is made");
        self.keep_one(tokens, &accessor, Some(record.clone()));
        known.clear();
        Ok(Made { accessor, record, secret })
    }

    /// Takes a token away.
    pub async fn revoke(&self, accessor: &str, by: &Caller) -> Result<(), KeepError> {
        let (registers, epoch) = self.may_change()?;
        let mut known = registers.turn.lock().await;
        let tokens = records(registers.replica.list(TOKEN).await?);
        if !tokens.contains_key(accessor) {
            return Err(KeepError::Unknown(accessor.to_owned()));
        }
        // Already before a majority has it: whoever revokes does not want to wait.
        self.keep_one(tokens, accessor, None);
        known.clear();
        registers.replica.propose(epoch, vec![entry(accessor, None)]).await?;
        info!(accessor, by = %by, "a token is revoked");
        Ok(())
    }

    /// Gives a token another secret; the old one is worth nothing from then on.
    pub async fn rotate(&self, accessor: &str, by: &Caller) -> Result<Made, KeepError> {
        let (registers, epoch) = self.may_change()?;
        let mut known = registers.turn.lock().await;
        let tokens = records(registers.replica.list(TOKEN).await?);
        let old = tokens.get(accessor).filter(|record| !record.is_expired(now()));
        let old = old.ok_or_else(|| KeepError::Unknown(accessor.to_owned()))?;
        let secret = Secret::new(random());
        let record = Record { hash: secret.hash(), rotated: Some(now()), ..old.clone() };
        registers.replica.propose(epoch, vec![entry(accessor, Some(&record))]).await?;
        info!(accessor, by = %by, "a token has another secret");
        self.keep_one(tokens, accessor, Some(record.clone()));
        known.clear();
        Ok(Made { accessor: accessor.to_owned(), record, secret })
    }

    /// Takes away what has expired and writes down what was used; how many went.
    pub(super) async fn write_sweep(&self, used: BTreeMap<String, i64>) -> Result<usize, KeepError> {
        let (registers, epoch) = self.may_change()?;
        let mut known = registers.turn.lock().await;
        let mut tokens = records(registers.replica.list(TOKEN).await?);
        let now = now();
        let mut entries = Vec::new();
        for (accessor, hour) in used {
            if let Some(record) = tokens.get_mut(&accessor).filter(|it| !it.is_expired(now) && it.used < Some(hour)) {
                record.used = Some(hour);
                entries.push(entry(&accessor, Some(record)));
            }
        }
        let over: Vec<String> =
            tokens.iter().filter(|(_, record)| record.is_expired(now)).map(|(accessor, _)| accessor.clone()).collect();
        entries.extend(over.iter().map(|accessor| entry(accessor, None)));
        if entries.is_empty() {
            return Ok(0);
        }
        registers.replica.propose(epoch, entries).await?;
        tokens.retain(|_, record| !record.is_expired(now));
        self.set_book(tokens);
        known.clear();
        Ok(over.len())
    }

    fn keep_one(&self, mut tokens: BTreeMap<String, Record>, accessor: &str, record: Option<Record>) {
        match record {
            Some(record) => drop(tokens.insert(accessor.to_owned(), record)),
            None => drop(tokens.remove(accessor)),
        }
        self.set_book(tokens);
    }
}

fn entry(accessor: &str, record: Option<&Record>) -> Entry {
    Entry::new(format!("{TOKEN}{accessor}"), record.and_then(|record| serde_json::to_vec(record).ok()))
}

fn done_before(register: &[u8]) -> String {
    let done: Option<Bootstrap> = serde_json::from_slice(register).ok();
    let when = done.map_or_else(String::new, |done| {
        let at = chrono::DateTime::from_timestamp(done.at, 0).map_or_else(String::new, |at| at.to_rfc3339());
        format!(" at {at} by {} (accessor {})", done.by, done.accessor)
    });
    format!(
        "the first token was made already{when}; whoever may use admin.sock makes others over it: \
         quorate token create -http-addr unix://DATA_DIR/admin.sock -role admin"
    )
}

/// 12 hex digits that no token has.
fn free_accessor(tokens: &BTreeMap<String, Record>) -> String {
    loop {
        let number = random().iter().take(6).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        let accessor = format!("{number:012x}");
        if !tokens.contains_key(&accessor) {
            return accessor;
        }
    }
}

/// A record fits its register whoever made the token.
fn shortened(text: &str) -> String {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 200).last();
    text[..end.unwrap_or(0)].to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a secret that could be foretold would be none")]
fn random() -> [u8; 32] {
    rand::random()
}
