//! Tells people and programs what happens, as the leader: one task for each `notify` block, so that a slow receiver keeps
//! no other waiting, and no run.
//!
//! A notice is named by what happened ([`Notice::id`]), not by who tells it. Which were delivered is in `notified/<block>` on a
//! majority, so that the next leader tells what this one did not come to, and nothing twice; a leader that dies between a
//! delivery and that write tells one again. Runs that had ended before the first leader with this block are not told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use quorate_proto::codec;
use quorate_proto::message::Entry as Register;
use tokio::sync::watch;
use tracing::{info, warn};

use super::clock;
use super::event_stream::{Entry, EventStream, Happened, PlanEvent};
use super::handle::{ClusterSnapshot, TasksSnapshot};
use super::metrics::Metrics;
use super::replica::Replica;
use super::settings::{Mode, Settings};
use crate::cluster::leadership::Lease;
use crate::cluster::view::MemberState;
use crate::guardian::run_env;
use crate::notify::{self, Kind, Notice, Sender, Subject};
use crate::task::report::{CutShort, RunEvent};

/// Register prefix of what was delivered.
const PREFIX: &str = "notified/";
/// How many deliveries are remembered: more than a leader tells again of the epoch before.
const REMEMBERED: usize = 2_000;
/// How often it is looked whether something happened.
const LOOK: Duration = Duration::from_millis(250);
/// Entries that are taken at once.
const BATCH: usize = 100;
/// Between two tries, first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// How long a notice is tried.
const GIVE_UP: Duration = Duration::from_hours(1);

/// What delivers, one for each block; none of an agent that ends with its runs. `Err`: which block cannot work, and why.
pub(super) fn senders(settings: &Settings) -> Result<Vec<Sender>, (String, String)> {
    if settings.mode != Mode::Daemon {
        return Ok(Vec::new());
    }
    // What a command gets of the environment is what a task with a command gets.
    let names = &settings.run_env.names;
    let environment = run_env(settings.environment.iter().cloned(), false, names, &settings.own_secrets);
    let sender = |block: &notify::Settings| {
        Sender::new(block.clone(), environment.clone()).map_err(|why| (block.name.clone(), why))
    };
    settings.notify.iter().map(sender).collect()
}

/// Starts them all.
pub(super) fn start(senders: Vec<Sender>, notifier: impl Fn(Sender) -> Notifier) {
    for sender in senders {
        tokio::spawn(notifier(sender).run());
    }
}

/// What one block needs of the agent.
#[derive(Debug, Clone)]
pub(super) struct Notifier {
    pub(super) sender: Sender,
    pub(super) cluster_name: String,
    pub(super) events: Arc<EventStream>,
    pub(super) replica: Replica,
    pub(super) lease: watch::Receiver<Option<Lease>>,
    pub(super) cluster: watch::Receiver<Arc<ClusterSnapshot>>,
    pub(super) tasks: watch::Receiver<Arc<TasksSnapshot>>,
    pub(super) metrics: Arc<Metrics>,
}

/// Ids of notices that were delivered, hashed; the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Delivered(VecDeque<u64>);

impl Delivered {
    fn hash(id: &str) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..8]);
        u64::from_le_bytes(first)
    }

    fn has(&self, id: &str) -> bool {
        self.0.contains(&Self::hash(id))
    }

    fn add(&mut self, id: &str) {
        if !self.has(id) {
            self.0.push_back(Self::hash(id));
        }
        while self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        codec::decode_frame::<Vec<u64>>(value).ok().map(|hashes| Self(hashes.into()))
    }

    fn register(&self, name: &str) -> Register {
        let hashes: Vec<u64> = self.0.iter().copied().collect();
        Register::new(format!("{PREFIX}{name}"), codec::encode(&hashes).ok())
    }
}

