//! The thread that owns the cluster core and the UDP socket. Nothing else runs on it, and nothing on it blocks: no DNS,
//! no disk, no log pipe, no request handler (gossip rules R1 and R2).
//!
//! Wakes for: datagrams, the core's deadline, commands of the agent. Then: obey the outputs in order.

mod ingress;
mod registers;
mod ring;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::message::{Entry, Put};
use quorate_proto::seal::{Opener, PLAIN_MAX, Ring, Sealers, Speakers};
use quorate_proto::{BlobHash, Epoch, Generation, MemberId, Stamp};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, warn};

use super::blobs::{self, Blobs};
use super::clock;
use super::control::Outgoing;
use super::fetch::Fetch;
use super::metrics::{Direction, Metrics};
use super::persist::Store;
use super::replica::Reading;
use super::strangers::Strangers;
use crate::cluster::leadership::{Lease, Released};
use crate::cluster::membership::Stats;
use crate::cluster::{Cluster, Event, Output, Ticket, View};

use registers::Waiting;
pub use ring::ToldRing;
use thread::Drift;
pub use thread::{bind, start};

/// Commands taken after each wake, whatever woke the thread: a flood of datagrams must not starve them.
const COMMANDS_PER_WAKE: usize = 256;
/// How often the clocks are compared when nothing else wakes the thread.
const IDLE_WAKE: Duration = Duration::from_secs(1);

/// What the agent tells the core.
#[derive(Debug)]
pub enum Command {
    /// What the seeds resolve to.
    Seeds(BTreeMap<String, Vec<SocketAddr>>),
    /// A control message that came over a control connection; answers go to `from`.
    Frame {
        /// The peer's gossip address.
        from: SocketAddr,
        /// The message.
        bytes: Vec<u8>,
    },
    /// These changes are on disk.
    Persisted(Ticket),
    /// The adopted generation is on disk.
    Generation(Generation),
    /// Write registers on a majority, under the leadership of this epoch and no other.
    Propose(Epoch, Vec<Entry>, oneshot::Sender<Result<(), ProposeError>>),
    /// The same, but only those whose newest write is still this one. The others are left as they are, which is no error.
    Replace(Epoch, Vec<(Stamp, Entry)>, oneshot::Sender<Result<(), ProposeError>>),
    /// The large values of a proposal are on disk.
    Prepared {
        /// Under which leadership.
        epoch: Epoch,
        /// What to propose.
        puts: Vec<Put>,
        /// See [`blobs::Proposal::only`].
        only: BTreeMap<String, Stamp>,
        /// What was stored for it.
        blobs: Vec<BlobHash>,
        /// Number of this message, see `runtime::blobs`.
        install: u64,
        /// Who waits.
        reply: oneshot::Sender<Result<(), ProposeError>>,
    },
    /// These contents were fetched and are on disk.
    Blob {
        /// Which.
        hash: BlobHash,
        /// Number of this message, see `runtime::blobs`.
        install: u64,
    },
    /// These contents could not be had from there.
    BlobFailed {
        /// Which.
        hash: BlobHash,
        /// From whom.
        from: SocketAddr,
        /// The peer has none.
        gone: bool,
    },
    /// The disk is full, for people.
    DiskFull(String),
    /// There is room again.
    DiskOk,
    /// What is stored cannot be read back: the process ends (rule R6).
    Damaged(String),
    /// Registers whose keys begin like this, tombstones left out, as this agent's store holds them now.
    Read {
        /// How they begin.
        prefix: String,
        /// So many bytes of a small value at most.
        most: usize,
        /// Who asks.
        reply: oneshot::Sender<Reading>,
    },
    /// Hand over.
    StepDown {
        /// For people.
        why: String,
        /// This process never leads again.
        leaving: bool,
    },
    /// Nothing runs any more.
    RunsStopped,
    /// Give the lease up for good, for this reason; runs may still be ending.
    EndLease(String),
    /// Nothing of the lost epoch runs any more.
    RunsEnded(Epoch),
    /// Seal and open with these keys from now on.
    Ring(Ring),
    /// Remove a voter that leaves for good.
    RemoveVoter(MemberId, oneshot::Sender<Result<(), String>>),
    /// Say goodbye and end the thread.
    Leave,
    /// End the thread at once, without a word: the process is no longer fit to vote or to lead (rule R6).
    Halt,
}

