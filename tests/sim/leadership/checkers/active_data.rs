//! I4 and I5: what was acknowledged, and what was served or acted upon, is in the registers of every later leader
//! when it becomes active, unless a later write has taken its place.
//!
//! Every value is unique, so a value tells when it was first written: its *origin*, a stamp that stays the same however
//! often the value is written back under newer epochs. Later means: of a higher origin.
//!
//! A deletion is a write like any other, only that nothing is left of it, perhaps not even a tombstone: where a leader has no
//! value, some deletion that is late enough must have been written.

use std::collections::{BTreeMap, BTreeSet};

use quorate::cluster::leadership::registers::Registers;
use quorate_proto::message;
use quorate_proto::{BlobHash, Epoch, Stamp};

use super::{Broken, Checker};
use crate::leadership::facts::{Fact, Value};

/// A debt: every leader above this epoch has at least this origin.
type Owed = BTreeMap<String, BTreeMap<Epoch, (Stamp, &'static str)>>;

/// See the module.
#[derive(Default)]
pub(crate) struct ActiveData {
    origins: BTreeMap<Value, Stamp>,
    owed: Owed,
    /// When each key was deleted.
    deleted: BTreeMap<String, BTreeSet<Stamp>>,
    /// What each leader had when it became active.
    active: BTreeMap<Epoch, BTreeMap<String, Stamp>>,
}

/// The unique value in a register of a user's key.
pub(crate) fn value_of(value: Option<&message::Value>) -> Option<Value> {
    let bytes = match value? {
        message::Value::Inline(bytes) => bytes.as_slice(),
        message::Value::Blob { hash, .. } => &hash.0[..8],
    };
    Some(Value::from_le_bytes(bytes.try_into().ok()?))
}

/// The name of contents that hold this value.
pub(crate) fn hash_of(value: Value) -> BlobHash {
    let mut hash = [0xb1; 32];
    hash[..8].copy_from_slice(&value.to_le_bytes());
    BlobHash(hash)
}

impl ActiveData {
    fn origins_of(&self, registers: &Registers) -> BTreeMap<String, Stamp> {
        let origin = |(key, (_, value)): (&String, &(Stamp, Option<message::Value>))| {
            Some((key.clone(), *self.origins.get(&value_of(value.as_ref())?)?))
        };
        registers.iter().filter_map(origin).collect()
    }

    /// Whether these registers of a leader of `epoch` lack anything.
    pub(crate) fn lacks(&self, epoch: Epoch, registers: &Registers) -> Result<(), Broken> {
        self.compare(epoch, &self.origins_of(registers))
    }

    fn compare(&self, epoch: Epoch, has: &BTreeMap<String, Stamp>) -> Result<(), Broken> {
        for (key, owed) in &self.owed {
            for (under, (origin, invariant)) in owed.range(..epoch) {
                let found = has.get(key);
                if !self.suffices(key, found, origin) {
                    let text = format!(
                        "the leader of epoch {epoch} has {key} as first written by {found:?}, \
                         but {origin} was agreed under epoch {under}"
                    );
                    return Err((invariant, text));
                }
            }
        }
        Ok(())
    }

    /// Whether what was found of a key is as new as what is owed.
    fn suffices(&self, key: &str, found: Option<&Stamp>, origin: &Stamp) -> bool {
        match found {
            Some(found) => found >= origin,
            None => self.deleted.get(key).and_then(BTreeSet::last).is_some_and(|deleted| deleted >= origin),
        }
    }

    fn owe(&mut self, key: &str, value: Value, under: Option<Epoch>, invariant: &'static str) -> Result<(), Broken> {
        let Some(origin) = self.origins.get(&value).copied() else { return Ok(()) };
        let under = under.unwrap_or(origin.epoch);
        let owed = self.owed.entry(key.to_owned()).or_default();
        let before = owed.entry(under).or_insert((origin, invariant));
        if before.0 > origin {
            return Ok(());
        }
        *before = (origin, invariant);
        // An old leader's acknowledgement may come late: whoever leads since then must have had it all along.
        for (epoch, has) in self.active.range(under.next()..) {
            let found = has.get(key);
            if !self.suffices(key, found, &origin) {
                let text = format!(
                    "{key} of {origin} is agreed under epoch {under}, but the leader of epoch {epoch} \
                     became active with {found:?}"
                );
                return Err((invariant, text));
            }
        }
        Ok(())
    }
}

impl Checker for ActiveData {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Proposed { value, stamp } => {
                self.origins.insert(*value, *stamp);
                Ok(())
            }
            Fact::Deleted { key, value, stamp } => {
                self.origins.insert(*value, *stamp);
                self.deleted.entry((*key).to_owned()).or_default().insert(*stamp);
                Ok(())
            }
            Fact::Acknowledged { key, value } => self.owe(key, *value, None, "I4"),
            Fact::Served { key, value, epoch } => self.owe(key, *value, Some(*epoch), "I5"),
            Fact::Active { epoch, registers } => {
                let has = self.origins_of(registers);
                self.compare(*epoch, &has)?;
                self.active.insert(*epoch, has);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use quorate_proto::Seq;

    fn stamp(epoch: u64, seq: u64) -> Stamp {
        Stamp { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    fn registers(value: Value) -> Registers {
        Registers::from([("k".to_owned(), (stamp(2, 1), Some(message::Value::Inline(value.to_le_bytes().to_vec()))))])
    }

    const WRITTEN: [Fact<'static>; 2] = [
        Fact::Proposed { value: 7, stamp: Stamp { epoch: Epoch(1), seq: Seq(1) } },
        Fact::Proposed { value: 8, stamp: Stamp { epoch: Epoch(1), seq: Seq(2) } },
    ];

    #[test]
    fn an_acknowledged_write_that_the_next_leader_lacks_is_found() {
        let [seven, eight] = WRITTEN;
        let acknowledged = Fact::Acknowledged { key: "k", value: 8 };
        let (old, new) = (registers(7), registers(8));
        let lost =
            [seven.clone(), eight.clone(), acknowledged.clone(), Fact::Active { epoch: Epoch(2), registers: &old }];
        assert_eq!(finds(&mut ActiveData::default(), &lost), Some("I4"));
        let kept =
            [seven.clone(), eight.clone(), acknowledged.clone(), Fact::Active { epoch: Epoch(2), registers: &new }];
        assert_eq!(finds(&mut ActiveData::default(), &kept), None);
        let late = [seven, eight, Fact::Active { epoch: Epoch(2), registers: &old }, acknowledged];
        assert_eq!(finds(&mut ActiveData::default(), &late), Some("I4"));
    }

    #[test]
    fn a_deleted_value_that_comes_back_is_found_and_one_that_is_gone_is_not() {
        let [seven, eight] = WRITTEN;
        let deleted = Fact::Deleted { key: "k", value: 9, stamp: stamp(1, 3) };
        let acknowledged = |value| Fact::Acknowledged { key: "k", value };
        let (old, none) = (registers(8), Registers::new());
        let active = |registers| Fact::Active { epoch: Epoch(2), registers };
        let history = [seven.clone(), eight.clone(), acknowledged(8), deleted.clone(), acknowledged(9)];
        let with = |last| history.iter().cloned().chain([last]).collect::<Vec<_>>();
        assert_eq!(finds(&mut ActiveData::default(), &with(active(&old))), Some("I4"));
        assert_eq!(finds(&mut ActiveData::default(), &with(active(&none))), None);
        let unanswered = [seven, eight, acknowledged(8), deleted, active(&none)];
        assert_eq!(finds(&mut ActiveData::default(), &unanswered), None, "it may have been carried out");
    }

    #[test]
    fn a_value_that_was_served_and_is_gone_is_found() {
        let [seven, eight] = WRITTEN;
        let old = registers(7);
        let served = Fact::Served { key: "k", value: 8, epoch: Epoch(2) };
        let history = [seven, eight, served, Fact::Active { epoch: Epoch(3), registers: &old }];
        assert_eq!(finds(&mut ActiveData::default(), &history), Some("I5"));
    }
}
