//! What has happened lately, in order, as the leader saw it: for faces that tell it on. Pure but for [`EventStream::follow`].
//!
//! Entries are numbered from 1 in each epoch, so that epoch and number name one for ever. A new leader begins with the ends of
//! runs that the epoch before left, as far as they are shown, and with the members that are not well: who had heard of them hears
//! them again, and who may have missed one is told so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use quorate_proto::MemberId;
use tokio::sync::watch;

use super::clock;
use super::handle::{ClusterSnapshot, TasksSnapshot};
use super::plans::PlanShown;
use crate::cluster::view::MemberState;
use crate::task::TaskReport;
use crate::task::drift::DriftState;
use crate::task::report::{ActiveRun, EVENTS_SHOWN, RunEvent};

/// Entries that are kept: some minutes of a busy cluster.
const ENTRIES_MAX: usize = 2_000;
/// Of these, from the epoch before.
const FORMER_MAX: usize = 500;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// An agent began to lead.
    Leads {
        /// Who.
        leader: MemberId,
        /// Why, for people.
        why: String,
    },
    /// A member is in another state, or is gone.
    Member {
        /// Who.
        id: MemberId,
        /// `None`: it is a member no more.
        state: Option<MemberState>,
        /// Its promises count.
        voter: bool,
    },
    /// A run began.
    Started {
        /// Of which task.
        task: String,
        /// It.
        run: ActiveRun,
    },
    /// Somebody has cancelled a run: it ends within its grace.
    Cancelled {
        /// Of which task.
        task: String,
        /// It.
        run: ActiveRun,
    },
    /// A run has ended.
    Ended {
        /// Of which task.
        task: String,
        /// How.
        event: RunEvent,
    },
    /// A look for drift has found some, or none any more.
    Drift {
        /// Of which task.
        task: String,
        /// What it came to.
        state: DriftState,
    },
    /// Something happened to a plan that has to be approved.
    Plan {
        /// Of which task.
        task: String,
        /// What.
        what: PlanEvent,
        /// It.
        plan: Arc<PlanShown>,
    },
}

/// What happens to a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanEvent {
    /// It waits for a person.
    Waits,
    /// It is approved.
    Approved,
    /// It is rejected.
    Rejected,
    /// It is not there any more: it is applied, or a run has found that nothing is to be approved.
    Gone,
}

impl PlanEvent {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
        }
    }

    fn of(plan: &PlanShown) -> Self {
        match &plan.decision {
            None => Self::Waits,
            Some(decision) if decision.approved => Self::Approved,
            Some(_) => Self::Rejected,
        }
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the epoch.
    pub number: u64,
    /// When it was seen.
    pub at: DateTime<Utc>,
    /// What.
    pub happened: Happened,
}

/// What follows some entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Of all entries.
    pub epoch: u64,
    /// In order.
    pub entries: Vec<Entry>,
    /// Entries between are not here any more.
    pub gap: bool,
    /// The number of the last entry that is not after these.
    pub upto: u64,
}

