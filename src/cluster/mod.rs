//! The pure core: who is here, who leads, what is agreed.
//!
//! Inputs and the time go in, a list of things to do comes out. [`Cluster`] is a router over two machines that do not
//! know each other: [`membership`] (advice) and [`leadership`] (safety). It feeds the first's view to the second.
//!
//! # Invariants
//!
//! - Nothing here awaits, locks, reads a clock or a disk, or draws randomness of its own.
//! - No rule of safety reads the membership (I12).

pub mod clock;
pub mod durable;
mod encoding;
pub mod leadership;
pub mod membership;
pub mod output;
pub mod settings;
mod settle;
pub mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use quorate_proto::codec;
use quorate_proto::message::{Body, Message, Put, Renewal};
use quorate_proto::{BlobHash, BootNonce, Epoch, Generation, Identity, MemberId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use clock::Now;
pub use durable::Durable;
use encoding::{Renewals, control_bytes};
use leadership::registers::Registers;
use leadership::{Leadership, Lease, Peer, Released, Rules};
use membership::Membership;
pub use output::{Event, Output, Ticket, WriteId};
pub use settings::Settings;
pub use view::View;

/// Refused bytes of a peer. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not a control message.
    #[error("a control message that cannot be read: {0}")]
    Codec(#[from] codec::CodecError),
    /// A short renewal by somebody that this agent has promised nothing. The sender asks again in full.
    #[error("a short renewal whose sender is not the one that this agent has promised the epoch")]
    NotPromised,
}

impl MessageError {
    /// For counters.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Codec(_) => "malformed",
            Self::NotPromised => "not-promised",
        }
    }
}

/// What a guardian may send for its dead agent, as plain bytes, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastWords {
    /// As soon as the agent is dead.
    pub lease_ended: Vec<u8>,
    /// When nothing of its runs is left.
    pub release: Vec<u8>,
    /// Their receivers.
    pub to: Vec<SocketAddr>,
}

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    settings: Settings,
    membership: Membership,
    leadership: Leadership,
    seeds: BTreeMap<String, Vec<SocketAddr>>,
    own_addr: SocketAddr,
    peers: BTreeMap<MemberId, Peer>,
    renewals: Renewals,
    outputs: VecDeque<Output>,
    view: View,
    adopted: Option<Generation>,
    left: bool,
}

impl Cluster {
    /// A core for one process. `durable` is what the store read back; `identity.generation` is on disk already;
    /// `boot` and `seed` are new for every process.
    pub fn new(
        settings: Settings,
        durable: Durable,
        identity: Identity,
        boot: BootNonce,
        rules: Rules,
        seed: [u8; 32],
        now: Now,
    ) -> Self {
        let mut rng = StdRng::from_seed(seed);
        let own_addr = identity.gossip_addr;
        let view = View {
            index: 0,
            name: settings.name.clone(),
            observer: identity.id.clone(),
            members: Vec::new(),
            leader: None,
            last_release: None,
            epoch: Epoch(0),
            mode: settings.mode,
            voters: 0,
            voters_alive: 0,
            needed: 0,
            formed: false,
            held: false,
            caught_up: false,
            reason: String::new(),
            alarms: Vec::new(),
        };
        let membership = Membership::new(identity, &settings.timing.gossip, rng.random(), now);
        let leadership = Leadership::new(&settings, durable, boot, rules, rng.random(), now);
        let mut cluster = Self {
            settings,
            membership,
            leadership,
            seeds: BTreeMap::new(),
            own_addr,
            peers: BTreeMap::new(),
            renewals: Renewals::default(),
            outputs: VecDeque::new(),
            view,
            adopted: None,
            left: false,
        };
        cluster.leadership.handle_seeds(BTreeMap::new(), own_addr, now);
        cluster.settle(now);
        cluster
    }

    // Inputs.

    /// An unsealed SWIM packet. Answers with the address that the sender says it has.
    pub fn handle_gossip(&mut self, from: SocketAddr, payload: &[u8], now: Now) -> Option<SocketAddr> {
        let sender = self.membership.handle_datagram(from, payload, now);
        self.settle(now);
        sender
    }

    /// An unsealed control message, from a datagram or a frame; `from` is where an answer goes.
    pub fn handle_control(&mut self, from: SocketAddr, bytes: &[u8], now: Now) -> Result<(), MessageError> {
        let message: Message = codec::decode_frame(bytes)?;
        if let Body::Renewed { epoch, round, .. } = message.body {
            self.renewals.handle_answer(from, epoch, round);
        }
        self.leadership.handle_message(from, message, now);
        self.settle(now);
        Ok(())
    }

    /// An unsealed renewal in its short form.
    pub fn handle_renewal(&mut self, from: SocketAddr, bytes: &[u8], now: Now) -> Result<(), MessageError> {
        let renewal: Renewal = codec::decode_datagram(bytes)?;
        let durable = self.leadership.durable();
        let promised = durable.promised.as_ref().filter(|promise| promise.epoch == renewal.epoch);
        let message = promised.and_then(|promise| renewal.expand(durable.cluster, &promise.holder));
        self.leadership.handle_message(from, message.ok_or(MessageError::NotPromised)?, now);
        self.settle(now);
        Ok(())
    }

    /// What the configured seeds resolve to now. Call again and again: names may answer later, or otherwise.
    pub fn handle_seeds(&mut self, seeds: BTreeMap<String, Vec<SocketAddr>>, now: Now) {
        self.seeds = seeds;
        let addrs = self.seeds.values().flatten().copied().collect();
        self.membership.handle_seeds(addrs, now);
        self.leadership.handle_seeds(self.seeds.clone(), self.own_addr, now);
        self.settle(now);
    }

