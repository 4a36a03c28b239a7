//! Who may lead, until when, and what the voters have agreed on: the protocol of `protocol-safety.md`.
//!
//! An epoch is a Paxos ballot. A candidate asks around first ([`claim`]), then claims an epoch: each voter promises it
//! durably and grants a lease ([`acceptor`]). With a majority of grants it merges their registers, writes them back
//! under its own epoch to a majority, and only then acts ([`lead`]), for as long as a majority renews the lease. Before
//! any of this the founders agree once on who votes ([`founding`]). Membership only says whom to *try*.
//!
//! The machine is pure: messages, the membership and the time go in; messages, durable changes and events come out.
//!
//! # Invariants
//!
//! - Nothing that depends on a change leaves before `handle_persisted` for it was called (R2).
//! - A [`Lease`] is made here and nowhere else, from the time *before* the round that a majority answered was sent (R13).
//! - An epoch that lapsed is never revived (R10).
//!
//! # Not here
//!
//! Who is alive (`membership`), what a task is, how bytes are sealed.

mod acceptor;
mod amnesia;
mod blobs;
mod claim;
#[cfg(feature = "mutations")]
mod fingerprint;
mod founding;
mod full;
mod lead;
pub mod lease;
mod messages;
mod quorum;
pub mod registers;
pub mod rules;
mod voters;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Commits, Header, Message, Process, Put, Round, Voter, Voters};
use quorate_proto::{BlobHash, BootNonce, Epoch, Instance, MemberId, Seq};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::acceptor::Acceptor;
use self::amnesia::Processes;
use self::blobs::Blobs;
use self::claim::{Claiming, PreClaiming};
use self::founding::FoundingMachine;
use self::lead::Leading;
pub use self::lease::Lease;
use self::quorum::Quorum;
pub use self::rules::{Rule, Rules};
use crate::cluster::Now;
use crate::cluster::durable::{Change, Durable};
use crate::cluster::output::{Event, Ticket, WriteId};
use crate::cluster::settings::{LeadershipMode, LeaseTiming, Settings};
use crate::cluster::view::MemberState;

/// ρ: how far a clock's rate may be off (protocol-safety 6.1).
const RATE_BOUND: f64 = 0.01;

/// How many falls of one member are remembered: settle does not double more often than this anyway.
const FLAPS_MAX: usize = 16;

/// What membership says of one other member. Advice, never safety.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    /// Its data directory.
    pub instance: Instance,
    /// Where to send.
    pub addr: SocketAddr,
    /// Its state.
    pub state: MemberState,
    /// Since when it has been alive without interruption (monotonic clock).
    pub alive_since: Duration,
}

/// What the machine asks for; the router turns it into `cluster::Output`.
#[expect(clippy::large_enum_variant, reason = "it is moved once, from one queue to the next")]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// The peer's gossip address.
        to: SocketAddr,
        /// What.
        message: Message,
    },
    /// Store, then call `handle_persisted`.
    Persist {
        /// Which.
        ticket: Ticket,
        /// What.
        changes: Vec<Change>,
    },
    /// Get these contents from there, then call `handle_blob` or `handle_blob_failed`.
    Fetch {
        /// Which.
        hash: BlobHash,
        /// How many bytes.
        len: u32,
        /// From which peer.
        from: SocketAddr,
    },
    /// Nothing names these contents any more.
    DropBlob {
        /// Which.
        hash: BlobHash,
    },
    /// Tell.
    Event(Event),
}

/// Who released which epoch: nothing of theirs runs any more under it. The agent belongs to it, because a claim that came
/// to nothing is released as well, while the runs of whoever won the same epoch live on.
pub type Released = BTreeSet<(Epoch, MemberId)>;

/// What this agent is at the moment.
#[derive(Debug, Clone, Hash)]
enum Role {
    Follower,
    PreClaiming(PreClaiming),
    Claiming(Claiming),
    Leading(Box<Leading>),
}

