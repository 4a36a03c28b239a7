//! The thread that owns the store: transactions in the order asked for, each answered when it is on disk. Those that have
//! come together while it was writing are written together, by one fsync. The gossip thread never waits for it.
//!
//! When the disk is full the core is told, and everything here waits until there is room: nothing that depends on it leaves
//! the agent meanwhile. When a write fails otherwise the process ends with a clear message (rule R6): a promise is never kept in memory only.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use quorate_proto::{Generation, MemberId};
use tracing::error;

use super::clock;
use super::core::Command;
use super::metrics::Metrics;
use crate::cluster::Ticket;
use crate::cluster::durable::Change;

/// How often a full disk is looked at.
const ROOM_PERIOD: Duration = Duration::from_millis(500);
/// What has to fit the disk, beside the reserve, before a full one counts as having room.
const HYSTERESIS: usize = 2 * 1024 * 1024;

/// Transactions that are written together at most.
const TOGETHER_MAX: usize = 64;

/// To the thread. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store(mpsc::Sender<Job>);

#[derive(Debug)]
enum Job {
    /// One or more transactions and whom to tell of each.
    Persist(Vec<Ticket>, Vec<Vec<Change>>),
    Adopt(Generation),
    AddressBook(Vec<(MemberId, SocketAddr)>),
    /// So many bytes did not fit the disk elsewhere.
    Room(usize),
}

impl Store {
    /// Queues a transaction; `Command::Persisted` follows.
    pub fn persist(&self, ticket: Ticket, changes: Vec<Change>) {
        self.send(Job::Persist(vec![ticket], vec![changes]));
    }

    /// Queues a newer generation; `Command::Generation` follows.
    pub fn adopt(&self, generation: Generation) {
        self.send(Job::Adopt(generation));
    }

    /// Remembers where the others are: a hint for the next start.
    pub fn remember(&self, peers: Vec<(MemberId, SocketAddr)>) {
        self.send(Job::AddressBook(peers));
    }

    /// Somebody else found no room for so many bytes: the disk counts as full until there is.
    pub fn wait_for_room(&self, bytes: usize) {
        self.send(Job::Room(bytes));
    }

    fn send(&self, job: Job) {
        // The thread ends only with the process.
        drop(self.0.send(job));
    }
}

/// Starts the thread. `failed` is told why the disk refused; nothing is written after that.
pub fn start(
    mut store: crate::store::Store,
    commands: tokio::sync::mpsc::Sender<Command>,
    failed: tokio::sync::mpsc::UnboundedSender<String>,
    metrics: Arc<Metrics>,
) -> std::io::Result<Store> {
    let (sender, jobs) = mpsc::channel();
    let work = move || {
        let mut later = None;
        while let Some(job) = next(&jobs, &mut later) {
            let begun = clock::now().mono;
            let mut full = false;
            let done = loop {
                let done = match &job {
                    Job::Persist(tickets, transactions) => store
                        .commit_together(transactions)
                        .map(|()| tickets.iter().copied().map(Command::Persisted).collect::<Vec<_>>()),
                    Job::Adopt(generation) => {
                        store.adopt_generation(*generation).map(|()| vec![Command::Generation(*generation)])
                    }
                    Job::AddressBook(peers) => store.put_address_book(peers).map(|()| Vec::new()),
                    Job::Room(bytes) => store.check_room(*bytes).map(|()| Vec::new()),
                };
                match done {
                    Err(error) if error.is_disk_full() => {
                        if !full && commands.blocking_send(Command::DiskFull(error.to_string())).is_err() {
                            return;
                        }
                        full = true;
                        // More than is needed, so that it is not full again at once.
                        while store.check_room(HYSTERESIS).is_err() {
                            std::thread::sleep(ROOM_PERIOD);
                            if commands.is_closed() {
                                return;
                            }
                        }
                        std::thread::sleep(ROOM_PERIOD);
                    }
                    done => break done,
                }
            };
            if full && done.is_ok() && commands.blocking_send(Command::DiskOk).is_err() {
                return;
            }
            match done {
                Ok(answers) => {
                    metrics.store_commit(clock::now().mono.saturating_sub(begun));
                    for command in answers {
                        if commands.blocking_send(command).is_err() {
                            return;
                        }
                    }
                }
                Err(error) => {
                    error!(%error, "the store refused a write: this agent stops, so that no promise lives in memory only");
                    drop(failed.send(format!("failed to write to the data directory: {error}")));
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("store".to_owned()).stack_size(1 << 20).spawn(work)?;
    Ok(Store(sender))
}

/// The next job. What waits behind a transaction and is one too goes with it; `later` keeps what came after them.
fn next(jobs: &mpsc::Receiver<Job>, later: &mut Option<Job>) -> Option<Job> {
    let mut job = match later.take() {
        Some(job) => job,
        None => jobs.recv().ok()?,
    };
    if let Job::Persist(tickets, transactions) = &mut job {
        while tickets.len() < TOGETHER_MAX {
            match jobs.try_recv() {
                Ok(Job::Persist(ticket, changes)) => {
                    tickets.extend(ticket);
                    transactions.extend(changes);
                }
                Ok(other) => {
                    *later = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
    }
    Some(job)
}

/// How often the address book is written at most.
pub const ADDRESS_BOOK_PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_that_wait_go_together_and_nothing_changes_places() {
        let (sender, jobs) = mpsc::channel();
        let store = Store(sender);
        for ticket in 1..=3 {
            store.persist(Ticket(ticket), Vec::new());
        }
        store.remember(Vec::new());
        store.persist(Ticket(4), Vec::new());
        drop(store);
        let (mut later, mut seen) = (None, Vec::new());
        while let Some(job) = next(&jobs, &mut later) {
            seen.push(match job {
                Job::Persist(tickets, transactions) => {
                    assert_eq!(tickets.len(), transactions.len());
                    tickets.iter().map(|ticket| ticket.0).collect()
                }
                _ => Vec::new(),
            });
        }
        assert_eq!(seen, [vec![1, 2, 3], vec![], vec![4]]);
    }
}