#[derive(Debug, Default)]
struct Ring {
    /// `None`: this agent has not led yet.
    epoch: Option<u64>,
    /// Its lease may be away for a moment; then the numbers go on.
    leading: bool,
    newest: u64,
    /// The newest epoch before this one of which ends of runs are told again.
    former: Option<u64>,
    /// Not all of those are known any more.
    was_cut: bool,
    entries: VecDeque<Entry>,
    members: BTreeMap<MemberId, (MemberState, bool)>,
    tasks: BTreeMap<String, Arc<TaskReport>>,
    plans: BTreeMap<String, Arc<PlanShown>>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct EventStream {
    ring: Mutex<Ring>,
}

impl EventStream {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        // No code panics while it holds the lock halfway through a change.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at whatever the agent shows, for as long as it lives.
    pub(super) async fn follow(
        self: Arc<Self>,
        mut cluster: watch::Receiver<Arc<ClusterSnapshot>>,
        mut tasks: watch::Receiver<Arc<TasksSnapshot>>,
    ) {
        loop {
            let changed = tokio::select! {
                changed = cluster.changed() => changed,
                changed = tasks.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let (cluster, tasks) = (cluster.borrow_and_update().clone(), tasks.borrow_and_update().clone());
            self.observe(&cluster, &tasks, clock::utc());
        }
    }

    /// This is so now.
    pub fn observe(&self, cluster: &ClusterSnapshot, tasks: &TasksSnapshot, now: DateTime<Utc>) {
        let mut ring = self.ring();
        ring.leading = tasks.leading && cluster.leading;
        if !ring.leading {
            return;
        }
        let epoch = cluster.view.epoch.0;
        if ring.epoch == Some(epoch) {
            ring.see_members(cluster, now);
            ring.see_tasks(tasks, now);
            ring.see_plans(tasks, now);
        } else {
            *ring = Ring { epoch: Some(epoch), leading: true, ..Ring::default() };
            ring.begin(cluster, tasks, now);
        }
    }

    /// What came after an entry; of an earlier epoch, all that is here. `None` instead of an entry: nothing, to begin from now.
    /// No batch: this agent does not lead.
    pub fn after(&self, entry: Option<(u64, u64)>, max: usize) -> Option<Batch> {
        let ring = self.ring();
        let epoch = ring.epoch.filter(|_| ring.leading)?;
        let (from, gap) = match entry {
            None => (ring.newest, false),
            Some((of, number)) if of == epoch => {
                let oldest = ring.entries.front().map_or(ring.newest, |entry| entry.number - 1);
                (number.min(ring.newest), number < oldest || number > ring.newest)
            }
            Some((of, _)) => {
                let is_older = ring.former.is_some_and(|former| of < former || of == former && ring.was_cut);
                (0, is_older || ring.entries.front().is_some_and(|entry| entry.number > 1))
            }
        };
        let entries: Vec<Entry> = ring.entries.iter().filter(|entry| entry.number > from).take(max).cloned().collect();
        let upto = entries.last().map_or(ring.newest, |entry| entry.number);
        Some(Batch { epoch, entries, gap, upto })
    }
}

impl Ring {
    fn push(&mut self, happened: Happened, now: DateTime<Utc>) {
        self.newest += 1;
        self.entries.push_back(Entry { number: self.newest, at: now, happened });
        if self.entries.len() > ENTRIES_MAX {
            self.entries.pop_front();
        }
    }

    fn begin(&mut self, cluster: &ClusterSnapshot, tasks: &TasksSnapshot, now: DateTime<Utc>) {
        let all = || tasks.tasks.iter().flat_map(|task| task.events.iter().map(|event| (&task.name, event)));
        let epoch = cluster.view.epoch.0;
        let former = all().map(|(_, event)| event.epoch).filter(|of| *of < epoch).max();
        let mut ended: Vec<_> =
            all().filter(|(_, event)| Some(event.epoch) == former || event.epoch == epoch).collect();
        ended.sort_by_key(|(task, event)| (event.end_time, *task));
        // A task is shown with its newest events only.
        let is_whole = |task: &TaskReport| {
            task.events.len() < EVENTS_SHOWN || task.events.iter().any(|event| Some(event.epoch) < former)
        };
        self.was_cut = ended.len() > FORMER_MAX || !tasks.tasks.iter().all(|task| is_whole(task));
        self.former = former;
        for (task, event) in ended.iter().skip(ended.len().saturating_sub(FORMER_MAX)) {
            self.push(Happened::Ended { task: (*task).clone(), event: (*event).clone() }, event.end_time.to_utc());
        }
        let (leader, why) = (cluster.view.observer.clone(), cluster.leader_why.clone());
        self.push(Happened::Leads { leader, why }, now);
        self.members = members(cluster);
        // What became of them was seen before this agent led, most of all of the leader before.
        for (id, (state, voter)) in self.members.clone() {
            if state != MemberState::Alive {
                self.push(Happened::Member { id, state: Some(state), voter }, now);
            }
        }
        for task in &tasks.tasks {
            if let Some(run) = &task.run {
                self.push(Happened::Started { task: task.name.clone(), run: run.clone() }, now);
            }
        }
        self.tasks = by_name(tasks);
        // Those that wait are told again: who decides must not miss one.
        self.see_plans(tasks, now);
    }

