//! Registers: what a voter stores, and how two stores are compared and merged.
//!
//! Each key is a register of its own; the highest stamp wins (protocol-safety 1). A stamp names one value for ever
//! (I3), so two stores with equal indexes hold equal values.

use std::collections::BTreeMap;

use quorate_proto::Stamp;
use quorate_proto::message::{Entry, Register, VOTERS_KEY, Voters};

/// Key to stamp and value; `None` is a tombstone.
pub type Registers = BTreeMap<String, (Stamp, Option<Vec<u8>>)>;

/// Bytes of keys and values put into one write batch of a recovery.
const BATCH_BYTES: usize = 256 * 1024;

/// Hash over every (key, stamp): equal indexes, equal contents.
pub(crate) fn index_hash(registers: &Registers) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for (key, (stamp, _)) in registers {
        hasher.update(&(key.len() as u64).to_le_bytes());
        hasher.update(key.as_bytes());
        hasher.update(&stamp.epoch.0.to_le_bytes());
        hasher.update(&stamp.seq.0.to_le_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    short
}

/// What the asker needs to be told that it has.
pub(crate) fn index(registers: &Registers) -> Vec<(String, Stamp)> {
    registers.iter().map(|(key, (stamp, _))| (key.clone(), *stamp)).collect()
}

/// Registers that are newer here than in `have`, or missing there.
pub(crate) fn newer_than(registers: &Registers, have: &[(String, Stamp)]) -> Vec<Register> {
    let have: BTreeMap<&str, Stamp> = have.iter().map(|(key, stamp)| (key.as_str(), *stamp)).collect();
    registers
        .iter()
        .filter(|(key, (stamp, _))| have.get(key.as_str()).is_none_or(|had| had < stamp))
        .map(|(key, (stamp, value))| Register { key: key.clone(), stamp: *stamp, value: value.clone() })
        .collect()
}

/// Takes over what is newer; says which keys changed.
pub(crate) fn merge(registers: &mut Registers, incoming: Vec<Register>) -> Vec<Register> {
    let mut taken = Vec::new();
    for register in incoming {
        if registers.get(&register.key).is_none_or(|(stamp, _)| *stamp < register.stamp) {
            registers.insert(register.key.clone(), (register.stamp, register.value.clone()));
            taken.push(register);
        }
    }
    taken
}

/// The voter set, if the register holds a readable one.
pub(crate) fn voters(registers: &Registers) -> Option<(Stamp, Voters)> {
    let (stamp, value) = registers.get(VOTERS_KEY)?;
    let voters = quorate_proto::codec::decode_frame(value.as_deref()?).ok()?;
    Some((*stamp, voters))
}

/// Everything, cut into batches of bounded size for a recovery (R8).
pub(crate) fn batches(registers: &Registers) -> Vec<Vec<Entry>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for (key, (_, value)) in registers {
        let size = key.len() + value.as_ref().map_or(0, Vec::len);
        if bytes + size > BATCH_BYTES && bytes > 0 {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(Entry { key: key.clone(), value: value.clone() });
        }
    }
    batches
}
