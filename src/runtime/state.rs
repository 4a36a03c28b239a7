//! Answers requests about Terraform state as the leader: reads the registers, lets the state room decide, writes what it
//! says. And which runs of this agent may ask at all.
//!
//! One request after the other per task: the next is decided when the writes of the last are durable. A run's `LOCK` is
//! its first request, so whatever its predecessor still had under way was either written before, or is refused.
//!
//! # Not here
//!
//! Asking the leader from another agent, and asking again: whoever implements `StateService`, and the faces.

pub mod desk;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use quorate_proto::at_rest::{Keys, OpenError};
use quorate_proto::codec;
use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::Mutex as Turn;

use super::clock;
use super::core::ProposeError;
use super::journal::Entered;
use super::replica::Replica;
use crate::cluster::settings::LeadershipMode;
use crate::state::{
    ALIVE_MODE, CONTENT_PREFIX, Credential, Credentials, Decision, Denied, Document, Fence, Grant, INDEX_PREFIX,
    Leadership, Request, StateAnswer, StateCall, Summary, Token, decide, index_key, needs, slot_key, summary,
};

/// Turns: tasks share them by the hash of their name, so that invented names cost nothing.
const TURNS: usize = 64;

/// The registers, as far as state needs them.
pub trait Registers: std::fmt::Debug + Send + Sync {
    /// One register of this agent's copy.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>>;
    /// All whose keys begin like this, sorted by key.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Vec<(String, Vec<u8>)>>;
    /// One batch, durable on a majority under this epoch and no other.
    fn propose(&self, epoch: Epoch, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), ProposeError>>;
    /// The leadership of this very agent, while its lease is live and its registers are recovered.
    fn leading(&self) -> Option<Leadership>;
}

/// The registers of this agent, and a way to learn whether it leads.
pub struct Led<F> {
    /// The registers.
    pub replica: Replica,
    /// See [`Registers::leading`].
    pub leading: F,
}

