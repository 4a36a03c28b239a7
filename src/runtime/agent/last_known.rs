//! What this agent knows of the tasks by itself: the definitions of its own files and the registers on its own disk. Nobody has
//! confirmed them since a leader was here, so they are told with the moment until which they were known to be current.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use quorate_proto::codec;
use tokio::sync::oneshot;

use super::cycle::Loop;
use super::roster::{TASK, kept, records};
use crate::roster::Roster;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::handle::{LastKnown, TasksSnapshot};
use crate::runtime::journal::Entered;
use crate::runtime::replica::Replica;
use crate::task::report::{Activity, TaskReport};
use crate::task::{self, Kept, Tasks};

impl Loop {
    /// Reads the registers, off this loop.
    pub(super) fn tell_last_known(&self, reply: oneshot::Sender<Result<LastKnown, String>>) {
        let (replica, roster) = (self.replica.clone(), self.roster.clone());
        let (current, began) = self.chronicle.current_until();
        tokio::spawn(async move {
            let known = last_known(&replica, roster, current, began).await;
            drop(reply.send(known.map_err(|why| why.to_string())));
        });
    }
}

/// `current`: the last moment at which a leader was known; `None`: none since this process `began`.
async fn last_known(
    replica: &Replica,
    mut roster: Roster,
    current: Option<DateTime<Utc>>,
    began: DateTime<Utc>,
) -> Result<LastKnown, Unreadable> {
    roster.set_records(records(replica.list(TASK).await?));
    let kept = kept(replica).await?;
    let since = current.unwrap_or_else(|| newest(&kept).map_or(began, |newest| newest.min(began)));
    let under_way = under_way(replica.list("run/").await?);
    let (specs, changed) = (roster.tasks(), super::roster::changed(&roster));
    // No run is decided here, so nothing is drawn from this seed.
    let mut tasks = Tasks::new(specs.clone(), task::Settings::default(), [0; 32]);
    tasks.restore(kept, &BTreeSet::new());
    let reports = tasks.reports(|_| None).into_iter();
    let reports = reports.map(|report| Arc::new(waiting(Arc::unwrap_or_clone(report), &under_way))).collect();
    let specs = specs.into_iter().map(Arc::new).collect();
    Ok(LastKnown { tasks: TasksSnapshot { tasks: reports, specs, changed, ..TasksSnapshot::default() }, since })
}

/// When the newest run ended that is known here: the registers were current then.
fn newest(kept: &BTreeMap<String, Kept>) -> Option<DateTime<Utc>> {
    kept.values().filter_map(|kept| kept.events.front()).map(|event| event.end_time.to_utc()).max()
}

/// Who was running which task when that was heard last.
fn under_way(journal: Vec<(String, Vec<u8>)>) -> BTreeMap<String, String> {
    let entered = journal.into_iter().filter_map(|(key, value)| {
        let entered = codec::decode_frame::<Entered>(&value).ok().filter(|entered| !entered.finished)?;
        Some((key.strip_prefix("run/")?.to_owned(), entered.agent.to_string()))
    });
    entered.collect()
}

/// Nothing runs while nobody leads.
fn waiting(report: TaskReport, under_way: &BTreeMap<String, String>) -> TaskReport {
    let activity = match under_way.get(&report.name) {
        Some(agent) => Activity::Waiting(format!("for a leader; a run on {agent} was under way")),
        None if report.enabled => Activity::Waiting("for a leader".to_owned()),
        None => Activity::Idle,
    };
    TaskReport { activity, ..report }
}