/// Why a write was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was written.
    #[error("this agent does not lead under that epoch any more")]
    NotLeader,
    /// Nothing was written: too large, or the disk is full.
    #[error("refused: {0}")]
    Refused(String),
    /// It may or may not have taken effect.
    #[error("the leadership ended before a majority had acknowledged the write; its outcome is unknown")]
    Unknown,
}

/// What the core tells the agent.
#[derive(Debug)]
pub enum Notice {
    /// The agent leads now: what the journal says, and which epochs were released.
    Led {
        /// Its authority.
        lease: Lease,
        /// Every register under `run/` (none of them is large).
        journal: BTreeMap<String, Vec<u8>>,
        /// The register of the cluster's keys.
        keyring: Option<Vec<u8>>,
        /// Who released which epoch: nothing of theirs runs.
        released: Released,
    },
    /// Everything else that happened.
    Event(Event),
    /// The goodbye is sent; the thread has ended.
    Left,
}

/// Sealed datagrams and their receivers.
pub type Datagrams = Vec<(SocketAddr, Vec<u8>)>;

/// What a guardian sends for its dead agent; nothing unless the agent leads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastWords {
    /// As soon as the agent is dead.
    pub lease_ended: Datagrams,
    /// When nothing of its runs is left.
    pub release: Datagrams,
}

/// Everything the thread needs.
pub struct Core {
    /// The machine.
    pub cluster: Cluster,
    /// Bound.
    pub socket: UdpSocket,
    /// Seals what goes out.
    pub sealers: Sealers,
    /// The keys; `None`: nothing is encrypted.
    pub ring: Option<Ring>,
    /// By which of them each peer is spoken to.
    pub speakers: Speakers,
    /// What the registers say of the keys, when it is on this disk.
    pub agreed: watch::Sender<Option<Vec<u8>>>,
    /// What of that was told.
    pub told_ring: ToldRing,
    /// Addresses of members and seeds, for the control connections.
    pub known: watch::Sender<Arc<BTreeSet<IpAddr>>>,
    /// What the seeds resolve to.
    pub seeds: BTreeSet<SocketAddr>,
    /// Whose datagrams were refused, for the log.
    pub strangers: Strangers,
    /// When the opener was allowed new tries, on the monotonic clock.
    pub refilled: Duration,
    /// Opens what comes in.
    pub opener: Opener,
    /// From the agent.
    pub commands: mpsc::Receiver<Command>,
    /// To the agent.
    pub notices: mpsc::UnboundedSender<Notice>,
    /// To the control connections.
    pub control: mpsc::Sender<Outgoing>,
    /// To the disk.
    pub store: Store,
    /// To the files of large values.
    pub blobs: Blobs,
    /// To whoever gets them from peers.
    pub fetch: mpsc::UnboundedSender<Fetch>,
    /// The newest message of `blobs` that was seen.
    pub installs: u64,
    /// To everybody who looks.
    pub view: watch::Sender<Arc<View>>,
    /// What the guardian sends when this process has died, renewed while leading.
    pub last_words: watch::Sender<LastWords>,
    /// Seals them: another session, so that no nonce is used twice.
    pub last_words_sealers: Sealers,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// What of the gossip machine is counted already.
    pub counted: Stats,
}

