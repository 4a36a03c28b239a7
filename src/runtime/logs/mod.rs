//! The logs of runs: what their processes printed, without secrets.
//!
//! While a run is under way its log is in the memory of the agent that runs it, compressed and bounded ([`text`]). When the run has
//! ended the leader writes it to a majority ([`keeper`]), right after the end itself: a log that cannot be written is told and costs
//! the run nothing. Which runs have a log is in one register a task ([`index`]), the logs are in slots beside it. Faces
//! read both through the [`LogReader`].
//!
//! # Not here
//!
//! What is hidden, and where output comes from: `runs::recorder`. Who may read: the faces.

mod index;
mod keeper;
mod reader;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::SecondsFormat;
use quorate_proto::Epoch;
use tokio::sync::mpsc;
use tracing::warn;

pub(super) use self::keeper::Keeper;
pub use self::reader::{LogReader, LogState, NoLog, Run};
pub use self::text::Piece;
use self::text::Text;
use super::clock;
use crate::task::{LogBounds as Bounds, RunId};

/// Register prefix of what is kept of each task.
const INDEX_PREFIX: &str = "logs/";
/// Register prefix of the logs themselves.
const LOG_PREFIX: &str = "log/";
/// Logs that wait to be written. Each may have `max_size`.
const WAITING_MAX: usize = 64;

/// Register of what is kept of a task.
fn index_key(task: &str) -> String {
    format!("{INDEX_PREFIX}{task}")
}

/// Register of a log.
fn slot_key(task: &str, slot: u32) -> String {
    format!("{LOG_PREFIX}{task}/{slot}")
}

/// The log of a run on the agent that runs it.
#[derive(Debug)]
pub(super) struct Live {
    task: String,
    run: RunId,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    text: Text,
    /// Nothing more comes, unless another try begins.
    over: bool,
    /// So many jobs of the keeper are about it.
    pending: usize,
    /// The text ends with the end of a line.
    at_line: bool,
}

