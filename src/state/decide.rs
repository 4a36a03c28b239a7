//! The decisions: one request about one task, what is in its registers, and out come the answer and one batch of writes.
//!
//! Only for the leader, after recovery and inside its act window; the batch is proposed under its epoch, and the answer
//! given when the batch is durable on a majority. If it was not, the answer is not given: nothing is decided yet.

use quorate_proto::MemberId;
use quorate_proto::message::Entry;
use serde::Deserialize;

use super::LOCK_INFO_MAX;
use super::call::{Caller, Fence, Leadership, Request, StateAnswer, StateCall, Token};
use super::content::{Content, lineage_of, renamed};
use super::document::{Document, Lock, SetAside, slot_key};
use super::list::summary;

/// Longest lock id; Terraform's is a UUID.
const LOCK_ID_MAX: usize = 128;
/// Longest path of a file that was set aside (`PATH_MAX` of Linux).
const PATH_MAX: usize = 4096;

/// What to answer once `writes` are durable on a majority (none: at once).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// See above.
    pub answer: StateAnswer,
    /// One batch.
    pub writes: Vec<Entry>,
}

impl From<StateAnswer> for Decision {
    fn from(answer: StateAnswer) -> Self {
        Self { answer, writes: Vec::new() }
    }
}

/// The register whose value [`decide`] wants as `content`, if any.
pub fn needs(call: &StateCall, document: &Document) -> Option<String> {
    let number = match call.request {
        Request::Get { version } => version,
        Request::Restore { version } => Some(version),
        _ => return None,
    };
    document.version(number).map(|version| slot_key(&call.task, version.number))
}

/// Decides one request. `fence`: the newest run of the task in the journal; `content`: the register that [`needs`] named;
/// `now_ms`: Unix milliseconds, for people.
pub fn decide(
    call: StateCall,
    document: Document,
    content: Option<Vec<u8>>,
    fence: Option<Fence>,
    leadership: &Leadership,
    now_ms: u64,
) -> Decision {
    let StateCall { task, caller, request } = call;
    if !is_task_name(&task) {
        return StateAnswer::Invalid(format!("{task:?} is not the name of a task")).into();
    }
    let desk = Asked { task: &task, document, fence, leadership, now_ms };
    let outcome = match (caller, request) {
        (Caller::Run { token, .. }, Request::Get { version: None }) => {
            desk.admit(token).and_then(|()| desk.read(None, content))
        }
        (Caller::Operator, Request::Get { version }) => desk.read(version, content),
        (Caller::Run { token, agent }, Request::Put { lock_id, content }) => {
            desk.put(token, agent, lock_id.as_deref(), content)
        }
        (Caller::Run { token, .. }, Request::Delete { lock_id }) => desk.delete(token, lock_id.as_deref()),
        (Caller::Run { token, agent }, Request::Lock { info }) => desk.lock(token, agent, info),
        (Caller::Run { token, .. }, Request::Unlock { info }) => desk.unlock(token, &info),
        (Caller::Operator, Request::Push { content, force }) => desk.push(content, force),
        (Caller::Operator, Request::Restore { version }) => desk.restore(version, content),
        (Caller::Operator, Request::Dismiss) => desk.dismiss(),
        (Caller::Agent(_), Request::SetAside(aside)) => desk.set_aside(aside),
        (_, Request::Show) => Ok(StateAnswer::Shown(Box::new(summary(&task, &desk.document))).into()),
        (caller, request) => Err(StateAnswer::Invalid(format!("{caller:?} may not ask for {request:?}"))),
    };
    outcome.unwrap_or_else(Decision::from)
}

/// `Err`: refused, nothing is written.
type Outcome = Result<Decision, StateAnswer>;

/// One request's view of its task.
struct Asked<'a> {
    task: &'a str,
    document: Document,
    fence: Option<Fence>,
    leadership: &'a Leadership,
    now_ms: u64,
}

