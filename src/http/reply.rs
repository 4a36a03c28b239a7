//! The bodies of answers, as both the server writes and the command line reads them.
//!
//! [`Cluster`] and [`TaskStatus`] are contracts with others: fields and their order do not change. What only our own
//! command line needs goes to [`Details`] and [`TaskNow`], on paths of our own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod access;
mod keyring;
mod leadership;
mod plans;
mod runs;

pub use self::access::{AccessNow, TokenGrant, TokenMade, TokenRevoked, TokenSelf, TokenShown, TokenText, Tokens};
pub use self::keyring::{Keyring, KeyringChanged, KeyringKey, KeyringMember};
pub use self::leadership::LeadershipShown;
pub use self::plans::{DriftNow, DriftSeen, PlanDecision, PlanNow, PlanSummary, PlanText};
pub use self::runs::{EventShown, EventsShown, LogPiece, LogShown, RunShown, RunText, Runs};
pub use crate::roster::Differs;
use crate::state::Summary;

/// `GET /v1/status/cluster`; with `details`, `GET /v1/cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `cluster { name }`.
    pub cluster_name: String,
    /// Sorted by id.
    pub members: Vec<Member>,
    /// Who holds a live lease as far as the observer knows.
    pub leader: Option<String>,
    /// Highest epoch seen.
    pub epoch: u64,
    /// Whether there are enough.
    pub quorum: Quorum,
    /// Who looked.
    pub observed_by: String,
    /// Grows with every change: for the long poll.
    pub index: u64,
    /// Of this answer.
    pub request_id: String,
    /// Why nobody leads, or what the founding waits for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Loud problems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alarms: Vec<String>,
    /// More, for our own command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Name.
    pub id: String,
    /// As CTS: the name of its service in Consul; here the cluster's name.
    pub service_name: String,
    /// What people are told (`instance { address }`), absent when not configured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// `state` is `alive`.
    pub healthy: bool,
    /// It is known to hold a live lease.
    pub leader: bool,
    /// `alive`, `suspect`, `down` or `left`.
    pub state: String,
    /// Its promises count.
    pub voter: bool,
    /// SWIM incarnation.
    pub incarnation: u16,
    /// Where it gossips.
    pub gossip_address: String,
    /// Where its API listens; empty: on a Unix socket.
    pub api_address: String,
    /// Of its software.
    pub version: String,
    /// RFC 3339 in UTC with milliseconds; null when not known.
    pub state_since: Option<String>,
}

/// Whether there are enough voters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// `quorum` or `alive`.
    pub mode: String,
    /// How many there are.
    pub voters: usize,
    /// How many of them are alive.
    pub alive: usize,
    /// A majority.
    pub needed: usize,
    /// The observer leads or follows a live lease.
    pub held: bool,
}

/// What else the observer knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// False: a single agent without a `gossip` block.
    pub high_availability: bool,
    /// The founding is over.
    pub formed: bool,
    /// The observer itself leads.
    pub leading: bool,
    /// RFC 3339 in UTC with milliseconds.
    pub leader_since: Option<String>,
    /// Why it leads.
    pub leader_why: String,
    /// What is left of the lease of the observer in milliseconds; null: it does not lead.
    #[serde(default)]
    pub lease_left_ms: Option<u64>,
    /// Who led when, as the observer saw it since it started, oldest first.
    #[serde(default)]
    pub leaderships: Vec<LeadershipShown>,
    /// Why the observer is not ready.
    pub not_ready: Option<String>,
    /// Who may use the API of the observer; an older agent does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessNow>,
    /// Whether the observer seals what it keeps (tasks, events, Terraform state); absent: a single agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_encrypted: Option<bool>,
}

/// One task at `GET /v1/status/tasks`: CTS's fields, no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Name.
    pub task_name: String,
    /// CTS's word.
    pub status: String,
    /// Whether it may run.
    pub enabled: bool,
    /// Of the stored events.
    pub providers: Vec<String>,
    /// Of the stored events; always empty here.
    pub services: Vec<String>,
    /// Where its events are; empty without events.
    pub events_url: String,
    /// Newest first; absent unless asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<Event>>,
}

/// One run in CTS's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// UUID.
    pub id: String,
    /// Whether it ended well.
    pub success: bool,
    /// RFC 3339 with nanoseconds and offset.
    pub start_time: String,
    /// Likewise.
    pub end_time: String,
    /// Whose.
    pub task_name: String,
    /// Why it failed.
    pub error: Option<Message>,
    /// What ran.
    pub config: EventConfig,
}

/// A text in an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The text.
    pub message: String,
}

/// What ran, in CTS's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventConfig {
    /// Provider ids.
    pub providers: Vec<String>,
    /// Always empty here.
    pub services: Vec<String>,
    /// The module or the command.
    pub source: String,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overall {
    /// All of it.
    pub task_summary: TaskSummary,
}

/// Counts of tasks. Both maps always have all their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSummary {
    /// By status.
    pub status: StatusCounts,
    /// By whether enabled.
    pub enabled: EnabledCounts,
}

/// Counts by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCounts {
    /// The newest run succeeded.
    pub successful: usize,
    /// The newest failed.
    pub errored: usize,
    /// The newest and another failed.
    pub critical: usize,
    /// No run.
    pub unknown: usize,
}

