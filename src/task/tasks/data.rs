//! What Consul says: which tasks a change makes run, and which changes are too odd to act on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Local};

use super::Tasks;
use crate::cluster::Now;
use crate::task::consul_data::{Data, Instance, Query};
use crate::task::output::{Inputs, Trigger};
use crate::task::slot::{Moment, Slot};
use crate::task::spec::{Buffer, Condition, Guards, TaskSpec};

impl Tasks {
    /// Everything that the tasks need of Consul, each query once. Disabled tasks count: when one is enabled, its data is
    /// there.
    pub fn queries(&self) -> BTreeSet<Query> {
        let slots = self.slots.iter().filter(|slot| !slot.removed);
        slots.flat_map(|slot| slot.queries.iter().cloned()).collect()
    }

    /// A complete new answer. Tasks run whose condition it concerns and for which it differs from the one before; all
    /// others that are fed it get it at their next start. A first answer makes nothing run: it lets those start that wait
    /// for it.
    pub fn handle_data(&mut self, query: &Query, data: &Arc<Data>, now: Now, wall: DateTime<Local>) {
        let at = Moment { mono: now.mono, wall };
        let before = self.data.insert(query.clone(), Arc::clone(data));
        let changed = before.as_ref().filter(|before| *before != data);
        for slot in self.slots.iter_mut().filter(|slot| !slot.removed) {
            let Some(before) = changed else { break };
            if !slot.queries.contains(query) {
                continue;
            }
            slot.stale = true;
            if slot.enabled
                && self.lease.is_some()
                && let Some(trigger) = concerns(&slot.spec.condition, query, before, data)
            {
                slot.ask(trigger, slot.spec.buffer.or_else(|| follow(&slot.spec)), at);
            }
        }
        self.settle(before.is_none() || changed.is_some(), at);
    }

    /// Which queries cannot be asked at the moment and why, both for people. What was answered last stays true.
    pub fn handle_faults(&mut self, faults: BTreeMap<String, String>) {
        self.faults = faults;
        self.changed();
    }

    /// Forgets all answers: nobody watches any more, so they would grow old unseen.
    pub fn forget_data(&mut self) {
        self.data.clear();
        self.faults.clear();
    }

    /// Keeps the answers to queries that are still asked.
    pub(super) fn retain_data(&mut self) {
        let asked = self.queries();
        self.data.retain(|query, _| asked.contains(query));
    }

    /// The newest of all that such a task is fed, as far as it is known.
    pub fn inputs_for(&self, spec: &TaskSpec) -> Inputs {
        let data = spec.queries().into_iter().filter_map(|query| {
            let data = Arc::clone(self.data.get(&query)?);
            Some((query, data))
        });
        Inputs { members: self.members.clone().filter(|_| spec.takes_members()), data: data.collect() }
    }

    /// What a task needs before it can run and does not have yet, for people.
    pub(super) fn lacks(&self, slot: &Slot) -> Option<String> {
        if slot.takes_members() && self.members.is_none() {
            return Some("for the first view of the members".to_owned());
        }
        let query = slot.queries.iter().find(|query| !self.data.contains_key(query))?;
        Some(match self.faults.get(&query.to_string()) {
            Some(why) => format!("for Consul's first answer about {query}: {why}"),
            None => format!("for Consul's first answer about {query}"),
        })
    }

    /// Why a task that could start must not, by its guards. An operator who asks for a run by hand overrules them.
    pub(super) fn guarded(&self, slot: &Slot) -> Option<String> {
        let Guards { min_instances, max_change_percent } = slot.spec.guards;
        if slot.by_hand || (min_instances.is_none() && max_change_percent.is_none()) {
            return None;
        }
        let now = instances(&slot.spec, &self.data);
        if let Some(min) = min_instances
            && now.len() < usize::try_from(min).unwrap_or(usize::MAX)
        {
            return Some(format!(
                "guard: only {} instances are there and min_instances is {min}; it runs when there are more, or by `quorate task run {}`",
                now.len(),
                slot.name()
            ));
        }
        let (percent, applied) = (max_change_percent?, slot.history.applied()?);
        let gone = applied.iter().filter(|key| !now.contains(key)).count();
        (gone * 100 > applied.len() * usize::from(percent)).then(|| {
            format!(
                "guard: {gone} of the {} instances that were applied last are gone and max_change_percent is {percent}; it runs \
                 when they are back, or by `quorate task run {}`",
                applied.len(),
                slot.name()
            )
        })
    }
}

/// A new service is in the catalog's answer and in that of its instances, on two connections: the second shall be in the
/// run that the first triggers. CTS sleeps a second before each answer of the catalog; this is more than the least time
/// between two answers of a query.
const INPUTS_FOLLOW: Duration = Duration::from_millis(500);

/// How long a task without a buffer period waits for what belongs to its trigger.
fn follow(spec: &TaskSpec) -> Option<Buffer> {
    let waits = matches!(spec.condition, Condition::CatalogServices { .. }) && spec.queries().len() > 1;
    waits.then_some(Buffer { min: INPUTS_FOLLOW, max: INPUTS_FOLLOW })
}

/// Whether this change makes tasks with this condition run (`reference/cts.md` 1.6).
fn concerns(condition: &Condition, query: &Query, before: &Data, after: &Data) -> Option<Trigger> {
    if !condition.queries().contains(query) {
        return None;
    }
    match (condition, before, after) {
        // Only names count, not their tags.
        (Condition::CatalogServices { .. }, Data::Catalog(before), Data::Catalog(after)) => {
            (!before.keys().eq(after.keys())).then_some(Trigger::CatalogServices)
        }
        (Condition::ConsulKv { .. }, ..) => Some(Trigger::ConsulKv),
        _ => Some(Trigger::Services),
    }
}

/// Names of all instances that a task is fed or watches, hashed.
pub(super) fn instances(spec: &TaskSpec, data: &BTreeMap<Query, Arc<Data>>) -> BTreeSet<u64> {
    let answers = spec.queries().into_iter().filter_map(|query| data.get(&query).cloned());
    let mut all = BTreeSet::new();
    for answer in answers {
        if let Data::Services(found) = answer.as_ref() {
            all.extend(found.iter().map(name));
        }
    }
    all
}

/// Stable over versions and machines: it is kept.
fn name(instance: &Instance) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in [instance.name.as_bytes(), &[0], instance.key().as_bytes()] {
        hasher.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}