impl Core {
    /// Runs until `Command::Leave` is carried out, at `Command::Halt`, or when the agent is gone.
    pub async fn run(mut self) {
        let mut buffer = vec![0_u8; 65_536];
        let mut waiting: Waiting = BTreeMap::new();
        let mut drift = Drift::new();
        self.obey(&mut waiting);
        loop {
            let now = clock::now();
            let deadline = self.cluster.poll_timeout().map(|(at, _)| at);
            let sleep = deadline.map_or(IDLE_WAKE, |at| at.saturating_sub(now.mono)).min(IDLE_WAKE);
            tokio::select! {
                biased;
                ready = self.socket.readable() => {
                    if let Err(error) = ready {
                        warn!(%error, "the gossip socket failed");
                    }
                    self.receive(&mut buffer);
                }
                command = self.commands.recv() => {
                    match command {
                        Some(Command::Halt) | None => return,
                        Some(command) => self.command(command, &mut waiting),
                    }
                }
                () = tokio::time::sleep(sleep) => {}
            }
            for _ in 0..COMMANDS_PER_WAKE {
                match self.commands.try_recv() {
                    Ok(Command::Halt) => return,
                    Ok(command) => self.command(command, &mut waiting),
                    Err(_) => break,
                }
            }
            let now = clock::now();
            if drift.jumped() {
                self.cluster.distrust_clock(now);
            }
            if let Some(at) = self.cluster.poll_timeout().map(|(at, _)| at).filter(|at| *at <= now.mono) {
                self.metrics.timer_lateness(now.mono.saturating_sub(at));
                self.cluster.handle_timeout(now);
            }
            self.obey(&mut waiting);
            if self.cluster.has_left() {
                drop(self.notices.send(Notice::Left));
                return;
            }
        }
    }

    fn command(&mut self, command: Command, waiting: &mut Waiting) {
        let now = clock::now();
        match command {
            Command::Seeds(seeds) => {
                self.seeds = seeds.values().flatten().copied().collect();
                self.tell_known();
                self.cluster.handle_seeds(seeds, now);
            }
            Command::Ring(ring) => self.take_ring(ring),
            Command::Frame { from, bytes } => {
                if let Err(error) = self.cluster.handle_control(from, &bytes, now) {
                    self.metrics.dropped("malformed");
                    debug!(%from, %error, "frame dropped");
                }
            }
            Command::Persisted(ticket) => {
                self.told_ring.note_durable(ticket);
                self.cluster.handle_persisted(ticket, now);
            }
            Command::Generation(generation) => self.cluster.handle_generation(generation, now),
            Command::Propose(epoch, entries, reply) => {
                self.proposed(blobs::Proposal { epoch, entries, only: BTreeMap::new(), reply }, waiting);
            }
            Command::Replace(epoch, entries, reply) => {
                let only = entries.iter().map(|(stamp, entry)| (entry.key.clone(), *stamp)).collect();
                let entries = entries.into_iter().map(|(_, entry)| entry).collect();
                self.proposed(blobs::Proposal { epoch, entries, only, reply }, waiting);
            }
            Command::Prepared { epoch, puts, only, blobs, install, reply } => {
                self.installs = install;
                for hash in blobs {
                    self.cluster.handle_blob(hash, now);
                }
                self.propose(epoch, puts, &only, reply, waiting);
            }
            Command::Blob { hash, install } => {
                self.installs = install;
                self.cluster.handle_blob(hash, now);
            }
            Command::BlobFailed { hash, from, gone } => self.cluster.handle_blob_failed(hash, from, gone, now),
            Command::DiskFull(why) => self.cluster.handle_disk_full(&why, now),
            Command::DiskOk => self.cluster.handle_disk_ok(now),
            Command::Damaged(text) => drop(self.notices.send(Notice::Event(Event::Fatal { text }))),
            Command::Read { prefix, most, reply } => drop(reply.send(self.read(&prefix, most))),
            Command::StepDown { why, leaving } => self.cluster.step_down(&why, leaving, now),
            Command::RunsStopped => self.cluster.runs_stopped(now),
            Command::EndLease(why) => self.cluster.end_lease(&why, now),
            Command::RunsEnded(epoch) => self.cluster.runs_ended(epoch, now),
            Command::RemoveVoter(id, reply) => {
                drop(reply.send(self.cluster.remove_voter(&id, now).map_err(str::to_owned)));
            }
            Command::Leave => self.cluster.leave(now),
            // Taken by `run`.
            Command::Halt => {}
        }
    }

