//! Who is here: foca's SWIM behind our words, and the driver that it needs.
//!
//! SWIM in three sentences. Each period a member pings one other, and asks a few more to ping for it when no answer
//! comes; one that still does not answer is *suspect* and has a while to *refute* before it is *down*. News travels on
//! the pings, each piece sent a fixed number of times. Load per member does not depend on the size of the cluster.
//!
//! foca is that protocol and no more. The rest is here, each a rule earned by a failure of the bare protocol:
//!
//! | rule | where |
//! |---|---|
//! | R2 one order of all timers | `timers` |
//! | R3 announce while alone, R4 announce to the missing for ever, R5 join burst | `chores` |
//! | R6 a refuted suspicion is dropped | [`Membership::handle_timeout`] |
//! | R7 renew with back-off, R8 never behind what others remember of us | `renewals` |
//! | R9 say a leave several times | `chores` |
//! | R10 repeat updates often enough | `scale` |
//! | R11 tell suspects, R12 watch that probing goes on | `chores` |
//! | R13 count | [`Stats`] |
//! | an agent that is itself late does not accuse | `health`, `timers` |
//!
//! Inputs and the time go in; drain [`Membership::poll_output`] and then ask [`Membership::poll_timeout`] after each.
//! The driver hands in waiting datagrams before it hands in a timeout, so that answers which arrived count.
//!
//! # Invariants
//!
//! No packet is larger than [`PACKET_MAX`]. An own generation never falls, and none is used before the driver says it
//! is durable. After a leave nothing is sent but the leave. Nothing received panics, and nothing received is believed
//! about safety: who is alive decides who tries to lead, never who may.
//!
//! # Not here
//!
//! Sealing and replay protection (`quorate_proto::seal`), resolving seed names (`runtime`), and which of two processes
//! with one name counts (`leadership`).

mod bytes;
mod chores;
mod codec;
mod contacts;
mod effects;
mod fuzz;
mod health;
mod peer;
mod renewals;
mod rivals;
mod rules;
mod scale;
mod screen;
mod stats;
mod table;
mod timers;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use foca::{Foca, Message, State, Timer};
use quorate_proto::{Generation, Identity, Instance, MemberId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::codec::Codec;
use self::contacts::Contacts;
use self::effects::{Effects, Note, Unheeded};
use self::health::Health;
use self::peer::Peer;
use self::renewals::{INCARNATION_LIMIT, Renewals};
use self::rivals::Rivals;
use self::rules::Rules;
use self::screen::Parsed;
use self::table::Table;
use self::timers::{Chore, Due, Timers};
use super::clock::Now;
use super::settings::GossipTiming;
use super::view::MemberState;

pub use self::fuzz::fuzz_datagram;
#[doc(hidden)]
pub use self::rules::Rule;
pub use self::scale::PACKET_MAX;
pub use self::stats::Stats;
pub use self::table::MEMBERS_MAX;

/// A member, this agent included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who. Of one that is gone: its last known life.
    pub identity: Identity,
    /// How it is.
    pub state: MemberState,
    /// Times it refuted suspicions in this life.
    pub incarnation: u16,
    /// Since when it is in this state, on the monotonic clock.
    pub since: Duration,
    /// Since when it has been alive or suspect without a break or a restart, on the monotonic clock.
    pub alive_since: Duration,
}

