//! Whether this agent is itself the one that is slow (Lifeguard, arXiv 1707.00788, "local health").
//!
//! A score from 0 to 8 multiplies the probe timers by one plus it. It falls with every probe that succeeds. What it
//! grows by is of two kinds. That this agent ran late is certain, and counts up to 8. That it had to refute, or that two
//! of its probes failed in a row (one failure says more about the other side), may as well be the network: it counts up
//! to 2, because in a small cluster that loses a third of its packets the score would otherwise stay high, and dying
//! members would be noticed seconds later for no fewer mistakes.

use std::time::Duration;

const WORST: u8 = 8;
const WORST_BY_HEARSAY: u8 = 2;

/// The score and what it is made of.
#[derive(Debug, Default)]
pub(super) struct Health {
    score: u8,
    probing: bool,
    failed_before: bool,
    last_probe: Duration,
}

impl Health {
    pub(super) fn score(&self) -> u8 {
        self.score
    }

    /// What a probe timer of `after` is stretched to.
    pub(super) fn stretch(&self, after: Duration) -> Duration {
        after * (u32::from(self.score) + 1)
    }

    /// A probe begins. If the one before did not fail, it succeeded.
    pub(super) fn handle_probe(&mut self, now: Duration) {
        if self.probing {
            self.score = self.score.saturating_sub(1);
            self.failed_before = false;
        }
        self.probing = true;
        self.last_probe = now;
    }

    /// The running probe failed.
    pub(super) fn handle_failure(&mut self) {
        if self.failed_before {
            self.worsen(WORST_BY_HEARSAY);
        }
        self.failed_before = true;
        self.probing = false;
    }

    /// Somebody suspected this agent.
    pub(super) fn handle_refutation(&mut self) {
        self.worsen(WORST_BY_HEARSAY);
    }

    /// This agent did not run for a while.
    pub(super) fn handle_lateness(&mut self, by: Duration) {
        self.worsen(WORST);
        self.probing = false;
        self.last_probe += by;
    }

    /// Probing starts anew.
    pub(super) fn restart(&mut self, now: Duration) {
        self.probing = false;
        self.last_probe = now;
    }

    /// How long no probe began.
    pub(super) fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last_probe)
    }

    fn worsen(&mut self, at_most: u8) {
        if self.score < at_most {
            self.score += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_probe_is_the_others_fault_and_two_are_ours() {
        let mut health = Health::default();
        let now = Duration::ZERO;
        health.handle_probe(now);
        health.handle_failure();
        assert_eq!(health.score(), 0);
        health.handle_probe(now);
        health.handle_failure();
        assert_eq!(health.score(), 1);
        health.handle_probe(now);
        health.handle_probe(now);
        assert_eq!(health.score(), 0, "a success heals");
    }

    #[test]
    fn lateness_counts_for_more_than_the_word_of_others() {
        let mut health = Health::default();
        for _ in 0..20 {
            health.handle_refutation();
        }
        assert_eq!(health.stretch(Duration::from_millis(250)), Duration::from_millis(750));
        for _ in 0..20 {
            health.handle_lateness(Duration::from_secs(1));
        }
        assert_eq!(health.stretch(Duration::from_millis(250)), Duration::from_millis(2_250));
    }
}
