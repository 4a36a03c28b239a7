//! Carries a run out: journal, check the lease, hand to the guardian, wait for the end, journal again.
//!
//! The order is protocol-safety 7: the journal is on a majority before anything starts, the lease is checked after that
//! wait and again inside the guardian immediately before the spawn, and the result is on a majority before it is reported.
//! Files are written and hashed while the journal is under way.

mod command;
mod exec;
mod fingerprint;
mod interruption;
mod kept;
mod mask;
mod module;
mod prepare;
mod progress;
mod recorder;
mod review;
mod run_user;
mod secrets;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::{OnceCell, RwLock, watch};
use tracing::{debug, info};

pub(super) use self::exec::Exits;
use self::exec::Stopped;
pub(super) use self::interruption::Interruptions;
use self::module::Aim;
pub(super) use self::progress::ProgressTable;
pub(super) use self::secrets::Known;
use super::clock;
use super::core::ProposeError;
use super::handle::{ChangeError, Plan};
use super::journal::{self, Entered};
use super::logs::Logs;
use super::metrics::{Metrics, Outcome as Counted};
use super::plans::Plans;
use super::replica::Replica;
use super::settings::Secrets;
use super::state::RunCredentials;
use super::state::service::ClusterState;
use crate::cluster::leadership::Lease;
use crate::guardian::{Guardian, Spawn};
use crate::task::spec::{RunEnv, Work};
use crate::task::{Fingerprint, Outcome, RunId, Start, Trigger};
use crate::terraform::{self, ConsulAccess};

/// Carries runs out. Shared by all of them.
pub(super) struct Runner {
    pub(super) me: MemberId,
    pub(super) guardian: Guardian,
    pub(super) exits: Arc<Exits>,
    pub(super) lease: watch::Receiver<Option<Lease>>,
    /// For the journal.
    pub(super) replica: Replica,
    pub(super) start_margin: Duration,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) own_secrets: BTreeSet<String>,
    pub(super) run_env: RunEnv,
    /// Fills in what runs need of files, the environment and Vault.
    pub(super) fill_in: Arc<dyn Secrets>,
    pub(super) known: Known,
    pub(super) terraform: terraform::Settings,
    pub(super) binary: OnceCell<terraform::Binary>,
    pub(super) caches: terraform::Caches,
    pub(super) called: terraform::handler::Called,
    pub(super) metrics: Arc<Metrics>,
    pub(super) logs: Arc<Logs>,
    pub(super) state: StateOfRuns,
    pub(super) progress: ProgressTable,
    /// Those that wait for a person.
    pub(super) plans: Plans,
    pub(super) interruptions: Interruptions,
    /// Held while the directory of a task is written: by runs together, alone by what prepares disabled tasks.
    pub(super) workspaces: RwLock<()>,
}

/// What runs need for Terraform's state.
pub(super) struct StateOfRuns {
    /// The cluster keeps the state of tasks that configure no backend.
    pub(super) kept: bool,
    /// There are other agents.
    pub(super) clustered: bool,
    pub(super) credentials: RunCredentials,
    /// Of the listener that answers runs, once it is there.
    pub(super) address: watch::Receiver<Option<SocketAddr>>,
    pub(super) desk: Arc<ClusterState>,
    /// What is known of Consul, for its backend.
    pub(super) consul: Option<ConsulAccess>,
}

impl Runner {
    /// One run from the journal to the journal, and what it depends on if that is known.
    pub(super) async fn run(&self, start: &Start) -> (Outcome, Option<Fingerprint>) {
        let Carried { outcome, fingerprint, end, begun, .. } = self.carry_out(start).await;
        let journalled = match end {
            Some(end) => self.enter(&end, &start.task).await,
            None => Ok(()),
        };
        let outcome = journal::outcome(outcome, journalled);
        self.told(&start.task, start.run, begun, &outcome);
        (outcome, fingerprint)
    }

