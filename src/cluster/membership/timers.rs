//! Every deadline of membership in one order (rule R2): by time, then by kind as foca wants it, then by age.
//!
//! foca must see `SendIndirectProbe` before the `ProbeRandomMember` of the same moment, or it calls its own probe
//! incomplete. Besides foca's timers there are chores, the driver's own; each has at most one deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::Timer;

use super::peer::Peer;

/// A duty of the driver that comes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Chore {
    /// R3: announce while alone.
    Rejoin,
    /// R4: announce to the missing.
    Reseed,
    /// R5: ask for more members.
    Burst,
    /// R7: take a new bump.
    Renew,
    /// R9: say again that we leave.
    Leave,
    /// R11: tell suspects.
    Buddy,
    /// R12: see that probing goes on.
    Watch,
    /// Forget members that are gone for long.
    Forget,
}

impl Chore {
    fn as_str(self) -> &'static str {
        match self {
            Self::Rejoin => "rejoin",
            Self::Reseed => "reseed",
            Self::Burst => "join burst",
            Self::Renew => "renew",
            Self::Leave => "leave",
            Self::Buddy => "tell suspects",
            Self::Watch => "watch probing",
            Self::Forget => "forget the gone",
        }
    }
}

/// What came due.
#[derive(Debug)]
pub(super) enum Due {
    Swim(Timer<Peer>),
    Chore(Chore),
}

#[derive(Debug)]
struct Pending {
    timer: Timer<Peer>,
    since: Duration,
}

/// All deadlines.
#[derive(Debug, Default)]
pub(super) struct Timers {
    swim: BTreeMap<(Duration, u8, u64), Pending>,
    chores: BTreeMap<Chore, Duration>,
    count: u64,
}

impl Timers {
    /// Adds a timer of foca.
    pub(super) fn submit(&mut self, timer: Timer<Peer>, after: Duration, now: Duration) {
        self.count += 1;
        self.swim.insert((now + after, class(&timer), self.count), Pending { timer, since: now });
    }

    /// Sets the deadline of a chore, replacing the one it had.
    pub(super) fn set(&mut self, chore: Chore, at: Duration) {
        self.chores.insert(chore, at);
    }

    pub(super) fn cancel(&mut self, chore: Chore) {
        self.chores.remove(&chore);
    }

    pub(super) fn is_set(&self, chore: Chore) -> bool {
        self.chores.contains_key(&chore)
    }

    /// Drops every timer of foca, for an instance that is replaced.
    pub(super) fn clear_swim(&mut self) {
        self.swim.clear();
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        self.swim.clear();
        self.chores.clear();
    }

    /// The next deadline and its reason.
    pub(super) fn next(&self) -> Option<(Duration, &'static str)> {
        let swim = self.swim.first_key_value().map(|((at, ..), pending)| (*at, reason(&pending.timer)));
        let chore = self.chores.iter().map(|(chore, at)| (*at, chore.as_str())).min_by_key(|(at, _)| *at);
        match (swim, chore) {
            (Some(swim), Some(chore)) => Some(if chore.0 < swim.0 { chore } else { swim }),
            (swim, chore) => swim.or(chore),
        }
    }

    /// Takes the earliest of what is due.
    pub(super) fn pop(&mut self, now: Duration) -> Option<Due> {
        let chore = self.chores.iter().map(|(chore, at)| (*at, *chore)).min().filter(|(at, _)| *at <= now);
        let swim = self.swim.first_key_value().map(|((at, ..), _)| *at).filter(|at| *at <= now);
        match (swim, chore) {
            (swim, Some((at, chore))) if swim.is_none_or(|swim| at < swim) => {
                self.chores.remove(&chore);
                Some(Due::Chore(chore))
            }
            (Some(_), _) => self.swim.pop_first().map(|(_, pending)| Due::Swim(pending.timer)),
            (None, _) => None,
        }
    }

    /// Moves probes and suspicions that were waiting when this agent stopped running by the time it did not run:
    /// others had no chance to answer in that time.
    pub(super) fn postpone_verdicts(&mut self, by: Duration, asleep_since: Duration) {
        let moved: Vec<_> = self
            .swim
            .iter()
            .filter(|((_, class, _), pending)| *class <= VERDICTS && pending.since <= asleep_since)
            .map(|(key, _)| *key)
            .collect();
        for key in moved {
            if let Some(pending) = self.swim.remove(&key) {
                self.swim.insert((key.0 + by, key.1, key.2), pending);
            }
        }
    }

    #[cfg(any(test, feature = "mutations"))]
    pub(super) fn drop_probes(&mut self) {
        self.swim.retain(|_, pending| !matches!(pending.timer, Timer::ProbeRandomMember(_)));
    }

    #[cfg(test)]
    pub(super) fn suspicions(&self) -> Vec<Duration> {
        self.swim.keys().filter(|(_, class, _)| *class == VERDICTS).map(|(at, ..)| *at).collect()
    }
}

/// Timers of this class and below are the steps from a probe to a verdict.
const VERDICTS: u8 = 2;

fn class(timer: &Timer<Peer>) -> u8 {
    match timer {
        Timer::SendIndirectProbe { .. } => 0,
        Timer::ProbeRandomMember(_) => 1,
        Timer::ChangeSuspectToDown { .. } => VERDICTS,
        Timer::PeriodicAnnounce(_) => 3,
        Timer::PeriodicGossip(_) => 4,
        Timer::RemoveDown(_) => 5,
        Timer::PeriodicAnnounceDown(_) => 6,
    }
}

fn reason(timer: &Timer<Peer>) -> &'static str {
    match timer {
        Timer::SendIndirectProbe { .. } => "indirect probe",
        Timer::ProbeRandomMember(_) => "probe",
        Timer::ChangeSuspectToDown { .. } => "suspicion",
        Timer::PeriodicAnnounce(_) => "announce",
        Timer::PeriodicGossip(_) => "gossip",
        Timer::RemoveDown(_) => "forget",
        Timer::PeriodicAnnounceDown(_) => "announce to the down",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn an_indirect_probe_comes_before_the_probe_of_the_same_moment() {
        let mut timers = Timers::default();
        timers.submit(Timer::ProbeRandomMember(0), ms(20), ms(0));
        timers.submit(Timer::SendIndirectProbe { probed_id: Peer::Stranger, token: 0 }, ms(10), ms(10));
        timers.set(Chore::Watch, ms(20));
        assert_eq!(timers.next(), Some((ms(20), "indirect probe")));
        assert!(timers.pop(ms(19)).is_none());
        assert!(matches!(timers.pop(ms(20)), Some(Due::Swim(Timer::SendIndirectProbe { .. }))));
        assert!(matches!(timers.pop(ms(20)), Some(Due::Swim(Timer::ProbeRandomMember(_)))));
        assert!(matches!(timers.pop(ms(20)), Some(Due::Chore(Chore::Watch))));
        assert!(timers.next().is_none());
    }

    #[test]
    fn only_verdicts_that_waited_are_postponed() {
        let mut timers = Timers::default();
        let suspicion = || Timer::ChangeSuspectToDown { member_id: Peer::Stranger, incarnation: 0, token: 0 };
        timers.submit(suspicion(), ms(100), ms(0));
        timers.submit(Timer::PeriodicGossip(0), ms(100), ms(0));
        timers.submit(suspicion(), ms(100), ms(900));
        timers.postpone_verdicts(ms(800), ms(100));
        assert_eq!(timers.suspicions(), [ms(900), ms(1000)]);
        assert_eq!(timers.next(), Some((ms(100), "gossip")));
    }
}