impl Live {
    pub(super) fn new(task: String, run: RunId, max_size: usize) -> Self {
        let state = State { text: Text::new(max_size), over: false, pending: 0, at_line: true };
        Self { task, run, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the end.
    pub(super) fn push(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut state = self.state();
        state.text.push(text);
        state.at_line = text.ends_with('\n');
    }

    /// Adds a line of the agent's own.
    pub(super) fn note(&self, said: &str) {
        let at = clock::utc().to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut state = self.state();
        let line = format!("{}==> {at} {said}\n", if state.at_line { "" } else { "\n" });
        state.text.push(&line);
        state.at_line = true;
    }

    /// A piece from this offset on, and whether nothing comes after it.
    pub(super) fn read(&self, from: u64, max: usize) -> Option<(Piece, bool)> {
        let state = self.state();
        let piece = state.text.read(from, max)?;
        let over = state.over && piece.next >= state.text.len();
        Some((piece, over))
    }
}

/// For the keeper.
#[derive(Debug)]
enum Job {
    /// Write what there is of a run.
    Keep {
        epoch: Epoch,
        live: Arc<Live>,
        /// When it ended, in seconds since 1970.
        at: i64,
    },
    /// A task is deleted.
    Forget { epoch: Epoch, task: String },
}

/// The logs of the runs of this agent, and the way to the keeper. Shared.
#[derive(Debug)]
pub(super) struct Logs {
    bounds: Bounds,
    /// By run; of each task one, the newest, and those that wait to be written.
    lives: Mutex<BTreeMap<RunId, Arc<Live>>>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    waiting: AtomicUsize,
}

impl Logs {
    /// None yet. Without a keeper nothing is ever written.
    fn new(bounds: Bounds, jobs: Option<mpsc::UnboundedSender<Job>>) -> Self {
        Self { bounds, lives: Mutex::default(), jobs, waiting: AtomicUsize::new(0) }
    }

    fn lives(&self) -> MutexGuard<'_, BTreeMap<RunId, Arc<Live>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run begins, or another try of it. What was here of its task before goes, unless it waits to be written.
    pub(super) fn begin(&self, task: &str, run: RunId) -> Arc<Live> {
        let mut lives = self.lives();
        lives.retain(|other, live| live.task != task || *other == run || live.state().pending > 0);
        let fresh = || Arc::new(Live::new(task.to_owned(), run, self.bounds.max_size));
        let live = lives.entry(run).or_insert_with(fresh).clone();
        live.state().over = false;
        live
    }

    /// The log of a run of this agent.
    pub(super) fn of(&self, run: RunId) -> Option<Arc<Live>> {
        self.lives().get(&run).cloned()
    }

    /// A process of a run has ended, and its end is told. `over`: no other follows.
    pub(super) fn ended(&self, run: RunId, epoch: Epoch, over: bool) {
        let Some(live) = self.of(run) else { return };
        live.state().over = over;
        let Some(jobs) = &self.jobs else { return };
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= WAITING_MAX {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            warn!(task = live.task, %run, "the log of a run is not kept: {WAITING_MAX} others wait to be written");
            return;
        }
        let at = clock::utc().timestamp();
        live.state().pending += 1;
        // It ends with the agent.
        drop(jobs.send(Job::Keep { epoch, live, at }));
    }

    /// The keeper is done with it. `kept`: it is on a majority, so what is over need not be here.
    fn written(&self, live: &Live, kept: bool) {
        let mut lives = self.lives();
        let mut state = live.state();
        state.pending = state.pending.saturating_sub(1);
        let goes = kept && state.over && state.pending == 0;
        drop(state);
        if goes {
            lives.remove(&live.run);
        }
    }

    /// Nothing more comes of a run, and nothing of it is journalled.
    pub(super) fn close(&self, run: RunId) {
        if let Some(live) = self.of(run) {
            live.state().over = true;
        }
    }

    /// What was tried out left nothing to be kept.
    pub(super) fn discard(&self, run: RunId) {
        self.lives().remove(&run);
    }

    /// A task is deleted: its logs go with it.
    pub(super) fn forget(&self, epoch: Epoch, task: &str) {
        self.lives().retain(|_, live| live.task != task || !live.state().over);
        if let Some(jobs) = &self.jobs {
            self.waiting.fetch_add(1, Ordering::AcqRel);
            drop(jobs.send(Job::Forget { epoch, task: task.to_owned() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(n: u128) -> RunId {
        RunId(uuid::Uuid::from_u128(n))
    }

    #[test]
    fn a_line_of_the_agent_stands_on_a_line_of_its_own() {
        let live = Live::new("web".to_owned(), run(1), 1 << 20);
        live.note("first");
        live.push("no end");
        live.note("second");
        let (piece, over) = live.read(0, 1 << 20).unwrap();
        let lines: Vec<&str> = piece.text.lines().collect();
        assert!(lines[0].ends_with("Z first") && lines[1] == "no end" && lines[2].ends_with("Z second"), "{lines:?}");
        assert!(lines[0].starts_with("==> 20") && !over);
    }

    #[test]
    fn the_newest_run_of_a_task_is_here_with_all_its_tries() {
        let (jobs, mut queue) = mpsc::unbounded_channel();
        let logs = Logs::new(Bounds::default(), Some(jobs));
        logs.begin("web", run(1)).push("a");
        logs.begin("db", run(2)).push("b");
        logs.begin("web", run(1)).push("c");
        logs.ended(run(1), Epoch(1), true);
        assert_eq!(
            logs.of(run(1)).unwrap().read(0, 9).map(|(piece, over)| (piece.text, over)),
            Some(("ac".to_owned(), true))
        );
        logs.begin("web", run(3));
        assert!(logs.of(run(2)).is_some() && logs.of(run(3)).is_some());
        let Ok(Job::Keep { epoch: Epoch(1), live, .. }) = queue.try_recv() else { panic!("it is to be written") };
        assert!(live.run == run(1) && logs.of(run(1)).is_some(), "until it is written it is here");
        logs.written(&live, true);
        assert!(logs.of(run(1)).is_none());
        // What could not be written goes with the next run.
        logs.ended(run(3), Epoch(1), true);
        logs.written(&logs.of(run(3)).unwrap(), false);
        assert!(logs.of(run(3)).is_some());
        logs.begin("web", run(4));
        assert!(logs.of(run(3)).is_none());
        logs.begin("web", run(3));
        logs.discard(run(3));
        assert!(logs.of(run(3)).is_none());
    }

    #[test]
    fn another_try_opens_a_log_again() {
        let logs = Logs::new(Bounds::default(), None);
        logs.begin("web", run(1)).push("a");
        logs.close(run(1));
        let is_over = || logs.of(run(1)).unwrap().read(0, 9).unwrap().1;
        assert!(is_over());
        logs.begin("web", run(1));
        assert!(!is_over());
    }

    #[test]
    fn logs_that_cannot_be_written_do_not_pile_up() {
        let (jobs, queue) = mpsc::unbounded_channel();
        let logs = Logs::new(Bounds::default(), Some(jobs));
        for n in 0..200 {
            logs.begin(&format!("t{n}"), run(n));
            logs.ended(run(n), Epoch(1), true);
        }
        assert_eq!(queue.len(), WAITING_MAX);
    }
}