    fn see_plans(&mut self, tasks: &TasksSnapshot, now: DateTime<Utc>) {
        let before = std::mem::replace(&mut self.plans, tasks.plans.clone());
        for (task, plan) in &tasks.plans {
            if before.get(task) != Some(plan) {
                let (task, what, plan) = (task.clone(), PlanEvent::of(plan), plan.clone());
                self.push(Happened::Plan { task, what, plan }, now);
            }
        }
        for (task, plan) in before.into_iter().filter(|(task, _)| !tasks.plans.contains_key(task)) {
            self.push(Happened::Plan { task, what: PlanEvent::Gone, plan }, now);
        }
    }

    fn see_members(&mut self, cluster: &ClusterSnapshot, now: DateTime<Utc>) {
        let members = members(cluster);
        if members == self.members {
            return;
        }
        let before = std::mem::replace(&mut self.members, members.clone());
        for (id, (state, voter)) in &members {
            if before.get(id) != Some(&(*state, *voter)) {
                self.push(Happened::Member { id: id.clone(), state: Some(*state), voter: *voter }, now);
            }
        }
        for id in before.into_keys().filter(|id| !members.contains_key(id)) {
            self.push(Happened::Member { id, state: None, voter: false }, now);
        }
    }

    fn see_tasks(&mut self, tasks: &TasksSnapshot, now: DateTime<Utc>) {
        let before = std::mem::replace(&mut self.tasks, by_name(tasks));
        for task in &tasks.tasks {
            let old = before.get(&task.name);
            // What has not changed is the same report.
            if old.is_some_and(|old| Arc::ptr_eq(old, task)) {
                continue;
            }
            let known: BTreeSet<_> = old.iter().flat_map(|old| old.events.iter().map(|event| event.id)).collect();
            // A task that was not here may be one that was made again.
            for event in task.events.iter().rev().filter(|event| !known.contains(&event.id)) {
                self.push(Happened::Ended { task: task.name.clone(), event: event.clone() }, now);
            }
            let drift =
                |report: &TaskReport| report.drift.as_ref().and_then(|drift| drift.found.as_ref()).map(|it| it.since);
            if let Some(state) = task.drift.clone().filter(|_| old.is_none_or(|old| drift(old) != drift(task)))
                && (state.found.is_some() || old.is_some())
            {
                self.push(Happened::Drift { task: task.name.clone(), state }, now);
            }
            let was = old.and_then(|old| old.run.as_ref());
            let Some(run) = &task.run else { continue };
            if was.is_none_or(|was| was.id != run.id) {
                self.push(Happened::Started { task: task.name.clone(), run: run.clone() }, now);
            }
            if run.cancelled_by.is_some() && was.is_none_or(|was| was.id != run.id || was.cancelled_by.is_none()) {
                self.push(Happened::Cancelled { task: task.name.clone(), run: run.clone() }, now);
            }
        }
    }
}

fn members(cluster: &ClusterSnapshot) -> BTreeMap<MemberId, (MemberState, bool)> {
    cluster.view.members.iter().map(|member| (member.id.clone(), (member.state, member.voter))).collect()
}

fn by_name(tasks: &TasksSnapshot) -> BTreeMap<String, Arc<TaskReport>> {
    tasks.tasks.iter().map(|task| (task.name.clone(), task.clone())).collect()
}

#[cfg(test)]
mod tests;
