//! Authority as a value: an epoch and the end of the window in which its holder may act.

use std::time::Duration;

use quorate_proto::Epoch;

use crate::cluster::Now;

/// The right to act under an epoch until a moment. Only `cluster/leadership` makes one; work that changes the
/// world takes one and checks it immediately before each effect (rule R15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    epoch: Epoch,
    /// When the round that a majority answered was sent.
    counted_from: Now,
    /// L, counted from there on the faster of the two clocks (R13, R14).
    length: Duration,
}

impl Lease {
    pub(in crate::cluster) fn new(epoch: Epoch, counted_from: Now, length: Duration) -> Self {
        Self { epoch, counted_from, length }
    }

    /// A lease that nobody granted, for the tests of what takes one. Never named outside of tests (`tests/guardian.rs` looks).
    #[doc(hidden)]
    pub fn fabricated(epoch: Epoch, counted_from: Now, length: Duration) -> Self {
        Self::new(epoch, counted_from, length)
    }

    /// The fencing token.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// L: how long it is altogether.
    pub(in crate::cluster) fn length(&self) -> Duration {
        self.length
    }

    /// What is left of the window; zero when it is over.
    pub fn left(&self, now: Now) -> Duration {
        self.length.saturating_sub(now.since(self.counted_from))
    }

    /// Whether at least `margin` of the window is left.
    pub fn is_live(&self, margin: Duration, now: Now) -> bool {
        self.left(now) > margin
    }

    /// When the window ends on `CLOCK_BOOTTIME`, if that clock advances normally: for the guardian's deadline.
    pub fn ends_boot(&self) -> Duration {
        self.counted_from.boot + self.length
    }

    /// When the window ends on `CLOCK_MONOTONIC`: for waking up, never for deciding.
    pub fn ends_mono(&self) -> Duration {
        self.counted_from.mono + self.length
    }
}
