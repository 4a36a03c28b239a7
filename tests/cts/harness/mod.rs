//! What a scenario needs: a Consul, a directory with modules, an agent that reads a configuration of CTS.

pub(crate) mod agent;
pub(crate) mod consul;
pub(crate) mod modules;

use std::time::{Duration, Instant};

pub(crate) use crate::cluster::ports::free_port;
pub(crate) use agent::{Agent, Place};
pub(crate) use consul::Consul;

/// Longer than anything here takes on a busy machine; no test that passes waits this long.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until there is something.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    eventually(what, || is_so().then_some(()));
}

/// A `task` block with a module of [`modules`]; `rest` is its condition and what else it has.
pub(crate) fn task(name: &str, module: &str, rest: &str) -> String {
    format!("task {{\n name = \"{name}\"\n module = \"./modules/{module}\"\n {rest}\n}}\n")
}
