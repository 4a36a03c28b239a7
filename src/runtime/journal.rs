//! The journal of runs: what was started under which epoch, kept on a majority before it starts and after it ends.
//!
//! One register per task, `run/<task>`. It is the task's fence as well: its epoch never falls (I8), because only a
//! leader writes it and only under a newer epoch. A new leader reads it to learn what was in flight (protocol-safety 7).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId, codec};

use super::core::ProposeError;
use crate::cluster::leadership::Released;
use crate::task::Outcome;

/// Clock bound ρ, as in `cluster::leadership`.
const RATE_BOUND: f64 = 0.01;
/// What killing and reaping may take after the grace.
const KILL_LATENCY: Duration = Duration::from_secs(1);

/// The newest run of a task.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct Entered {
    /// The fencing token: epoch and run.
    pub epoch: Epoch,
    /// The run.
    pub run: [u8; 16],
    /// Who runs it.
    pub agent: MemberId,
    /// SIGINT to SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Over.
    pub finished: bool,
    /// It was stopped before its own end: what it did is not known.
    pub interrupted: bool,
}

impl Entered {
    /// As a register.
    pub fn entry(&self, task: &str) -> Option<Entry> {
        Some(Entry { key: format!("run/{task}"), value: Some(codec::encode(self).ok()?) })
    }
}

/// The register of a task that is deleted and of which nothing runs.
pub fn forget(task: &str) -> Entry {
    Entry::new(format!("run/{task}"), None)
}

/// A run of a former leader that may still be alive: its task waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Which task.
    pub task: String,
    /// How long from now at most: W of protocol-safety 7.
    pub wait: Duration,
    /// For people.
    pub text: String,
}

/// What may be told of a run, now that its end was journalled or could not be.
pub fn outcome(outcome: Outcome, journalled: Result<(), ProposeError>) -> Outcome {
    match (journalled, outcome) {
        (Ok(()), outcome) => outcome,
        // Done, but no majority knows: the next leader will run it again, so it is not reported as done.
        (Err(error), stopped) => match stopped {
            Outcome::Interrupted(_) | Outcome::Cancelled(_) => stopped,
            _ => Outcome::Interrupted(error.to_string()),
        },
    }
}

/// W of protocol-safety 7: how long a run with this grace may outlive its authority.
pub fn wait(grace: Duration) -> Duration {
    grace.mul_f64((1.0 + RATE_BOUND) / (1.0 - RATE_BOUND)) + KILL_LATENCY
}

/// What was in flight when the new leadership `epoch` began, and is not surely over.
///
/// A run of an epoch that its agent (or its guardian) released is over: a release is sent only when nothing runs. Another
/// agent's release of the same epoch says nothing: that one claimed it in vain.
pub fn unfinished(journal: &BTreeMap<String, Vec<u8>>, released: &Released, epoch: Epoch) -> Vec<Unfinished> {
    let entered = journal
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("run/")?, codec::decode_frame::<Entered>(value).ok()?)));
    entered
        .filter(|(_, e)| !e.finished && e.epoch < epoch && !released.contains(&(e.epoch, e.agent.clone())))
        .map(|(task, e)| Unfinished {
            task: task.to_owned(),
            wait: wait(Duration::from_millis(e.grace_ms)),
            text: format!("waiting for the interrupted run of {} (epoch {})", e.agent, e.epoch),
        })
        .collect()
}

/// The newest run of each task.
pub fn newest(journal: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, uuid::Uuid> {
    let entered = journal.iter().filter_map(|(key, value)| {
        let entered = codec::decode_frame::<Entered>(value).ok()?;
        Some((key.strip_prefix("run/")?.to_owned(), uuid::Uuid::from_bytes(entered.run)))
    });
    entered.collect()
}

/// Tasks whose newest run did not come to an end of its own: they run again, whatever has not changed since.
pub fn interrupted(journal: &BTreeMap<String, Vec<u8>>) -> BTreeSet<String> {
    let entered = journal.iter().filter_map(|(key, value)| {
        let entered = codec::decode_frame::<Entered>(value).ok()?;
        Some((key.strip_prefix("run/")?, entered))
    });
    entered.filter(|(_, e)| !e.finished || e.interrupted).map(|(task, _)| task.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(epoch: u64, finished: bool) -> BTreeMap<String, Vec<u8>> {
        let agent = MemberId::new("a1").unwrap();
        let entered =
            Entered { epoch: Epoch(epoch), run: [7; 16], agent, grace_ms: 10_000, finished, interrupted: false };
        let entry = entered.entry("fw").unwrap();
        BTreeMap::from([(entry.key, entry.value.unwrap())])
    }

    fn released(by: &[(u64, &str)]) -> Released {
        by.iter().map(|(epoch, agent)| (Epoch(*epoch), MemberId::new(*agent).unwrap())).collect()
    }

    #[test]
    fn a_run_in_flight_is_waited_for_until_it_is_surely_over() {
        let found = unfinished(&journal(6, false), &Released::new(), Epoch(7));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].task, "fw");
        assert!(found[0].wait > Duration::from_secs(11) && found[0].wait < Duration::from_secs(12));
        assert_eq!(found[0].text, "waiting for the interrupted run of a1 (epoch 6)");
    }

    #[test]
    fn a_finished_or_released_run_is_not_waited_for() {
        assert!(unfinished(&journal(6, true), &Released::new(), Epoch(7)).is_empty());
        assert!(unfinished(&journal(6, false), &released(&[(6, "a1")]), Epoch(7)).is_empty());
        assert_eq!(unfinished(&journal(6, false), &released(&[(5, "a1"), (9, "a1")]), Epoch(7)).len(), 1);
    }

    #[test]
    fn a_rival_that_claimed_the_same_epoch_in_vain_does_not_release_its_runs() {
        assert_eq!(unfinished(&journal(6, false), &released(&[(6, "a2")]), Epoch(7)).len(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_no_run() {
        assert!(unfinished(&BTreeMap::from([("run/x".to_owned(), vec![1, 2])]), &Released::new(), Epoch(7)).is_empty());
    }
}
