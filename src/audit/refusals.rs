//! Which refusals have a line of their own: so many of each address in a minute. The others are counted, and the next line of
//! that address says how many there were.
//!
//! Pure: `now` is a clock that never goes back.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use quorate_proto::network;

/// Lines of one address within [`WINDOW`].
const EACH: u32 = 60;
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses kept; the rest share the lines of one.
const ADDRESSES: usize = 1_024;

#[derive(Debug, Clone, Copy)]
struct Entry {
    since: Duration,
    lines: u32,
    unwritten: u64,
}

/// See the module. `None` stands for what has no address.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Option<IpAddr>, Entry>);

/// What becomes of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has a line; so many since the last one had none.
    Line(u64),
    /// It is counted. `first`: the first one in a minute.
    Counted { first: bool },
}

impl Refusals {
    pub(super) fn note(&mut self, client: Option<IpAddr>, now: Duration) -> Verdict {
        let mut client = client.map(network);
        let is_over = |entry: &Entry| now.saturating_sub(entry.since) >= WINDOW;
        if !self.0.contains_key(&client) && self.0.len() >= ADDRESSES {
            self.0.retain(|_, entry| !is_over(entry) || entry.unwritten > 0);
            if self.0.len() >= ADDRESSES {
                client = None;
            }
        }
        let entry = self.0.entry(client).or_insert(Entry { since: now, lines: 0, unwritten: 0 });
        if is_over(entry) {
            (entry.since, entry.lines) = (now, 0);
        }
        if entry.lines < EACH {
            entry.lines += 1;
            return Verdict::Line(std::mem::take(&mut entry.unwritten));
        }
        entry.unwritten += 1;
        Verdict::Counted { first: entry.unwritten == 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_has_so_many_lines_a_minute_and_the_next_tells_of_the_rest() {
        let mut refusals = Refusals::default();
        let client = Some(IpAddr::from([10, 0, 0, 1]));
        for _ in 0..EACH {
            assert_eq!(refusals.note(client, at(5)), Verdict::Line(0));
        }
        assert_eq!(refusals.note(client, at(6)), Verdict::Counted { first: true });
        for _ in 0..9_999 {
            assert_eq!(refusals.note(client, at(7)), Verdict::Counted { first: false });
        }
        assert_eq!(refusals.note(Some(IpAddr::from([10, 0, 0, 2])), at(8)), Verdict::Line(0), "others have theirs");
        assert_eq!(refusals.note(client, at(65)), Verdict::Line(10_000));
        assert_eq!(refusals.note(client, at(66)), Verdict::Line(0));
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded() {
        let mut refusals = Refusals::default();
        let lines = (0..100_000_u32).filter(|n| {
            let client = Some(IpAddr::from(n.to_be_bytes()));
            matches!(refusals.note(client, at(1)), Verdict::Line(_))
        });
        assert_eq!(lines.count(), ADDRESSES + EACH as usize);
        assert!(refusals.0.len() <= ADDRESSES + 1);
    }
}
