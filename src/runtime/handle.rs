//! What the faces (HTTP, signals) hold of a running agent: read its views, ask it things.

mod leadership;
mod metrics_text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use quorate_proto::MemberId;
use tokio::sync::{mpsc, oneshot, watch};

use super::access::Gate;
use super::event_stream::EventStream;
use super::plans::{PlanDetail, PlanShown};
use super::state::service::ClusterState;
use super::{keyring, logs};
use crate::access::Identity;
use crate::cluster::View;
use crate::roster::{self, Differs};
use crate::task::TaskSpec;
use crate::task::report::TaskReport;

pub use self::leadership::{LEADERSHIPS_MAX, Leadership};
pub use self::metrics_text::MetricsText;

/// The cluster as this agent sees it, with the wall-clock times that people ask for.
#[derive(Debug, Clone)]
pub struct ClusterSnapshot {
    /// What the core knows.
    pub view: View,
    /// Since when each member has been in its state, on this agent's wall clock.
    pub since: BTreeMap<MemberId, DateTime<Utc>>,
    /// Since when the leader leads, as seen here.
    pub leader_since: Option<DateTime<Utc>>,
    /// Why it leads (the text of the last change of leader), for people.
    pub leader_why: String,
    /// Who led when, as this agent saw it since it started, oldest first: the newest [`LEADERSHIPS_MAX`].
    pub leaderships: Arc<Vec<Leadership>>,
    /// False without a `gossip` block: a single agent (then `/status/cluster` is 405 as in CTS).
    pub high_availability: bool,
    /// Whether this agent seals what it keeps (tasks, events, Terraform state); `None`: a single agent.
    pub state_at_rest: Option<bool>,
    /// The lease of this very agent is live, and what is kept of the tasks is read.
    pub leading: bool,
}

/// The tasks as the leader sees them (empty on a follower).
#[derive(Debug, Clone, Default)]
pub struct TasksSnapshot {
    /// This agent leads and knows the tasks; otherwise all of this is empty.
    pub leading: bool,
    /// In order of configuration.
    pub tasks: Vec<Arc<TaskReport>>,
    /// The same tasks as they are defined, with the flag that counts.
    pub specs: Vec<Arc<TaskSpec>>,
    /// Agents whose files define tasks differently from the leader's.
    pub differences: BTreeMap<MemberId, BTreeMap<String, Differs>>,
    /// How Consul is doing; `None`: no task asks it.
    pub consul: Option<ConsulReport>,
    /// Runs of what is tried out: an inspection, or the first run of a task that is being made. They are in no task's report.
    pub trials: BTreeSet<uuid::Uuid>,
    /// Who changed which task last at run time.
    pub changed: BTreeMap<String, roster::Changed>,
    /// Plans that wait for a person, or were decided and are not applied yet, by task.
    pub plans: BTreeMap<String, Arc<PlanShown>>,
}

/// How Consul is doing, as the leader sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsulReport {
    /// As configured.
    pub address: String,
    /// Distinct queries that are watched.
    pub watched: usize,
    /// Those of them without a first answer.
    pub waiting: usize,
    /// What cannot be read at the moment.
    pub faults: Vec<ConsulFault>,
}

/// Queries that cannot be read for the same reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsulFault {
    /// Why, for people.
    pub error: String,
    /// Which, for people.
    pub queries: Vec<String>,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// Health of this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why it does not work as it should (founding, disk full, stopping); `None`: it does.
    pub not_ready: Option<String>,
    /// Whether it can serve a change now, check by check.
    pub checks: Vec<Check>,
}

/// One thing that must be so for a change to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, one word.
    pub name: &'static str,
    /// Whether it is so.
    pub passed: bool,
    /// What was found, for people.
    pub text: String,
}

impl Health {
    /// The checks that failed. None: ready.
    pub fn reasons(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| !check.passed)
    }
}