/// What changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is here: new, back, or started anew before anybody noticed that it was gone.
    Up {
        /// Who.
        id: MemberId,
        /// True when it is another process than the one known before.
        restarted: bool,
    },
    /// A member does not answer probes.
    Suspect {
        /// Who.
        id: MemberId,
    },
    /// A suspect proved that it lives.
    Refuted {
        /// Who.
        id: MemberId,
    },
    /// A member did not refute, or is known to have ended.
    Down {
        /// Who.
        id: MemberId,
    },
    /// A member left cleanly.
    Left {
        /// Who.
        id: MemberId,
    },
    /// Two live processes with different data directories use one id. Repeated while it lasts, at most every 10 s.
    Conflict {
        /// The id.
        id: MemberId,
        /// Both.
        instances: [Instance; 2],
        /// Where each says it is.
        addresses: [SocketAddr; 2],
    },
    /// Two live processes use one id and one data directory, or copies of it. Repeated like a conflict.
    Twin {
        /// The id.
        id: MemberId,
        /// The data directory.
        instance: Instance,
        /// The start of each; equal when only the contest for the name is seen.
        generations: [Generation; 2],
        /// Where each says it is.
        addresses: [SocketAddr; 2],
    },
    /// Others held this agent as down; it takes a new bump and joins again. Usually the end of a pause or partition.
    Renewed {
        /// The new bump.
        bump: u32,
    },
    /// This agent did not run for a while: a pause of the process or the machine.
    Late {
        /// How long.
        by: Duration,
    },
    /// Probing had stopped and was started again. A defect, survived.
    Rebuilt,
}

/// One thing for the caller to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Seal and send as one datagram.
    Transmit {
        /// The peer's gossip address, or a seed's.
        to: SocketAddr,
        /// At most [`PACKET_MAX`] bytes.
        payload: Vec<u8>,
    },
    /// Tell whoever wants to know.
    Event(Event),
    /// Make this generation durable, then call [`Membership::handle_generation`] with it (R8).
    AdoptGeneration(Generation),
    /// The leave has been said often enough; nothing follows.
    Left,
}

type Swim = Foca<Peer, Codec, StdRng, Unheeded>;

/// The membership machine.
pub struct Membership {
    swim: Swim,
    codec: Codec,
    rng: StdRng,
    timing: GossipTiming,
    rules: Rules,
    timers: Timers,
    effects: Effects,
    outputs: VecDeque<Output>,
    table: Table,
    contacts: Contacts,
    health: Health,
    renewals: Renewals,
    rivals: Rivals,
    banned: BTreeSet<Instance>,
    stats: Stats,
    phase: Phase,
    rounds: chores::Rounds,
    accused: BTreeSet<u128>,
    incarnation: u16,
    scaled_for: usize,
    started: Duration,
}

/// Where this agent stands with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody is known to know us (R3).
    Alone,
    /// Others hold us as down; waiting to renew (R7).
    Defunct,
    /// Somebody answers.
    Active,
    /// Saying goodbye (R9).
    Leaving,
    /// Gone.
    Left,
}

impl Phase {
    fn as_str(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Defunct => "declared down",
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Left => "left",
        }
    }
}

impl Membership {
    /// A member alone. `identity.generation` must be durable already (R8). Host names that cannot travel are dropped
    /// from it. Nothing is sent before seeds or remembered members are handed in.
    pub fn new(identity: Identity, timing: &GossipTiming, seed: [u8; 32], now: Now) -> Self {
        let mut identity = identity;
        if !bytes::is_printable(&identity.address) {
            identity.address.clear();
        }
        let own = Peer::new(identity.clone());
        let codec = Codec::new(own.clone());
        let rules = Rules::default();
        let mut rng = StdRng::from_seed(seed);
        let swim = new_swim(own.clone(), scale::config(timing, 1, &rules), &mut rng, codec.clone());
        let mut timers = Timers::default();
        timers.set(Chore::Forget, now.mono + chores::FORGET_PERIOD);
        Self {
            swim,
            codec,
            rng,
            timing: timing.clone(),
            rules,
            timers,
            effects: Effects::default(),
            outputs: VecDeque::new(),
            table: Table::new(&own, &identity, now.mono),
            contacts: Contacts::default(),
            health: Health::default(),
            renewals: Renewals::default(),
            rivals: Rivals::default(),
            banned: BTreeSet::new(),
            stats: Stats { members: [1, 0, 0, 0], standing: Phase::Alone.as_str(), ..Stats::default() },
            phase: Phase::Alone,
            rounds: chores::Rounds::default(),
            accused: BTreeSet::new(),
            incarnation: 0,
            scaled_for: 1,
            started: now.mono,
        }
    }