/// Counts by whether enabled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnabledCounts {
    /// Enabled.
    #[serde(rename = "true")]
    pub yes: usize,
    /// Disabled.
    #[serde(rename = "false")]
    pub no: usize,
}

/// `GET /v1/cluster/tasks`: the tasks with what they do now, for our own command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TasksNow {
    /// Who answered: the leader.
    pub answered_by: String,
    /// It was not the leader: nobody has confirmed this since then, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
    /// In order of configuration.
    pub tasks: Vec<TaskNow>,
    /// Agents whose files define tasks differently from the leader's: agent to task to how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub differences: BTreeMap<String, BTreeMap<String, Differs>>,
    /// How Consul is doing, as the leader sees it; not there when no task asks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consul: Option<ConsulNow>,
    /// Ids of the runs that try something out: an inspection, or the first run of a task that is being made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trials: Vec<String>,
    /// Of this answer.
    pub request_id: String,
}

/// How Consul is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsulNow {
    /// As configured.
    pub address: String,
    /// Distinct queries that are watched.
    pub watched: usize,
    /// Those of them without a first answer.
    pub waiting: usize,
    /// What cannot be read at the moment; what Consul said last stays true meanwhile.
    pub faults: Vec<ConsulFaultNow>,
}

/// Queries that cannot be read for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsulFaultNow {
    /// Why, for people.
    pub error: String,
    /// Which, for people.
    pub queries: Vec<String>,
    /// Since when, RFC 3339.
    pub since: String,
}

/// One task with what it does now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNow {
    /// Name.
    pub name: String,
    /// CTS's word.
    pub status: String,
    /// Whether it may run.
    pub enabled: bool,
    /// What it does.
    pub activity: Activity,
    /// The next scheduled moment, RFC 3339.
    pub next_run: Option<String>,
    /// The module or the command.
    pub source: String,
    /// Provider ids.
    pub providers: Vec<String>,
    /// Longest a run may take, such as `10m`; null: no limit.
    #[serde(default)]
    pub timeout: Option<String>,
    /// How long a run that is ended has between SIGINT and SIGKILL.
    #[serde(default)]
    pub grace: String,
    /// Newest first.
    pub events: Vec<RunNow>,
    /// Who changed it last at run time; absent: nobody, it is as the files say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<TaskChange>,
    /// The plan that waits for a person, or was decided and is not applied yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanNow>,
    /// What the newest look for drift came to; absent: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftNow>,
}

/// The last change of a task at run time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskChange {
    /// `created`, `enabled` or `disabled`.
    pub what: String,
    /// Who, for people.
    pub by: String,
    /// RFC 3339 in UTC.
    pub at: String,
}

/// How far a run of Terraform is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// `init`, `apply` and the like.
    pub step: String,
    /// Changes made.
    pub done: u64,
    /// Changes planned; 0: not known yet, or none.
    pub total: u64,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activity {
    /// `idle`, `buffering`, `running`, `retrying` or `waiting`.
    pub state: String,
    /// `running`: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `buffering`, `retrying`: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// `running`: how far it is, for a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// `waiting`: for what. `running`: that it was cancelled or deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One run with what CTS does not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunNow {
    /// UUID.
    pub id: String,
    /// Whether it ended well.
    pub success: bool,
    /// `success`, `failure`, `cancelled` or `timed-out`.
    #[serde(default)]
    pub outcome: String,
    /// RFC 3339.
    pub start_time: String,
    /// Likewise.
    pub end_time: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Under which epoch it ran.
    pub epoch: u64,
    /// What made it run.
    pub trigger: String,
    /// Who asked for it by hand, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
}

/// `POST /v1/cluster/step-down`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SteppedDown {
    /// Who led.
    pub former: String,
    /// Who leads next, when known.
    pub successor: Option<String>,
    /// Of this answer.
    pub request_id: String,
}

/// `POST /v1/cluster/reload`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Who read its files again.
    pub agent: String,
    /// Whether it leads: only then tasks changed.
    pub leading: bool,
    /// Tasks that are new.
    pub added: Vec<String>,
    /// Tasks that are defined differently.
    pub changed: Vec<String>,
    /// Tasks that are gone.
    pub removed: Vec<String>,
    /// In the files, but deleted at run time.
    pub still_deleted: Vec<String>,
    /// Follower: how its files differ from the leader's.
    pub differs: BTreeMap<String, Differs>,
    /// Settings that need a restart.
    pub needs_restart: Vec<String>,
    /// Of this answer.
    pub request_id: String,
}

/// `POST /v1/cluster/leave`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Who left.
    pub left: String,
    /// Of this answer.
    pub request_id: String,
}

/// An error in either shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The text.
    pub error: Message,
    /// Of this answer; not in all.
    #[serde(default)]
    pub request_id: Option<String>,
}

/// `GET /v1/status/tasks`.
pub type TaskStatuses = BTreeMap<String, TaskStatus>;

/// `GET /v1/cluster/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct States {
    /// Sorted by task.
    pub states: Vec<Summary>,
    /// Of this answer.
    pub request_id: String,
}

/// `GET /v1/cluster/state/<task>/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskState {
    /// Without contents.
    pub state: Summary,
    /// Of this answer.
    pub request_id: String,
}

/// `PUT /v1/cluster/state/<task>` and what changes it else: it is durable on a majority.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChanged {
    /// Of this answer.
    pub request_id: String,
}
