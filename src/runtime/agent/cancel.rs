//! Runs that somebody cancels: stopped at once, and answered when a majority knows, so that no next leader starts them again.
//!
//! What a majority knows is one register a task, `cancelled/<task>`: JSON with the run, who asked, and what was queued behind
//! it. It counts while that run is the newest in the journal, or was cancelled before it came into the journal; so nobody
//! has to take it away.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Local, TimeZone};
use quorate_proto::Epoch;
use quorate_proto::message::Entry;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tracing::{info, warn};
use uuid::Uuid;

use super::changes::Reply;
use super::cycle::Loop;
use super::roster::acknowledged;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::clock;
use crate::runtime::handle::{Caller, CancelledReport, ChangeError};
use crate::runtime::history::{ASKED_PREFIX, CANCELLED_PREFIX};
use crate::runtime::replica::Replica;
use crate::task::report::{CutShort, RunEvent};
use crate::task::{CancelledRun, Cancelling, RunId, TaskError, Trigger};

/// The register.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    run: Uuid,
    /// The run before it, which stands in the journal until this one does.
    before: Option<Uuid>,
    epoch: u64,
    trigger: String,
    /// Microseconds since 1970.
    began: i64,
    /// Likewise.
    at: i64,
    by: By,
    /// For people.
    text: String,
    /// [`CancelledRun::watched`]
    watched: [u8; 32],
    queued: bool,
}

/// Who asked, in the form in which all versions read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct By {
    address: String,
    agent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
}

impl From<Caller> for By {
    fn from(caller: Caller) -> Self {
        let identity = (!caller.identity.is_anonymous()).then(|| caller.identity.to_string());
        Self { address: caller.address, agent: caller.agent, identity }
    }
}

impl Record {
    fn cancelled(self) -> CancelledRun {
        CancelledRun {
            event: RunEvent {
                id: self.run,
                success: false,
                start_time: moment(self.began),
                end_time: moment(self.at),
                error: Some(self.text),
                epoch: self.epoch,
                trigger: self.trigger,
                cut_short: Some(CutShort::Cancelled),
                asked_by: None,
            },
            watched: self.watched,
            queued: self.queued,
        }
    }

    fn entry(&self, task: &str) -> Entry {
        Entry::new(format!("{CANCELLED_PREFIX}{task}"), serde_json::to_vec(self).ok())
    }
}

fn moment(micros: i64) -> DateTime<Local> {
    Local.timestamp_micros(micros).single().unwrap_or_default()
}

/// By task, the cancelled runs that nothing has followed. `newest`: the newest run of each task in the journal.
pub(super) async fn cancelled(
    replica: &Replica,
    newest: &BTreeMap<String, Uuid>,
) -> Result<BTreeMap<String, CancelledRun>, Unreadable> {
    Ok(counting(replica.list(CANCELLED_PREFIX).await?, newest))
}

fn counting(found: Vec<(String, Vec<u8>)>, newest: &BTreeMap<String, Uuid>) -> BTreeMap<String, CancelledRun> {
    let records = found.into_iter().filter_map(|(key, value)| {
        let task = key.strip_prefix(CANCELLED_PREFIX)?.to_owned();
        let record = serde_json::from_slice::<Record>(&value);
        let record = record.inspect_err(|error| warn!(key, %error, "what was cancelled cannot be read")).ok()?;
        let newest = newest.get(&task).copied();
        (newest == Some(record.run) || newest == record.before).then(|| (task, record.cancelled()))
    });
    records.collect()
}