/// A request that only the leader can answer, as it came in.
#[derive(Clone, PartialEq, Eq, quorate_proto::bincode_derive::Encode, quorate_proto::bincode_derive::Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct ApiRequest {
    /// HTTP method, upper case.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Body, at most 1 MiB.
    pub body: Vec<u8>,
    /// Id for logs and repeats.
    pub request_id: String,
    /// Who asks, as the agent that received it knows.
    pub caller: Caller,
}

/// Bodies may hold secrets: they are counted, not shown.
impl std::fmt::Debug for ApiRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { method, target, body, request_id, caller } = self;
        write!(f, "{method} {target} ({} bytes, {request_id}) of {caller}", body.len())
    }
}

/// Its answer.
#[derive(Clone, PartialEq, Eq, quorate_proto::bincode_derive::Encode, quorate_proto::bincode_derive::Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct ApiResponse {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: String,
    /// Body.
    pub body: Vec<u8>,
}

/// As of [`ApiRequest`].
impl std::fmt::Debug for ApiResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({} bytes)", self.status, self.content_type, self.body.len())
    }
}

/// A connection that breaks ends the wait at once.
fn within(waited: Duration) -> String {
    match waited.as_secs() {
        0 => "(the connection to it broke)".to_owned(),
        seconds => format!("within {seconds}s"),
    }
}

/// Why no leader answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Nobody leads now. Nothing changed; try again after the given time.
    #[error("no agent leads at the moment: {why}")]
    NoLeader {
        /// For people.
        why: String,
        /// For `Retry-After`.
        retry_after: Duration,
    },
    /// The leader did not answer; whether the request took effect is unknown.
    #[error("the leader {leader} did not answer {}", within(*waited))]
    NoAnswer {
        /// Who.
        leader: MemberId,
        /// How long was waited.
        waited: Duration,
    },
    /// The leader cannot be told who asks, and this agent controls access. Nothing changed.
    #[error(
        "the leader {leader} runs a version that knows no access control, so it cannot be told who asks: upgrade that agent, \
         or let it step down"
    )]
    TooOld {
        /// Who.
        leader: MemberId,
    },
}

/// What a reload came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReloadReport {
    /// Whether this agent leads: only then the tasks changed at once.
    pub leading: bool,
    /// What changed; on a follower nothing does.
    pub difference: roster::Difference,
    /// How this agent's files differ from those of the leader.
    pub differs: BTreeMap<String, Differs>,
    /// Settings other than tasks that changed: they need a restart.
    pub needs_restart: Vec<String>,
}

/// What to do with a task that is created, enabled or disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunMode {
    /// Nothing more.
    #[default]
    Later,
    /// Run it now and wait for the end.
    Now,
    /// Plan only: nothing changes.
    Inspect,
}

/// What a run would change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Whether it would change anything.
    pub changes_present: bool,
    /// For people, as Terraform prints it.
    pub text: String,
}

/// Why a change of a task was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Ask the leader. Nothing changed.
    #[error("this agent does not lead")]
    NotLeading,
    /// There is one of that name.
    #[error("task with name {0} already exists")]
    Exists(String),
    /// There is none of that name.
    #[error("a task with name '{0}' does not exist or has not been initialized yet")]
    Unknown(String),
    /// It is configured in a way that cannot work; for people.
    #[error("{0}")]
    Invalid(String),
    /// It was tried and went wrong: the text says what.
    #[error("{0}")]
    Failed(String),
    /// Something of the task is under way, or nothing is where something must be. Nothing changed; ask again later.
    #[error("{0}")]
    Conflict(String),
    /// Somebody cancelled it: who.
    #[error("{0}")]
    Cancelled(String),
    /// Leadership ended meanwhile: whether it took effect is unknown.
    #[error("leadership ended before the change was acknowledged; whether it took effect is unknown")]
    Lost,
}

/// Who asked for something, as far as the agent that was asked knows. It travels with a request to the leader.
#[derive(Debug, Clone, PartialEq, Eq, quorate_proto::bincode_derive::Encode, quorate_proto::bincode_derive::Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Caller {
    /// Where the request came from: address and port, or `a local socket`.
    pub address: String,
    /// The agent that received it.
    pub agent: String,
    /// Who that was: what was shown to that agent. Whoever decides by it looks it up again.
    pub identity: Identity,
}

