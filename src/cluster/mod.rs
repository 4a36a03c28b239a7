//! The pure core: who is here, who leads, what is agreed.
//!
//! Inputs and the time go in, a list of things to do comes out. [`Cluster`] is a router over two machines that do not
//! know each other: [`membership`] (advice) and [`leadership`] (safety). It feeds the first's view to the second.
//!
//! # Invariants
//!
//! - Nothing here awaits, locks, reads a clock or a disk, or draws randomness of its own.
//! - No rule of safety reads the membership (I12).

mod brief;
pub mod clock;
pub mod durable;
pub mod leadership;
pub mod membership;
pub mod output;
pub mod settings;
pub mod view;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use quorate_proto::codec;
use quorate_proto::message::{Body, Message, Put, Renewal};
use quorate_proto::seal::{KIND_GOSSIP, KIND_RENEWAL};
use quorate_proto::{BlobHash, BootNonce, Epoch, Generation, Identity, MemberId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use brief::{Renewals, control_bytes, plain_bytes};
pub use clock::Now;
pub use durable::Durable;
use leadership::registers::Registers;
use leadership::{Leadership, Lease, Peer, Released, Rules};
use membership::Membership;
pub use output::{Event, Output, Ticket, WriteId};
pub use settings::Settings;
use view::MemberView;
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

    // Inside.

    /// Drains the machines into the output queue, feeds membership to leadership, renews the view.
    fn settle(&mut self, now: Now) {
        // What one says can make the other speak (a release tells membership that a process has ended): until both are silent.
        let mut silent = false;
        while !silent {
            while let Some(output) = self.membership.poll_output() {
                self.handle_membership_output(output);
            }
            let peers = self.current_peers();
            if peers != self.peers {
                self.peers.clone_from(&peers);
                self.leadership.handle_members(peers, now);
            }
            silent = !self.drain_leadership(now);
        }
        self.renew_view();
    }

    /// Carries out what leadership says; whether membership was told something by it.
    fn drain_leadership(&mut self, now: Now) -> bool {
        let mut told = false;
        while let Some(output) = self.leadership.poll_output() {
            match output {
                leadership::Output::Send { to, message } => {
                    if let Some(plain) = self.renewal_bytes(to, &message).or_else(|| control_bytes(&message)) {
                        self.outputs.push_back(Output::Transmit { to, plain });
                    }
                }
                leadership::Output::Persist { ticket, changes } => {
                    self.outputs.push_back(Output::Persist { ticket, changes });
                }
                leadership::Output::Fetch { hash, len, from } => {
                    self.outputs.push_back(Output::Fetch { hash, len, from });
                }
                leadership::Output::DropBlob { hash } => self.outputs.push_back(Output::DropBlob { hash }),
                leadership::Output::Event(event) => {
                    if let Event::ProcessEnded { id } = &event {
                        self.handle_process_ended(&id.clone(), now);
                        told = true;
                    }
                    self.outputs.push_back(Output::Event(event));
                }
            }
        }
        told
    }

    /// The short form of a renewal, where the receiver understands it.
    fn renewal_bytes(&mut self, to: SocketAddr, message: &Message) -> Option<Vec<u8>> {
        let Body::Renew { epoch, round, .. } = message.body else { return None };
        let brief = self.renewals.send(to, epoch, round);
        let mut receivers = self.membership.members().filter(|m| m.identity.gossip_addr == to);
        let understood = receivers.all(|m| m.identity.versions.has_short_forms());
        let renewal = Renewal::of(message).filter(|_| brief && understood)?;
        Some(plain_bytes(KIND_RENEWAL, &codec::encode(&renewal).ok()?))
    }

    /// A guardian said so: membership need not wait for its probes.
    fn handle_process_ended(&mut self, id: &MemberId, now: Now) {
        let generation = self.membership.members().find(|m| m.identity.id == *id).map(|m| m.identity.generation);
        if let Some(generation) = generation {
            self.membership.handle_gone(id, generation, now);
        }
    }

    fn handle_membership_output(&mut self, output: membership::Output) {
        match output {
            membership::Output::Transmit { to, payload } => {
                self.outputs.push_back(Output::Transmit { to, plain: plain_bytes(KIND_GOSSIP, &payload) });
            }
            membership::Output::Event(event) => {
                let event = match event {
                    membership::Event::Up { id, restarted } => Event::MemberUp { id, restarted },
                    membership::Event::Suspect { id } => Event::MemberSuspect { id },
                    membership::Event::Refuted { id } => Event::MemberRefuted { id },
                    membership::Event::Down { id } => Event::MemberDown { id },
                    membership::Event::Left { id } => Event::MemberLeft { id },
                    membership::Event::Conflict { id, instances: [a, b], addresses: [at_a, at_b] } => Event::Alarm {
                        text: format!(
                            "two agents call themselves {id}: instance {a} at {at_a} and instance {b} at {at_b}; \
                             give one of them its own id"
                        ),
                    },
                    membership::Event::Twin { id, instance, addresses: [at_a, at_b], .. } => Event::Alarm {
                        text: format!(
                            "two processes run as {id} with copies of one data directory (instance {instance}), \
                             at {at_a} and {at_b}: stop one and give it a data directory of its own"
                        ),
                    },
                    membership::Event::Renewed { bump } => Event::IdentityRenewed { bump },
                    membership::Event::Late { by } => Event::Late { by },
                    membership::Event::Rebuilt => Event::Alarm {
                        text: "gossip had stopped probing and was started again: please report this".to_owned(),
                    },
                };
                self.outputs.push_back(Output::Event(event));
            }
            membership::Output::AdoptGeneration(generation) => self.adopted = Some(generation),
            membership::Output::Left => self.left = true,
        }
    }

    fn current_peers(&self) -> BTreeMap<MemberId, Peer> {
        let others = self.membership.members().filter(|m| m.identity.id != self.view.observer);
        others
            .map(|m| {
                let peer = Peer {
                    instance: m.identity.instance,
                    addr: m.identity.gossip_addr,
                    generation: m.identity.generation,
                    state: m.state,
                    alive_since: m.alive_since,
                    has_horizon: m.identity.versions.has_horizon(),
                };
                (m.identity.id.clone(), peer)
            })
            .collect()
    }

    fn renew_view(&mut self) {
        let voters = self.leadership.voters();
        let leader = self.leadership.leader().cloned();
        let members: Vec<MemberView> = self
            .membership
            .members()
            .map(|m| MemberView {
                id: m.identity.id.clone(),
                instance: m.identity.instance,
                state: m.state,
                generation: m.identity.generation.0,
                incarnation: m.incarnation,
                gossip_addr: m.identity.gossip_addr,
                api_addr: m.identity.api_addr,
                address: m.identity.address.clone(),
                software: m.identity.software,
                voter: voters.iter().any(|v| v.id == m.identity.id && v.instance == m.identity.instance),
                leader: leader.as_ref() == Some(&m.identity.id),
            })
            .collect();
        let here = |id: &MemberId| {
            members
                .iter()
                .any(|m| m.id == *id && matches!(m.state, view::MemberState::Alive | view::MemberState::Suspect))
        };
        let size = if voters.is_empty() { usize::from(self.settings.expect) } else { voters.len() };
        let needed = match self.settings.mode {
            settings::LeadershipMode::Quorum => size / 2 + 1,
            settings::LeadershipMode::Alive => 1,
        };
        let fresh = View {
            index: self.view.index,
            name: self.view.name.clone(),
            observer: self.view.observer.clone(),
            voters: size,
            voters_alive: voters.iter().filter(|v| here(&v.id)).count(),
            needed,
            held: leader.is_some(),
            caught_up: self.leadership.has_caught_up(),
            members,
            leader,
            last_release: self.leadership.last_release().cloned(),
            epoch: self.leadership.epoch(),
            mode: self.settings.mode,
            formed: self.leadership.is_formed(),
            reason: self.leadership.reason().to_owned(),
            alarms: self.leadership.alarms().cloned().collect(),
        };
        if fresh != self.view {
            self.view = View { index: self.view.index + 1, ..fresh };
        }
    }
}
