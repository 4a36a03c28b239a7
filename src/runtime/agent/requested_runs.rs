//! Runs that somebody asked for and was promised: a majority knows of them until they are over, so that the next leader
//! makes those that this one does not come to.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::message::Entry;
use tokio::sync::oneshot;

use super::changes::Reply;
use super::cycle::Loop;
use super::roster::acknowledged;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::clock;
use crate::runtime::handle::Caller;
use crate::runtime::history::ASKED_PREFIX;
use crate::runtime::replica::Replica;

/// By task, the tickets of the task room that are not served yet; none of a task: its run was promised by a former leader.
pub(super) type Asked = BTreeMap<String, BTreeSet<u64>>;

/// Tasks whose run was promised, and who asked for it, if that was written down.
pub(super) async fn asked(replica: &Replica) -> Result<BTreeMap<String, Option<String>>, Unreadable> {
    let found = replica.list(ASKED_PREFIX).await?.into_iter();
    Ok(found.filter_map(|(key, value)| Some((key.strip_prefix(ASKED_PREFIX)?.to_owned(), asker(&value)))).collect())
}

/// The ticket, which means something to the leader that wrote it only, and who asked.
fn promise(ticket: u64, by: &str) -> Vec<u8> {
    [&ticket.to_be_bytes(), by.as_bytes()].concat()
}

/// The register that keeps a promise.
pub(super) fn entry(task: &str, ticket: u64, by: &str) -> Entry {
    Entry::new(format!("{ASKED_PREFIX}{task}"), Some(promise(ticket, by)))
}

/// Versions before this one wrote the ticket alone.
fn asker(value: &[u8]) -> Option<String> {
    let (_ticket, by) = value.split_first_chunk::<8>()?;
    std::str::from_utf8(by).ok().filter(|by| !by.is_empty()).map(str::to_owned)
}

impl Loop {
    /// Answers when a majority knows that the task shall run.
    pub(super) fn run_task(&mut self, task: &str, by: &Caller, reply: Reply<()>) {
        let asked = self.may_change().and_then(|epoch| {
            let by = by.kept();
            let ticket = self.tasks.trigger_by(task, Some(by.clone()), clock::now(), clock::wall())?;
            Ok((epoch, ticket, by))
        });
        let (epoch, ticket, by) = match asked {
            Ok(asked) => asked,
            Err(error) => return drop(reply.send(Err(error))),
        };
        self.asked.entry(task.to_owned()).or_default().insert(ticket);
        let (then, outcome) = oneshot::channel();
        self.writer.write(epoch, vec![entry(task, ticket, &by)], Some(then));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_is_read_back_and_an_older_version_wrote_none() {
        assert_eq!(asker(&promise(7, "token 1f2e")).as_deref(), Some("token 1f2e"));
        assert_eq!((asker(&7_u64.to_be_bytes()), asker(b"short"), asker(&[0xff; 12])), (None, None, None));
    }
}