impl Caller {
    /// For what is kept: the same as shown, cut where somebody has a very long name.
    pub fn kept(&self) -> String {
        /// Characters. What is kept of a run has to stay small.
        const MAX: usize = 160;
        self.to_string().chars().take(MAX).collect()
    }

    /// An agent that asks for itself.
    pub fn member(agent: &MemberId) -> Self {
        let agent = agent.to_string();
        Self { address: "itself".to_owned(), agent, identity: Identity::Member }
    }

    /// A client of an agent that does not say who asks.
    pub fn unknown() -> Self {
        let (address, agent) = ("an unknown address".to_owned(), "an agent of an older version".to_owned());
        Self { address, agent, identity: Identity::Anonymous }
    }
}

impl std::fmt::Display for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.identity.is_anonymous() {
            write!(f, "{} at ", self.identity)?;
        }
        write!(f, "{} through {}", self.address, self.agent)
    }
}

/// A run that is cancelled: a majority knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledReport {
    /// Which.
    pub run: uuid::Uuid,
    /// When it was decided.
    pub start_time: DateTime<chrono::Local>,
    /// What made it run.
    pub trigger: String,
    /// Who cancelled it, for people.
    pub by: String,
    /// How long its process has to end by itself; `None`: no process was under way, the run is over.
    pub ends_within: Option<Duration>,
    /// What was triggered behind it and runs when it is over.
    pub queued: Option<&'static str>,
}

/// What was known last of the tasks when nobody leads.
#[derive(Debug, Clone)]
pub struct LastKnown {
    /// From the registers on this agent.
    pub tasks: TasksSnapshot,
    /// The last moment at which they were known to be current.
    pub since: DateTime<Utc>,
}

/// What a face may ask the agent to do.
#[derive(Debug)]
pub enum Request {
    /// Read the configuration files again. `Err`: they cannot be read, nothing changed.
    Reload(oneshot::Sender<Result<ReloadReport, String>>),
    /// Another agent says how its files differ from this leader's. Only from the control connection.
    Differences {
        /// Who.
        agent: MemberId,
        /// How; empty: not any more.
        differs: BTreeMap<String, Differs>,
    },
    /// Make a task (leader only). The plan is there for [`RunMode::Inspect`].
    Create {
        /// Who asks.
        by: Caller,
        /// What to make.
        spec: Box<TaskSpec>,
        /// And then.
        run: RunMode,
        /// Answered when it is on a majority, and has run if asked to.
        reply: oneshot::Sender<Result<Option<Plan>, ChangeError>>,
    },
    /// Delete a task (leader only): it goes when nothing of it runs.
    Delete {
        /// Who asks.
        by: Caller,
        /// Which.
        task: String,
        /// Answered when it is marked on a majority.
        reply: oneshot::Sender<Result<(), ChangeError>>,
    },
    /// Run a task now, by hand (leader only). Answers when the run is decided, not when it ends.
    Run {
        /// Who asks.
        by: Caller,
        /// Which.
        task: String,
        /// `Err`: it cannot run.
        reply: oneshot::Sender<Result<(), ChangeError>>,
    },
    /// End the run of a task that is under way (leader only). Answers when a majority knows, not when the run has ended.
    Cancel {
        /// Which.
        task: String,
        /// Who asks.
        by: Caller,
        /// SIGKILL at once.
        force: bool,
        /// `Err`: nothing of it runs, or it is not known whether it was cancelled.
        reply: oneshot::Sender<Result<CancelledReport, ChangeError>>,
    },
    /// The plan of a task (leader only).
    ShowPlan {
        /// Of which.
        task: String,
        /// `Err`: there is none.
        reply: oneshot::Sender<Result<PlanDetail, ChangeError>>,
    },
    /// Approve or reject the plan that waits (leader only). An approved one is applied at once.
    Decide {
        /// Of which task.
        task: String,
        /// Which plan: another one is refused.
        plan: uuid::Uuid,
        /// Or rejected.
        approved: bool,
        /// Who decides.
        by: Caller,
        /// Answered when it is on a majority.
        reply: oneshot::Sender<Result<PlanShown, ChangeError>>,
    },
    /// Whether the loop of the agent still answers.
    Pulse(oneshot::Sender<()>),
    /// What this agent knows of the tasks by itself, for when nobody leads. `Err`: it has no key for it.
    LastKnown(oneshot::Sender<Result<LastKnown, String>>),
    /// Hand leadership over now. Answers with the successor, or why not.
    StepDown(oneshot::Sender<Result<Option<MemberId>, String>>),
    /// Leave the cluster for good, then stop the process.
    Leave(oneshot::Sender<Result<(), String>>),
    /// Send a request to the leader over the control connection.
    Forward(ApiRequest, oneshot::Sender<Result<ApiResponse, ForwardError>>),
    /// Enable or disable a task (leader only).
    SetEnabled {
        /// Who asks.
        by: Caller,
        /// Which.
        task: String,
        /// To what.
        enabled: bool,
        /// And then.
        run: RunMode,
        /// Answered when it is on a majority. The plan is there for [`RunMode::Inspect`].
        reply: oneshot::Sender<Result<Option<Plan>, ChangeError>>,
    },
}

