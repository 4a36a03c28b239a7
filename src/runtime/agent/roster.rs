//! The tasks there are: recovered when this agent begins to lead, changed through the leadership, compared among agents.
//!
//! What is changed here takes effect in memory at once and is answered when it is on a majority. When the leadership ends
//! before that, the memory is of no use any more: the next leader reads what was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::cancel::cancelled;
use super::cycle::{Internal, Loop};
use super::requested_runs::asked;
use super::writer::Then;
use crate::roster::{Changed, Difference, Differs, Record, Roster, Write};
use crate::runtime::at_rest::Unreadable;
use crate::runtime::core::ProposeError;
use crate::runtime::handle::{ApiRequest, Caller, ChangeError, ReloadReport};
use crate::runtime::plans::{self, PlanShown};
use crate::runtime::replica::{Replica, keep_sealed};
use crate::runtime::settings::{Mode, Reloaded};
use crate::runtime::{clock, history, journal};
use crate::task::{CancelledRun, Kept};

/// Register prefix of the records of tasks.
pub(super) const TASK: &str = "task/";
/// How long the leader may take to hear how an agent's files differ.
const TELL: Duration = Duration::from_secs(5);
/// Path on which an agent tells the leader how its files differ. Only over the control connection.
pub const DIFFERENCES_PATH: &str = "/v1/cluster/files";

/// What a new leader found on its majority.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) epoch: Epoch,
    pub(super) unfinished: Vec<journal::Unfinished>,
    pub(super) records: BTreeMap<String, Record>,
    pub(super) kept: BTreeMap<String, Kept>,
    pub(super) interrupted: BTreeSet<String>,
    /// Tasks whose run was promised and is not over, and who asked.
    pub(super) asked: BTreeMap<String, Option<String>>,
    /// Tasks whose newest run was cancelled.
    pub(super) cancelled: BTreeMap<String, CancelledRun>,
    /// Plans that wait for a person.
    pub(super) plans: BTreeMap<String, PlanShown>,
}

/// The records among registers; what another version may have written in another way is reported and counts as absent.
pub(super) fn records(found: Vec<(String, Vec<u8>)>) -> BTreeMap<String, Record> {
    let mut records = BTreeMap::new();
    for (key, value) in found {
        let Some(task) = key.strip_prefix(TASK) else { continue };
        match serde_json::from_slice(&value) {
            Ok(record) => drop(records.insert(task.to_owned(), record)),
            Err(error) => warn!(key, %error, "a record of a task cannot be read; a newer version may have written it"),
        }
    }
    records
}

/// What was kept of each task's runs.
pub(in crate::runtime) async fn kept(replica: &Replica) -> Result<BTreeMap<String, Kept>, Unreadable> {
    let newest = replica.list(history::PREFIX).await?;
    let mut others: BTreeMap<String, Vec<u8>> = replica.list(history::OLDER_PREFIX).await?.into_iter().collect();
    others.extend(replica.list(history::APPLIED_PREFIX).await?);
    others.extend(replica.list(history::DRIFT_PREFIX).await?);
    let kept = newest.into_iter().filter_map(|(key, value)| {
        let task = key.strip_prefix(history::PREFIX)?;
        Some((task.to_owned(), history::read(task, &value, &others)))
    });
    Ok(kept.collect())
}

/// What is kept of tasks, as a new leader needs it. All of it or nothing: with less it would do the wrong things.
async fn found(
    replica: &Replica,
    newest: &BTreeMap<String, Uuid>,
) -> Result<(BTreeMap<String, Record>, BTreeMap<String, Kept>, BTreeMap<String, CancelledRun>), Unreadable> {
    let records = records(replica.list(TASK).await?);
    Ok((records, kept(replica).await?, cancelled(replica, newest).await?))
}

fn entry(write: &Write) -> Entry {
    let value = write.record.as_ref().and_then(|record| serde_json::to_vec(record).ok());
    Entry { key: format!("{TASK}{}", write.task), value }
}

impl Loop {
    /// This agent leads: reads what is kept of tasks, off this loop. Nothing starts before it is there (R8).
    pub(super) fn recover(
        &mut self,
        epoch: Epoch,
        unfinished: Vec<journal::Unfinished>,
        interrupted: BTreeSet<String>,
        newest: BTreeMap<String, Uuid>,
    ) {
        let (replica, internal) = (self.replica.clone(), self.internal.clone());
        let gate = self.gate.clone();
        tokio::spawn(async move {
            // What was revoked under the leader before is not taken by this one.
            gate.refresh().await;
            let recovered = async {
                let (asked, (records, kept, cancelled)) = (asked(&replica).await?, found(&replica, &newest).await?);
                let plans = plans::all(&replica).await?;
                Ok(Box::new(Recovered { epoch, unfinished, records, kept, interrupted, asked, cancelled, plans }))
            };
            let recovered: Result<_, Unreadable> = recovered.await;
            drop(internal.send(match recovered {
                Ok(recovered) => Internal::Recovered(recovered),
                Err(why) => Internal::Unreadable(epoch, why),
            }));
        });
    }

