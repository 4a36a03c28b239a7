//! Registers: what a voter stores, and how two stores are compared and merged.
//!
//! A deleted key stays for a while, with a stamp and without a value: a member that was away for long must not bring the
//! old value back. It goes when a horizon makes sure of that without it ([`super::forgetting`]). The number of keys is bounded.
//!
//! Each key is a register of its own; the highest stamp wins (protocol-safety 1). A stamp names one value for ever
//! (I3), so two stores with equal indexes hold equal values.

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::message::{BUCKETS, Horizon, Put, Register, VOTERS_KEY, Value, Voters, decode_voters};
use quorate_proto::{BlobHash, Stamp};

use super::rules::{Rule, Rules};

/// Key to stamp and value; `None` is a tombstone.
pub type Registers = BTreeMap<String, (Stamp, Option<Value>)>;

/// Keys that are kept, deleted ones included: some 10 MB of memory when all are used.
const KEYS_MAX: usize = 100_000;
/// Bytes of keys and values in one answer to a pull, unless one bucket alone has more.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Hash over every (key, stamp): equal indexes, equal contents.
pub(crate) fn index_hash(registers: &Registers) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for (key, (stamp, _)) in registers {
        count(&mut hasher, key, *stamp);
    }
    short(&hasher)
}

fn count(hasher: &mut blake3::Hasher, key: &str, stamp: Stamp) {
    hasher.update(&(key.len() as u64).to_le_bytes());
    hasher.update(key.as_bytes());
    hasher.update(&stamp.epoch.0.to_le_bytes());
    hasher.update(&stamp.seq.0.to_le_bytes());
}

fn short<const N: usize>(hasher: &blake3::Hasher) -> [u8; N] {
    let mut short = [0; N];
    short.copy_from_slice(&hasher.finalize().as_bytes()[..N]);
    short
}

fn bucket(key: &str) -> usize {
    usize::from(blake3::hash(key.as_bytes()).as_bytes()[0]) % BUCKETS
}

/// What the asker needs to be told that it has: one hash a bucket.
pub(crate) fn index(registers: &Registers) -> Vec<[u8; 12]> {
    let mut hashers = vec![blake3::Hasher::new(); BUCKETS];
    for (key, (stamp, _)) in registers {
        count(&mut hashers[bucket(key)], key, *stamp);
    }
    hashers.iter().map(short).collect()
}

/// Every register in the buckets that differ from `have`, as many whole buckets as fit; and whether that is all.
pub(crate) fn differing(registers: &Registers, have: &[[u8; 12]]) -> (Vec<Register>, bool) {
    let ours = index(registers);
    let mut buckets: BTreeMap<usize, Vec<Register>> = BTreeMap::new();
    for (key, (stamp, value)) in registers {
        let at = bucket(key);
        if have.get(at) != Some(&ours[at]) {
            let register = Register { key: key.clone(), stamp: *stamp, value: value.clone() };
            buckets.entry(at).or_default().push(register);
        }
    }
    let mut answer = Vec::new();
    let mut bytes = 0;
    for (_, bucket) in buckets {
        let size: usize = bucket.iter().map(|r| weight(&r.key, r.value.as_ref())).sum();
        if bytes + size > ANSWER_BYTES && bytes > 0 {
            return (answer, false);
        }
        bytes += size;
        answer.extend(bucket);
    }
    (answer, true)
}

/// Whether so many keys may be kept.
pub(crate) fn check_keys(registers: &Registers, puts: &[Put]) -> Result<(), String> {
    let new = puts.iter().filter(|put| !registers.contains_key(&put.key)).count();
    if new == 0 || registers.len() + new <= KEYS_MAX {
        return Ok(());
    }
    Err(format!(
        "{} keys are kept (deleted ones count until they are forgotten) and {new} more would be above {KEYS_MAX}",
        registers.len()
    ))
}

/// About what a register takes in a message.
pub(crate) fn weight(key: &str, value: Option<&Value>) -> usize {
    key.len() + 48 + value.and_then(Value::inline).map_or(0, <[u8]>::len)
}

/// The contents that these registers name.
pub(crate) fn blobs(registers: &Registers) -> BTreeSet<(BlobHash, u32)> {
    registers.values().filter_map(|(_, value)| value.as_ref()?.blob()).collect()
}

/// Takes over what is newer.
pub(crate) fn merge(registers: &mut Registers, incoming: Vec<Register>) {
    for Register { key, stamp, value } in incoming {
        if registers.get(&key).is_none_or(|(had, _)| *had < stamp) {
            registers.insert(key, (stamp, value));
        }
    }
}

/// The voter set and the horizon, if the register holds a readable one.
pub(crate) fn voters(registers: &Registers, rules: Rules) -> Option<(Stamp, Voters, Horizon)> {
    let (stamp, value) = registers.get(VOTERS_KEY)?;
    let (voters, horizon) = decode_voters(value.as_ref()?.inline()?).ok()?;
    let readable = horizon == Horizon::default() || rules.knows_horizon() || !rules.keep(Rule::HorizonWithVoters);
    readable.then_some((*stamp, voters, horizon))
}

/// R22: what a merge of stores has at or below the newest horizon among them is deleted, whichever of them had it.
pub(crate) fn bury(merged: &mut Registers, rules: Rules) {
    let horizon = voters(merged, rules).map_or(Stamp::default(), |(_, _, horizon)| horizon.upto);
    if horizon == Stamp::default() || !rules.knows_horizon() || !rules.keep(Rule::BelowIsDeleted) {
        return;
    }
    for (key, (stamp, value)) in merged {
        if *stamp <= horizon && key != VOTERS_KEY {
            *value = None;
        }
    }
}

/// Everything, cut into batches of bounded size for a recovery (R8).
pub(crate) fn batches(registers: &Registers, batch_bytes: usize) -> Vec<Vec<Put>> {
    let mut batches = vec![Vec::new()];
    let mut bytes = 0;
    for (key, (_, value)) in registers {
        let size = weight(key, value.as_ref());
        if bytes + size > batch_bytes && bytes > 0 {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(Put { key: key.clone(), value: value.clone() });
        }
    }
    batches
}
