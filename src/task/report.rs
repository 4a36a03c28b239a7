//! What is told about a task: its events, its status, what it does now.

use chrono::{DateTime, Local};

use super::drift::DriftState;

/// Record of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// Unique.
    pub id: uuid::Uuid,
    /// Whether it ended well.
    pub success: bool,
    /// When it was decided (CTS: before rendering).
    pub start_time: DateTime<Local>,
    /// When the last try ended.
    pub end_time: DateTime<Local>,
    /// Why it failed.
    pub error: Option<String>,
    /// Under which epoch it ran.
    pub epoch: u64,
    /// What made it run: `take-over`, `schedule`, `members`, `request`.
    pub trigger: String,
    /// What ended it before its own end, if that was decided here.
    pub cut_short: Option<CutShort>,
    /// Who asked for it by hand, for people.
    pub asked_by: Option<String>,
}

impl RunEvent {
    /// How it ended, in one word.
    pub fn outcome(&self) -> &'static str {
        match (self.success, self.cut_short) {
            (true, Some(CutShort::Planned)) => "planned",
            (true, _) => "success",
            (false, None | Some(CutShort::Planned)) => "failure",
            (false, Some(CutShort::Cancelled)) => "cancelled",
            (false, Some(CutShort::TimedOut)) => "timed-out",
        }
    }
}

/// What ended a run before its own end. Such a run is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutShort {
    /// Somebody asked for it.
    Cancelled,
    /// It took longer than its `timeout`.
    TimedOut,
    /// Its plan waits for a person. That is a success.
    Planned,
}

/// The run of a task that is not over: a process, or the pause between two tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActiveRun {
    /// Its id, also that of its event.
    pub id: uuid::Uuid,
    /// When it was decided.
    pub start_time: DateTime<Local>,
    /// What made it run.
    pub trigger: String,
    /// Who has cancelled it, for people: it ends within its grace.
    pub cancelled_by: Option<String>,
}

/// Status by CTS's rule (`reference/cts.md` 1.10) over the last five events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The newest event succeeded.
    Successful,
    /// The newest failed, no other failure stored.
    Errored,
    /// The newest failed, and another.
    Critical,
    /// No event.
    Unknown,
}

impl Status {
    /// CTS's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Successful => "successful",
            Self::Errored => "errored",
            Self::Critical => "critical",
            Self::Unknown => "unknown",
        }
    }
}

/// How far a run of Terraform is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// `init`, `apply` and the like.
    pub step: &'static str,
    /// Changes made.
    pub done: u64,
    /// Changes planned; 0: not known yet, or none.
    pub total: u64,
}

/// What a task is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Activity {
    /// Waits for a trigger.
    Idle,
    /// Gathers triggers until this moment.
    Buffering(DateTime<Local>),
    /// A run is under way since.
    Running(DateTime<Local>),
    /// Waits to try again at.
    Retrying(DateTime<Local>),
    /// Waits for a place or for its inputs; text for people.
    Waiting(String),
    /// Waits for an interrupted run of a former leader.
    Held {
        /// What is waited for, for people.
        why: String,
        /// No longer than until then; `None`: until it is told.
        until: Option<DateTime<Local>>,
    },
}

/// One task as told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// Name.
    pub name: String,
    /// Whether it may run.
    pub enabled: bool,
    /// By the rule.
    pub status: Status,
    /// Newest first, at most [`EVENTS_SHOWN`].
    pub events: Vec<RunEvent>,
    /// Now.
    pub activity: Activity,
    /// `module` source or the command, for people and for CTS's event config.
    pub source: String,
    /// Provider instance ids.
    pub providers: Vec<String>,
    /// The next scheduled moment.
    pub next_run: Option<DateTime<Local>>,
    /// How far the run under way is, where the runtime can tell.
    pub progress: Option<Progress>,
    /// It is gone when the run that is under way has ended.
    pub deleted: bool,
    /// The run that is not over.
    pub run: Option<ActiveRun>,
    /// How long a run has between SIGINT and SIGKILL.
    pub grace: std::time::Duration,
    /// What the newest look for drift came to.
    pub drift: Option<DriftState>,
    /// Longest a run may take.
    pub timeout: Option<std::time::Duration>,
}

/// Events kept per task.
pub const EVENTS_MAX: usize = 100;
/// The newest of them that a report shows and that the status follows, as in CTS.
pub const EVENTS_SHOWN: usize = 5;
/// Longest error kept in an event, in bytes: its end is what says why.
pub const ERROR_MAX: usize = 4 * 1024;