    /// The tasks as the files of this agent and the records make them are the tasks of this leadership.
    pub(super) fn recovered(&mut self, mut found: Recovered) {
        if self.recovering != Some(found.epoch) {
            return;
        }
        if self.lease.borrow().is_none() {
            self.held_back = Some(Internal::Recovered(Box::new(found)));
            return;
        }
        self.recovered = Some(found.epoch);
        for (task, record) in &found.records {
            if let Some(kept) = found.kept.get_mut(task) {
                kept.enabled_at = record.enabled_at;
            }
        }
        self.roster.set_records(found.records);
        self.runner.plans.restore(found.plans);
        let writes = self.roster.adopt();
        self.tasks.replace(self.roster.tasks());
        for (task, run) in found.cancelled {
            // It did not come to its own end, and it shall not.
            found.interrupted.remove(&task);
            found.kept.entry(task).or_default().cancelled = Some(run);
        }
        // They run whatever has not changed, like those that nobody saw the end of.
        found.interrupted.extend(found.asked.keys().cloned());
        self.tasks.restore(found.kept, &found.interrupted);
        self.asked.clear();
        for (task, by) in found.asked {
            if let Some(by) = by {
                self.tasks.note_asker(&task, by);
            }
            self.asked.insert(task, BTreeSet::new());
        }
        self.keep(found.epoch, &writes, None);
        self.differences.clear();
        if self.mode == Mode::Daemon {
            tokio::spawn(keep_sealed(self.replica.clone(), found.epoch));
            self.watch();
            self.prepare_disabled();
        }
        let unfinished = found.unfinished.into_iter().filter(|it| !self.is_over(&it.task)).collect();
        self.take_over(found.epoch, unfinished);
    }

    /// Writes the directories of disabled tasks, off this loop.
    fn prepare_disabled(&self) {
        let (runner, tasks) = (self.runner.clone(), self.roster.tasks());
        if tasks.iter().any(|task| !task.enabled) {
            tokio::spawn(async move { runner.prepare_disabled(tasks).await });
        }
    }

    /// Writes records on a majority; `then` is answered when they are there.
    pub(super) fn keep(&mut self, epoch: Epoch, writes: &[Write], then: Option<Then>) {
        if writes.is_empty() {
            if let Some(then) = then {
                drop(then.send(Ok(())));
            }
            return;
        }
        let mut entries: Vec<Entry> = writes.iter().map(entry).collect();
        // A task that is gone for good takes its events along.
        for write in writes.iter().filter(|write| write.record.as_ref().is_none_or(|record| record.deleted)) {
            self.runner.logs.forget(epoch, &write.task);
            entries.extend(history::forget(&write.task));
            // Of a run that is not over the end is journalled, and then that goes as well.
            let ends = self.tasks.ending().any(|ending| ending.name == write.task);
            if !ends && !self.interrupted.contains_key(&write.task) {
                entries.push(journal::forget(&write.task));
            }
        }
        self.writer.write(epoch, entries, then);
    }

    // Reload.

    /// Reads the files again, off this loop.
    pub(super) fn begin_reload(&mut self, reply: Option<oneshot::Sender<Result<ReloadReport, String>>>) {
        let Some(reload) = self.reload.clone() else {
            if let Some(reply) = reply {
                drop(reply.send(Err("this agent has no configuration files to reload".to_owned())));
            }
            return;
        };
        let internal = self.internal.clone();
        tokio::spawn(async move {
            let loaded = tokio::task::spawn_blocking(move || reload.load()).await;
            let loaded = loaded.unwrap_or_else(|error| Err(error.to_string()));
            drop(internal.send(Internal::Reloaded(loaded, reply)));
        });
    }

    /// The files were read. The leader's count at once, through replication; a follower's when it leads.
    pub(super) fn reloaded(
        &mut self,
        loaded: Result<Reloaded, String>,
        reply: Option<oneshot::Sender<Result<ReloadReport, String>>>,
    ) {
        let Reloaded { tasks, needs_restart } = match loaded {
            Ok(loaded) => loaded,
            Err(report) => {
                error!("the configuration cannot be read, nothing changed:\n{report}");
                if let Some(reply) = reply {
                    drop(reply.send(Err(report)));
                }
                return;
            }
        };
        for setting in &needs_restart {
            warn!(setting, "changed in the configuration: restart this agent for it");
        }
        let Some(epoch) = self.leads().filter(|_| self.hand_over.is_none()) else {
            self.roster.set_files(tasks);
            info!("the configuration is read again; the tasks of the leader's files count");
            self.compare_files(Some((reply, needs_restart)));
            return;
        };
        let (difference, writes) = self.roster.reload(tasks);
        tell(&difference);
        self.tasks.replace(self.roster.tasks());
        let changed = difference.added.iter().chain(&difference.changed);
        self.tasks.handle_reload(changed, clock::now(), clock::wall());
        self.watch();
        self.prepare_disabled();
        self.publish();
        let (acknowledged, answer) = oneshot::channel();
        self.keep(epoch, &writes, Some(acknowledged));
        let report = ReloadReport { leading: true, difference, differs: BTreeMap::new(), needs_restart };
        tokio::spawn(async move {
            let outcome = answer.await.unwrap_or(Err(ProposeError::Unknown));
            if let Some(reply) = reply {
                drop(reply.send(outcome.map(|()| report).map_err(|error| error.to_string())));
            }
        });
    }

