//! What the driver does by itself: join, look for the missing, come back, say goodbye, tell suspects, watch.
//!
//! foca announces, gossips once and forgets; in a network that loses packets each of those needs somebody who repeats
//! it until it worked. That is all that these duties are.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use foca::{Header, Message, State};

use super::codec::{Codec, LEFT};
use super::peer::Peer;
use super::rules::Rule;
use super::table::{REMEMBERED, is_active};
use super::timers::Chore;
use super::{Event, Membership, Output, Phase, new_swim, scale};
use crate::cluster::view::MemberState;

const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// How often gone members are looked through for those to forget.
pub(super) const FORGET_PERIOD: Duration = Duration::from_mins(1);

/// The first announces of a lonely member follow each other quickly: the seeds may be starting at the same moment.
const REJOIN_FIRST: Duration = ms(100);
const REJOIN_SLOW: (Duration, Duration) = (ms(500), ms(1_000));
/// Remembered members tried in each round, besides all seeds.
const REJOIN_REMEMBERED: usize = 2;
/// Missing members tried in each round, besides all missing seeds. The rounds take turns.
const RESEED_REMEMBERED: usize = 8;
const BURST: (Duration, Duration) = (ms(100), ms(200));
const BURST_TARGETS: usize = 3;
/// The join burst ends after this many rounds that brought nobody new.
const BURST_QUIET: u8 = 8;
const LEAVE_ROUNDS: u8 = 4;
const LEAVE_PERIOD: Duration = ms(50);
/// Members told of a leave in each round; they tell the others.
const LEAVE_TARGETS: usize = 8;
/// Suspects told in each round; more of them at once is not their failure.
const SUSPECTS_TOLD: usize = 16;
/// Of a large cluster, about this many tell a suspect at a time, besides those that suspect it themselves.
const BUDDIES: u32 = 10;

/// Where each repeated duty stands.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    /// Rounds of goodbye that were sent.
    pub(super) leave: u8,
    /// The highest bump of ours that others remember.
    pub(super) bump_known: u32,
    rejoin_wait: Duration,
    burst_quiet: u8,
    burst_best: usize,
    turn: usize,
}

impl Membership {
    pub(super) fn run(&mut self, chore: Chore, now: Duration) {
        match chore {
            Chore::Rejoin => self.rejoin(now),
            Chore::Reseed => self.reseed(now),
            Chore::Burst => self.burst(now),
            Chore::Renew => self.renew(now),
            Chore::Leave => self.say_goodbye(now),
            Chore::Buddy => self.tell_suspects(now),
            Chore::Watch => self.watch(now),
            Chore::Forget => self.forget_the_gone(now),
        }
    }

    pub(super) fn become_active(&mut self, now: Duration) {
        self.enter(Phase::Active);
        self.health.restart(now);
        self.timers.cancel(Chore::Rejoin);
        self.timers.set(Chore::Watch, now + self.timing.probe_period);
        if self.rules.keep(Rule::Burst) {
            self.rounds.burst_quiet = 0;
            self.rounds.burst_best = 0;
            self.timers.set(Chore::Burst, now + BURST.0);
        }
        if self.rules.keep(Rule::Reseed) {
            let at = now + self.jittered(self.timing.reseed_period);
            self.timers.set(Chore::Reseed, at);
        }
    }

    pub(super) fn become_alone(&mut self, now: Duration) {
        self.enter(Phase::Alone);
        for chore in [Chore::Reseed, Chore::Burst, Chore::Buddy, Chore::Watch] {
            self.timers.cancel(chore);
        }
        self.rejoin_soon(now);
    }

    pub(super) fn become_defunct(&mut self, now: Duration) {
        self.become_alone(now);
        self.enter(Phase::Defunct);
        self.timers.cancel(Chore::Rejoin);
        if !self.timers.is_set(Chore::Renew) {
            let at = self.renewals.schedule(self.rules.keep(Rule::Backoff), now);
            self.timers.set(Chore::Renew, at);
        }
    }

    /// Takes a new identity of ours and joins with it.
    pub(super) fn become_again(&mut self, identity: Peer, now: Duration) {
        self.timers.cancel(Chore::Renew);
        let result = self.swim.change_identity(identity, &mut self.effects);
        self.incarnation = 0;
        self.settle(result, now);
        self.become_alone(now);
    }

    /// R3: the next round is now, and the rounds after it quick again.
    pub(super) fn rejoin_soon(&mut self, now: Duration) {
        if self.phase == Phase::Alone && self.rules.keep(Rule::Rejoin) {
            self.rounds.rejoin_wait = REJOIN_FIRST;
            self.timers.set(Chore::Rejoin, now);
        } else if self.phase == Phase::Active && self.rules.keep(Rule::Reseed) {
            self.timers.set(Chore::Reseed, now);
        }
    }

