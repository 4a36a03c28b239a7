//! Plans that wait for a person: what a majority keeps of them, and which there are.
//!
//! A reviewed run ([`crate::task::spec::Review`]) that stops at its plan keeps it in `plan/<task>`: the file that Terraform
//! made, its text, what it changes. `approval/<task>` says what was decided of it, by whom. An approved plan is applied by the
//! run that follows; then both go. The next plan of a task takes the place of the one before, whatever was decided of that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec;
use quorate_proto::message::Entry;
use serde::{Deserialize, Serialize};
use tracing::warn;
use uuid::Uuid;

use super::at_rest::Unreadable;
use super::replica::Replica;
use crate::task::Fingerprint;
use crate::terraform::Summary;

/// Register prefix of the plans.
pub(super) const PLAN_PREFIX: &str = "plan/";
/// Register prefix of what was decided of them.
pub(super) const APPROVAL_PREFIX: &str = "approval/";

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Record {
    /// The run that made it names it.
    pub(super) run: [u8; 16],
    /// Who made it.
    pub(super) agent: String,
    /// Under which epoch.
    pub(super) epoch: u64,
    /// Microseconds since 1970.
    pub(super) made: i64,
    /// What made the run start.
    pub(super) trigger: String,
    /// [`Summary`]: add, change, destroy, outputs.
    pub(super) counts: [u64; 4],
    /// What it was made of, if that is known.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Terraform's text for people.
    pub(super) text: String,
    /// What it changes as JSON, without sensitive values.
    pub(super) changes: String,
    /// The file. It holds secrets as they are.
    pub(super) file: Vec<u8>,
}

impl Record {
    pub(super) fn summary(&self) -> Summary {
        let [add, change, destroy, outputs] = self.counts;
        Summary { add, change, destroy, outputs }
    }

    pub(super) fn shown(&self, decision: Option<Decision>) -> PlanShown {
        let id = Uuid::from_bytes(self.run);
        PlanShown {
            id,
            made: DateTime::from_timestamp_micros(self.made).unwrap_or_default(),
            agent: self.agent.clone(),
            epoch: self.epoch,
            trigger: self.trigger.clone(),
            summary: self.summary(),
            decision: decision.filter(|decision| decision.plan == id),
        }
    }
}

/// What was decided of a plan, in the form in which all versions read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Of which.
    pub plan: Uuid,
    /// True: approved; false: rejected.
    pub approved: bool,
    /// Who decided, for people.
    pub by: String,
    /// When, in seconds since 1970.
    pub at: i64,
}

/// A plan that is there, without its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanShown {
    /// The run that made it.
    pub id: Uuid,
    /// When.
    pub made: DateTime<Utc>,
    /// By whom.
    pub agent: String,
    /// Under which epoch.
    pub epoch: u64,
    /// What made that run start.
    pub trigger: String,
    /// How much it changes.
    pub summary: Summary,
    /// What was decided; `None`: it waits.
    pub decision: Option<Decision>,
}

/// The same with what people read before they decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanDetail {
    /// What it is.
    pub shown: PlanShown,
    /// Terraform's text.
    pub text: String,
    /// What it changes as JSON, without sensitive values.
    pub changes: String,
}

/// Which plans there are, by task, while this agent leads. Shared by runs and faces.
#[derive(Debug, Default)]
pub(super) struct Plans(Mutex<BTreeMap<String, Arc<PlanShown>>>);

impl Plans {
    fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<PlanShown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub(super) fn all(&self) -> BTreeMap<String, Arc<PlanShown>> {
        self.table().clone()
    }

    /// The one of a task.
    pub(super) fn of(&self, task: &str) -> Option<Arc<PlanShown>> {
        self.table().get(task).cloned()
    }

    /// These are on a majority, and no others.
    pub(super) fn restore(&self, plans: BTreeMap<String, PlanShown>) {
        *self.table() = plans.into_iter().map(|(task, plan)| (task, Arc::new(plan))).collect();
    }

    /// There is a new one, or something was decided of the one that is there; `None`: there is none any more.
    pub(super) fn set(&self, task: &str, plan: Option<PlanShown>) {
        match plan {
            Some(plan) => drop(self.table().insert(task.to_owned(), Arc::new(plan))),
            None => drop(self.table().remove(task)),
        }
    }
}