    // Files that differ.

    /// Compares this agent's files with what the leader's say, and tells the leader; also whoever asked for a reload.
    pub(super) fn compare_files(&mut self, asked: Option<Asked>) {
        let view = self.views.borrow().clone();
        let leader = view.members.iter().find(|member| member.leader && member.id != self.me);
        let leader = leader.map(|leader| leader.gossip_addr);
        let (replica, control, me) = (self.replica.clone(), self.control.clone(), self.me.clone());
        let mut roster = self.roster.clone();
        tokio::spawn(async move {
            let kept = match replica.list(TASK).await {
                Ok(kept) => kept,
                Err(why) => {
                    // What the leader's files say is not known here; told again at the next comparison.
                    debug!(%why, "the files are not compared with the leader's");
                    if let Some((Some(reply), _)) = asked {
                        drop(reply.send(Err(format!("the configuration is read again, but {why}"))));
                    }
                    return;
                }
            };
            roster.set_records(records(kept));
            let differs = roster.differences();
            if let Some((Some(reply), needs_restart)) = asked {
                let report = ReloadReport {
                    leading: false,
                    difference: Difference::default(),
                    differs: differs.clone(),
                    needs_restart,
                };
                drop(reply.send(Ok(report)));
            }
            let Some(leader) = leader else { return };
            let body = serde_json::to_vec(&differs).unwrap_or_default();
            let request = ApiRequest {
                method: "PUT".to_owned(),
                target: format!("{DIFFERENCES_PATH}?agent={me}"),
                body,
                request_id: String::new(),
                caller: Caller::member(&me),
            };
            // Told again at the next comparison.
            drop(control.ask(leader, request, TELL).await);
        });
    }

    /// A follower compares its files with the leader's now and then: either may have changed.
    pub(super) fn check_files(&mut self) {
        if self.lease.borrow().is_none() && self.views.borrow().leader.is_some() {
            self.compare_files(None);
        }
    }

    /// Another agent says how its files differ from this leader's.
    pub(super) fn note_differences(&mut self, agent: MemberId, differs: BTreeMap<String, Differs>) {
        if self.lease.borrow().is_none() {
            return;
        }
        if self.differences.get(&agent).cloned().unwrap_or_default() == differs {
            return;
        }
        if differs.is_empty() {
            info!(%agent, "its configuration files define the same tasks as this leader's again");
            self.differences.remove(&agent);
        } else {
            let tasks: Vec<&str> = differs.keys().map(String::as_str).collect();
            warn!(%agent, tasks = tasks.join(","), "its configuration files define tasks differently from this leader's");
            self.differences.insert(agent, differs);
        }
        self.publish();
    }
}

/// Who asked for a reload, and what needs a restart.
pub(super) type Asked = (Option<oneshot::Sender<Result<ReloadReport, String>>>, Vec<String>);

fn tell(difference: &Difference) {
    let list = |names: &[String]| names.join(",");
    if difference.is_empty() {
        info!("the configuration is read again: no task changed");
    } else {
        info!(
            added = list(&difference.added),
            changed = list(&difference.changed),
            removed = list(&difference.removed),
            "the configuration is read again"
        );
    }
    if !difference.still_deleted.is_empty() {
        info!(tasks = list(&difference.still_deleted), "in the files, but deleted at run time: they stay deleted");
    }
}

/// The outcome of a write, for a face.
pub(super) fn acknowledged(
    outcome: &Result<Result<(), ProposeError>, oneshot::error::RecvError>,
) -> Result<(), ChangeError> {
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ProposeError::NotLeader)) => Err(ChangeError::NotLeading),
        Ok(Err(ProposeError::Unknown)) | Err(_) => Err(ChangeError::Lost),
        Ok(Err(ProposeError::Refused(why))) => Err(ChangeError::Failed(why.clone())),
    }
}

/// The specs of the tasks, for the faces: those too that were deleted and whose last run has not ended.
pub(super) fn specs(agent: &mut Loop) -> Vec<Arc<crate::task::TaskSpec>> {
    let version = Some(agent.roster.version());
    if agent.shown_specs.0 != version {
        agent.shown_specs = (version, agent.roster.tasks().into_iter().map(Arc::new).collect());
    }
    agent.shown_specs.1.iter().chain(agent.tasks.ending()).cloned().collect()
}

/// Who changed which task last at run time.
pub(super) fn changed(roster: &Roster) -> BTreeMap<String, Changed> {
    let records = roster.records().iter();
    records.filter_map(|(task, record)| Some((task.clone(), record.changed.clone()?))).collect()
}