    fn rejoin(&mut self, now: Duration) {
        let own_addr = self.swim.identity().destination();
        let seeds = self.join_addresses.missing_seeds(&own_addr.into_iter().collect(), |id| Some(id) == self.own_id());
        let (alive, gone): (Vec<_>, Vec<_>) = self.table.others().partition(|(_, member)| is_active(member.state));
        let book = self.join_addresses.missing_book(|id| self.table.get(id).is_some());
        let groups = [
            seeds.into_iter().map(Peer::Address).collect::<Vec<_>>(),
            alive.into_iter().map(|(peer, _)| peer.clone()).collect(),
            gone.into_iter().filter(|(_, member)| is_worth_a_try(member.state)).map(|(peer, _)| peer.clone()).collect(),
            book.into_iter().map(Peer::Address).collect(),
        ];
        for (nth, mut group) in groups.into_iter().enumerate() {
            if nth > 0 {
                self.choose(&mut group, REJOIN_REMEMBERED);
            }
            self.announce(group, now);
        }
        if self.phase == Phase::Alone {
            let slow = self.between(REJOIN_SLOW.0, REJOIN_SLOW.1);
            let wait = self.rounds.rejoin_wait.min(slow);
            self.rounds.rejoin_wait = (self.rounds.rejoin_wait * 2).min(REJOIN_SLOW.1);
            self.timers.set(Chore::Rejoin, now + wait);
        }
    }

    /// R4: SWIM forgets the dead, and islands that never met do not merge by themselves. So whoever is missing is
    /// asked again, for ever.
    fn reseed(&mut self, now: Duration) {
        let present = self.table.present_addresses();
        let is_present = |id: &_| self.table.is_present(id);
        let mut targets: Vec<_> =
            self.join_addresses.missing_seeds(&present, is_present).into_iter().map(Peer::Address).collect();
        let covered: BTreeSet<SocketAddr> = targets.iter().filter_map(Peer::destination).collect();
        // Those we remember are named by the life that we remember, which tells them what that is (R8).
        let gone = self.table.others().filter(|(_, member)| is_worth_a_try(member.state)).map(|(peer, _)| peer.clone());
        let book = self.join_addresses.missing_book(|id| self.table.get(id).is_some()).into_iter().map(Peer::Address);
        let others: Vec<_> =
            gone.chain(book).filter(|peer| peer.destination().is_some_and(|addr| !covered.contains(&addr))).collect();
        if !others.is_empty() {
            let start = self.rounds.turn % others.len();
            targets.extend(others.iter().cycle().skip(start).take(RESEED_REMEMBERED.min(others.len())).cloned());
            self.rounds.turn = start + RESEED_REMEMBERED;
        }
        self.announce(targets, now);
        let at = now + self.jittered(self.timing.reseed_period);
        self.timers.set(Chore::Reseed, at);
    }

    /// R5: one Feed names about twenty members, so ask on until nobody is new.
    fn burst(&mut self, now: Duration) {
        let members = self.swim.num_members();
        if members > self.rounds.burst_best {
            self.rounds.burst_best = members;
            self.rounds.burst_quiet = 0;
        } else {
            self.rounds.burst_quiet += 1;
        }
        if self.rounds.burst_quiet < BURST_QUIET {
            let targets = self.active(BURST_TARGETS);
            self.announce(targets, now);
            let at = now + self.between(BURST.0, BURST.1);
            self.timers.set(Chore::Burst, at);
        }
    }

    /// R7: the wait is over; come back under a new bump.
    fn renew(&mut self, now: Duration) {
        let Some((generation, bump)) = self.identity().map(|own| (own.generation, own.bump)) else { return };
        let bump = bump.max(self.rounds.bump_known).saturating_add(1);
        self.rounds.bump_known = 0;
        self.stats.renewals += 1;
        self.outputs.push_back(Output::Event(Event::Renewed { bump }));
        let next = self.swim.identity().at(generation, bump);
        self.become_again(next, now);
    }

    /// R9. The record says "left" rather than "down", and whoever hears it passes it on as such.
    fn say_goodbye(&mut self, now: Duration) {
        let rounds = if self.rules.keep(Rule::LeaveRepeats) { LEAVE_ROUNDS } else { 1 };
        if self.rounds.leave >= rounds {
            self.enter(Phase::Left);
            self.timers.clear();
            self.outputs.push_back(Output::Left);
            return;
        }
        self.rounds.leave += 1;
        let gone = foca::Member::new(self.swim.identity().clone(), LEFT, State::Down);
        for peer in self.active(LEAVE_TARGETS) {
            self.gossip_one(peer, &gone);
        }
        self.timers.set(Chore::Leave, now + LEAVE_PERIOD);
    }

