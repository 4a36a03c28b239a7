//! Writes the logs of runs to a majority, as the leader: one batch after the other, what came meanwhile together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quorate_proto::Epoch;
use quorate_proto::message::Entry;
use tokio::sync::{mpsc, watch};
use tracing::{debug, warn};

use super::index::Index;
use super::{INDEX_PREFIX, Job, Live, Logs, index_key, slot_key};
use crate::cluster::leadership::Lease;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::clock;
use crate::runtime::core::ProposeError;
use crate::runtime::handle::TasksSnapshot;
use crate::runtime::replica::Replica;
use crate::task::LogBounds as Bounds;

/// Logs in one batch. With `max_size` each, that is what is in memory twice.
const TOGETHER: usize = 16;
/// How often it is looked for logs that are too old.
const PRUNE: Duration = Duration::from_mins(10);
/// Registers that go in one batch then.
const PRUNED_TOGETHER: usize = 500;

/// See the module.
pub(in crate::runtime) struct Keeper {
    logs: Arc<Logs>,
    bounds: Bounds,
    replica: Replica,
    lease: watch::Receiver<Option<Lease>>,
    tasks: watch::Receiver<Arc<TasksSnapshot>>,
}

/// What one batch comes to.
#[derive(Debug, Default)]
struct Batch {
    indexes: BTreeMap<String, Index>,
    entries: BTreeMap<String, Option<Vec<u8>>>,
    kept: Vec<Arc<Live>>,
}

impl Keeper {
    /// Writes for as long as the agent lives. `None` of `replica`: nothing is ever kept, as the registers outlive no leader.
    pub(in crate::runtime) fn start(
        bounds: Bounds,
        replica: Option<Replica>,
        lease: watch::Receiver<Option<Lease>>,
        tasks: watch::Receiver<Arc<TasksSnapshot>>,
    ) -> Arc<Logs> {
        let Some(replica) = replica else { return Arc::new(Logs::new(bounds, None)) };
        let (jobs, queue) = mpsc::unbounded_channel();
        let logs = Arc::new(Logs::new(bounds, Some(jobs)));
        let keeper = Self { logs: logs.clone(), bounds, replica, lease, tasks };
        tokio::spawn(keeper.run(queue));
        logs
    }

    async fn run(self, mut queue: mpsc::UnboundedReceiver<Job>) {
        let mut prune = tokio::time::interval(PRUNE);
        loop {
            let first = tokio::select! {
                job = queue.recv() => match job {
                    Some(job) => job,
                    None => return,
                },
                _ = prune.tick() => {
                    self.prune().await;
                    continue;
                }
            };
            let mut jobs = vec![first];
            while jobs.len() < TOGETHER {
                let Ok(job) = queue.try_recv() else { break };
                jobs.push(job);
            }
            self.logs.waiting.fetch_sub(jobs.len(), Ordering::AcqRel);
            // They are of one leadership, but for a moment.
            let epochs: BTreeSet<Epoch> = jobs.iter().map(epoch_of).collect();
            for epoch in epochs {
                self.write(epoch, jobs.iter().filter(|job| epoch_of(job) == epoch)).await;
            }
        }
    }

    async fn write(&self, epoch: Epoch, jobs: impl Iterator<Item = &Job>) {
        let bounds = self.bounds();
        let mut batch = Batch::default();
        for job in jobs {
            let task = match job {
                Job::Keep { live, .. } => &live.task,
                Job::Forget { task, .. } => task,
            };
            // What cannot be read is not overwritten.
            let was_changed = batch.indexes.contains_key(task);
            let mut index = match self.index(&mut batch, task).await {
                Ok(index) => index,
                Err(error) => {
                    warn!(task, %error, "the log of a run could not be kept");
                    if let Job::Keep { live, .. } = job {
                        self.logs.written(live, false);
                    }
                    continue;
                }
            };
            match job {
                Job::Keep { live, at, .. } => {
                    let had_some = !index.is_empty();
                    batch.keep(&mut index, live, bounds, *at);
                    // Where nothing is kept nothing is written.
                    if was_changed || had_some || !index.is_empty() {
                        batch.indexes.insert(live.task.clone(), index);
                    }
                }
                Job::Forget { .. } if index.is_empty() && !was_changed => {}
                Job::Forget { task, .. } => {
                    batch.entries.extend(index.slots().map(|slot| (slot_key(task, slot), None)));
                    batch.indexes.insert(task.clone(), Index::default());
                }
            }
        }
        let kept = std::mem::take(&mut batch.kept);
        let entries = batch.into_entries();
        let outcome = if entries.is_empty() { Ok(()) } else { self.replica.propose(epoch, entries).await };
        for live in &kept {
            if let Err(error) = &outcome {
                tell(live, error);
            }
            self.logs.written(live, outcome.is_ok());
        }
    }