/// Registers of the plan of a task.
pub(super) fn keys(task: &str) -> [String; 2] {
    [PLAN_PREFIX, APPROVAL_PREFIX].map(|prefix| format!("{prefix}{task}"))
}

/// Writes a new plan; nothing is decided of it.
pub(super) fn keep(task: &str, record: &Record) -> Vec<Entry> {
    let [plan, approval] = keys(task);
    vec![Entry { key: plan, value: codec::encode(record).ok() }, Entry { key: approval, value: None }]
}

/// Takes the plan of a task away.
pub(super) fn forget(task: &str) -> Vec<Entry> {
    keys(task).into_iter().map(|key| Entry { key, value: None }).collect()
}

/// Writes what was decided.
pub(super) fn decide(task: &str, decision: &Decision) -> Entry {
    Entry { key: format!("{APPROVAL_PREFIX}{task}"), value: serde_json::to_vec(decision).ok() }
}

/// The plan of a task with what was decided of it. One that another version wrote in another way counts as absent.
pub(super) async fn read(replica: &Replica, task: &str) -> Result<Option<(Record, Option<Decision>)>, Unreadable> {
    let [plan, approval] = keys(task);
    let Some(record) = replica.get(&plan).await?.and_then(|value| decoded(task, &value)) else { return Ok(None) };
    let decision = replica.get(&approval).await?.and_then(|value| decided(task, &value));
    Ok(Some((record, decision)))
}

/// All of them, for a new leader.
pub(super) async fn all(replica: &Replica) -> Result<BTreeMap<String, PlanShown>, Unreadable> {
    let mut decisions: BTreeMap<String, Vec<u8>> = replica.list(APPROVAL_PREFIX).await?.into_iter().collect();
    let found = replica.list(PLAN_PREFIX).await?.into_iter().filter_map(|(key, value)| {
        let task = key.strip_prefix(PLAN_PREFIX)?.to_owned();
        let decision = decisions.remove(&format!("{APPROVAL_PREFIX}{task}")).and_then(|value| decided(&task, &value));
        let shown = decoded(&task, &value)?.shown(decision);
        Some((task, shown))
    });
    Ok(found.collect())
}

fn decoded(task: &str, value: &[u8]) -> Option<Record> {
    let record = codec::decode_frame::<Record>(value);
    record
        .inspect_err(|error| warn!(task, %error, "the plan that waits cannot be read: the next run makes a new one"))
        .ok()
}

fn decided(task: &str, value: &[u8]) -> Option<Decision> {
    let decision = serde_json::from_slice(value);
    decision.inspect_err(|error| warn!(task, %error, "what was decided of the plan cannot be read: it waits")).ok()
}

#[cfg(test)]
pub(super) fn sample(run: u128) -> Record {
    Record {
        run: *Uuid::from_u128(run).as_bytes(),
        agent: "a1".to_owned(),
        epoch: 7,
        made: 1_000_000,
        trigger: "services".to_owned(),
        counts: [3, 1, 0, 2],
        fingerprint: Some([7; 32]),
        text: "Plan: 3 to add, 1 to change, 0 to destroy.".to_owned(),
        changes: "{}".to_owned(),
        file: b"PK".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_back_and_a_decision_is_of_one_plan_only() {
        let record = sample(1);
        let entries = keep("web", &record);
        assert_eq!((entries[0].key.as_str(), entries[1].key.as_str()), ("plan/web", "approval/web"));
        assert_eq!(decoded("web", entries[0].value.as_ref().unwrap()), Some(record.clone()));
        assert_eq!((decoded("web", b"odd"), decided("web", b"odd")), (None, None));
        let decision = |plan: u128| Decision { plan: Uuid::from_u128(plan), approved: true, by: "b".to_owned(), at: 9 };
        let kept = decide("web", &decision(1));
        let read = decided("web", kept.value.as_ref().unwrap());
        assert_eq!(record.shown(read).decision, Some(decision(1)));
        assert_eq!(record.shown(Some(decision(2))).decision, None, "it was of the plan before");
        assert_eq!(record.shown(None).summary.to_string(), "+3 ~1 -0");
    }
}
