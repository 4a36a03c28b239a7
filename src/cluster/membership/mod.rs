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
//! | R6 a refuted suspicion is dropped | `settle` |
//! | R7 renew with back-off, R8 never behind what others remember of us | `renewals`, `inbound` |
//! | R9 say a leave several times | `chores` |
//! | R10 repeat updates often enough | `scale` |
//! | R11 tell suspects, R12 watch that probing goes on | `chores` |
//! | R13 count | [`Stats`] |
//! | an agent that is itself late does not accuse | `health`, `settle` |
//! | two processes under one name are loud, not a storm | `id_conflicts`, `inbound` |
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
mod codec;
mod effects;
mod fuzz;
mod health;
mod id_conflicts;
mod inbound;
mod join_addresses;
mod maintenance;
mod output;
mod packet_filter;
mod peer;
mod renewals;
mod rules;
mod scale;
mod settle;
mod short_acks;
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

use foca::{Foca, Timer};
use quorate_proto::{Generation, Identity, Instance, MemberId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::codec::Codec;
use self::effects::{Effects, Unheeded};
use self::health::Health;
use self::id_conflicts::IdConflicts;
use self::join_addresses::JoinAddresses;
use self::peer::Peer;
use self::renewals::Renewals;
use self::rules::Rules;
use self::table::Table;
use self::timers::{Chore, Due, Timers};
use super::clock::Now;
use super::settings::GossipTiming;

pub use self::fuzz::fuzz_datagram;
pub use self::output::{Event, Member, Output};
#[doc(hidden)]
pub use self::rules::Rule;
pub use self::scale::PACKET_MAX;
pub use self::stats::Stats;
pub use self::table::MEMBERS_MAX;

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
    join_addresses: JoinAddresses,
    health: Health,
    renewals: Renewals,
    conflicts: IdConflicts,
    banned: BTreeSet<Instance>,
    stats: Stats,
    phase: Phase,
    rounds: maintenance::Rounds,
    accused: BTreeSet<u128>,
    incarnation: u16,
    scaled_for: usize,
    started: Duration,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Membership").field("phase", &self.phase).field("table", &self.table).finish_non_exhaustive()
    }
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
        timers.set(Chore::Forget, now.mono + maintenance::FORGET_PERIOD);
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
            join_addresses: JoinAddresses::default(),
            health: Health::default(),
            renewals: Renewals::default(),
            conflicts: IdConflicts::default(),
            banned: BTreeSet::new(),
            stats: Stats { members: [1, 0, 0, 0], standing: Phase::Alone.as_str(), ..Stats::default() },
            phase: Phase::Alone,
            rounds: maintenance::Rounds::default(),
            accused: BTreeSet::new(),
            incarnation: 0,
            scaled_for: 1,
            started: now.mono,
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
        if self.join_addresses.handle_seeds(seeds) {
            self.rejoin_soon(now.mono);
        }
    }

    /// Members remembered from an earlier life. They are tried like seeds while they are missing.
    pub fn handle_address_book(&mut self, peers: Vec<(MemberId, SocketAddr)>, now: Now) {
        if self.join_addresses.handle_book(peers) {
            self.rejoin_soon(now.mono);
        }
    }

    /// The generation asked for by [`Output::AdoptGeneration`] is durable. One that is not higher is ignored.
    pub fn handle_generation(&mut self, generation: Generation, now: Now) {
        self.renewals.handle_generation();
        let ours = self.swim.identity().identity().map_or(Generation(u64::MAX), |own| own.generation);
        if generation > ours && !self.is_leaving() {
            self.stats.adoptions += 1;
            self.rounds.bump_known = 0;
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

    fn forget(&mut self, peer: Peer, now: Duration) {
        let result = self.swim.handle_timer(Timer::RemoveDown(peer), &mut self.effects);
        self.settle(result, now);
    }

    /// A duration between `from` and `to`.
    fn between(&mut self, from: Duration, to: Duration) -> Duration {
        from + to.saturating_sub(from).mul_f64(f64::from(self.rng.random_range(0..1024_u16)) / 1024.0)
    }
}

fn new_swim(own: Peer, config: foca::Config, rng: &mut StdRng, codec: Codec) -> Swim {
    let seed: [u8; 32] = rng.random();
    Foca::with_custom_broadcast(own, config, StdRng::from_seed(seed), codec, Unheeded)
}
