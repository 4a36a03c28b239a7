//! Reads runs and their logs: what is under way on this agent, and what is kept of those that have ended.
//!
//! What is kept is read from this agent's own copy: the truth while it leads, a view that may be behind on any other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use uuid::Uuid;

use super::index::{Index, Kept};
use super::text::{Piece, Text};
use super::{INDEX_PREFIX, Live, Logs, index_key, slot_key};
use crate::runtime::agent::roster;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::history;
use crate::runtime::replica::Replica;
use crate::task::RunId;
use crate::task::report::RunEvent;

/// A run, as far as it is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Of which task.
    pub task: String,
    /// How it ended; `None`: it has not, or nobody knows.
    pub event: Option<RunEvent>,
    /// What there is of its log.
    pub log: Option<LogState>,
}

/// What there is of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogState {
    /// Bytes of the whole text.
    pub bytes: u64,
    /// Of these, left out.
    pub left_out: u64,
    /// More may come.
    pub open: bool,
}

/// Why there is no log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLog {
    /// Nothing is known of such a run.
    #[error("there is no run {0}")]
    NoRun(Uuid),
    /// It is not kept.
    #[error("no log is kept of the run {0}")]
    NotKept(Uuid),
    /// What is kept cannot be read; for people.
    #[error("the log of the run cannot be read: {0}")]
    Unreadable(String),
}

/// See the module.
#[derive(Debug)]
pub struct LogReader {
    logs: Arc<Logs>,
    replica: Replica,
}

impl LogReader {
    pub(in crate::runtime) fn new(logs: Arc<Logs>, replica: Replica) -> Self {
        Self { logs, replica }
    }

    /// The events of the runs that have ended, of one task or of all, newest first.
    pub async fn ended(&self, task: Option<&str>) -> Result<BTreeMap<String, VecDeque<RunEvent>>, Unreadable> {
        let Some(task) = task else {
            let kept = roster::kept(&self.replica).await?;
            return Ok(kept.into_iter().map(|(task, kept)| (task, kept.events)).collect());
        };
        let Some(newest) = self.replica.get(&format!("{}{task}", history::PREFIX)).await? else {
            return Ok(BTreeMap::new());
        };
        let mut others = BTreeMap::new();
        for entry in history::forget(task) {
            if let Some(value) = self.replica.get(&entry.key).await? {
                others.insert(entry.key, value);
            }
        }
        Ok(BTreeMap::from([(task.to_owned(), history::read(task, &newest, &others).events)]))
    }

    /// What there is of the logs of these runs of a task.
    pub async fn logs(&self, task: &str, runs: &[Uuid]) -> Result<BTreeMap<Uuid, LogState>, Unreadable> {
        let index = Index::decode(self.replica.get(&index_key(task)).await?.as_deref());
        let state = |run: &Uuid| Some((*run, self.state(*run, index.find(run.into_bytes()))?));
        Ok(runs.iter().filter_map(state).collect())
    }

    fn state(&self, run: Uuid, kept: Option<&Kept>) -> Option<LogState> {
        if let Some(live) = self.logs.of(RunId(run)) {
            let state = live.state();
            return Some(LogState { bytes: state.text.len(), left_out: state.text.left_out(), open: !state.over });
        }
        kept.map(|kept| LogState { bytes: kept.len, left_out: kept.left_out, open: false })
    }

    /// One run. `hint`: its task, if that is known.
    pub async fn find(&self, run: Uuid, hint: Option<&str>) -> Result<Option<Run>, Unreadable> {
        let task = match (self.logs.of(RunId(run)), hint) {
            (Some(live), _) => live.task.clone(),
            (None, Some(task)) => task.to_owned(),
            (None, None) => match self.task_of(run).await? {
                Some(task) => task,
                None => return Ok(None),
            },
        };
        let events = self.ended(Some(&task)).await?;
        let event = events.get(&task).and_then(|events| events.iter().find(|event| event.id == run)).cloned();
        let log = self.logs(&task, &[run]).await?.remove(&run);
        Ok((event.is_some() || log.is_some() || hint.is_some()).then_some(Run { task, event, log }))
    }

    async fn task_of(&self, run: Uuid) -> Result<Option<String>, Unreadable> {
        let has = |value: &[u8]| Index::decode(Some(value)).find(run.into_bytes()).is_some();
        let indexes = self.replica.list(INDEX_PREFIX).await?;
        let found = indexes.iter().find(|(_, value)| has(value)).and_then(|(key, _)| key.strip_prefix(INDEX_PREFIX));
        if let Some(task) = found {
            return Ok(Some(task.to_owned()));
        }
        let all = self.ended(None).await?;
        Ok(all.into_iter().find(|(_, events)| events.iter().any(|event| event.id == run)).map(|(task, _)| task))
    }

    /// A piece of the log of a run of this task, and whether nothing comes after it.
    pub async fn read(&self, task: &str, run: Uuid, from: u64, max: usize) -> Result<(Piece, bool), NoLog> {
        let damaged = || NoLog::Unreadable("it is damaged".to_owned());
        if let Some(live) = self.live(task, run) {
            return live.read(from, max).ok_or_else(damaged);
        }
        let unreadable = |why: Unreadable| NoLog::Unreadable(why.reason());
        let index = self.replica.get(&index_key(task)).await.map_err(unreadable)?;
        let index = Index::decode(index.as_deref());
        let kept = index.find(run.into_bytes()).ok_or(NoLog::NotKept(run))?;
        let key = slot_key(task, kept.slot);
        let value = self.replica.get(&key).await.map_err(unreadable)?.ok_or(NoLog::NotKept(run))?;
        // Another run may have taken the slot meanwhile.
        let text = Text::decode(&value, run.into_bytes()).ok_or(NoLog::NotKept(run))?;
        let piece = text.read(from, max).ok_or_else(damaged)?;
        let over = piece.next >= text.len();
        Ok((piece, over))
    }

    fn live(&self, task: &str, run: Uuid) -> Option<Arc<Live>> {
        self.logs.of(RunId(run)).filter(|live| live.task == task)
    }
}
