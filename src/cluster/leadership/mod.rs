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
mod blobs;
mod claim;
mod clock_rates;
mod contention;
mod disk;
mod electorate;
#[cfg(feature = "mutations")]
mod fingerprint;
mod forgetting;
mod founding;
mod hand_over;
mod known_leader;
mod lead;
pub mod lease;
mod messages;
mod numbers;
mod outputs;
mod quorum;
pub mod registers;
mod release;
mod renewal;
pub mod rules;
mod stale_copies;
mod succession;
mod views;
mod voters;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Commits, Message, Process, Put, Round};
use quorate_proto::{BlobHash, BootNonce, Epoch, Generation, Instance, MemberId, Seq};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::acceptor::Acceptor;
use self::blobs::Blobs;
use self::claim::{Claiming, PreClaiming};
use self::founding::FoundingMachine;
use self::lead::Leading;
pub use self::lease::Lease;
use self::release::Releasing;
pub use self::release::{LastWords, Released};
pub use self::rules::{Rule, Rules};
use self::stale_copies::Processes;
use self::succession::Withdrawal;
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
    /// Number of its process in gossip: a later start has a higher one.
    pub generation: Generation,
    /// Its state.
    pub state: MemberState,
    /// Since when it has been alive without interruption (monotonic clock).
    pub alive_since: Duration,
    /// Its software knows what a horizon is (R22).
    pub has_horizon: bool,
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
    /// The last release that ended a lease granted here: voters that have not heard it are told.
    heard_release: Option<Body>,
    /// The highest epoch for which a lower id was let go first.
    went_first: Epoch,
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
    /// When people were told last of numbers that a member sent and that cannot be.
    odd: BTreeMap<MemberId, Duration>,
    /// `Event::Fatal` was said: nothing follows it.
    ended: bool,
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
            heard_release: None,
            went_first: Epoch(0),
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
            odd: BTreeMap::new(),
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
        self.forget_withdrawals_of_the_past();
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
                Role::Claiming(claiming) if claiming.is_sent() => claiming.epoch,
                Role::Claiming(_) | Role::Follower | Role::PreClaiming(_) | Role::Leading(_) => Epoch(0),
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

    fn next_round(&mut self) -> Round {
        self.next_round += 1;
        Round(self.next_round)
    }

    /// A random part of a renewal interval: so that two claimants do not collide for ever.
    fn jitter(&mut self) -> Duration {
        self.timing.renew.mul_f64(self.rng.random_range(0.0..1.0))
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
