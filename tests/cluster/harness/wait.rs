//! Waiting for conditions, and how long it took.

use std::time::{Duration, Instant};

/// Generous: the machine may be busy. No test waits this long when it passes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(15);

/// Waits until a condition holds; panics after [`LIMIT`].
pub(crate) fn eventually(what: &str, condition: impl FnMut() -> bool) -> Duration {
    within(LIMIT, what, condition)
}

/// Waits until a condition holds; panics after `limit`.
pub(crate) fn within(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(LOOK);
    }
    begun.elapsed()
}