impl<F> std::fmt::Debug for Led<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Led").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl<F: Fn() -> Option<Leadership> + Send + Sync> Registers for Led<F> {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
        Box::pin(self.replica.get(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Vec<(String, Vec<u8>)>> {
        Box::pin(self.replica.list(prefix))
    }

    fn propose(&self, epoch: Epoch, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), ProposeError>> {
        Box::pin(self.replica.propose(epoch, entries))
    }

    fn leading(&self) -> Option<Leadership> {
        (self.leading)()
    }
}

/// Answers as the leader.
#[derive(Debug)]
pub struct Keeper<R> {
    registers: R,
    mode: LeadershipMode,
    at_rest: Keys,
    turns: Vec<Turn<()>>,
}

impl<R: Registers> Keeper<R> {
    /// Over these registers. In mode `alive` it keeps nothing, and says why.
    pub fn new(registers: R, mode: LeadershipMode) -> Self {
        let turns = (0..TURNS).map(|_| Turn::new(())).collect();
        Self { registers, mode, at_rest: Keys::new(&[], false), turns }
    }

    /// The same, which seals contents before they become registers, so that every copy anywhere is sealed.
    #[must_use]
    pub fn sealing(mut self, keys: Keys) -> Self {
        self.at_rest = keys;
        self
    }

    /// Brings the contents of all tasks into the form that the keys of this agent ask for: what was kept in plain text or
    /// sealed by an older key is written anew. Returns how many were, and what could not be read. Ends early when this agent
    /// does not lead any more.
    pub async fn seal_anew(&self) -> (usize, Vec<String>) {
        let (mut written, mut unread) = (0, Vec::new());
        if self.mode == LeadershipMode::Alive || self.at_rest.is_empty() {
            return (written, unread);
        }
        for (index, value) in self.registers.list(INDEX_PREFIX).await {
            let Some(task) = index.strip_prefix(INDEX_PREFIX) else { continue };
            let Ok(document) = document(task, Some(&value)) else { continue };
            for version in document.versions {
                let key = slot_key(task, version.number);
                let turn = self.turn(task).lock().await;
                let Some(leadership) = self.registers.leading() else { return (written, unread) };
                let Some(kept) = self.registers.get(&key).await.filter(|kept| !self.at_rest.is_current(kept)) else {
                    continue;
                };
                match self.at_rest.open(&key, kept) {
                    Ok(content) => {
                        let entry = Entry { value: Some(self.at_rest.seal(&key, content)), key };
                        if self.registers.propose(leadership.epoch, vec![entry]).await.is_err() {
                            return (written, unread);
                        }
                        written += 1;
                    }
                    Err(why) => unread.push(format!("version {}: {}", version.number, cannot_open(task, &why))),
                }
                drop(turn);
            }
        }
        (written, unread)
    }

    fn turn(&self, task: &str) -> &Turn<()> {
        &self.turns[usize::from(blake3::hash(task.as_bytes()).as_bytes()[0]) % TURNS]
    }

    /// Answers one request, once. [`StateAnswer::NoLeader`]: this agent does not lead (any more).
    pub async fn handle(&self, call: StateCall) -> StateAnswer {
        if self.mode == LeadershipMode::Alive {
            return StateAnswer::Unavailable(ALIVE_MODE.to_owned());
        }
        let Some(leadership) = self.registers.leading() else { return not_leading() };
        let answer = if matches!(call.request, Request::List) {
            self.list().await
        } else {
            match self.decide(call, &leadership).await {
                Ok((answer, false)) => answer,
                // Durable under that epoch, or not decided at all.
                Ok((answer, true)) | Err(answer) => return answer,
            }
        };
        // What was read was the truth if this agent leads still.
        if self.registers.leading().is_some_and(|now| now.epoch == leadership.epoch) { answer } else { not_leading() }
    }

    /// The answer, and whether something was written for it.
    async fn decide(&self, call: StateCall, leadership: &Leadership) -> Result<(StateAnswer, bool), StateAnswer> {
        let _turn = self.turn(&call.task).lock().await;
        let task = call.task.clone();
        let index = self.registers.get(&index_key(&task)).await;
        let document = document(&task, index.as_deref())?;
        let content = match needs(&call, &document) {
            Some(key) => match self.registers.get(&key).await.map(|kept| self.at_rest.open(&key, kept)).transpose() {
                Ok(content) => content,
                Err(why) => return Err(StateAnswer::Broken(cannot_open(&task, &why))),
            },
            None => None,
        };
        let fence = self.registers.get(&format!("run/{task}")).await.and_then(|value| fence(&value));
        let Decision { answer, mut writes } = decide(call, document, content, fence, leadership, now_ms());
        for Entry { key, value } in writes.iter_mut().filter(|entry| entry.key.starts_with(CONTENT_PREFIX)) {
            *value = value.take().map(|content| self.at_rest.seal(key, content));
        }
        let written = !writes.is_empty();
        if written {
            self.registers.propose(leadership.epoch, writes).await.map_err(|error| match error {
                ProposeError::NotLeader => not_leading(),
                ProposeError::Unknown => StateAnswer::Unknown(error.to_string()),
                ProposeError::Refused(why) => StateAnswer::Invalid(why),
            })?;
        }
        Ok((answer, written))
    }

    async fn list(&self) -> StateAnswer {
        let mut summaries: Vec<Summary> = Vec::new();
        for (key, value) in self.registers.list(INDEX_PREFIX).await {
            let Some(task) = key.strip_prefix(INDEX_PREFIX) else { continue };
            match document(task, Some(&value)) {
                Ok(document) => summaries.push(summary(task, &document)),
                Err(broken) => return broken,
            }
        }
        StateAnswer::Listed(summaries)
    }
}

fn cannot_open(task: &str, why: &OpenError) -> String {
    let help = match why {
        OpenError::NoKey(_) => {
            "; it is not lost: give this agent the key (at_rest in its configuration) and start it again"
        }
        OpenError::Broken => "",
    };
    format!("the state of task {task:?} cannot be read: {why}{help}")
}

fn document(task: &str, index: Option<&[u8]>) -> Result<Document, StateAnswer> {
    Document::decode(index)
        .map_err(|error| StateAnswer::Broken(format!("cannot read what is kept of task {task:?}: {error}")))
}

/// The newest run, out of its register in the journal.
pub fn fence(value: &[u8]) -> Option<Fence> {
    let entered: Entered = codec::decode_frame(value).ok()?;
    Some(Fence { token: Token { epoch: entered.epoch, run: entered.run }, finished: entered.finished })
}

fn not_leading() -> StateAnswer {
    StateAnswer::NoLeader("this agent does not lead".to_owned())
}

/// Unix milliseconds, for people.
pub fn now_ms() -> u64 {
    u64::try_from(clock::utc().timestamp_millis()).unwrap_or(0)
}

/// The runs of this agent that may ask, as whoever starts them and the face that hears them share them.
#[derive(Debug, Clone)]
pub struct RunCredentials {
    agent: MemberId,
    runs: Arc<Mutex<Credentials>>,
}

impl RunCredentials {
    /// None yet, of this agent.
    pub fn new(agent: MemberId) -> Self {
        Self { agent, runs: Arc::default() }
    }

    /// Who the runs' agent is.
    pub fn agent(&self) -> &MemberId {
        &self.agent
    }

    /// Lets a run in; see [`Credentials::open`].
    pub fn open(&self, grant: Grant, secret: [u8; 16]) -> Credential {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).open(grant, secret)
    }

    /// The run is over.
    pub fn close(&self, run: [u8; 16]) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).close(run);
    }

    /// Who is it?
    pub fn check(&self, username: &str, password: &str, task: &str) -> Result<Grant, Denied> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).check(username, password, task)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use futures_util::future::join;

    use super::*;
    use crate::state::Caller;

    /// Registers of which the leadership ends after so many looks, and whose writes take a while.
    #[derive(Debug, Default)]
    struct Slow {
        registers: Mutex<BTreeMap<String, Vec<u8>>>,
        looks: Mutex<usize>,
        outcome: Option<ProposeError>,
    }

    impl Slow {
        fn new(looks: usize) -> Self {
            let entered = Entered {
                epoch: Epoch(6),
                run: [1; 16],
                agent: agent("a1"),
                grace_ms: 0,
                finished: false,
                interrupted: false,
            };
            let entry = entered.entry("fw").unwrap();
            let registers = Mutex::new(BTreeMap::from([(entry.key, entry.value.unwrap())]));
            Self { registers, looks: Mutex::new(looks), outcome: None }
        }
    }

    impl Registers for Slow {
        fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Option<Vec<u8>>> {
            Box::pin(async { self.registers.lock().unwrap().get(key).cloned() })
        }

        fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Vec<(String, Vec<u8>)>> {
            Box::pin(async { Vec::new() })
        }

        fn propose(&self, _: Epoch, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), ProposeError>> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                if let Some(error) = self.outcome.clone() {
                    return Err(error);
                }
                let written = entries.into_iter().filter_map(|entry| Some((entry.key, entry.value?)));
                self.registers.lock().unwrap().extend(written);
                Ok(())
            })
        }

        fn leading(&self) -> Option<Leadership> {
            let mut looks = self.looks.lock().unwrap();
            *looks = looks.checked_sub(1)?;
            Some(Leadership { leader: agent("a9"), epoch: Epoch(9) })
        }
    }

    fn agent(name: &str) -> MemberId {
        MemberId::new(name).unwrap()
    }

    fn call(run: u8, request: Request) -> StateCall {
        let token = Token { epoch: Epoch(6), run: [run; 16] };
        StateCall { task: "fw".to_owned(), caller: Caller::Run { token, agent: agent("a1") }, request }
    }

    fn lock(id: &str) -> Request {
        Request::Lock { info: format!(r#"{{"ID":"{id}"}}"#).into_bytes() }
    }

    #[tokio::test]
    async fn requests_about_one_task_wait_for_each_other() {
        let keeper = Keeper::new(Slow::new(9), LeadershipMode::Quorum);
        let (first, second) = join(keeper.handle(call(1, lock("l"))), keeper.handle(call(1, lock("m")))).await;
        assert_eq!(first, StateAnswer::Done);
        assert!(matches!(second, StateAnswer::Locked { .. }), "{second:?}");
    }

    #[tokio::test]
    async fn what_a_deposed_leader_read_is_no_answer() {
        // Run 2 may be the newest by now: "fenced" would be a lie.
        for request in [lock("l"), Request::Get { version: None }] {
            let led = Keeper::new(Slow::new(2), LeadershipMode::Quorum);
            assert!(matches!(led.handle(call(2, request.clone())).await, StateAnswer::Fenced { .. }));
            let deposed = Keeper::new(Slow::new(1), LeadershipMode::Quorum);
            assert!(matches!(deposed.handle(call(2, request)).await, StateAnswer::NoLeader(_)));
        }
    }

    #[tokio::test]
    async fn what_is_not_durable_is_not_acknowledged() {
        for (error, lost) in [(ProposeError::NotLeader, false), (ProposeError::Unknown, true)] {
            let keeper = Keeper::new(Slow { outcome: Some(error), ..Slow::new(9) }, LeadershipMode::Quorum);
            let answer = keeper.handle(call(1, lock("l"))).await;
            assert_eq!(matches!(answer, StateAnswer::Unknown(_)), lost, "{answer:?}");
            assert_eq!(matches!(answer, StateAnswer::NoLeader(_)), !lost, "{answer:?}");
        }
    }
}