    /// One run from the journal to its end. Whoever asked journals the end, then calls [`Runner::told`].
    pub(super) async fn carry_out(&self, start: &Start) -> Carried {
        let mut carried = self.carried(start).await;
        let mask = self.mask(start.run);
        if let Outcome::Failure(why) | Outcome::Interrupted(why) = &mut carried.outcome {
            // What programs print is hidden already; what we say of values ourselves is not.
            *why = mask.hide_text(why);
        }
        self.known.forget(start.run);
        if let Some(live) = self.logs.of(start.run) {
            live.note(&ended(&carried.outcome));
        }
        carried
    }

    async fn carried(&self, start: &Start) -> Carried {
        let (task, begun) = (start.task.clone(), clock::now().mono);
        if let Err(stopped) = self.secrets(start).await {
            self.metrics.run_started(&task);
            return Carried { task, outcome: stopped.into(), fingerprint: None, end: None, begun: Some(begun) };
        }
        // Only who may leave a task alone has to know before it starts.
        let looks = start.trigger == Trigger::DriftCheck;
        let known = match start.unless.filter(|_| !looks) {
            Some(_) => match self.leashed(start, async { Ok(self.fingerprint(start).await) }).await {
                Ok(fingerprint) => Some(fingerprint),
                Err(stopped) => {
                    return Carried { task, outcome: stopped.into(), fingerprint: None, end: None, begun: None };
                }
            },
            None => None,
        };
        if let Some(fingerprint @ Some(_)) = known
            && fingerprint == start.unless
        {
            info!(task, "not run: nothing that it depends on has changed since it last went well");
            return Carried { task, outcome: Outcome::Unchanged, fingerprint, end: None, begun: None };
        }
        self.metrics.run_started(&task);
        let trigger = start.trigger.as_str();
        let tried = if start.attempt == 0 { String::new() } else { format!(", retry {}", start.attempt) };
        let began = format!("run {} of {task} by {}, epoch {}: {trigger}{tried}", start.run, self.me, start.epoch);
        self.logs.begin(&task, start.run).note(&began);
        let aim = if looks { Aim::Drift } else { Aim::Apply };
        let journalled = self.journalled(start, aim, known.is_none() && !looks).await;
        let fingerprint = known.unwrap_or(journalled.fingerprint);
        Carried { task, outcome: journalled.outcome, fingerprint, end: journalled.end, begun: Some(begun) }
    }

    /// A run is over and its end is journalled, or will not be.
    pub(super) fn told(&self, task: &str, run: RunId, begun: Option<Duration>, outcome: &Outcome) {
        let Some(begun) = begun else { return };
        let took = clock::now().mono.saturating_sub(begun);
        let counted = match outcome {
            Outcome::Success | Outcome::Unchanged | Outcome::Drifted(_) => Counted::Success,
            Outcome::Planned(_) => Counted::Planned,
            Outcome::Failure(_) => Counted::Failure,
            Outcome::Interrupted(_) => Counted::Interrupted,
            Outcome::Cancelled(_) => Counted::Cancelled,
            Outcome::TimedOut(_) => Counted::TimedOut,
        };
        self.metrics.run_finished(task, counted, took);
        let seconds = format!("{:.3}", took.as_secs_f64());
        if *outcome == Outcome::Success {
            info!(task, %run, seconds, "task completed");
        } else {
            // What it means is told by the task room: a line for people there, one for a hunt here.
            debug!(task, %run, seconds, ?outcome, "run is over");
        }
    }

    fn lease(&self, epoch: Epoch) -> Result<Lease, Stopped> {
        let lease = *self.lease.borrow();
        let live = lease.filter(|lease| lease.epoch() == epoch && lease.is_live(self.start_margin, clock::now()));
        live.ok_or_else(|| Stopped::Interrupted(format!("this agent holds no live lease of epoch {epoch}")))
    }

