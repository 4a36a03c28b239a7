//! Until when, and under which epoch, the guardian may start and keep runs. Pure: the time is an argument.

use quorate_proto::Epoch;

use crate::cluster::Now;
use crate::guardian::message::Ends;

/// What the agent's lease allows, as last heard.
#[derive(Debug, Default)]
pub(super) struct Authority {
    newest: Option<(Epoch, Ends)>,
    /// Epochs up to this one were stopped: nothing starts under them again, whatever arrives late.
    closed: Option<Epoch>,
    /// The agent is gone or leaves.
    ended: bool,
}

impl Authority {
    /// The lease of `epoch` is known to last until `ends`. It never shrinks, and an older epoch changes nothing.
    pub(super) fn extend(&mut self, epoch: Epoch, ends: Ends) {
        self.newest = Some(match self.newest {
            Some((newest, until)) if epoch == newest => (newest, until.max(ends)),
            Some((newest, until)) if epoch < newest => (newest, until),
            Some(_) | None => (epoch, ends),
        });
    }

    /// Nothing starts any more under the epochs heard of so far.
    pub(super) fn close(&mut self) {
        self.closed = self.closed.max(self.newest.map(|(epoch, _)| epoch));
    }

    /// Nothing starts any more at all.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether a run may start now under `epoch`.
    pub(super) fn allows(&self, epoch: Epoch, now: Now) -> bool {
        !self.ended && self.closed < Some(epoch) && self.ends(epoch).is_some_and(|ends| !ends.left(now).is_zero())
    }

    /// When the authority of `epoch` ends, if it is the newest.
    pub(super) fn ends(&self, epoch: Epoch) -> Option<Ends> {
        self.newest.filter(|(newest, _)| *newest == epoch).map(|(_, ends)| ends)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> Now {
        Now { mono: Duration::from_secs(seconds), boot: Duration::from_secs(seconds) }
    }

    fn until(seconds: u64) -> Ends {
        Ends { boot: Duration::from_secs(seconds), mono: Duration::from_secs(seconds) }
    }

    #[test]
    fn nothing_is_allowed_before_the_first_lease_or_after_its_end() {
        let mut authority = Authority::default();
        assert!(!authority.allows(Epoch(1), at(0)));
        authority.extend(Epoch(1), until(5));
        assert!(authority.allows(Epoch(1), at(4)));
        assert!(!authority.allows(Epoch(1), at(5)));
        authority.extend(Epoch(1), until(9));
        assert!(authority.allows(Epoch(1), at(5)), "an extended lease allows again");
    }

    #[test]
    fn either_clock_ends_it() {
        let mut authority = Authority::default();
        authority.extend(Epoch(1), until(5));
        assert!(!authority.allows(Epoch(1), Now { boot: Duration::from_secs(6), ..at(1) }), "suspended meanwhile");
        assert!(!authority.allows(Epoch(1), Now { mono: Duration::from_secs(6), ..at(1) }));
    }

    #[test]
    fn an_older_epoch_neither_extends_nor_starts_and_a_shorter_end_does_not_shrink() {
        let mut authority = Authority::default();
        authority.extend(Epoch(2), until(5));
        authority.extend(Epoch(1), until(50));
        authority.extend(Epoch(2), until(3));
        assert!(!authority.allows(Epoch(1), at(0)));
        assert_eq!(authority.ends(Epoch(2)), Some(until(5)));
    }

    #[test]
    fn a_closed_epoch_stays_closed_and_the_next_one_is_open() {
        let mut authority = Authority::default();
        authority.extend(Epoch(2), until(5));
        authority.close();
        authority.extend(Epoch(2), until(50));
        assert!(!authority.allows(Epoch(2), at(0)));
        authority.extend(Epoch(3), until(50));
        assert!(authority.allows(Epoch(3), at(0)));
        authority.end();
        assert!(!authority.allows(Epoch(3), at(0)));
    }
}
