//! What the agent reads and writes of the registers.

use std::collections::BTreeMap;

use quorate_proto::message::{Put, Value};
use quorate_proto::{Epoch, Stamp};
use tokio::sync::oneshot;

use super::{Core, ProposeError};
use crate::cluster::WriteId;
use crate::cluster::leadership::registers::Registers;
use crate::runtime::replica::Reading;
use crate::runtime::{blobs, clock};

/// Who waits for the outcome of which write.
pub(super) type Waiting = BTreeMap<WriteId, oneshot::Sender<Result<(), ProposeError>>>;

impl Core {
    /// A write that is asked for. Large values go to the disk first.
    pub(super) fn proposed(&mut self, proposal: blobs::Proposal, waiting: &mut Waiting) {
        match blobs::needs_disk(&proposal.entries) {
            Ok(false) => {
                let blobs::Proposal { epoch, entries, only, reply } = proposal;
                self.propose(epoch, entries.iter().map(Put::from).collect(), &only, reply, waiting);
            }
            Ok(true) => self.blobs.put(proposal),
            Err(why) => drop(proposal.reply.send(Err(ProposeError::Refused(why)))),
        }
    }

    /// A write whose values are here. `only`: see [`blobs::Proposal::only`].
    pub(super) fn propose(
        &mut self,
        epoch: Epoch,
        mut puts: Vec<Put>,
        only: &BTreeMap<String, Stamp>,
        reply: oneshot::Sender<Result<(), ProposeError>>,
        waiting: &mut Waiting,
    ) {
        let now = clock::now();
        if let Err(why) = self.cluster.check_keys(&puts) {
            drop(reply.send(Err(ProposeError::Refused(why))));
            return;
        }
        if self.cluster.lease(now).is_none_or(|lease| lease.epoch() != epoch) {
            drop(reply.send(Err(ProposeError::NotLeader)));
            return;
        }
        drop_overtaken(&mut puts, only, self.cluster.registers());
        if puts.is_empty() && !only.is_empty() {
            drop(reply.send(Ok(())));
            return;
        }
        match self.cluster.propose(&puts, now) {
            Some(id) => drop(waiting.insert(id, reply)),
            None => drop(reply.send(Err(ProposeError::NotLeader))),
        }
    }

    /// Registers whose keys begin like this; `most`: so many bytes of a small value at most.
    pub(super) fn read(&self, prefix: &str, most: usize) -> Reading {
        let durable = self.cluster.durable();
        let begins = |entry: &(&String, _)| entry.0.starts_with(prefix);
        let found = durable.registers.range(prefix.to_owned()..).take_while(begins);
        let register = |(key, (stamp, value)): (&String, &(Stamp, Option<Value>))| {
            let (value, here) = match value.as_ref()? {
                Value::Inline(bytes) => (Value::Inline(bytes.get(..most).unwrap_or(bytes).to_vec()), true),
                blob @ Value::Blob { hash, .. } => (blob.clone(), durable.blobs.contains(hash)),
            };
            Some((key.clone(), *stamp, value, here))
        };
        Reading { registers: found.filter_map(register).collect(), files: self.blobs.files.clone() }
    }
}

/// Drops what was written since it was read. The leader has in its store whatever it has begun to write, so nothing newer is on
/// its way.
fn drop_overtaken(puts: &mut Vec<Put>, only: &BTreeMap<String, Stamp>, registers: &Registers) {
    let stamp = |key: &String| registers.get(key).map(|(stamp, _)| stamp);
    puts.retain(|put| only.get(&put.key).is_none_or(|wanted| stamp(&put.key) == Some(wanted)));
}

#[cfg(test)]
mod tests {
    use quorate_proto::Seq;

    use super::*;

    #[test]
    fn what_was_written_since_it_was_read_is_left_alone() {
        let stamp = |seq| Stamp { epoch: Epoch(3), seq: Seq(seq) };
        let value = || Some(Value::Inline(vec![1]));
        let registers = Registers::from([
            ("as-read".to_owned(), (stamp(1), value())),
            ("newer".to_owned(), (stamp(5), value())),
            ("deleted".to_owned(), (stamp(6), None)),
        ]);
        let put = |key: &str| Put { key: key.to_owned(), value: value() };
        let keys = ["as-read", "newer", "deleted", "gone"];
        let only = keys.map(|key| (key.to_owned(), stamp(1))).into();
        let mut puts = keys.map(put).to_vec();
        puts.push(put("any"));
        drop_overtaken(&mut puts, &only, &registers);
        assert_eq!(puts, [put("as-read"), put("any")]);
    }
}
