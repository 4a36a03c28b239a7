//! Carries a run out: journal, check the lease, hand to the guardian, wait for the end, journal again.
//!
//! The order is protocol-safety 7: the journal is on a majority before anything starts, the lease is checked after that
//! wait and again inside the guardian immediately before the spawn, and the result is on a majority before it is reported.

mod command;
mod exec;
mod fingerprint;
mod leash;
mod module;
mod prepare;
mod underway;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::{OnceCell, RwLock, mpsc, oneshot, watch};
use tracing::{debug, info};

pub(super) use self::exec::Exits;
use self::exec::Stopped;
pub(super) use self::leash::Leashes;
use self::module::Aim;
pub(super) use self::underway::Underway;
use super::clock;
use super::core::{Command, ProposeError};
use super::handle::{ChangeError, Plan};
use super::journal::Entered;
use super::metrics::{Metrics, Outcome as Counted};
use super::state::RunCredentials;
use super::state::desk::Desk;
use crate::cluster::leadership::Lease;
use crate::guardian::{Guardian, base_env};
use crate::task::spec::Work;
use crate::task::{Fingerprint, Outcome, Start};
use crate::terraform::{self, ConsulAccess};

/// Carries runs out. Shared by all of them.
pub(super) struct Runner {
    pub(super) me: MemberId,
    pub(super) guardian: Guardian,
    pub(super) exits: Arc<Exits>,
    pub(super) lease: watch::Receiver<Option<Lease>>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) start_margin: Duration,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) terraform: terraform::Settings,
    pub(super) binary: OnceCell<terraform::Binary>,
    pub(super) caches: terraform::Caches,
    pub(super) called: terraform::handler::Called,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: StateOfRuns,
    pub(super) underway: Underway,
    pub(super) leashes: Leashes,
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
    pub(super) desk: Arc<Desk>,
    /// What is known of Consul, for its backend.
    pub(super) consul: Option<ConsulAccess>,
}

impl Runner {
    /// One run from the journal to the journal, and what it depends on if that is known.
    pub(super) async fn run(&self, start: &Start) -> (Outcome, Option<Fingerprint>) {
        let begun = clock::now().mono;
        let task = start.task.as_str();
        let fingerprint = match self.leashed(start, async { Ok(self.fingerprint(start).await) }).await {
            Ok(fingerprint) => fingerprint,
            Err(stopped) => return (stopped.into(), None),
        };
        if fingerprint.is_some() && fingerprint == start.unless {
            info!(task, "not run: nothing that it depends on has changed since it last went well");
            return (Outcome::Unchanged, fingerprint);
        }
        self.metrics.run_started(task);
        let outcome = self.journalled(start, Aim::Apply).await.0;
        let took = clock::now().mono.saturating_sub(begun);
        let counted = match &outcome {
            Outcome::Success | Outcome::Unchanged => Counted::Success,
            Outcome::Failure(_) => Counted::Failure,
            Outcome::Interrupted(_) => Counted::Interrupted,
            Outcome::Cancelled(_) => Counted::Cancelled,
            Outcome::TimedOut(_) => Counted::TimedOut,
        };
        self.metrics.run_finished(task, counted, took);
        let (run, seconds) = (start.run, format!("{:.3}", took.as_secs_f64()));
        if outcome == Outcome::Success {
            info!(task, %run, seconds, "task completed");
        } else {
            // What it means is told by the task room: a line for people there, one for a hunt here.
            debug!(task, %run, seconds, ?outcome, "run is over");
        }
        (outcome, fingerprint)
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
        match self.journalled(start, aim).await {
            (Outcome::Success | Outcome::Unchanged, plan) => {
                Ok(plan.map_or_else(Plan::default, |plan| Plan { changes_present: plan.changes, text: plan.text }))
            }
            (Outcome::Failure(why) | Outcome::TimedOut(why), _) => Err(ChangeError::Failed(why)),
            (Outcome::Interrupted(why), _) => Err(ChangeError::Failed(format!("it was interrupted: {why}"))),
            (Outcome::Cancelled(by), _) => Err(ChangeError::Cancelled(by)),
        }
    }

    async fn journalled(&self, start: &Start, aim: Aim) -> (Outcome, Option<terraform::Plan>) {
        let leash = self.leashes.of(start.run);
        leash.begin(start.spec.timeout);
        let lease = match leash.check().and_then(|()| self.lease(start.epoch)) {
            Ok(lease) => lease,
            Err(stopped) => return (stopped.into(), None),
        };
        let mut entered = Entered {
            epoch: lease.epoch(),
            run: start.run.0.into_bytes(),
            agent: self.me.clone(),
            grace_ms: u64::try_from(start.spec.grace.as_millis()).unwrap_or(u64::MAX),
            finished: false,
            interrupted: false,
        };
        if let Err(error) = self.enter(&entered, &start.task).await {
            return (Outcome::Interrupted(error.to_string()), None);
        }
        let mut plan = None;
        let outcome = match self.work(start, &lease, aim).await {
            Ok(found) => {
                plan = found;
                Outcome::Success
            }
            // The next leader finds it unfinished and waits until it is surely over.
            Err(lost @ Stopped::Lost(_)) => return (lost.into(), None),
            Err(stopped) => stopped.into(),
        };
        entered.finished = true;
        entered.interrupted = matches!(outcome, Outcome::Interrupted(_) | Outcome::Cancelled(_) | Outcome::TimedOut(_));
        let outcome = match (self.enter(&entered, &start.task).await, outcome) {
            (Ok(()), outcome) => outcome,
            // Done, but no majority knows: the next leader will run it again, so it is not reported as done.
            (Err(error), Outcome::Success | Outcome::Unchanged | Outcome::Failure(_) | Outcome::TimedOut(_)) => {
                Outcome::Interrupted(error.to_string())
            }
            (Err(_), stopped @ (Outcome::Interrupted(_) | Outcome::Cancelled(_))) => stopped,
        };
        (outcome, plan)
    }

    async fn enter(&self, entered: &Entered, task: &str) -> Result<(), ProposeError> {
        let entries: Vec<Entry> = entered.entry(task).into_iter().collect();
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Propose(entered.epoch, entries, reply)).await.is_err() {
            return Err(ProposeError::NotLeader);
        }
        answer.await.unwrap_or(Err(ProposeError::Unknown))
    }

    async fn work(&self, start: &Start, lease: &Lease, aim: Aim) -> Result<Option<terraform::Plan>, Stopped> {
        let (task, run, epoch, trigger) = (&start.task, &start.run, lease.epoch(), &start.trigger);
        info!(task, %run, %epoch, trigger = trigger.as_str(), attempt = start.attempt, "{} task", aim.as_str());
        match &start.spec.work {
            Work::Command { argv } => self.command(start, argv).await.map(|()| None),
            Work::Terraform(work) => self.module(start, work, aim).await,
        }
    }

    fn base(&self) -> Vec<(OsString, OsString)> {
        base_env::<&str>(self.environment.iter().cloned(), &[])
    }
}
