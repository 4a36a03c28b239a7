//! Answers requests about Terraform state as the leader: reads the registers, lets the state room decide, writes what it
//! says. And which runs of this agent may ask at all.
//!
//! One request after the other per task: the next is decided when the writes of the last are durable. A run's `LOCK` is
//! its first request, so whatever its predecessor still had under way was either written before, or is refused.
//!
//! # Not here
//!
//! Asking the leader from another agent, and asking again: whoever implements `StateService`, and the faces.

pub mod service;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use quorate_proto::codec::{self, CodecError};
use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::Mutex as Turn;

use super::at_rest::Unreadable;
use super::clock;
use super::core::ProposeError;
use super::journal::Entered;
use super::replica::Replica;
use crate::cluster::settings::LeadershipMode;
use crate::state::{
    ALIVE_MODE, Credential, Credentials, Decision, Denied, Document, Fence, Grant, INDEX_PREFIX, Leadership, Request,
    StateAnswer, StateCall, Summary, Token, decide, index_key, needs, slot_key, summary,
};

/// Turns: tasks share them by the hash of their name, so that invented names cost nothing.
const TURNS: usize = 64;

/// Keys and values.
pub type Listed = Result<Vec<(String, Vec<u8>)>, Unreadable>;

/// The registers, as far as state needs them.
pub trait Registers: std::fmt::Debug + Send + Sync {
    /// One register of this agent's copy.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Unreadable>>;
    /// All whose keys begin like this, sorted by key.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Listed>;
    /// Whether there is a key for one of them. It is not opened.
    fn check<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Unreadable>>;
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
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Unreadable>> {
        Box::pin(self.replica.get(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Listed> {
        Box::pin(self.replica.list(prefix))
    }

    fn check<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Unreadable>> {
        Box::pin(self.replica.check(key))
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
    turns: Vec<Turn<()>>,
}

impl<R: Registers> Keeper<R> {
    /// Over these registers. In mode `alive` it keeps nothing, and says why.
    pub fn new(registers: R, mode: LeadershipMode) -> Self {
        let turns = (0..TURNS).map(|_| Turn::new(())).collect();
        Self { registers, mode, turns }
    }

    /// Whether there is a key for the current state of a task; why not, for people. The state is not opened. An agent that does
    /// not lead has nothing to say against it.
    pub async fn can_be_read(&self, task: &str) -> Result<(), String> {
        if self.mode == LeadershipMode::Alive || self.registers.leading().is_none() {
            return Ok(());
        }
        let unreadable = |why: Unreadable| cannot_read(task, &why);
        let _turn = self.turn(task).lock().await;
        let index = self.registers.get(&index_key(task)).await.map_err(unreadable)?;
        let document = Document::decode(index.as_deref()).map_err(|error| cannot_decode(task, &error))?;
        match document.version(None) {
            Some(version) => self.registers.check(&slot_key(task, version.number)).await.map_err(unreadable),
            None => Ok(()),
        }
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
        let read = async |key: &str| {
            let unreadable = |why| StateAnswer::Broken(cannot_read(&task, &why));
            self.registers.get(key).await.map_err(unreadable)
        };
        let document = document(&task, read(&index_key(&task)).await?.as_deref())?;
        let content = match needs(&call, &document) {
            Some(key) => read(&key).await?,
            None => None,
        };
        let fence = read(&format!("run/{task}")).await?.and_then(|value| fence(&value));
        let Decision { answer, writes } = decide(call, document, content, fence, leadership, now_ms());
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
        let indexes = match self.registers.list(INDEX_PREFIX).await {
            Ok(indexes) => indexes,
            Err(why) => return StateAnswer::Broken(why.to_string()),
        };
        for (key, value) in indexes {
            let Some(task) = key.strip_prefix(INDEX_PREFIX) else { continue };
            match document(task, Some(&value)) {
                Ok(document) => summaries.push(summary(task, &document)),
                Err(broken) => return broken,
            }
        }
        StateAnswer::Listed(summaries)
    }
}

fn cannot_read(task: &str, why: &Unreadable) -> String {
    format!("the state of task {task:?} cannot be read: {}", why.reason())
}

fn cannot_decode(task: &str, error: &CodecError) -> String {
    format!("cannot read what is kept of task {task:?}: {error}")
}

fn document(task: &str, index: Option<&[u8]>) -> Result<Document, StateAnswer> {
    Document::decode(index).map_err(|error| StateAnswer::Broken(cannot_decode(task, &error)))
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
    use quorate_proto::at_rest::{KeyId, OpenError};

    use super::*;
    use crate::state::Caller;

    /// Registers of which the leadership ends after so many looks, and whose writes take a while.
    #[derive(Debug, Default)]
    struct Slow {
        registers: Mutex<BTreeMap<String, Vec<u8>>>,
        looks: Mutex<usize>,
        outcome: Option<ProposeError>,
        /// There is no key for what begins like this.
        unreadable: Option<&'static str>,
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
            Self { registers, looks: Mutex::new(looks), ..Self::default() }
        }

        fn readable(&self, key: &str) -> Result<(), Unreadable> {
            let why = OpenError::NoKey(KeyId::of(&[7; 32]));
            match self.unreadable.filter(|prefix| key.starts_with(prefix)) {
                Some(_) => Err(Unreadable { key: key.to_owned(), why }),
                None => Ok(()),
            }
        }
    }

    impl Registers for Slow {
        fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Unreadable>> {
            Box::pin(async { self.readable(key).map(|()| self.registers.lock().unwrap().get(key).cloned()) })
        }

        fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Listed> {
            Box::pin(async { self.readable(prefix).map(|()| Vec::new()) })
        }

        fn check<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), Unreadable>> {
            Box::pin(async { self.readable(key) })
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

    #[tokio::test]
    async fn what_cannot_be_opened_is_told_and_is_not_taken_for_absent() {
        let content = br#"{"version":4,"lineage":"l","serial":1}"#.to_vec();
        for prefix in ["state/", "run/"] {
            let slow = Slow { unreadable: Some(prefix), ..Slow::new(9) };
            let keeper = Keeper::new(slow, LeadershipMode::Quorum);
            let StateAnswer::Broken(why) = keeper.handle(call(1, lock("l"))).await else {
                panic!("it was taken for absent")
            };
            assert!(why.contains("is sealed with key") && why.contains("not lost"), "{why}");
            assert_eq!(keeper.registers.registers.lock().unwrap().len(), 1, "and nothing was written");
        }
        let keeper = Keeper::new(Slow { unreadable: Some("state/"), ..Slow::new(9) }, LeadershipMode::Quorum);
        let list = StateCall { task: String::new(), caller: Caller::Operator, request: Request::List };
        assert!(matches!(keeper.handle(list).await, StateAnswer::Broken(_)));
        assert!(keeper.can_be_read("fw").await.is_err());

        // A content without a key: its index is enough to find out.
        let keeper = Keeper::new(Slow { unreadable: Some("state-content/"), ..Slow::new(30) }, LeadershipMode::Quorum);
        assert_eq!(keeper.can_be_read("fw").await, Ok(()), "there is none");
        assert_eq!(keeper.handle(call(1, lock("l"))).await, StateAnswer::Done);
        let put = Request::Put { lock_id: Some("l".to_owned()), content };
        assert_eq!(keeper.handle(call(1, put)).await, StateAnswer::Done);
        assert!(keeper.can_be_read("fw").await.unwrap_err().contains("the state of task \"fw\" cannot be read"));
    }
}