impl Loop {
    /// Ends the run of a task, or what is tried out of it.
    pub(super) fn cancel(&mut self, task: &str, by: Caller, force: bool, reply: Reply<CancelledReport>) {
        let Some(epoch) = self.leads() else { return drop(reply.send(Err(ChangeError::NotLeading))) };
        let (now, wall) = (clock::now(), clock::wall());
        let text = format!("cancelled by {by}");
        let grace = force.then_some(Duration::ZERO);
        let cancelling = match self.tasks.cancel(task, &text, now, wall) {
            Ok(cancelling) => cancelling,
            Err(error) => return self.cancel_try_out(task, &by, grace, reply, error),
        };
        let Cancelling { event, started, queued, promised, before, watched, deleted } = cancelling;
        let text = event.error.clone().unwrap_or(text);
        info!(task, run = %event.id, by = %by, force, "the run is cancelled");
        let run = RunId(event.id);
        if started {
            self.runner.cancel(task, run, &text, grace);
        }
        let record = Record {
            run: event.id,
            before,
            epoch: event.epoch,
            trigger: event.trigger.clone(),
            began: event.start_time.timestamp_micros(),
            at: event.end_time.timestamp_micros(),
            by: by.into(),
            text: text.clone(),
            watched,
            queued: queued.is_some(),
        };
        let grace = grace.or_else(|| self.running.get(&run).copied()).unwrap_or_default();
        let report = CancelledReport {
            run: event.id,
            start_time: event.start_time,
            trigger: event.trigger,
            by: text,
            ends_within: started.then_some(grace),
            queued: queued.map(Trigger::as_str),
        };
        let mut entries = vec![record.entry(task)];
        if !promised {
            // The run that was promised is this one.
            entries.push(Entry::new(format!("{ASKED_PREFIX}{task}"), None));
        }
        if deleted {
            // A majority knows that there is no such task any more.
            entries.clear();
        }
        self.answer_cancelled(epoch, entries, report, reply);
        self.publish();
    }

    /// Nothing of the task runs; but perhaps it is being planned or made. A next leader does not do that again.
    fn cancel_try_out(
        &mut self,
        task: &str,
        by: &Caller,
        grace: Option<Duration>,
        reply: Reply<CancelledReport>,
        error: TaskError,
    ) {
        let tried = self.trying.get(&task.to_ascii_lowercase()).copied();
        let Some(run) = tried.filter(|_| matches!(error, TaskError::Idle(..) | TaskError::Unknown(_))) else {
            return drop(reply.send(Err(error.into())));
        };
        let text = format!("cancelled by {by}");
        info!(task, %run, by = %by, "what is tried out is cancelled");
        self.runner.cancel(task, run, &text, grace);
        let report = CancelledReport {
            run: run.0,
            start_time: clock::wall(),
            trigger: Trigger::Request.as_str().to_owned(),
            by: text,
            ends_within: Some(grace.or_else(|| self.running.get(&run).copied()).unwrap_or_default()),
            queued: None,
        };
        drop(reply.send(Ok(report)));
    }

    fn answer_cancelled(
        &mut self,
        epoch: Epoch,
        entries: Vec<Entry>,
        report: CancelledReport,
        reply: Reply<CancelledReport>,
    ) {
        if entries.is_empty() {
            return drop(reply.send(Ok(report)));
        }
        let (then, outcome) = oneshot::channel();
        self.writer.write(epoch, entries, Some(then));
        tokio::spawn(async move { drop(reply.send(acknowledged(&outcome.await).map(|()| report))) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether this register counts when that is the newest run in the journal.
    fn counts(run: u128, before: Option<u128>, newest: Option<u128>) -> bool {
        let record = Record {
            run: Uuid::from_u128(run),
            before: before.map(Uuid::from_u128),
            epoch: 1,
            trigger: "request".to_owned(),
            began: 1,
            at: 2,
            by: By { address: "127.0.0.1:1".to_owned(), agent: "a1".to_owned(), identity: None },
            text: "cancelled by somebody".to_owned(),
            watched: [7; 32],
            queued: false,
        };
        let Entry { key, value } = record.entry("t");
        let newest = newest.map(|newest| ("t".to_owned(), Uuid::from_u128(newest))).into_iter().collect();
        let found = counting(vec![(key, value.unwrap()), ("cancelled/odd".to_owned(), vec![1])], &newest);
        assert!(!found.contains_key("odd"));
        found.get("t").is_some_and(|found| found.event.outcome() == "cancelled")
    }

    #[test]
    fn a_cancelled_run_counts_until_another_has_followed_it() {
        assert!(counts(2, Some(1), Some(2)), "it is the newest");
        assert!(counts(2, Some(1), Some(1)), "it never came into the journal");
        assert!(counts(2, None, None), "nor did any before it");
        assert!(!counts(2, Some(1), Some(3)), "another one ran after it");
        assert!(!counts(2, Some(1), None));
    }
}
