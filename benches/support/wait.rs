//! Waiting for conditions, and for the person who has pressed ^C.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::marks::now;

/// More than anything here takes on a machine that is busy with something else.
const LIMIT: Duration = Duration::from_mins(1);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on ^C ends the next wait, and what was started is cleared away.
pub(crate) fn heed_signals() {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, flag.clone()).expect("catch a signal");
    }
}

/// Until the condition holds.
pub(crate) fn until(what: &str, pause: Duration, mut condition: impl FnMut() -> bool) {
    let begun = now();
    while !condition() {
        assert!(now() - begun < LIMIT, "waited {LIMIT:?} in vain until {what}");
        sleep(pause);
    }
}

/// For a time.
pub(crate) fn sleep(time: Duration) {
    let end = now() + time;
    loop {
        assert!(!INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)), "interrupted");
        let left = end.saturating_sub(now());
        if left.is_zero() {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(200)));
    }
}

/// A time below `limit`, another each time.
pub(crate) fn random(limit: Duration) -> Duration {
    let micros = uuid::Uuid::new_v4().as_u128() % limit.as_micros().max(1);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
