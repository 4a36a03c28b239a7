//! Bodies about runs and their logs.

use serde::{Deserialize, Serialize};

use super::PlanNow;

/// `GET /v1/runs`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// Who answered.
    pub answered_by: String,
    /// When nobody leads: until when this was known to be current, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
    /// Newest first.
    pub runs: Vec<RunShown>,
    /// Of this answer.
    pub request_id: String,
}

/// `GET /v1/runs/{run}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunText {
    /// It.
    pub run: RunShown,
    /// When nobody leads: until when this was known to be current, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
    /// Of this answer.
    pub request_id: String,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunShown {
    /// Its id, also that of its event.
    pub id: String,
    /// Of which task.
    pub task: String,
    /// `running` or `ended`.
    pub state: String,
    /// `success`, `failure`, `cancelled` or `timed-out`; null: it runs, or nobody saw its end.
    pub outcome: Option<String>,
    /// When it was decided, RFC 3339; null: not known.
    pub start_time: Option<String>,
    /// When it ended.
    pub end_time: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: Option<u64>,
    /// Why it did not go well.
    pub error: Option<String>,
    /// Under which epoch it ran.
    pub epoch: Option<u64>,
    /// What made it run.
    pub trigger: Option<String>,
    /// Who asked for it by hand.
    pub asked_by: Option<String>,
    /// Its log; null: none is kept.
    pub log: Option<LogShown>,
}

impl RunShown {
    /// Of which nothing is known but its id and its task.
    pub fn of(id: &str, task: &str) -> Self {
        Self {
            id: id.to_owned(),
            task: task.to_owned(),
            state: String::new(),
            outcome: None,
            start_time: None,
            end_time: None,
            took_ms: None,
            error: None,
            epoch: None,
            trigger: None,
            asked_by: None,
            log: None,
        }
    }
}

/// What there is of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogShown {
    /// Bytes of the whole text.
    pub bytes: u64,
    /// Of these, left out in the middle because it was too much.
    pub left_out: u64,
    /// More may come.
    pub open: bool,
}

/// `GET /v1/runs/{run}/log?format=json`: a piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPiece {
    /// Of which run.
    pub run: String,
    /// Of which task.
    pub task: String,
    /// Where the text begins, in bytes of the whole.
    pub offset: u64,
    /// Bytes before it that are left out because the log was too much.
    pub left_out: u64,
    /// The text.
    pub text: String,
    /// Where the next piece begins.
    pub next: u64,
    /// Bytes of the whole text by now.
    pub bytes: u64,
    /// Nothing comes after it.
    pub over: bool,
    /// Of this answer.
    pub request_id: String,
}

/// Something that happened, as `GET /v1/events` tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventShown {
    /// Epoch and number; null: what the agent that was asked tells by itself.
    pub id: Option<String>,
    /// `run`, `member`, `leadership`, `approval` or `drift`.
    pub kind: String,
    /// Of a run `started`, `cancelled` or `ended`; of a member its state, or `removed`; of leadership `gained` or `lost`; of
    /// a plan `waits`, `approved`, `rejected` or `gone`; of drift `found` or `gone`.
    pub what: String,
    /// RFC 3339 in UTC.
    pub at: String,
    /// Of which leadership it is told.
    pub epoch: Option<u64>,
    /// The task, of a run, a plan or drift.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunShown>,
    /// The plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanNow>,
    /// The member, or who leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Of a member: its promises count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voter: Option<bool>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// `GET /v1/events?format=json`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsShown {
    /// In order.
    pub events: Vec<EventShown>,
    /// Some before them are not known any more.
    pub gap: bool,
    /// What to ask `after` the next time.
    pub next: String,
    /// Of this answer.
    pub request_id: String,
}