    /// Plans a task and changes nothing; or, with `prepare`, only initialises and validates it. Journalled like any run:
    /// it may hold Terraform's lock.
    pub(super) async fn inspect(&self, start: &Start, prepare: bool) -> Result<Plan, ChangeError> {
        if let Work::Command { argv } = &start.spec.work {
            let text = format!("runs {}; what that changes is not known before", argv.join(" "));
            return Ok(Plan { changes_present: true, text });
        }
        let aim = if prepare { Aim::Prepare } else { Aim::Inspect };
        let outcome = self.inspected(start, aim).await;
        self.known.forget(start.run);
        outcome
    }

    async fn inspected(&self, start: &Start, aim: Aim) -> Result<Plan, ChangeError> {
        if let Err(stopped) = self.secrets(start).await {
            return Err(ChangeError::Failed(stopped.text().to_owned()));
        }
        let Journalled { outcome, plan, end, .. } = self.journalled(start, aim, false).await;
        let journalled = match end {
            Some(end) => self.enter(&end, &start.task).await,
            None => Ok(()),
        };
        match journal::outcome(outcome, journalled) {
            Outcome::Success | Outcome::Unchanged | Outcome::Planned(_) | Outcome::Drifted(_) => {
                Ok(plan.map_or_else(Plan::default, |plan| Plan { changes_present: plan.changes, text: plan.text }))
            }
            Outcome::Failure(why) | Outcome::TimedOut(why) => Err(ChangeError::Failed(why)),
            Outcome::Interrupted(why) => Err(ChangeError::Failed(format!("it was interrupted: {why}"))),
            Outcome::Cancelled(by) => Err(ChangeError::Cancelled(by)),
        }
    }

    /// Journals the start and makes the run ready meanwhile; nothing of it starts before the journal is on a majority.
    async fn journalled(&self, start: &Start, aim: Aim, asks_fingerprint: bool) -> Journalled {
        let over = |outcome| Journalled { outcome, plan: None, end: None, fingerprint: None };
        let interruption = self.interruptions.of(start.run);
        interruption.begin(start.spec.timeout);
        let lease = match interruption.check().and_then(|()| self.lease(start.epoch)) {
            Ok(lease) => lease,
            Err(stopped) => return over(stopped.into()),
        };
        let entered = Entered {
            epoch: lease.epoch(),
            run: start.run.0.into_bytes(),
            agent: self.me.clone(),
            grace_ms: u64::try_from(start.spec.grace.as_millis()).unwrap_or(u64::MAX),
            finished: false,
            interrupted: false,
        };
        let begun = clock::now().mono;
        let since = || clock::now().mono.saturating_sub(begun);
        let journal = async { (self.enter(&entered, &start.task).await, since()) };
        let ready = async { (Box::pin(self.prepare(start)).await, since()) };
        let asked = async { if asks_fingerprint { self.fingerprint(start).await } else { None } };
        let fingerprint = async { self.leashed(start, async { Ok(asked.await) }).await.unwrap_or_default() };
        let ((written, journal), (ready, prepared), fingerprint) = tokio::join!(journal, ready, fingerprint);
        if let Err(error) = written {
            self.discard(start, ready);
            return over(Outcome::Interrupted(error.to_string()));
        }
        debug!(task = start.task, run = %start.run, ?journal, ?prepared, all = ?since(), "journalled and ready");
        let mut plan = None;
        let outcome = match Box::pin(self.work(start, &lease, aim, ready)).await {
            Ok(done) => {
                plan = done.plan;
                match (done.waits, done.drift) {
                    (Some(text), _) => Outcome::Planned(text),
                    (None, Some(text)) => Outcome::Drifted(text),
                    (None, None) => Outcome::Success,
                }
            }
            // The next leader finds it unfinished and waits until it is surely over.
            Err(lost @ Stopped::Lost(_)) => return over(lost.into()),
            Err(stopped) => stopped.into(),
        };
        // A look for drift has changed nothing: the next leader need not run the task for it.
        let interrupted = aim != Aim::Drift
            && matches!(outcome, Outcome::Interrupted(_) | Outcome::Cancelled(_) | Outcome::TimedOut(_));
        let end = Some(Entered { finished: true, interrupted, ..entered });
        Journalled { outcome, plan, end, fingerprint }
    }

