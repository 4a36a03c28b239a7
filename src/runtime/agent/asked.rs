//! Runs that somebody asked for and was promised: a majority knows of them until they are over, so that the next leader
//! makes those that this one does not come to.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::message::Entry;
use tokio::sync::oneshot;

use super::changes::Reply;
use super::cycle::Loop;
use super::roster::acknowledged;
use crate::runtime::clock;
use crate::runtime::handle::Caller;
use crate::runtime::history::ASKED_PREFIX;
use crate::runtime::replica::Replica;

/// By task, the tickets of the task room that are not served yet; none of a task: its run was promised by a former leader.
pub(super) type Asked = BTreeMap<String, BTreeSet<u64>>;

/// Tasks whose run was promised.
pub(super) async fn asked(replica: &Replica) -> BTreeSet<String> {
    let found = replica.index(ASKED_PREFIX).await.into_iter();
    found.filter_map(|register| register.key.strip_prefix(ASKED_PREFIX).map(str::to_owned)).collect()
}

impl Loop {
    /// Answers when a majority knows that the task shall run.
    pub(super) fn run_task(&mut self, task: &str, by: &Caller, reply: Reply<()>) {
        let asked = self.may_change().and_then(|epoch| {
            let ticket = self.tasks.trigger_by(task, Some(by.kept()), clock::now(), clock::wall())?;
            Ok((epoch, ticket))
        });
        let (epoch, ticket) = match asked {
            Ok(asked) => asked,
            Err(error) => return drop(reply.send(Err(error))),
        };
        self.asked.entry(task.to_owned()).or_default().insert(ticket);
        let (then, outcome) = oneshot::channel();
        let entry = Entry::new(format!("{ASKED_PREFIX}{task}"), Some(ticket.to_be_bytes().to_vec()));
        self.writer.write(epoch, vec![entry], Some(then));
        tokio::spawn(async move { drop(reply.send(acknowledged(&outcome.await))) });
    }

    /// The run that this ticket stands for is over.
    pub(super) fn asked_served(&mut self, ticket: u64, task: &str) {
        if let Some(tickets) = self.asked.get_mut(task) {
            tickets.remove(&ticket);
        }
    }

    /// The newest event of this task is on a majority: what was promised of it has been kept, unless somebody asked again.
    pub(super) fn asked_kept(&mut self, task: &str) {
        let Some(epoch) = self.leads() else { return };
        if self.asked.get(task).is_some_and(BTreeSet::is_empty) {
            self.asked.remove(task);
            self.writer.write(epoch, vec![Entry::new(format!("{ASKED_PREFIX}{task}"), None)], None);
        }
    }
}