    /// Addresses remembered from an earlier life of this agent.
    pub fn handle_address_book(&mut self, peers: Vec<(MemberId, SocketAddr)>, now: Now) {
        self.membership.handle_address_book(peers, now);
        self.settle(now);
    }

    /// The changes of this ticket are on disk.
    pub fn handle_persisted(&mut self, ticket: Ticket, now: Now) {
        self.leadership.handle_persisted(ticket, now);
        self.settle(now);
    }

    /// These contents are on disk, whole: fetched, or put there for a proposal.
    pub fn handle_blob(&mut self, hash: BlobHash, now: Now) {
        self.leadership.handle_blob(hash, now);
        self.settle(now);
    }

    /// These contents could not be had from there. `gone`: that peer says it has none of them.
    pub fn handle_blob_failed(&mut self, hash: BlobHash, from: SocketAddr, gone: bool, now: Now) {
        self.leadership.handle_blob_failed(hash, from, gone, now);
        self.settle(now);
    }

    /// The disk is full: changes that were asked for wait.
    pub fn handle_disk_full(&mut self, why: &str, now: Now) {
        self.leadership.handle_disk_full(why, now);
        self.settle(now);
    }

    /// There is room on the disk again.
    pub fn handle_disk_ok(&mut self, now: Now) {
        self.leadership.handle_disk_ok(now);
        self.settle(now);
    }

    /// The generation asked for by [`Cluster::adopt`] is on disk.
    pub fn handle_generation(&mut self, generation: Generation, now: Now) {
        self.membership.handle_generation(generation, now);
        self.settle(now);
    }

    /// The deadline of [`Cluster::poll_timeout`] has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.membership.handle_timeout(now);
        self.leadership.handle_timeout(now);
        self.settle(now);
    }

    /// The clocks jumped: this machine was frozen or moved.
    pub fn distrust_clock(&mut self, now: Now) {
        self.leadership.distrust_clock(now);
        self.settle(now);
    }

    // Commands.

    /// Writes registers on a majority. Contents that are named must be here (`handle_blob`). `None`: this agent does not lead.
    pub fn propose(&mut self, entries: &[Put], now: Now) -> Option<WriteId> {
        let id = self.leadership.propose(entries, now);
        self.settle(now);
        id
    }

    /// Whether a batch would make more keys than are kept, or why not. Deleted keys count: see `leadership::registers`.
    pub fn check_keys(&self, puts: &[Put]) -> Result<(), String> {
        leadership::registers::check_keys(&self.leadership.durable().registers, puts)
    }

    /// Hands leadership over, if held. `leaving`: this process never leads again.
    pub fn step_down(&mut self, why: &str, leaving: bool, now: Now) {
        self.leadership.step_down(why, leaving, now);
        self.settle(now);
    }

    /// Nothing of ours runs any more.
    pub fn runs_stopped(&mut self, now: Now) {
        self.leadership.runs_stopped(now);
        self.settle(now);
    }

    /// Gives the lease up for good, while runs may still be ending.
    pub fn end_lease(&mut self, why: &str, now: Now) {
        self.leadership.end_lease(why, now);
        self.settle(now);
    }

    /// The runs of a lost epoch have ended.
    pub fn runs_ended(&mut self, epoch: Epoch, now: Now) {
        self.leadership.runs_ended(epoch, now);
        self.settle(now);
    }

    /// Removes a voter that leaves for good (leader only).
    pub fn remove_voter(&mut self, id: &MemberId, now: Now) -> Result<(), &'static str> {
        let answer = self.leadership.remove_voter(id, now);
        self.settle(now);
        answer
    }

    /// Says goodbye to the members; [`Cluster::has_left`] tells when all is sent.
    pub fn leave(&mut self, now: Now) {
        self.membership.leave(now);
        self.settle(now);
    }

    // Answers.

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout` (monotonic clock), and why.
    pub fn poll_timeout(&self) -> Option<(std::time::Duration, &'static str)> {
        [self.membership.poll_timeout(), self.leadership.poll_timeout()].into_iter().flatten().min()
    }

    /// A newer generation that others remember of us: to be put on disk, then `handle_generation` (gossip R8).
    pub fn adopt(&mut self) -> Option<Generation> {
        self.adopted.take()
    }

    /// Whether `leave` is done.
    pub fn has_left(&self) -> bool {
        self.left
    }

    /// What this agent knows.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The live lease, if this agent leads.
    pub fn lease(&self, now: Now) -> Option<Lease> {
        self.leadership.lease(now)
    }

    /// Every register this agent stores: a view, unless it leads.
    pub fn registers(&self) -> &Registers {
        &self.leadership.durable().registers
    }

    /// How many of them are deleted keys that are not forgotten yet.
    pub fn deleted_keys(&self) -> usize {
        self.leadership.deleted_keys()
    }

    /// Who is known to have released which epoch, with nothing of theirs left running.
    pub fn released(&self) -> &Released {
        self.leadership.released()
    }

    /// The durable state, for checkers.
    pub fn durable(&self) -> &Durable {
        self.leadership.durable()
    }

    /// What a guardian may send when this agent has died.
    pub fn last_words(&self) -> Option<LastWords> {
        let leadership::LastWords { lease_ended, release, to } = self.leadership.last_words()?;
        Some(LastWords { lease_ended: control_bytes(&lease_ended)?, release: control_bytes(&release)?, to })
    }

    /// Counters of the gossip machine.
    pub fn gossip_stats(&self) -> &membership::Stats {
        self.membership.stats()
    }
}
