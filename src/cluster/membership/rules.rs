//! Switches that take a rule away, so that a test can show that the rule is what holds.
//!
//! Without the cargo feature `mutations` every rule is kept and the switches are constants.

use std::collections::BTreeSet;

/// A rule of the driver (R numbers: the gossip reference's driver rules, repeated in ARCHITECTURE.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// R3: while alone, announce until somebody answers.
    Rejoin,
    /// R4: keep announcing to whoever is missing.
    Reseed,
    /// R5: after joining, ask several members for more.
    Burst,
    /// R6: a suspicion that was refuted is not carried out.
    StaleTimer,
    /// R7: a member that was declared down waits before it renews itself.
    Backoff,
    /// R8: a member adopts a newer generation of itself that others remember.
    Adopt,
    /// R9: a leave is said several times.
    LeaveRepeats,
    /// R10: an update is repeated often enough.
    Budget,
    /// R11: a suspect is told.
    Buddy,
    /// R12: probing that stopped is started again.
    Watchdog,
    /// Time in which this agent did not run is not held against others.
    Lateness,
}

/// Which rules are switched off: none, outside of tests.
#[derive(Debug, Default)]
pub(super) struct Rules {
    broken: BTreeSet<Rule>,
}

impl Rules {
    pub(super) fn keep(&self, rule: Rule) -> bool {
        !cfg!(feature = "mutations") || !self.broken.contains(&rule)
    }

    #[cfg(feature = "mutations")]
    pub(super) fn take_away(&mut self, rule: Rule) {
        self.broken.insert(rule);
    }
}
