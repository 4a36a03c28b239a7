//! Which runs of a task have a log that is kept, and in which slot. Pure.
//!
//! Slots are used again: a deleted register leaves a stamp behind, and a run a minute would leave many.

use std::collections::BTreeSet;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec;

use crate::task::LogBounds as Bounds;

/// A log that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Kept {
    /// The beginning of the run's id.
    run: [u8; 8],
    pub(super) slot: u32,
    /// When it ended, in seconds since 1970.
    at: i64,
    /// Bytes of the text.
    pub(super) len: u64,
    /// Bytes of the text that are not kept.
    pub(super) left_out: u64,
}

/// Of one task, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub(super) struct Index {
    kept: Vec<Kept>,
}

fn short(run: [u8; 16]) -> [u8; 8] {
    let mut short = [0; 8];
    short.copy_from_slice(&run[..8]);
    short
}

impl Index {
    /// What cannot be read is none: its slots are used again.
    pub(super) fn decode(bytes: Option<&[u8]>) -> Self {
        bytes.and_then(|bytes| codec::decode_frame(bytes).ok()).unwrap_or_default()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        codec::encode(self).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn find(&self, run: [u8; 16]) -> Option<&Kept> {
        self.kept.iter().find(|kept| kept.run == short(run))
    }

    /// Takes the log of a run that ended at `at`: its slot, and the slots that are free now. With nothing to be kept, none.
    pub(super) fn place(
        &mut self,
        run: [u8; 16],
        (len, left_out): (u64, u64),
        bounds: Bounds,
        at: i64,
    ) -> (Option<u32>, BTreeSet<u32>) {
        let mut free: BTreeSet<u32> =
            self.kept.iter().filter(|kept| kept.run == short(run)).map(|it| it.slot).collect();
        self.kept.retain(|kept| kept.run != short(run));
        free.extend(self.prune(Bounds { keep: bounds.keep.saturating_sub(1), ..bounds }, at));
        if bounds.keep == 0 {
            return (None, free);
        }
        let used: BTreeSet<u32> = self.kept.iter().map(|kept| kept.slot).collect();
        let slot = (0..=u32::MAX).find(|slot| !used.contains(slot)).unwrap_or(0);
        free.remove(&slot);
        self.kept.push(Kept { run: short(run), slot, at, len, left_out });
        (Some(slot), free)
    }

    /// Forgets what is too old or too much: the slots that are free now.
    pub(super) fn prune(&mut self, bounds: Bounds, now: i64) -> BTreeSet<u32> {
        let oldest = now.saturating_sub(i64::try_from(bounds.max_age.as_secs()).unwrap_or(i64::MAX));
        let over = self.kept.len().saturating_sub(bounds.keep);
        let mut free: BTreeSet<u32> = self.kept.drain(..over).map(|kept| kept.slot).collect();
        free.extend(self.kept.iter().filter(|kept| kept.at < oldest).map(|kept| kept.slot));
        self.kept.retain(|kept| kept.at >= oldest);
        free
    }

    /// Every slot.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.kept.iter().map(|kept| kept.slot)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOUNDS: Bounds = Bounds { keep: 3, max_size: 1000, max_age: Duration::from_secs(100) };

    fn run(n: u8) -> [u8; 16] {
        [n; 16]
    }

    #[test]
    fn slots_are_used_again_and_the_oldest_goes() {
        let mut index = Index::default();
        let mut place = |n: u8, at: i64| index.place(run(n), (u64::from(n), 0), BOUNDS, at);
        assert_eq!(place(1, 0), (Some(0), BTreeSet::new()));
        assert_eq!(place(2, 1), (Some(1), BTreeSet::new()));
        assert_eq!(place(3, 2), (Some(2), BTreeSet::new()));
        assert_eq!(place(4, 3), (Some(0), BTreeSet::new()), "the place of the first");
        assert_eq!(place(4, 4), (Some(0), BTreeSet::new()), "another try of the same run");
        assert_eq!(place(5, 200), (Some(0), BTreeSet::from([1, 2])), "the others are too old");
        assert!(index.find(run(4)).is_none());
        assert_eq!(index.find(run(5)).map(|kept| (kept.slot, kept.len)), Some((0, 5)));
        assert_eq!(Index::decode(Some(&index.encode())), index);
    }

    #[test]
    fn less_is_kept_when_the_bounds_say_so() {
        let mut index = Index::default();
        for n in 1..=3 {
            index.place(run(n), (1, 0), BOUNDS, 0);
        }
        let one = Bounds { keep: 1, ..BOUNDS };
        assert_eq!(index.clone().prune(one, 0), BTreeSet::from([0, 1]));
        assert_eq!(index.place(run(9), (1, 0), one, 0), (Some(0), BTreeSet::from([1, 2])));
        assert_eq!(index.place(run(9), (1, 0), Bounds { keep: 0, ..BOUNDS }, 0), (None, BTreeSet::from([0])));
        assert!(index.is_empty());
    }

    #[test]
    fn an_index_of_a_hundred_is_small_enough_for_its_register() {
        let mut index = Index::default();
        for n in 0..100_u64 {
            let mut run = [0; 16];
            run[..8].copy_from_slice(&(n << 56 | n).to_le_bytes());
            index.place(run, (60_000, 0), Bounds::default(), 1_800_000_000);
        }
        assert!(index.encode().len() <= quorate_proto::message::INLINE_MAX, "{}", index.encode().len());
        assert_eq!(Index::decode(Some(b"no index")), Index::default());
    }
}
