//! The clocks of the guardian process. It may not borrow the runtime's: that room is above this one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::cluster::Now;

/// Reads both clocks. They are the machine's, so that a reading in one process compares with one in another.
pub(super) fn now() -> Now {
    Now { mono: read(ClockId::Monotonic), boot: read(ClockId::Boottime) }
}

fn read(clock: ClockId) -> Duration {
    let spec = clock_gettime(clock);
    Duration::new(spec.tv_sec.unsigned_abs(), u32::try_from(spec.tv_nsec).unwrap_or(0))
}
