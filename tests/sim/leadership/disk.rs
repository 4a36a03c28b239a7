//! The durable state of one data directory, and the writes that are on their way to it.
//!
//! Writes complete in order. A crash loses those that have not completed, except that some of the first of them may
//! have reached the disk nevertheless: nobody was told.

use std::collections::{BTreeSet, VecDeque};

use quorate::cluster::Durable;
use quorate::cluster::durable::Change;
use quorate::cluster::output::Ticket;
use quorate_proto::message::Value;

use super::dice::Dice;

/// See the module.
#[derive(Debug)]
pub(crate) struct Disk {
    /// Unique among all data directories of a run.
    pub(crate) number: u32,
    pub(crate) durable: Durable,
    pub(crate) pending: VecDeque<(Ticket, Vec<Change>)>,
    /// No write completes before this.
    pub(crate) busy_until: u64,
    /// Nothing more fits.
    pub(crate) full: bool,
    /// The process knows that.
    pub(crate) told: bool,
}

impl Disk {
    pub(crate) fn new(number: u32, durable: Durable) -> Self {
        Self { number, durable, pending: VecDeque::new(), busy_until: 0, full: false, told: false }
    }

    /// The oldest write completes; says which.
    pub(crate) fn complete(&mut self) -> Option<Ticket> {
        let (ticket, changes) = self.pending.pop_front()?;
        for change in changes {
            change.apply(&mut self.durable);
        }
        self.durable.commits += 1;
        Some(ticket)
    }

    /// Whether a register names contents that are not here.
    pub(crate) fn lacks_contents(&self) -> bool {
        let blob = |(_, value): &(_, Option<Value>)| value.as_ref()?.blob().map(|(hash, _)| hash);
        self.durable.registers.values().filter_map(blob).any(|hash| !self.durable.blobs.contains(&hash))
    }

    /// A process starts: a transaction of its own, and contents that no register names are removed.
    pub(crate) fn open(&mut self) -> Durable {
        self.durable.commits += 1;
        let blob = |(_, value): &(_, Option<Value>)| value.as_ref()?.blob().map(|(hash, _)| hash);
        let named: BTreeSet<_> = self.durable.registers.values().filter_map(blob).collect();
        self.durable.blobs.retain(|hash| named.contains(hash));
        self.told = false;
        self.durable.clone()
    }

    /// The process is gone: some of the pending writes are on the disk, the rest is lost. True when some were kept.
    pub(crate) fn crash(&mut self, dice: &mut Dice) -> bool {
        let kept = if dice.percent(50) && !self.full { dice.index(self.pending.len() + 1) } else { 0 };
        for _ in 0..kept {
            self.complete();
        }
        self.pending.clear();
        kept > 0
    }
}