impl Notifier {
    /// For as long as the agent lives.
    pub(super) async fn run(mut self) {
        loop {
            if self.lease.wait_for(Option::is_some).await.is_err() {
                return;
            }
            let lease = *self.lease.borrow();
            if let Some(lease) = lease {
                self.clone().lead(lease).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn leads(&self, lease: Lease) -> bool {
        self.lease.borrow().is_some_and(|now| now.epoch() == lease.epoch())
    }

    /// Under one leadership.
    async fn lead(self, lease: Lease) {
        let name = self.sender.settings().name.clone();
        let kept = match self.replica.get(&format!("{PREFIX}{name}")).await {
            Ok(kept) => kept,
            Err(why) => return warn!(notify = name, %why, "it is not known which notices were delivered: none is sent"),
        };
        let is_first = kept.is_none();
        let mut delivered = kept.as_deref().and_then(Delivered::read).unwrap_or_default();
        // From the first entry of this epoch on, with what is told again of the one before.
        let mut place = (lease.epoch().0, 0);
        while self.leads(lease) {
            let Some(batch) = self.events.after(Some(place), BATCH).filter(|batch| batch.epoch == place.0) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            place.1 = batch.upto;
            let mut changed = false;
            for entry in &batch.entries {
                let Some(notice) = self.notice(entry, place.0) else { continue };
                if delivered.has(&notice.id) {
                    continue;
                }
                // A run that had ended before somebody wanted to hear of it.
                let is_old = is_first
                    && matches!(&entry.happened, Happened::Ended { event, .. } if event.epoch != lease.epoch().0);
                if !is_old && !self.deliver(lease, &notice).await {
                    return;
                }
                delivered.add(&notice.id);
                changed = true;
                if !is_old {
                    self.keep(lease, &delivered).await;
                    changed = false;
                }
            }
            if changed {
                self.keep(lease, &delivered).await;
            }
            if batch.entries.is_empty() {
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    async fn keep(&self, lease: Lease, delivered: &Delivered) {
        let name = &self.sender.settings().name;
        if let Err(error) = self.replica.propose(lease.epoch(), vec![delivered.register(name)]).await {
            warn!(notify = name, %error, "that a notice was delivered is not kept: it may be sent again");
        }
    }

    /// Until it is delivered, or has been tried for long enough. `false`: leadership has ended first.
    async fn deliver(&self, lease: Lease, notice: &Notice) -> bool {
        let (name, begun, mut pause) = (&self.sender.settings().name, clock::now().mono, PAUSE.0);
        loop {
            let why = match self.sender.deliver(notice, clock::utc().timestamp()).await {
                Ok(()) => {
                    self.metrics.notice(name, true);
                    info!(notify = name, notice = notice.id, "told: {}", notice.text);
                    return true;
                }
                Err(why) => why,
            };
            self.metrics.notice(name, false);
            if clock::now().mono.saturating_sub(begun) >= GIVE_UP {
                warn!(notify = name, notice = notice.id, why, "a notice could not be delivered and is given up");
                return true;
            }
            warn!(notify = name, notice = notice.id, why, "a notice is not delivered and is sent again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
            if !self.leads(lease) {
                return false;
            }
        }
    }

    /// What this block is told of an entry, if anything.
    fn notice(&self, entry: &Entry, epoch: u64) -> Option<Notice> {
        let tasks = self.tasks.borrow().clone();
        let (kind, id, subject, text, detail) = about(entry, epoch, &tasks)?;
        self.sender.settings().on.contains(&kind).then(|| Notice {
            id,
            kind,
            cluster: self.cluster_name.clone(),
            agent: self.cluster.borrow().view.observer.to_string(),
            epoch,
            at: rfc3339(entry.at),
            subject,
            text,
            detail,
        })
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Kind, id, subject, sentence and more of what one can be told of.
fn about(entry: &Entry, epoch: u64, tasks: &TasksSnapshot) -> Option<(Kind, String, Subject, String, String)> {
    let of_task = |task: &str, run: Option<String>| Subject::Task { task: task.to_owned(), run };
    match &entry.happened {
        Happened::Ended { task, event } => {
            let (id, subject) = (format!("run-{}", event.id), of_task(task, Some(event.id.to_string())));
            if failed(event) {
                let error = event.error.clone().unwrap_or_default();
                let how = if event.cut_short == Some(CutShort::TimedOut) { "timed out" } else { "failed" };
                return Some((Kind::Failure, id, subject, format!("task {task} {how}"), error));
            }
            let report = tasks.tasks.iter().find(|report| report.name == *task)?;
            let mut before = report.events.iter().skip_while(|known| known.id != event.id).skip(1);
            let recovers = event.success && before.next().is_some_and(failed);
            recovers.then(|| (Kind::Recovery, id, subject, format!("task {task} runs well again"), String::new()))
        }
        Happened::Plan { task, what: PlanEvent::Waits, plan } => {
            let (id, subject) = (format!("plan-{}", plan.id), of_task(task, Some(plan.id.to_string())));
            let text =
                format!("task {task}: a plan ({}) waits for approval: quorate task approve {task}", plan.summary);
            Some((Kind::Approval, id, subject, text, String::new()))
        }
        Happened::Drift { task, state } => {
            let found = state.found.as_ref()?;
            let id = format!("drift-{task}-{}", found.since.timestamp_micros());
            let subject = of_task(task, Some(found.run.to_string()));
            Some((Kind::Drift, id, subject, format!("task {task}: what it made has drifted"), found.text.clone()))
        }
        Happened::Leads { leader, why } => {
            let text = format!("{leader} leads with epoch {epoch}: {why}");
            Some((Kind::Leader, format!("leader-{epoch}"), Subject::Member(leader.to_string()), text, String::new()))
        }
        Happened::Member { id, state, .. } => {
            let what = match state {
                Some(MemberState::Down) => "is down",
                Some(MemberState::Alive) => "is back",
                Some(MemberState::Suspect | MemberState::Left) | None => return None,
            };
            let key = format!("member-{id}-{}-{}", state.map_or("", MemberState::as_str), rfc3339(entry.at));
            Some((Kind::Member, key, Subject::Member(id.to_string()), format!("{id} {what}"), String::new()))
        }
        Happened::Started { .. } | Happened::Cancelled { .. } | Happened::Plan { .. } => None,
    }
}

/// Whether somebody should know: what somebody cancelled is known.
fn failed(event: &RunEvent) -> bool {
    !event.success && event.cut_short != Some(CutShort::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_delivered_is_read_back_and_bounded() {
        let mut delivered = Delivered::default();
        for n in 0..=REMEMBERED {
            delivered.add(&format!("run-{n}"));
        }
        delivered.add("run-7");
        assert!(!delivered.has("run-0") && delivered.has("run-1") && delivered.0.len() == REMEMBERED);
        let value = delivered.register("pager").value.unwrap();
        assert_eq!(Delivered::read(&value), Some(delivered));
        assert_eq!(Delivered::read(b"odd"), None);
    }
}
