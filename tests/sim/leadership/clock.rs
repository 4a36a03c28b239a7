//! The clocks of one simulated host: both run at one rate, may be frozen together (VM freeze), or only the
//! monotonic one stops (suspend to memory).

use std::time::Duration;

use quorate::cluster::Now;

/// Real time of the simulation, in microseconds since its start.
pub(crate) type Real = u64;

/// How the host's time passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Runs,
    /// Both clocks stand still.
    Frozen,
    /// Only the boot clock runs.
    Suspended,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct HostClock {
    since: Real,
    mono: Duration,
    boot: Duration,
    rate: f64,
    flow: Flow,
}

impl HostClock {
    pub(crate) fn new(rate: f64, origin: Duration) -> Self {
        Self { since: 0, mono: origin, boot: origin * 3, rate, flow: Flow::Runs }
    }

    pub(crate) fn now(&self, real: Real) -> Now {
        let passed = Duration::from_micros(real.saturating_sub(self.since)).mul_f64(self.rate);
        match self.flow {
            Flow::Runs => Now { mono: self.mono + passed, boot: self.boot + passed },
            Flow::Frozen => Now { mono: self.mono, boot: self.boot },
            Flow::Suspended => Now { mono: self.mono, boot: self.boot + passed },
        }
    }

    /// When the monotonic clock will show `mono`, as far as can be said now; never early.
    pub(crate) fn real_at(&self, mono: Duration, real: Real) -> Real {
        let left = mono.saturating_sub(self.now(real).mono);
        if left.is_zero() {
            return real;
        }
        let micros = left.div_f64(self.rate).as_micros();
        real.saturating_add(u64::try_from(micros).unwrap_or(u64::MAX / 2)).saturating_add(2)
    }

    fn rebase(&mut self, real: Real) {
        let now = self.now(real);
        (self.since, self.mono, self.boot) = (real, now.mono, now.boot);
    }

    pub(crate) fn set_rate(&mut self, rate: f64, real: Real) {
        self.rebase(real);
        self.rate = rate;
    }

    pub(crate) fn set_flow(&mut self, flow: Flow, real: Real) {
        self.rebase(real);
        self.flow = flow;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_clock_gains_and_a_frozen_one_stands() {
        let mut clock = HostClock::new(1.01, Duration::ZERO);
        assert_eq!(clock.now(1_000_000).mono, Duration::from_millis(1010));
        clock.set_flow(Flow::Frozen, 1_000_000);
        assert_eq!(clock.now(9_000_000).mono, Duration::from_millis(1010));
        clock.set_flow(Flow::Suspended, 9_000_000);
        let now = clock.now(10_000_000);
        assert_eq!((now.mono, now.boot), (Duration::from_millis(1010), Duration::from_millis(2020)));
    }

    #[test]
    fn a_deadline_is_never_reached_early() {
        let clock = HostClock::new(0.993, Duration::from_secs(7));
        let at = clock.real_at(Duration::from_secs(9), 1234);
        assert!(clock.now(at).mono >= Duration::from_secs(9));
    }
}
