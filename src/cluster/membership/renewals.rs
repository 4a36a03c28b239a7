//! Coming back after others declared us down, without ever doing so at wire speed (rules R7 and R8).
//!
//! A member that is held as down takes a new bump; one of which others remember a later generation takes the generation
//! after that one, once it is on disk. Two processes that claim to be one member would make each other do so for ever,
//! so each time within a minute doubles the wait, up to five seconds.

use std::time::Duration;

use foca::Incarnation;
use quorate_proto::Generation;

/// A member that refuted this often takes a new bump, which starts at zero again: at the highest number it could not
/// refute any more, and that number means "left".
pub(super) const INCARNATION_LIMIT: Incarnation = 60_000;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// After this long without one, waits start small again.
const CALM: Duration = Duration::from_mins(1);
/// More adoptions than this without a calm minute mean that somebody else uses our name and data.
const ADOPTIONS_ALLOWED: u32 = 3;
/// A bump beyond this is not believed either.
pub(super) const BUMP_BELIEVED: u32 = u32::MAX / 2;
/// A generation beyond this is not believed: no clock says so, and it leaves none to follow.
const GENERATION_BELIEVED: u64 = super::bytes::GENERATION_LIMIT / 2;

/// Waits that grow while something keeps happening.
#[derive(Debug, Default)]
struct Backoff {
    wait: Duration,
    last: Option<Duration>,
}

impl Backoff {
    /// The moment for the next one, which counts as having happened then.
    fn next(&mut self, now: Duration) -> Duration {
        self.wait = if self.is_calm(now) { FIRST } else { (self.wait * 2).clamp(FIRST, LONGEST) };
        self.last = Some(now + self.wait);
        now + self.wait
    }

    fn is_calm(&self, now: Duration) -> bool {
        self.last.is_none_or(|last| now.saturating_sub(last) > CALM)
    }

    fn is_waiting(&self, now: Duration) -> bool {
        self.last.is_some_and(|last| now < last)
    }
}

/// Both kinds of coming back. Each has waits of its own: a member behind its own past renews in vain until it adopts,
/// and must not be kept from that by having renewed.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    renewed: Backoff,
    adopted: Backoff,
    adoptions: u32,
    adopting: Option<Generation>,
}

impl Renewals {
    /// When the next renewal may happen.
    pub(super) fn schedule(&mut self, backoff: bool, now: Duration) -> Duration {
        if backoff { self.renewed.next(now) } else { now }
    }

    /// Others remember `theirs` of us: the generation to adopt, if it is time to.
    pub(super) fn adopt(&mut self, theirs: Generation, now: Duration) -> Option<Generation> {
        if self.adopting.is_some() || self.adopted.is_waiting(now) || theirs.0 >= GENERATION_BELIEVED {
            return None;
        }
        self.adoptions = if self.adopted.is_calm(now) { 1 } else { self.adoptions + 1 };
        self.adopted.next(now);
        self.adopting = Some(theirs.next());
        self.adopting
    }

    /// The adopted generation is on disk, or another one is.
    pub(super) fn handle_generation(&mut self) {
        self.adopting = None;
    }

    /// Whether this happens so often that another process must be using our name and data.
    pub(super) fn is_contested(&self) -> bool {
        self.adoptions > ADOPTIONS_ALLOWED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn waits_double_to_five_seconds_and_calm_down() {
        let mut renewals = Renewals::default();
        let mut now = ms(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let at = renewals.schedule(true, now);
            waits.push(at.saturating_sub(now).as_millis());
            now = at;
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        now += CALM + ms(1);
        assert_eq!(renewals.schedule(true, now), now + FIRST);
    }

    #[test]
    fn a_generation_is_adopted_once_and_not_from_the_far_future() {
        let mut renewals = Renewals::default();
        assert_eq!(renewals.adopt(Generation(u64::MAX), ms(0)), None);
        assert_eq!(renewals.adopt(Generation(7), ms(0)), Some(Generation(8)));
        assert_eq!(renewals.adopt(Generation(9), ms(5_000)), None, "the first is not on disk yet");
        renewals.handle_generation();
        assert_eq!(renewals.adopt(Generation(9), ms(5_000)), Some(Generation(10)));
        assert!(!renewals.is_contested());
    }
}