impl Asked<'_> {
    /// Whether a run's requests count: it is the newest, not over, and no newer one ever wrote.
    ///
    /// Its reads neither: Terraform looks for a state before it writes a first one, and would take what it finds for its
    /// own and forget what it made. Refused, it keeps what it made in `errored.tfstate`.
    fn admit(&self, token: Token) -> Result<(), StateAnswer> {
        let why = match (self.fence, self.document.fence) {
            (None, _) => "no run of it is in the journal".to_owned(),
            (Some(fence), _) if fence.token != token => {
                format!("its newest run was started in epoch {}", fence.token.epoch)
            }
            (Some(fence), _) if fence.finished => "that run is over".to_owned(),
            (Some(_), Some(highest)) if highest.epoch > token.epoch => {
                format!("a run of epoch {} has written since", highest.epoch)
            }
            (Some(_), _) => return Ok(()),
        };
        let Leadership { leader, epoch } = self.leadership;
        let why = format!(
            "this run of epoch {} may not touch the state of task {:?} any more: {why}; {leader} leads with epoch {epoch}",
            token.epoch, self.task
        );
        Err(StateAnswer::Fenced { leader: leader.clone(), epoch: *epoch, why })
    }

    /// Whether a run holds the lock. `any_id`: the request does not say which.
    fn holds(&self, token: Token, id: Option<&str>, any_id: bool) -> Result<(), StateAnswer> {
        match &self.document.lock {
            Some(lock) if lock.token != token => Err(without_lock()),
            Some(lock) if id.is_some_and(|id| id == lock.id) || (id.is_none() && any_id) => Ok(()),
            Some(lock) => Err(StateAnswer::Locked { info: lock.info.clone() }),
            None => Err(without_lock()),
        }
    }

    fn read(&self, number: Option<u64>, content: Option<Vec<u8>>) -> Outcome {
        let Some(version) = self.document.version(number) else {
            return Ok(StateAnswer::Nothing.into());
        };
        let content = verified(version.number, version.hash, content)?;
        Ok(StateAnswer::Content { md5: version.md5, content }.into())
    }

    fn put(mut self, token: Token, agent: MemberId, lock_id: Option<&str>, bytes: Vec<u8>) -> Outcome {
        self.admit(token)?;
        self.holds(token, lock_id, false)?;
        let content = head(&bytes)?;
        if content.lineage.is_empty() {
            return Err(StateAnswer::Invalid("this state has no lineage".to_owned()));
        }
        if self.has(&content) {
            return Ok(StateAnswer::Done.into());
        }
        self.fits(&content)?;
        self.document.fence = Some(token);
        self.store(content, bytes, Some(token), agent)
    }

    fn delete(mut self, token: Token, lock_id: Option<&str>) -> Outcome {
        self.admit(token)?;
        self.holds(token, lock_id, true)?;
        if self.document.current.take().is_none() {
            return Ok(StateAnswer::Done.into());
        }
        self.document.fence = Some(token);
        self.keep()
    }

    fn lock(mut self, token: Token, agent: MemberId, info: Vec<u8>) -> Outcome {
        self.admit(token)?;
        let id = lock_id(&info)?;
        if let Some(lock) = &self.document.lock
            && lock.token == token
        {
            return if lock.id == id {
                Ok(StateAnswer::Done.into())
            } else {
                Err(StateAnswer::Locked { info: lock.info.clone() })
            };
        }
        self.document.lock = Some(Lock { id, info, token, agent, at_ms: self.now_ms });
        self.document.fence = Some(token);
        self.keep()
    }

    fn unlock(mut self, token: Token, info: &[u8]) -> Outcome {
        self.admit(token)?;
        let id = lock_id(info)?;
        match self.document.lock.take() {
            None => Ok(StateAnswer::Done.into()),
            Some(lock) if lock.token == token && lock.id == id => self.keep(),
            Some(lock) => Err(StateAnswer::Locked { info: lock.info }),
        }
    }

    fn push(mut self, bytes: Vec<u8>, force: bool) -> Outcome {
        self.at_rest()?;
        let original = head(&bytes)?.hash;
        let (content, bytes) = self.named(bytes, force)?;
        // A lock without a run goes, and what was set aside has found its way.
        let before = self.document.clone();
        self.document.lock = None;
        self.document.set_aside.retain(|aside| aside.hash != original);
        if self.has(&content) {
            return if self.document == before { Ok(StateAnswer::Done.into()) } else { self.keep() };
        }
        if !force {
            self.fits(&content)?;
        }
        let leader = self.leadership.leader.clone();
        self.store(content, bytes, None, leader)
    }

    /// A state without lineage is of a first run that could not even look whether there was a state: it gets a lineage
    /// when there is none, and when there is one, by force, that one.
    fn named(&self, bytes: Vec<u8>, force: bool) -> Result<(Content, Vec<u8>), StateAnswer> {
        let content = head(&bytes)?;
        if !content.lineage.is_empty() {
            return Ok((content, bytes));
        }
        let invalid = |error: super::content::ContentError| StateAnswer::Invalid(error.to_string());
        let first = renamed(&bytes, &lineage_of(content.hash), 1).map_err(invalid)?;
        let named = match self.document.version(None) {
            Some(current) if force && current.hash != *blake3::hash(&first).as_bytes() => {
                renamed(&bytes, &current.lineage, current.serial + 1).map_err(invalid)?
            }
            _ => first,
        };
        Ok((head(&named)?, named))
    }

    fn restore(mut self, number: u64, bytes: Option<Vec<u8>>) -> Outcome {
        self.at_rest()?;
        let Some(version) = self.document.version(Some(number)) else {
            let kept: Vec<_> = self.document.versions.iter().map(|version| version.number.to_string()).collect();
            let kept = if kept.is_empty() { "none".to_owned() } else { kept.join(", ") };
            return Err(StateAnswer::Invalid(format!("version {number} is not kept; there are: {kept}")));
        };
        if self.document.current.is_some_and(|current| self.same(current, number)) {
            return Ok(StateAnswer::Done.into());
        }
        let bytes = verified(number, version.hash, bytes)?;
        let content = head(&bytes)?;
        self.document.lock = None;
        let leader = self.leadership.leader.clone();
        self.store(content, bytes, None, leader)
    }

    fn dismiss(mut self) -> Outcome {
        if self.document.set_aside.is_empty() {
            return Ok(StateAnswer::Done.into());
        }
        self.document.set_aside.clear();
        self.keep()
    }

    fn set_aside(mut self, aside: SetAside) -> Outcome {
        if aside.path.len() > PATH_MAX || aside.lineage.len() > LOCK_ID_MAX {
            return Err(StateAnswer::Invalid("the path or the lineage of what was set aside is too long".to_owned()));
        }
        // The write was done, only its answer was lost.
        if self.document.versions.iter().any(|version| version.hash == aside.hash) {
            return Ok(StateAnswer::Done.into());
        }
        if self.document.set_aside.iter().any(|known| known.hash == aside.hash && known.path == aside.path) {
            return Ok(StateAnswer::Done.into());
        }
        self.document.set_aside(aside);
        self.keep()
    }

    /// People change state only while no run does.
    fn at_rest(&self) -> Result<(), StateAnswer> {
        match self.fence {
            Some(fence) if !fence.finished => Err(StateAnswer::Conflict(format!(
                "a run of task {:?} (epoch {}) is in flight; wait until it is over, or disable the task first",
                self.task, fence.token.epoch
            ))),
            _ => Ok(()),
        }
    }

    fn has(&self, content: &Content) -> bool {
        self.document.version(None).is_some_and(|version| version.hash == content.hash)
    }

    fn same(&self, one: u64, other: u64) -> bool {
        let hash = |number| self.document.version(Some(number)).map(|version| version.hash);
        hash(one) == hash(other)
    }

    /// Terraform's own rules for pushes: the lineage stays, the serial grows.
    fn fits(&self, content: &Content) -> Result<(), StateAnswer> {
        let Some(current) = self.document.version(None) else { return Ok(()) };
        let why = if current.lineage != content.lineage {
            format!(
                "another lineage: the state of task {:?} has {}, this one {}; they are not versions of one state",
                self.task, current.lineage, content.lineage
            )
        } else if content.serial < current.serial {
            format!(
                "an older serial: the state of task {:?} has {}, this one {}",
                self.task, current.serial, content.serial
            )
        } else if content.serial == current.serial {
            format!("the state of task {:?} has serial {} already, with another content", self.task, current.serial)
        } else {
            return Ok(());
        };
        Err(StateAnswer::Conflict(why))
    }

    fn store(mut self, content: Content, bytes: Vec<u8>, token: Option<Token>, agent: MemberId) -> Outcome {
        let number = self.document.push(content, self.now_ms, token, agent);
        let mut decision = self.keep()?;
        decision.writes.push(Entry { key: slot_key(self.task, number), value: Some(bytes) });
        Ok(decision)
    }

    fn keep(&self) -> Outcome {
        let entry = self.document.entry(self.task).map_err(|error| StateAnswer::Broken(error.to_string()))?;
        Ok(Decision { answer: StateAnswer::Done, writes: vec![entry] })
    }
}

