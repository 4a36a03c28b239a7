//! The one place that knows how a register is put into and read out of the core.

use std::collections::BTreeMap;

use quorate::cluster::leadership::registers::Registers;
use quorate::cluster::{Cluster, Durable};
use quorate::runtime::journal::Entered;
use quorate_proto::message::{Put, VOTERS_KEY, Value, Voters, decode_voters};
use quorate_proto::{Epoch, Stamp, codec};

use super::host::RunNumber;

pub(super) fn entry(key: &str, value: Option<Vec<u8>>) -> Put {
    Put { key: key.to_owned(), value: value.map(Value::Inline) }
}

pub(super) fn stamp(cluster: &Cluster, key: &str) -> Option<Stamp> {
    Some(cluster.registers().get(key)?.0)
}

/// The number in a client's register; none when it is empty or deleted.
pub(super) fn number(cluster: &Cluster, key: &str) -> Option<u64> {
    let (_, value) = cluster.registers().get(key)?;
    Some(u64::from_le_bytes(value.as_ref()?.inline()?.try_into().ok()?))
}

/// The journal as the driver hands it out.
pub(super) fn journal(registers: &Registers) -> BTreeMap<String, Vec<u8>> {
    let runs = registers.range("run/".to_owned().."run0".to_owned());
    runs.filter_map(|(k, (_, v))| Some((k.clone(), v.as_ref()?.inline()?.to_vec()))).collect()
}

/// What it says: the newest run of each task.
pub(super) fn newest_runs(journal: &BTreeMap<String, Vec<u8>>) -> BTreeMap<usize, (Epoch, RunNumber)> {
    let read = |(key, value): (&String, &Vec<u8>)| {
        let task = task_of(key)?;
        let entered: Entered = codec::decode_frame(value).ok()?;
        let run = u64::from_be_bytes(entered.run[..8].try_into().ok()?);
        Some((task, (entered.epoch, run)))
    };
    journal.iter().filter_map(read).collect()
}

pub(super) fn task_of(key: &str) -> Option<usize> {
    key.rsplit('/').next()?.strip_prefix('t')?.parse().ok()
}

/// The voter set of a store, with its stamp.
pub(super) fn voters(durable: &Durable) -> Option<(Stamp, Voters)> {
    let (stamp, value) = durable.registers.get(VOTERS_KEY)?;
    Some((*stamp, decode_voters(value.as_ref()?.inline()?).ok()?.0))
}
