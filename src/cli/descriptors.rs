//! How many files and sockets this process may have open.
//!
//! The kernel has two limits. The soft one counts, and is 1,024 on most machines for the sake of old programs; a process may
//! raise it to the hard one. The agent does so, after its guardian has started: runs keep the limit that they had.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http;

/// What gossip, control connections, the store, large values, watches of Consul and the listener for runs may need together.
const OTHERS: u64 = 2_048;

/// Makes room for what the API and everything else may need; says so when the machine does not give it. What the API may take
/// then.
pub(super) fn make_room(wanted: http::Limits) -> http::Limits {
    let needed = wanted.connections as u64 + OTHERS;
    let now = getrlimit(Resource::Nofile);
    // No limit is as good as a high one.
    let soft = now.current.unwrap_or(u64::MAX);
    let reached = if soft >= needed {
        soft
    } else {
        let current = now.maximum.map_or(needed, |hard| hard.min(needed));
        match setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..now }) {
            Ok(()) => current,
            Err(error) => {
                tracing::warn!(%error, "the limit of open files cannot be raised");
                soft
            }
        }
    };
    let fits = fitting(wanted, reached);
    if fits != wanted {
        tracing::warn!(
            open_files = reached,
            connections = fits.connections,
            "the limit of open files is too low for limits {{ http_max_conns = {} }}: raise it (LimitNOFILE, ulimit -n) to {needed}",
            wanted.connections
        );
    }
    fits
}

/// The API gets a half at most when there is not enough for all.
fn fitting(wanted: http::Limits, descriptors: u64) -> http::Limits {
    let left = descriptors.saturating_sub(OTHERS).max(descriptors / 2).max(1);
    let connections = wanted.connections.min(usize::try_from(left).unwrap_or(usize::MAX));
    http::Limits { connections, per_client: wanted.per_client.min(connections) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_takes_what_the_others_leave_or_a_half() {
        let fits = |descriptors| {
            let limits = fitting(http::Limits { connections: 768, per_client: 200 }, descriptors);
            (limits.connections, limits.per_client)
        };
        assert_eq!(fits(1 << 20), (768, 200));
        assert_eq!(fits(2_816), (768, 200));
        assert_eq!(fits(1_024), (512, 200));
        assert_eq!(fits(256), (128, 128));
    }
}