    /// What is kept of a task, with what this batch has changed.
    async fn index(&self, batch: &mut Batch, task: &str) -> Result<Index, Unreadable> {
        match batch.indexes.remove(task) {
            Some(index) => Ok(index),
            None => Ok(Index::decode(self.replica.get(&index_key(task)).await?.as_deref())),
        }
    }

    fn bounds(&self) -> Bounds {
        self.bounds.for_tasks(self.tasks.borrow().specs.len())
    }

    /// Forgets what is too old, of tasks that run no more as well.
    async fn prune(&self) {
        let lease = *self.lease.borrow();
        let Some(epoch) = lease.map(|lease| lease.epoch()).filter(|_| self.tasks.borrow().leading) else { return };
        let (bounds, now) = (self.bounds(), clock::utc().timestamp());
        let mut batch = Batch::default();
        let indexes = match self.replica.list(INDEX_PREFIX).await {
            Ok(indexes) => indexes,
            Err(error) => return debug!(%error, "old logs of runs stay until they can be read"),
        };
        for (key, value) in indexes {
            let Some(task) = key.strip_prefix(INDEX_PREFIX) else { continue };
            let mut index = Index::decode(Some(&value));
            let free = index.prune(bounds, now);
            if free.is_empty() || batch.entries.len() > PRUNED_TOGETHER {
                // The rest comes the next time.
                continue;
            }
            batch.entries.extend(free.into_iter().map(|slot| (slot_key(task, slot), None)));
            batch.indexes.insert(task.to_owned(), index);
        }
        if !batch.indexes.is_empty()
            && let Err(error) = self.replica.propose(epoch, batch.into_entries()).await
        {
            debug!(%error, "old logs of runs stay until the next look");
        }
    }
}

fn epoch_of(job: &Job) -> Epoch {
    match job {
        Job::Keep { epoch, .. } | Job::Forget { epoch, .. } => *epoch,
    }
}

fn tell(live: &Live, error: &ProposeError) {
    warn!(task = live.task, run = %live.run, %error, "the log of a run could not be kept");
}

impl Batch {
    fn keep(&mut self, index: &mut Index, live: &Arc<Live>, bounds: Bounds, at: i64) {
        let text = live.state().text.clone();
        let run = live.run.0.into_bytes();
        let (slot, free) = index.place(run, (text.len(), text.left_out()), bounds, at);
        self.entries.extend(free.into_iter().map(|slot| (slot_key(&live.task, slot), None)));
        if let Some(slot) = slot {
            let key = slot_key(&live.task, slot);
            self.entries.insert(key, Some(text.encode(run)));
        }
        self.kept.push(live.clone());
    }

    fn into_entries(self) -> Vec<Entry> {
        let indexes = self.indexes.into_iter().map(|(task, index)| {
            let value = (!index.is_empty()).then(|| index.encode());
            Entry::new(index_key(&task), value)
        });
        self.entries.into_iter().map(|(key, value)| Entry::new(key, value)).chain(indexes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::logs::text::Text;
    use crate::task::RunId;

    fn live(n: u128, text: &str) -> Arc<Live> {
        let live = Live::new("web".to_owned(), RunId(uuid::Uuid::from_u128(n << 64)), 1 << 20);
        live.push(text);
        Arc::new(live)
    }

    #[test]
    fn a_batch_of_several_logs_of_one_task_keeps_the_newest() {
        let bounds = Bounds { keep: 2, ..Bounds::default() };
        let (mut batch, mut index) = (Batch::default(), Index::default());
        for n in 1..=3 {
            batch.keep(&mut index, &live(n, &format!("run {n}")), bounds, 0);
        }
        batch.indexes.insert("web".to_owned(), index.clone());
        let entries: BTreeMap<String, Option<Vec<u8>>> =
            batch.into_entries().into_iter().map(|entry| (entry.key, entry.value)).collect();
        assert_eq!(entries.keys().map(String::as_str).collect::<Vec<_>>(), ["log/web/0", "log/web/1", "logs/web"]);
        for n in 2..=3 {
            let run = live(n, "").run.0.into_bytes();
            let key = slot_key("web", index.find(run).unwrap().slot);
            let text = Text::decode(entries[&key].as_deref().unwrap(), run).unwrap();
            assert_eq!(text.read(0, 99).unwrap().text, format!("run {n}"));
        }
        assert!(index.find(live(1, "").run.0.into_bytes()).is_none());
    }

    #[test]
    fn the_register_of_a_task_without_logs_goes() {
        let mut batch = Batch::default();
        batch.indexes.insert("web".to_owned(), Index::default());
        let entries = batch.into_entries();
        assert!(entries.len() == 1 && entries[0].key == "logs/web" && entries[0].value.is_none());
    }
}