    async fn enter(&self, entered: &Entered, task: &str) -> Result<(), ProposeError> {
        let entries: Vec<Entry> = entered.entry(task).into_iter().collect();
        self.replica.propose(entered.epoch, entries).await
    }

    /// Everything that can be made ready before the run may start. What it writes is this agent's own and counts for nothing
    /// until something runs on it.
    async fn prepare(&self, start: &Start) -> Result<Ready, Stopped> {
        match &start.spec.work {
            Work::Command { argv } => Ok(Ready::Command(self.prepare_command(start, argv).await?)),
            Work::Terraform(work) => Ok(Ready::Module(Box::new(self.prepare_module(start, work).await?))),
        }
    }

    /// It may not start after all.
    fn discard(&self, start: &Start, ready: Result<Ready, Stopped>) {
        if let Ok(Ready::Module(module)) = ready {
            self.close(start, &module);
        }
    }

    async fn work(
        &self,
        start: &Start,
        lease: &Lease,
        aim: Aim,
        ready: Result<Ready, Stopped>,
    ) -> Result<Done, Stopped> {
        let (task, run, epoch, trigger) = (&start.task, &start.run, lease.epoch(), &start.trigger);
        info!(task, %run, %epoch, trigger = trigger.as_str(), attempt = start.attempt, "{} task", aim.as_str());
        match ready? {
            Ready::Command(spawn) => self.command(start, spawn).await.map(|()| Done::default()),
            Ready::Module(ready) => self.module(start, *ready, aim).await,
        }
    }
}

/// The last line of a log: how it ended, and the beginning of why.
fn ended(outcome: &Outcome) -> String {
    /// Bytes. The rest of it stands above in the log.
    const MAX: usize = 400;
    let why = |word: &str, why: &str| {
        let first = why.trim().lines().next().unwrap_or_default();
        format!("{word}: {}", &first[..first.floor_char_boundary(MAX)])
    };
    match outcome {
        Outcome::Success | Outcome::Unchanged => "success".to_owned(),
        Outcome::Planned(text) => text.clone(),
        Outcome::Drifted(text) => format!("drift: {text}"),
        Outcome::Failure(text) => why("failure", text),
        Outcome::Interrupted(text) => why("interrupted", text),
        Outcome::Cancelled(text) => why("cancelled", text),
        Outcome::TimedOut(text) => why("timed out", text),
    }
}

/// How far a run came before its end was journalled.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) task: String,
    pub(super) outcome: Outcome,
    pub(super) fingerprint: Option<Fingerprint>,
    /// What to journal; none: nothing started, or something of it may still live.
    pub(super) end: Option<Entered>,
    /// When it began; none: it was not needed.
    pub(super) begun: Option<Duration>,
}

impl Carried {
    /// It broke off where it must not.
    pub(super) fn broken(task: String, why: &tokio::task::JoinError) -> Self {
        Self { task, outcome: Outcome::Interrupted(why.to_string()), fingerprint: None, end: None, begun: None }
    }
}

/// The same, of any aim.
struct Journalled {
    outcome: Outcome,
    plan: Option<terraform::Plan>,
    end: Option<Entered>,
    fingerprint: Option<Fingerprint>,
}

/// What a run that came to its own end has found.
#[derive(Debug, Default)]
struct Done {
    plan: Option<terraform::Plan>,
    /// Its plan waits for a person; for people.
    waits: Option<String>,
    /// What it made is not so any more; for people.
    drift: Option<String>,
}

/// Work that only has to be started.
enum Ready {
    Command(Box<Spawn>),
    Module(Box<module::Ready>),
}