    /// R11: nothing else prefers to tell a suspect about its suspicion, and only it can end it.
    fn tell_suspects(&mut self, now: Duration) {
        if !self.rules.keep(Rule::Buddy) || self.phase != Phase::Active {
            return;
        }
        let mut suspects: Vec<_> =
            self.swim.iter_members().filter(|member| member.state() == State::Suspect).cloned().collect();
        if suspects.is_empty() {
            return;
        }
        self.choose(&mut suspects, SUSPECTS_TOLD);
        let members = u32::try_from(self.scaled_for).unwrap_or(u32::MAX);
        for suspect in suspects {
            let ours = self.accused.contains(&suspect.id().key());
            if ours || members <= BUDDIES || rand::RngExt::random_range(&mut self.rng, 0..members) < BUDDIES {
                self.gossip_one(suspect.id().clone(), &suspect);
            }
        }
        self.timers.set(Chore::Buddy, now + self.timing.buddy_period);
    }

    /// R12: an error while a probe is prepared loses the timer of the next one.
    fn watch(&mut self, now: Duration) {
        let patience = self.health.stretch(self.timing.probe_period) * 3;
        if self.health.silence(now) > patience && self.rules.keep(Rule::Watchdog) {
            let members: Vec<_> = self.swim.iter_membership_state().cloned().collect();
            let config = scale::config(&self.timing, self.scaled_for, &self.rules);
            self.swim = new_swim(self.swim.identity().clone(), config, &mut self.rng, self.codec.clone());
            self.timers.clear_swim();
            self.stats.rebuilds += 1;
            self.outputs.push_back(Output::Event(Event::Rebuilt));
            let result = self.swim.apply_many(members.into_iter(), false, &mut self.effects);
            self.settle(result, now);
        }
        if self.phase == Phase::Active {
            self.timers.set(Chore::Watch, now + self.timing.probe_period);
        }
    }

    fn forget_the_gone(&mut self, now: Duration) {
        if let Some(deadline) = now.checked_sub(REMEMBERED) {
            for peer in self.table.gone_before(deadline) {
                self.forget(peer, now);
            }
        }
        self.timers.set(Chore::Forget, now + FORGET_PERIOD);
    }

    fn announce(&mut self, targets: Vec<Peer>, now: Duration) {
        for peer in targets {
            self.stats.announces += 1;
            let result = self.swim.announce(peer, &mut self.effects);
            self.settle(result, now);
        }
    }

    /// Sends a Gossip of our own making with one record. To the receiver it is ordinary traffic.
    fn gossip_one(&mut self, to: Peer, record: &foca::Member<Peer>) {
        let Some(addr) = to.destination() else { return };
        let header = Header {
            src: self.swim.identity().clone(),
            src_incarnation: self.incarnation,
            dst: to,
            message: Message::Gossip,
        };
        let mut payload = Vec::with_capacity(192);
        let put = Codec::put_header(&header, &mut payload).and_then(|()| {
            payload.extend_from_slice(&1u16.to_be_bytes());
            Codec::put_member(record, &mut payload)
        });
        match put {
            Ok(()) => self.transmit(addr, payload),
            Err(_) => self.stats.count("encode"),
        }
    }

    fn own_id(&self) -> Option<&quorate_proto::MemberId> {
        self.identity().map(|own| &own.id)
    }

    /// Up to `count` random members that are present.
    fn active(&mut self, count: usize) -> Vec<Peer> {
        let mut all: Vec<_> = self.swim.iter_members().map(|member| member.id().clone()).collect();
        self.choose(&mut all, count);
        all
    }

    /// Keeps `count` of them, at random.
    fn choose<T: Clone>(&mut self, from: &mut Vec<T>, count: usize) {
        let (chosen, _) = rand::seq::SliceRandom::partial_shuffle(from.as_mut_slice(), &mut self.rng, count);
        *from = chosen.to_vec();
    }

    /// A tenth more or less, so that agents started together do not stay in step.
    fn jittered(&mut self, period: Duration) -> Duration {
        self.between(period.mul_f64(0.9), period.mul_f64(1.1))
    }
}

/// Members that left do not want to be found.
fn is_worth_a_try(state: MemberState) -> bool {
    state == MemberState::Down
}