    /// A SWIM datagram arrived: unsealed, without the byte that says its kind. `from` is where it came from on the
    /// network, which with address translation is not what the sender says.
    pub fn handle_datagram(&mut self, from: SocketAddr, payload: &[u8], now: Now) {
        if matches!(self.phase, Phase::Leaving | Phase::Left) {
            // A record of our own leave coming back would make us join again.
            return;
        }
        self.stats.packets_in += 1;
        self.stats.bytes_in += payload.len() as u64;
        if payload.len() > PACKET_MAX {
            self.stats.count("too_big");
            return;
        }
        let parsed = match Parsed::read(&self.codec, payload) {
            Ok(parsed) => parsed,
            Err(_) => return self.stats.count("decode"),
        };
        if self.screen_sender(from, &parsed, now.mono) {
            let screened = self.screen_records(&parsed, payload, now.mono);
            let result = self.swim.handle_data(screened.as_deref().unwrap_or(payload), &mut self.effects);
            self.settle(result, now.mono);
        }
    }

    /// Fires everything that is due. When it is called late, that time is not held against others.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        self.measure_lateness(now);
        while let Some(due) = self.timers.pop(now) {
            match due {
                Due::Swim(timer) => self.fire(timer, now),
                Due::Chore(chore) => self.run(chore, now),
            }
        }
    }

    /// The addresses that the configured seeds have now; this agent's own may be among them. Call it again whenever
    /// the names were resolved again: addresses that are no longer named are no longer tried.
    pub fn handle_seeds(&mut self, seeds: Vec<SocketAddr>, now: Now) {
        if self.contacts.handle_seeds(seeds) {
            self.rejoin_soon(now.mono);
        }
    }

    /// Members remembered from an earlier life. They are tried like seeds while they are missing.
    pub fn handle_address_book(&mut self, peers: Vec<(MemberId, SocketAddr)>, now: Now) {
        if self.contacts.handle_book(peers) {
            self.rejoin_soon(now.mono);
        }
    }

    /// The generation asked for by [`Output::AdoptGeneration`] is durable. One that is not higher is ignored.
    pub fn handle_generation(&mut self, generation: Generation, now: Now) {
        self.renewals.handle_generation();
        let ours = self.swim.identity().identity().map_or(Generation(u64::MAX), |own| own.generation);
        if generation > ours && !self.is_leaving() {
            self.stats.adoptions += 1;
            self.become_again(self.swim.identity().at(generation, 0), now.mono);
        }
    }

    /// It is known for sure that this process of a member, or an earlier one, has ended: it is down at once.
    pub fn handle_gone(&mut self, id: &MemberId, generation: Generation, now: Now) {
        let known = self
            .table
            .get(id)
            .filter(|(_, member)| table::is_active(member.state) && member.identity.generation <= generation);
        let Some(peer) = known.map(|(peer, _)| peer.clone()).filter(|peer| peer != self.swim.identity()) else {
            return;
        };
        let down = foca::Member::down(peer);
        let result = self.swim.apply_many(std::iter::once(down), true, &mut self.effects);
        self.settle(result, now.mono);
        let result = self.swim.gossip(&mut self.effects);
        self.settle(result, now.mono);
    }

    /// Nothing from or about this data directory is heard any more: it lost a conflict about a name.
    pub fn handle_banned(&mut self, instance: Instance, now: Now) {
        let own = self.swim.identity().identity().is_some_and(|own| own.instance == instance);
        if own || !self.banned.insert(instance) {
            return;
        }
        let of_it = |peer: &Peer| peer.identity().is_some_and(|identity| identity.instance == instance);
        let known: Vec<_> = self.table.others().map(|(peer, _)| peer.clone()).filter(of_it).collect();
        for peer in known {
            let down = foca::Member::down(peer.clone());
            let result = self.swim.apply_many(std::iter::once(down), false, &mut self.effects);
            self.settle(result, now.mono);
            self.forget(peer, now.mono);
        }
    }

    /// Leaves: says so four times, 50 ms apart, then [`Output::Left`]. Nothing is heard from here on.
    pub fn leave(&mut self, now: Now) {
        if !self.is_leaving() {
            self.enter(Phase::Leaving);
            self.timers.clear();
            self.rounds.leave = 0;
            self.run(Chore::Leave, now.mono);
        }
    }

    /// Everybody known, sorted by id: this agent, those present, and those gone for less than 24 hours.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.table.iter()
    }

    /// One member.
    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.table.get(id).map(|(_, member)| member)
    }

    /// What this agent is to others now: generation and bump may be newer than at the start. `None` never happens.
    pub fn identity(&self) -> Option<&Identity> {
        self.swim.identity().identity()
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Self::handle_timeout`], on the monotonic clock, and what for.
    pub fn poll_timeout(&self) -> Option<(Duration, &'static str)> {
        self.timers.next()
    }

    /// Takes a rule away (tests only).
    #[cfg(feature = "mutations")]
    #[doc(hidden)]
    pub fn take_away(&mut self, rule: Rule) {
        self.rules.take_away(rule);
        let config = scale::config(&self.timing, self.scaled_for, &self.rules);
        self.swim = new_swim(self.swim.identity().clone(), config, &mut self.rng, self.codec.clone());
    }

    /// Makes probing stop as an encoding failure in the middle of it would (tests only).
    #[cfg(feature = "mutations")]
    #[doc(hidden)]
    pub fn stop_probing(&mut self) {
        self.timers.drop_probes();
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.stats.standing = phase.as_str();
    }

    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Leaving | Phase::Left)
    }

    /// Decides about the sender. False: nothing more is done with the datagram.
    fn screen_sender(&mut self, from: SocketAddr, parsed: &Parsed, now: Duration) -> bool {
        let own = self.swim.identity().clone();
        let (Some(src), Some(ours)) = (parsed.header.src.identity(), own.identity()) else { return false };
        if self.banned.contains(&src.instance) {
            self.stats.count("banned");
            return false;
        }
        self.contacts.handle_answer(from, &src.id);
        if parsed.header.src.key() == own.key() {
            self.stats.count("from_ourselves");
            let alarm = self.rivals.handle_namesake(ours, src, now.saturating_sub(self.started), now);
            self.outputs.extend(alarm.map(Output::Event));
            if src.instance == ours.instance {
                self.consider_later_life(src.generation, src.bump, now);
            }
            return false;
        }
        if let Some(remembered) = parsed.header.dst.identity() {
            self.consider_later_life(remembered.generation, remembered.bump, now);
        }
        if matches!(&parsed.header.message, Message::PingReq { target, .. } if target.key() == own.key()) {
            // A peer remembers an earlier bump of us and asks us to probe it: harmless, and nothing to do.
            self.stats.count("indirect_for_ourselves");
            return false;
        }
        let known = self.table.get(&src.id).map(|(peer, member)| (peer.clone(), member.clone()));
        match known {
            Some((peer, member)) => {
                let alarm = self.rivals.handle_packet(src, &member.identity, now);
                self.outputs.extend(alarm.map(Output::Event));
                let other_directory = member.identity.instance != src.instance;
                if other_directory && !table::is_active(member.state) {
                    // The old data directory is gone; the clock that numbered its starts says nothing about this one.
                    self.forget(peer, now);
                }
                true
            }
            None => self.make_room(0, now),
        }
    }

    /// Decides about the records: the datagram without those that foca shall not see, if there are such.
    fn screen_records(&mut self, parsed: &Parsed, payload: &[u8], now: Duration) -> Option<Vec<u8>> {
        let own = self.swim.identity().clone();
        let mut events = Vec::new();
        let mut admitted = BTreeSet::new();
        for peer in std::iter::once(&parsed.header.src).chain(parsed.records.iter().map(|record| record.member.id())) {
            let unknown = peer.key() != own.key() && !self.knows(peer) && !admitted.contains(&peer.key());
            if unknown && self.make_room(admitted.len(), now) {
                admitted.insert(peer.key());
            }
        }
        for record in &parsed.records {
            let peer = record.member.id();
            if peer.key() == own.key() {
                self.hear_about_ourselves(peer, record.member.state(), now);
            } else if record.is_leave() {
                self.table.observe_leave(peer, &mut events);
            }
        }
        self.outputs.extend(events.into_iter().map(Output::Event));
        parsed.without(payload, |record| {
            let peer = record.member.id();
            if peer.key() == own.key() {
                return *peer == own;
            }
            let banned = peer.identity().is_none_or(|identity| self.banned.contains(&identity.instance));
            !banned && (admitted.contains(&peer.key()) || self.knows(peer))
        })
    }

    fn knows(&self, peer: &Peer) -> bool {
        peer.identity().is_some_and(|identity| self.table.get(&identity.id).is_some())
    }

    fn hear_about_ourselves(&mut self, peer: &Peer, state: State, now: Duration) {
        let own = self.swim.identity().clone();
        let (Some(theirs), Some(ours)) = (peer.identity(), own.identity()) else { return };
        if theirs.instance == ours.instance {
            self.consider_later_life(theirs.generation, theirs.bump, now);
        } else if state != State::Down && now.saturating_sub(self.started) > chores::HEARSAY_OLD {
            let alarm = self.rivals.handle_namesake(ours, theirs, Duration::MAX, now);
            self.outputs.extend(alarm.map(Output::Event));
        }
    }

    /// R8: somebody remembers this of us. Ours must be later.
    fn consider_later_life(&mut self, generation: Generation, bump: u32, now: Duration) {
        let Some(own) = self.swim.identity().identity() else { return };
        let (ours, our_bump, own) = (own.generation, own.bump, own.clone());
        if !self.rules.keep(Rule::Adopt) {
            return;
        }
        if generation > ours {
            if let Some(next) = self.renewals.adopt(generation, now) {
                self.outputs.push_back(Output::AdoptGeneration(next));
            }
            if self.renewals.is_contested() {
                let other = Identity { generation, ..own.clone() };
                let alarm = self.rivals.handle_namesake(&own, &other, Duration::MAX, now);
                self.outputs.extend(alarm.map(Output::Event));
            }
        } else if generation == ours && bump > our_bump && !self.timers.is_set(Chore::Renew) {
            self.rounds.bump_known = bump;
            let at = self.renewals.schedule(self.rules.keep(Rule::Backoff), now);
            self.timers.set(Chore::Renew, at);
        }
    }

    /// Whether one more than `admitted` new members may enter the table, after forgetting the one that has been gone
    /// longest if need be.
    fn make_room(&mut self, admitted: usize, now: Duration) -> bool {
        if self.table.has_room(admitted) {
            return true;
        }
        match self.table.longest_gone() {
            Some(peer) => self.forget(peer, now),
            None => self.stats.count("table_full"),
        }
        self.table.has_room(admitted)
    }

    fn forget(&mut self, peer: Peer, now: Duration) {
        let result = self.swim.handle_timer(Timer::RemoveDown(peer), &mut self.effects);
        self.settle(result, now);
    }

    fn measure_lateness(&mut self, now: Duration) {
        let late = self.timers.next().map_or(Duration::ZERO, |(at, _)| now.saturating_sub(at));
        self.stats.late_last = late;
        self.stats.late_max = self.stats.late_max.max(late);
        if late > self.timing.probe_rtt && self.phase == Phase::Active && self.rules.keep(Rule::Lateness) {
            self.timers.postpone_verdicts(late, now.saturating_sub(late));
            self.health.handle_lateness(late);
            self.outputs.push_back(Output::Event(Event::Late { by: late }));
        }
    }

    fn fire(&mut self, timer: Timer<Peer>, now: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
            let stands = self.swim.iter_members().any(|member| {
                member.state() == State::Suspect && member.incarnation() == *incarnation && member.id() == member_id
            });
            if !stands && self.rules.keep(Rule::StaleTimer) {
                self.stats.stale_timers += 1;
                return;
            }
        }
        let result = self.swim.handle_timer(timer, &mut self.effects);
        self.settle(result, now);
    }

    /// Carries out what a call into foca asked for, whether it failed or not, and looks at what became of the members.
    fn settle(&mut self, result: Result<(), foca::Error>, now: Duration) {
        if let Err(error) = result {
            self.stats.count_foca(&error);
        }
        for note in std::mem::take(&mut self.effects.notes) {
            self.handle_note(note, now);
        }
        for (timer, after) in std::mem::take(&mut self.effects.timers) {
            let is_probe = matches!(timer, Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. });
            let after = if is_probe { self.health.stretch(after) } else { after };
            self.timers.submit(timer, after, now);
        }
        for (to, payload) in std::mem::take(&mut self.effects.sends) {
            self.transmit(to, payload);
        }
        self.compare_tables(now);
        self.stats.backlog = self.swim.updates_backlog();
        self.stats.health = self.health.score();
    }

    fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.stats.packets_out += 1;
        self.stats.bytes_out += payload.len() as u64;
        self.outputs.push_back(Output::Transmit { to, payload });
    }

    fn handle_note(&mut self, note: Note, now: Duration) {
        match note {
            Note::Active => self.become_active(now),
            Note::Idle => self.become_alone(now),
            Note::Defunct => self.become_defunct(now),
            Note::Pinged => self.health.handle_probe(now),
            Note::ProbeFailed(peer) => {
                self.stats.suspicions += 1;
                self.health.handle_failure();
                self.accused.insert(peer.key());
            }
            Note::Sent(incarnation) => {
                if incarnation > self.incarnation {
                    self.stats.refutations += 1;
                    self.health.handle_refutation();
                }
                self.incarnation = incarnation;
                if incarnation >= INCARNATION_LIMIT && !self.timers.is_set(Chore::Renew) {
                    self.timers.set(Chore::Renew, now);
                }
            }
        }
    }

    fn compare_tables(&mut self, now: Duration) {
        let mut events = Vec::new();
        self.table.observe_self(self.swim.identity(), self.incarnation);
        for member in self.swim.iter_membership_state() {
            self.table.observe(member, now, &mut events);
        }
        self.table.retain(self.swim.iter_membership_state());
        self.outputs.extend(events.into_iter().map(Output::Event));
        self.stats.members = self.table.counts();
        if self.stats.members[1] == 0 {
            self.accused.clear();
        } else if self.phase == Phase::Active && !self.timers.is_set(Chore::Buddy) {
            self.timers.set(Chore::Buddy, now);
        }
        self.rescale();
    }

    /// R10: the budget and the patience of a cluster depend on its size.
    fn rescale(&mut self) {
        let members = self.swim.num_members() + 1;
        if members != self.scaled_for {
            self.scaled_for = members;
            if let Err(error) = self.swim.set_config(scale::config(&self.timing, members, &self.rules)) {
                self.stats.count_foca(&error);
            }
        }
    }

    /// A duration between `from` and `to`.
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + (to - from).mul_f64(f64::from(self.rng.random_range(0..1024_u16)) / 1024.0)
    }
}

fn new_swim(own: Peer, config: foca::Config, rng: &mut StdRng, codec: Codec) -> Swim {
    let seed: [u8; 32] = rng.random();
    Foca::with_custom_broadcast(own, config, StdRng::from_seed(seed), codec, Unheeded)
}