/// What waits for a ticket to be on disk.
#[derive(Debug, Clone, Hash)]
enum After {
    /// The promise of this number is durable.
    Promised(u64),
    /// Grant it to the claimant.
    Grant { to: SocketAddr, claimant: Process, epoch: Epoch, round: Round, asked: Duration },
    /// Our own promise is durable: the claim may be sent (R4).
    Claim(Epoch),
    /// The batch is durable: acknowledge it.
    Ack { to: SocketAddr, epoch: Epoch, seq: Seq },
    /// What was caught up with is durable.
    CaughtUp { epoch: Epoch, upto: Seq },
    /// Our own copy of our own batch is durable.
    OwnAck { epoch: Epoch, seq: Seq },
    /// The accepted proposal is durable: say so.
    Accepted,
    /// The formed record is durable.
    Formed,
}

/// See the module.
#[derive(Debug)]
pub struct Leadership {
    me: Process,
    mode: LeadershipMode,
    timing: LeaseTiming,
    max_voters: usize,
    replace_after: Duration,
    rules: Rules,
    rng: StdRng,
    acceptor: Acceptor,
    founding: FoundingMachine,
    blobs: Blobs,
    processes: Processes,
    /// Transactions on the own disk.
    commits: Commits,
    /// Why the disk takes nothing more, while it is full.
    full: Option<String>,
    role: Role,
    peers: BTreeMap<MemberId, Peer>,
    /// Members that gave leadership away: no candidates until then, or until they come as another process.
    withdrawn: BTreeMap<MemberId, Withdrawal>,
    /// Whom the last release named; the others hold back until then.
    named_successor: Option<(MemberId, Duration)>,
    /// Voters that asked to be removed, and the process that is meant: none if it was not heard under this leadership.
    leavers: BTreeMap<MemberId, Option<BootNonce>>,
    /// Voters that are not here, and since when.
    absent: BTreeMap<MemberId, Duration>,
    /// How often a member went down lately: settle doubles with it.
    flaps: BTreeMap<MemberId, VecDeque<Duration>>,
    /// No attempt before this.
    backoff_until: Duration,
    /// Since when no lease granted here runs.
    leaderless_since: Option<Duration>,
    known_leader: Option<MemberId>,
    /// When the last known leader's lease ended here.
    last_leader_end: Option<Duration>,
    /// Who released which epoch, as far as heard.
    released: Released,
    /// Who released last, and how.
    last_release: Option<(MemberId, &'static str)>,
    /// Instances that use a voter's name without being it.
    strangers: BTreeMap<MemberId, Stranger>,
    /// The newest process of each member that spoke here.
    boots: BTreeMap<MemberId, BootNonce>,
    /// A release that is repeated a few times.
    releasing: Option<Releasing>,
    /// The epoch of this process's last leadership that ended without a release.
    lost: Option<Epoch>,
    /// This process will not claim any more (it is stopping).
    retired: bool,
    /// Why the last attempt came to nothing: told once, not at every attempt.
    last_failure: String,
    /// Last pull sent as a follower.
    pulling: Option<Pulling>,
    next_round: u64,
    next_ticket: u64,
    next_write: u64,
    after: BTreeMap<Ticket, Vec<After>>,
    /// When each outstanding persist was asked for.
    persisting: BTreeMap<Ticket, Duration>,
    outputs: VecDeque<Output>,
    alarms: BTreeMap<String, String>,
    /// Why there is no leader, for people.
    reason: String,
    /// `Event::Fatal` was said: nothing follows it.
    ended: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Withdrawal {
    boot: BootNonce,
    /// `None`: until it comes as another process.
    until: Option<Duration>,
}

/// A pull that waits for its answer: only that one is believed to come from the leader.
#[derive(Debug, Clone, Hash)]
struct Pulling {
    from: Process,
    epoch: Epoch,
    round: Round,
    /// What the leader had committed when it was sent: the answer is complete up to there.
    upto: Seq,
    at: Duration,
}

/// See `note_stranger`.
#[derive(Debug, Clone, Hash)]
struct Stranger {
    instance: Instance,
    /// Since when it is known.
    since: Duration,
    /// The voter was heard long after that.
    both_live: bool,
}

#[derive(Debug, Clone, Hash)]
struct Releasing {
    body: Body,
    next: Duration,
    left: u8,
}

impl Leadership {
    /// A machine for one process. `durable` is what the store read back; `boot` is new for every process.
    pub fn new(settings: &Settings, durable: Durable, boot: BootNonce, rules: Rules, seed: [u8; 32], now: Now) -> Self {
        let me = Process { id: durable.id.clone(), instance: durable.instance, boot };
        let founding = FoundingMachine::new(settings, &durable);
        let mut rng = StdRng::from_seed(seed);
        // Rounds of an earlier process with this name must not be taken for ours.
        let next_round = u64::from(rng.random::<u32>() >> 4);
        let commits = Commits { started: durable.commits, now: durable.commits };
        let mut machine = Self {
            me,
            mode: settings.mode,
            timing: settings.timing.lease.clone(),
            max_voters: settings.max_voters,
            replace_after: settings.replace_after,
            rules,
            rng,
            acceptor: Acceptor::new(durable, settings.timing.lease.grant, rules, now.mono),
            founding,
            blobs: Blobs::default(),
            processes: Processes::default(),
            commits,
            full: None,
            role: Role::Follower,
            peers: BTreeMap::new(),
            withdrawn: BTreeMap::new(),
            named_successor: None,
            leavers: BTreeMap::new(),
            absent: BTreeMap::new(),
            flaps: BTreeMap::new(),
            backoff_until: Duration::ZERO,
            leaderless_since: Some(now.mono),
            known_leader: None,
            last_leader_end: None,
            released: Released::new(),
            last_release: None,
            strangers: BTreeMap::new(),
            boots: BTreeMap::new(),
            releasing: None,
            lost: None,
            retired: false,
            last_failure: String::new(),
            pulling: None,
            next_round,
            next_ticket: 0,
            next_write: 0,
            after: BTreeMap::new(),
            persisting: BTreeMap::new(),
            outputs: VecDeque::new(),
            alarms: BTreeMap::new(),
            reason: String::new(),
            ended: false,
        };
        machine.begin_founding(now);
        machine.want_damaged(now);
        machine
    }

    // Inputs.

    /// What membership says now. Replaces what it said before.
    pub fn handle_members(&mut self, peers: BTreeMap<MemberId, Peer>, now: Now) {
        let gone = |state| matches!(state, MemberState::Down | MemberState::Left);
        for (id, peer) in &peers {
            let fell = self.peers.get(id).is_some_and(|before| !gone(before.state)) && gone(peer.state);
            if fell {
                let falls = self.flaps.entry(id.clone()).or_default();
                falls.push_back(now.mono);
                if falls.len() > FLAPS_MAX {
                    falls.pop_front();
                }
            }
        }
        self.peers = peers;
        self.note_absent(now);
        self.advance(now);
    }

    /// The change asked for under this ticket is on disk.
    pub fn handle_persisted(&mut self, ticket: Ticket, now: Now) {
        if self.persisting.remove(&ticket).is_some() {
            self.commits.now += 1;
        }
        for after in self.after.remove(&ticket).unwrap_or_default() {
            self.handle_after(after, now);
        }
        self.advance(now);
    }

    /// A deadline of `poll_timeout` has passed (or not: it does no harm).
    pub fn handle_timeout(&mut self, now: Now) {
        self.advance(now);
    }

    // Commands.

    /// Writes registers under the own leadership. `None` when this agent does not lead. While it hands over, writes
    /// are still taken: what runs must be able to record its end. Contents that are named must be here.
    pub fn propose<'a, P>(&mut self, entries: &'a [P], now: Now) -> Option<WriteId>
    where
        Put: From<&'a P>,
    {
        self.watch_window(now);
        let id = WriteId(self.next_write);
        let entries: Vec<Put> = entries.iter().map(Put::from).collect();
        let Role::Leading(leading) = &self.role else { return None };
        if !leading.is_active() || !self.lacks(leading.next_stamp(), &entries).is_empty() {
            return None;
        }
        self.next_write += 1;
        self.write_batch(&entries, Some(id), now);
        self.advance(now);
        Some(id)
    }

    /// Hand leadership to the next in line, if this agent leads. With `leaving`, never claim again.
    pub fn step_down(&mut self, why: &str, leaving: bool, now: Now) {
        self.retired |= leaving;
        if leaving && !matches!(self.role, Role::Leading(_)) {
            // What is released is a claim that came to nothing, if any: never the epoch of whoever leads now, nor an
            // earlier one of our own whose runs may still be ending (R16).
            let claimed = match &self.role {
                Role::Claiming(claiming) => claiming.epoch,
                Role::Follower | Role::PreClaiming(_) | Role::Leading(_) => Epoch(0),
            };
            self.role = Role::Follower;
            self.send_release_of(claimed, None, true, now);
        }
        self.begin_hand_over(None, why, now);
        self.advance(now);
    }

    /// Nothing of ours runs any more: the hand-over can be completed (R16).
    pub fn runs_stopped(&mut self, now: Now) {
        self.finish_hand_over(now);
        self.advance(now);
    }

    /// The runs of an epoch that this agent has lost have ended: nothing of it is alive, so whoever leads now need not
    /// wait for them (R16).
    pub fn runs_ended(&mut self, epoch: Epoch, now: Now) {
        let leads = matches!(&self.role, Role::Leading(leading) if leading.epoch() >= epoch);
        if !leads && epoch > Epoch(0) && epoch <= self.acceptor.highest() && self.lost == Some(epoch) {
            self.lost = None;
            self.send_release_of(epoch, None, false, now);
        }
        self.advance(now);
    }

    /// The wall clock jumped against the others: this machine was frozen or moved, or somebody set the clock. The
    /// window counts as over until a renewal sent from now on is answered (protocol-safety 10).
    pub fn distrust_clock(&mut self, now: Now) {
        self.suspend_lease(now);
        self.advance(now);
    }

    // Answers.

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout`, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        if self.ended {
            return None;
        }
        let persist = (matches!(self.role, Role::Leading(_)) && self.full.is_none())
            .then(|| self.persisting.values().min().map(|t| (*t + self.timing.grant, "disk does not answer")))
            .flatten();
        [
            self.founding.poll_timeout(),
            self.poll_claim_timeout(),
            self.poll_lead_timeout(),
            self.releasing.as_ref().map(|r| (r.next, "repeat release")),
            self.poll_follow_timeout(),
            self.blobs.poll_timeout(),
            persist,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn poll_follow_timeout(&self) -> Option<(Duration, &'static str)> {
        self.known_leader.as_ref()?;
        (!matches!(self.role, Role::Leading(_))).then(|| (self.acceptor.lease_until(), "lease of the leader ends"))
    }

    /// The lease in hand: only while this agent is an active leader.
    pub fn lease(&self, now: Now) -> Option<Lease> {
        match &self.role {
            Role::Leading(leading) => leading.lease().filter(|lease| lease.is_live(Duration::ZERO, now)),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => None,
        }
    }

    /// Who is known to have released which epoch, with nothing of theirs left running.
    pub fn released(&self) -> &Released {
        &self.released
    }

    /// Who released a lease last, and how, for people.
    pub fn last_release(&self) -> Option<&(MemberId, &'static str)> {
        self.last_release.as_ref()
    }

    /// Who holds a live lease, as this agent knows it.
    pub fn leader(&self) -> Option<&MemberId> {
        self.known_leader.as_ref()
    }

    /// Highest epoch seen.
    pub fn epoch(&self) -> Epoch {
        self.acceptor.highest()
    }

    /// The voters as this agent knows them.
    pub fn voters(&self) -> Vec<Voter> {
        match self.mode {
            LeadershipMode::Quorum => self.acceptor.voters().map_or(Vec::new(), |(_, voters)| voters.0.clone()),
            LeadershipMode::Alive => self.alive_as_voters().0,
        }
    }

    /// Whether the founding is over.
    pub fn is_formed(&self) -> bool {
        self.acceptor.durable.cluster.is_some()
    }

    /// What the durable state is, including what is not on disk yet. For the simulator's checkers and the views.
    pub fn durable(&self) -> &Durable {
        &self.acceptor.durable
    }

    /// Whether this member has followed the promised epoch from its beginning, or has caught up with it since.
    pub fn has_caught_up(&self) -> bool {
        self.acceptor.applied() > Seq(0)
    }

    /// Why there is no leader, or what the founding waits for; empty when all is well.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Loud problems, for people.
    pub fn alarms(&self) -> impl Iterator<Item = &String> {
        self.alarms.values()
    }

    /// This process.
    pub fn process(&self) -> &Process {
        &self.me
    }

    /// The release that a guardian may send for this process once it is dead and nothing of it runs
    /// (protocol-safety 7), with everybody it goes to. `None` unless this agent leads.
    pub fn last_will(&self) -> Option<(Message, Vec<SocketAddr>)> {
        let Role::Leading(leading) = &self.role else { return None };
        let body = Body::Release { epoch: leading.epoch(), holder: self.me.clone(), successor: None, leaving: true };
        Some((Message { header: self.header(), body }, self.reachable()))
    }

    // Inside.

    /// Everything that time or a change can set off, until nothing more happens.
    fn advance(&mut self, now: Now) {
        self.advance_founding(now);
        self.watch_lease(now);
        self.watch_disk(now);
        self.advance_leading(now);
        self.advance_claim(now);
        self.advance_blobs(now);
        self.repeat_release(now);
        self.follow_leader(now);
        self.explain(now);
    }

    fn watch_lease(&mut self, now: Now) {
        self.withdrawn.retain(|_, w| w.until.is_none_or(|until| until > now.mono));
        if self.named_successor.as_ref().is_some_and(|(_, until)| *until <= now.mono) {
            self.named_successor = None;
        }
        let runs = self.acceptor.lease_until() > now.mono;
        match (runs, self.leaderless_since) {
            (true, _) => self.leaderless_since = None,
            (false, None) => self.leaderless_since = Some(now.mono),
            (false, Some(_)) => {}
        }
    }

    /// A disk that hangs longer than a lease cannot hold a leader (protocol-safety 10).
    fn watch_disk(&mut self, now: Now) {
        if self.full.is_some() {
            return; // It is known why: leadership is being handed over.
        }
        let oldest = self.persisting.values().min().copied();
        if oldest.is_some_and(|t| now.mono >= t + self.timing.grant) && matches!(self.role, Role::Leading(_)) {
            self.lose("the disk did not answer for longer than a lease", now);
        }
    }

    /// Tells about a change of the leader as known here.
    fn follow_leader(&mut self, now: Now) {
        let leader = match &self.role {
            Role::Leading(leading) => leading.is_active().then(|| self.me.id.clone()),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => {
                let held = self.acceptor.lease_until() > now.mono;
                let holder = self.acceptor.holder().filter(|_| held).map(|p| p.id.clone());
                holder.filter(|id| *id != self.me.id)
            }
        };
        if leader == self.known_leader {
            return;
        }
        let gap = leader.as_ref().and(self.last_leader_end).map(|end| now.mono.saturating_sub(end));
        if leader.is_none() {
            self.last_leader_end = Some(now.mono);
        }
        if self.last_release.as_ref().is_some_and(|(holder, _)| Some(holder) == leader.as_ref()) {
            self.last_release = None; // It leads again: how it ended before is no news when it ends next.
        }
        if leader.is_some() {
            // Somebody took over: whoever gave up for that is a candidate again if this one falls, and nobody waits for a
            // successor that has come. When leadership goes back is a matter of `settle`.
            self.withdrawn.retain(|_, w| w.until.is_none());
            self.named_successor = None;
        }
        self.known_leader.clone_from(&leader);
        self.event(Event::LeaderChanged { leader, epoch: self.acceptor.highest(), gap });
    }

    fn explain(&mut self, now: Now) {
        self.reason = if let Some(text) = self.founding.reason() {
            text
        } else if self.known_leader.is_some() {
            String::new()
        } else {
            self.explain_no_leader(now)
        };
    }

    fn explain_no_leader(&self, now: Now) -> String {
        let voters = self.voters();
        let here = |v: &&Voter| v.id == self.me.id || self.peers.get(&v.id).is_some_and(|p| is_here(p.state));
        let alive: Vec<&Voter> = voters.iter().filter(here).collect();
        let needed = self.quorum().needed(voters.len());
        if alive.len() < needed {
            let missing: Vec<&str> = voters.iter().filter(|v| !here(v)).map(|v| v.id.as_str()).collect();
            return format!(
                "no quorum: {} of {} voters are here, {needed} are needed; missing: {}",
                alive.len(),
                voters.len(),
                missing.join(", ")
            );
        }
        if let Some(why) = &self.full {
            return why.clone();
        }
        if self.acceptor.quiet_until() > now.mono {
            return "waiting until leases granted before the restart are surely over".to_owned();
        }
        match &self.role {
            Role::PreClaiming(_) | Role::Claiming(_) => "this agent asks the voters for an epoch".to_owned(),
            Role::Leading(_) => "this agent won an epoch and recovers the agreed state".to_owned(),
            Role::Follower => match self.first_in_line() {
                Some(id) if id == self.me.id => "this agent is next in line".to_owned(),
                Some(id) => format!("waiting for {id}, the lowest id alive, to claim"),
                None => "no voter is alive".to_owned(),
            },
        }
    }

    /// Stores changes; what follows happens when they are on disk.
    fn persist(&mut self, changes: Vec<Change>, after: Vec<After>, now: Now) {
        let (early, after): (Vec<_>, Vec<_>) = after.into_iter().partition(|after| !self.must_wait(after));
        for after in early {
            self.handle_after(after, now);
        }
        if changes.is_empty() {
            // Nothing new, but what it repeats may still be on its way to the disk.
            if let Some(mut newest) = self.after.last_entry() {
                newest.get_mut().extend(after);
            } else {
                for after in after {
                    self.handle_after(after, now);
                }
            }
            return;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.after.insert(ticket, after);
        self.persisting.insert(ticket, now.mono);
        self.output(Output::Persist { ticket, changes });
    }

    /// R2 and R4: everything waits, unless the simulator took the rule away.
    fn must_wait(&self, after: &After) -> bool {
        self.rules.keep(match after {
            After::Promised(_) | After::Grant { .. } => Rule::PromiseIsDurable,
            After::Claim(_) => Rule::OwnPromiseFirst,
            After::Ack { .. } | After::OwnAck { .. } | After::CaughtUp { .. } => Rule::WriteIsDurable,
            After::Accepted | After::Formed => return true,
        })
    }

    fn handle_after(&mut self, after: After, now: Now) {
        match after {
            After::Promised(number) => self.acceptor.handle_durable(number),
            After::Grant { to, claimant, epoch, round, asked } => {
                self.grant(to, &claimant, epoch, round, asked, now);
            }
            After::Claim(epoch) => self.send_claim_first(epoch, now),
            After::Ack { to, epoch, seq } => {
                self.acceptor.handle_applied(epoch, seq);
                self.send(to, Body::Ack { epoch, seq });
            }
            After::CaughtUp { epoch, upto } => self.acceptor.handle_caught_up(epoch, upto),
            After::OwnAck { epoch, seq } => {
                self.acceptor.handle_applied(epoch, seq);
                self.handle_own_ack(epoch, seq, now);
            }
            After::Accepted => self.handle_accepted(now),
            After::Formed => self.handle_formed_durable(),
        }
    }

    /// The newest promise, once it is on disk.
    fn promised(&self) -> After {
        After::Promised(self.acceptor.promise_number())
    }

    fn header(&self) -> Header {
        Header {
            cluster: self.acceptor.durable.cluster,
            from: self.me.clone(),
            voters: self.acceptor.voters_stamp(),
            commits: self.commits,
        }
    }

    fn send(&mut self, to: SocketAddr, body: Body) {
        let message = Message { header: self.header(), body };
        self.output(Output::Send { to, message });
    }

    fn event(&mut self, event: Event) {
        let last = matches!(event, Event::Fatal { .. });
        self.output(Output::Event(event));
        self.ended |= last;
    }

    fn output(&mut self, output: Output) {
        if !self.ended {
            self.outputs.push_back(output);
        }
    }

    fn alarm(&mut self, key: &str, text: String) {
        if self.alarms.insert(key.to_owned(), text.clone()).as_ref() != Some(&text) {
            self.event(Event::Alarm { text });
        }
    }

    fn next_round(&mut self) -> Round {
        self.next_round += 1;
        Round(self.next_round)
    }

    /// A random part of a renewal interval: so that two claimants do not collide for ever.
    fn jitter(&mut self) -> Duration {
        self.timing.renew.mul_f64(self.rng.random_range(0.0..1.0))
    }

    /// Every member that may be reached: known to membership and not gone for good.
    fn reachable(&self) -> Vec<SocketAddr> {
        let others = self.peers.iter().filter(|(id, _)| **id != self.me.id);
        others.filter(|(_, peer)| peer.state != MemberState::Left).map(|(_, peer)| peer.addr).collect()
    }

    /// Where the other voters are, as far as known, whatever gossip thinks of their health.
    fn voter_addrs(&self, quorum: &Quorum) -> Vec<(MemberId, SocketAddr)> {
        let known = |v: &&Voter| Some((v.id.clone(), self.peers.get(&v.id)?.addr));
        let voters = quorum.voters();
        voters.iter().filter(|v| v.id != self.me.id).filter_map(known).collect()
    }

    /// The voter set and arithmetic in force here.
    fn quorum(&self) -> Quorum {
        match self.mode {
            LeadershipMode::Alive => Quorum::at_least(&self.alive_as_voters(), 1),
            LeadershipMode::Quorum => {
                let nobody = Voters(Vec::new());
                self.majority(self.acceptor.voters().map_or(&nobody, |(_, voters)| voters))
            }
        }
    }

    fn majority(&self, voters: &Voters) -> Quorum {
        if self.rules.keep(Rule::Majority) {
            Quorum::majority(voters)
        } else {
            Quorum::at_least(voters, voters.0.len() / 2)
        }
    }

    fn alive_as_voters(&self) -> Voters {
        let mut all: BTreeMap<&MemberId, Instance> =
            self.peers.iter().filter(|(_, peer)| is_here(peer.state)).map(|(id, peer)| (id, peer.instance)).collect();
        all.insert(&self.me.id, self.me.instance);
        Voters(all.into_iter().map(|(id, instance)| Voter { id: id.clone(), instance }).collect())
    }

    fn is_voter(&self) -> bool {
        self.voters().iter().any(|v| v.id == self.me.id && v.instance == self.me.instance)
    }

    /// Voters that may lead now, lowest id first (the rule of Omega). Those that gave leadership up lately count only when
    /// there is nobody else: better they than nobody.
    fn candidates(&self) -> Vec<MemberId> {
        let willing = self.candidates_but(|id| self.withdrawn.contains_key(id));
        if !willing.is_empty() {
            return willing;
        }
        self.candidates_but(|id| self.withdrawn.get(id).is_some_and(|w| w.until.is_none()))
    }

    fn candidates_but(&self, excluded: impl Fn(&MemberId) -> bool) -> Vec<MemberId> {
        let last_holder = self.acceptor.holder().map(|p| p.id.clone());
        let may = |v: &Voter| {
            if excluded(&v.id) {
                return false;
            }
            if v.id == self.me.id {
                return true;
            }
            match self.peers.get(&v.id).map(|p| p.state) {
                Some(MemberState::Alive) => true,
                // Its lease has ended here and it does not answer probes: not worth waiting for its funeral.
                Some(MemberState::Suspect) => last_holder.as_ref() != Some(&v.id),
                Some(MemberState::Down | MemberState::Left) | None => false,
            }
        };
        let mut ids: Vec<MemberId> = self.voters().iter().filter(|v| may(v)).map(|v| v.id.clone()).collect();
        ids.sort();
        ids
    }

    fn first_in_line(&self) -> Option<MemberId> {
        self.candidates().into_iter().next()
    }
}

fn is_here(state: MemberState) -> bool {
    matches!(state, MemberState::Alive | MemberState::Suspect)
}

/// D as counted by its holder: L = D (1 - ρ) / (1 + ρ) (R13).
fn holder_length(grant: Duration, rules: Rules) -> Duration {
    if rules.keep(Rule::RateMargin) { grant.mul_f64((1.0 - RATE_BOUND) / (1.0 + RATE_BOUND)) } else { grant }
}

/// Time after which something another clock counts as `length` is surely over on ours.
fn surely_over(length: Duration) -> Duration {
    length.mul_f64((1.0 + RATE_BOUND) / (1.0 - RATE_BOUND))
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