/// Names become keys: `[A-Za-z_][A-Za-z0-9_-]*`, at most 64.
fn is_task_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn head(bytes: &[u8]) -> Result<Content, StateAnswer> {
    Content::of(bytes).map_err(|error| StateAnswer::Invalid(error.to_string()))
}

fn without_lock() -> StateAnswer {
    StateAnswer::Conflict(
        "a write needs the lock, and this run does not hold it: run Terraform with -lock=true".to_owned(),
    )
}

/// A content that is the one that was written.
fn verified(number: u64, hash: [u8; 32], content: Option<Vec<u8>>) -> Result<Vec<u8>, StateAnswer> {
    match content {
        Some(content) if *blake3::hash(&content).as_bytes() == hash => Ok(content),
        Some(_) => Err(StateAnswer::Broken(format!("the content of version {number} is not the one that was written"))),
        None => Err(StateAnswer::Broken(format!("the content of version {number} is missing"))),
    }
}

#[derive(Deserialize)]
struct Info {
    #[serde(rename = "ID")]
    id: String,
}

/// The `ID` of a lock info.
fn lock_id(info: &[u8]) -> Result<String, StateAnswer> {
    let invalid = |why: String| StateAnswer::Invalid(format!("this is not Terraform's lock info: {why}"));
    if info.len() > LOCK_INFO_MAX {
        return Err(invalid(format!("it has {} bytes, {LOCK_INFO_MAX} at most are taken", info.len())));
    }
    let Info { id } = serde_json::from_slice(info).map_err(|error| invalid(error.to_string()))?;
    if id.is_empty() || id.len() > LOCK_ID_MAX {
        return Err(invalid(format!("its ID has {} characters", id.len())));
    }
    Ok(id)
}

#[cfg(test)]
mod tests;
