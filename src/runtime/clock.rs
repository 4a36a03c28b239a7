//! The one place that reads clocks.
#![expect(clippy::disallowed_methods, reason = "this is the home of the clocks")]

use std::time::Duration;

use chrono::{DateTime, Local, Utc};
use rustix::time::{ClockId, clock_gettime};

use crate::cluster::Now;

/// Reads both clocks of the core.
pub fn now() -> Now {
    Now { mono: read(ClockId::Monotonic), boot: read(ClockId::Boottime) }
}

/// The wall clock, for people and for cron; never for the protocol.
pub fn wall() -> DateTime<Local> {
    Local::now()
}

/// The wall clock in UTC, for stamps in answers.
pub fn utc() -> DateTime<Utc> {
    Utc::now()
}

fn read(clock: ClockId) -> Duration {
    let spec = clock_gettime(clock);
    Duration::new(spec.tv_sec.unsigned_abs(), u32::try_from(spec.tv_nsec).unwrap_or(0))
}
