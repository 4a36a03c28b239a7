//! The two clocks the core is told. It reads none itself.

use std::time::Duration;

/// A reading of both clocks, each since an arbitrary origin of its own that does not change while the process lives.
///
/// Timers and grantors count on `mono` (slow is safe for a grantor). A lease holder counts on whichever advanced
/// further (rule R14), because `CLOCK_MONOTONIC` stops while the machine is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Now {
    /// `CLOCK_MONOTONIC`.
    pub mono: Duration,
    /// `CLOCK_BOOTTIME`.
    pub boot: Duration,
}

impl Now {
    /// The time that surely has passed for a lease holder since `earlier`: the larger of the two (R14).
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.mono.saturating_sub(earlier.mono).max(self.boot.saturating_sub(earlier.boot))
    }
}