/// A request that another agent forwarded to this one, the leader. The HTTP room answers it.
#[derive(Debug)]
pub struct Forwarded {
    /// As it came in there.
    pub request: ApiRequest,
    /// To be answered.
    pub reply: oneshot::Sender<ApiResponse>,
}

/// Held by every face. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The cluster, always current.
    pub cluster: watch::Receiver<Arc<ClusterSnapshot>>,
    /// The tasks, always current.
    pub tasks: watch::Receiver<Arc<TasksSnapshot>>,
    /// This process.
    pub health: watch::Receiver<Health>,
    /// To the agent. Bounded: a face waits, it does not pile up.
    pub requests: mpsc::Sender<Request>,
    /// Terraform state that the cluster keeps; `None`: it keeps none.
    pub state: Option<Arc<ClusterState>>,
    /// What has happened lately.
    pub feed: Arc<EventStream>,
    /// Runs and their logs.
    pub logs: Option<Arc<logs::LogReader>>,
    /// The keys of the cluster's traffic.
    pub keyring: Option<Arc<keyring::KeyringService>>,
    /// Task objects of the API to definitions and back.
    pub objects: Arc<dyn TaskObjects>,
    /// Prometheus text, rendered at each call.
    pub metrics: Arc<dyn MetricsText>,
    /// Who may do what.
    pub gate: Arc<Gate>,
}

/// Reads and shows task objects as the API has them (`reference/cts.md` 4.5). Implemented where configuration is read.
pub trait TaskObjects: std::fmt::Debug + Send + Sync {
    /// The definition. `Err`: what is wrong with it.
    fn read(&self, object: &serde_json::Value) -> Result<TaskSpec, String>;
    /// The object, defaults filled in.
    fn show(&self, spec: &TaskSpec) -> serde_json::Value;
}

impl Handle {
    /// The cluster now.
    pub fn cluster(&self) -> Arc<ClusterSnapshot> {
        self.cluster.borrow().clone()
    }

    /// The cluster when its index has passed `index`, or after `wait`.
    pub async fn cluster_after(&self, index: u64, wait: Duration) -> Arc<ClusterSnapshot> {
        let mut watch = self.cluster.clone();
        let passed = watch.wait_for(|snapshot| snapshot.view.index > index);
        match tokio::time::timeout(wait, passed).await {
            Ok(Ok(snapshot)) => snapshot.clone(),
            Ok(Err(_)) | Err(_) => self.cluster(),
        }
    }

    /// The tasks now, as this agent knows them.
    pub fn tasks(&self) -> Arc<TasksSnapshot> {
        self.tasks.borrow().clone()
    }

    /// This process now.
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }
}