    /// Carries out what the core asked for, in order.
    fn obey(&mut self, waiting: &mut Waiting) {
        while let Some(output) = self.cluster.poll_output() {
            match output {
                Output::Transmit { to, plain } => self.transmit(to, &plain),
                Output::Persist { ticket, changes } => {
                    self.told_ring.note_given(ticket);
                    self.store.persist(ticket, changes);
                }
                // It is there as long as this thread is.
                Output::Fetch { hash, len, from } => drop(self.fetch.send(Fetch { hash, len, from })),
                Output::DropBlob { hash } => self.blobs.remove(hash, self.installs),
                Output::Event(Event::Committed(id)) => {
                    if let Some(reply) = waiting.remove(&id) {
                        drop(reply.send(Ok(())));
                    }
                }
                Output::Event(Event::Unknown(id)) => {
                    if let Some(reply) = waiting.remove(&id) {
                        drop(reply.send(Err(ProposeError::Unknown)));
                    }
                }
                Output::Event(Event::LeaseGained(lease)) => {
                    let runs = self.cluster.registers().range("run/".to_owned().."run0".to_owned());
                    let journal =
                        runs.filter_map(|(k, (_, v))| Some((k.clone(), v.as_ref()?.inline()?.to_vec()))).collect();
                    let keyring = self.cluster.registers().get(crate::keyring::REGISTER);
                    let keyring = keyring.and_then(|(_, value)| Some(value.as_ref()?.inline()?.to_vec()));
                    let released = self.cluster.released().clone();
                    self.renew_last_words();
                    drop(self.notices.send(Notice::Led { lease, journal, keyring, released }));
                }
                Output::Event(Event::Odd { number, text: None, .. }) => self.metrics.odd_message(number),
                Output::Event(event) => {
                    if let Event::Odd { number, .. } = &event {
                        self.metrics.odd_message(number);
                    }
                    drop(self.notices.send(Notice::Event(event)));
                }
            }
        }
        let deleted = self.cluster.deleted_keys();
        self.metrics.set_keys(self.cluster.registers().len().saturating_sub(deleted), deleted);
        if let Some(generation) = self.cluster.adopt() {
            self.store.adopt(generation);
        }
        self.watch_ring();
        self.publish();
    }

    /// Counters of the gossip machine, as differences to what was counted before.
    fn count_gossip(&mut self) {
        let stats = self.cluster.gossip_stats();
        for _ in self.counted.renewals..stats.renewals {
            self.metrics.renewal();
        }
        for (kind, count) in &stats.errors {
            for _ in self.counted.errors.get(kind).copied().unwrap_or(0)..*count {
                self.metrics.foca_error(kind);
            }
        }
        if stats.renewals != self.counted.renewals || stats.errors != self.counted.errors {
            self.counted = stats.clone();
        }
    }

    fn publish(&mut self) {
        let changed = self.view.borrow().index != self.cluster.view().index;
        if changed {
            self.view.send_replace(Arc::new(self.cluster.view().clone()));
            self.tell_known();
            self.renew_last_words();
        }
        self.count_gossip();
    }

    /// Sealed now, because the key dies with the process.
    fn renew_last_words(&mut self) {
        let Some(words) = self.cluster.last_words() else {
            if *self.last_words.borrow() != LastWords::default() {
                self.last_words.send_replace(LastWords::default());
            }
            return;
        };
        let (sealers, speakers, ring) = (&mut self.last_words_sealers, &mut self.speakers, self.ring.as_ref());
        let mut seal = |plain: &[u8]| {
            let mut sealed = Vec::with_capacity(words.to.len());
            for to in &words.to {
                let by = ring.map(|ring| speakers.choose(*to, ring));
                sealed.extend(sealers.seal_plain(plain, by).ok().map(|datagram| (*to, datagram)));
            }
            sealed
        };
        let words = LastWords { lease_ended: seal(&words.lease_ended), release: seal(&words.release) };
        self.last_words.send_replace(words);
    }

    fn transmit(&mut self, to: SocketAddr, plain: &[u8]) {
        if plain.len() > PLAIN_MAX {
            if self.control.try_send(Outgoing { to, message: plain[1..].to_vec() }).is_err() {
                self.metrics.dropped("control_queue_full");
            }
            return;
        }
        let by = self.ring.as_ref().map(|ring| self.speakers.choose(to, ring));
        let Ok(datagram) = self.sealers.seal_plain(plain, by) else {
            self.metrics.dropped("seal");
            return;
        };
        match self.socket.try_send_to(&datagram, to) {
            Ok(size) => self.metrics.packet(Direction::Out, size),
            // Dropped like any lost packet: everything is repeated by timer.
            Err(error) => {
                self.metrics.dropped("send");
                debug!(%to, %error, "send failed");
            }
        }
    }
}
