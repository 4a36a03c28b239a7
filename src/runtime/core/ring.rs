//! The keys of the gossip thread: told to others when the register of them changes, taken from them when they are in force.

use std::sync::Arc;

use quorate_proto::Stamp;
use quorate_proto::message::Value;
use quorate_proto::seal::Ring;

use super::Core;
use crate::cluster::Ticket;
use crate::keyring;

/// The register of the keys: which value was told, and which waits for the disk.
#[derive(Debug, Default)]
pub struct ToldRing {
    stamp: Option<Stamp>,
    /// It is told when this ticket is on disk.
    due: Option<Ticket>,
    /// The newest ticket that was given to the disk, and the newest that is there.
    given: Option<Ticket>,
    durable: Option<Ticket>,
}

impl ToldRing {
    /// At start: the value with this stamp is known.
    pub fn new(stamp: Option<Stamp>) -> Self {
        Self { stamp, ..Self::default() }
    }

    /// The disk was given this.
    pub(super) fn note_given(&mut self, ticket: Ticket) {
        self.given = self.given.max(Some(ticket));
    }

    /// It is there.
    pub(super) fn note_durable(&mut self, ticket: Ticket) {
        self.durable = self.durable.max(Some(ticket));
    }
}

impl Core {
    /// Tells what the register of the keys says, once that is on disk: whoever says that it has a key keeps it.
    pub(super) fn watch_ring(&mut self) {
        let Some((stamp, value)) = self.cluster.registers().get(keyring::REGISTER) else { return };
        let told = &mut self.told_ring;
        if told.stamp != Some(*stamp) {
            (told.stamp, told.due) = (Some(*stamp), told.given);
            if told.due.is_none() {
                self.agreed.send_replace(value.as_ref().and_then(Value::inline).map(<[u8]>::to_vec));
            }
        }
        if told.due.is_some() && told.due <= told.durable {
            told.due = None;
            self.agreed.send_replace(value.as_ref().and_then(Value::inline).map(<[u8]>::to_vec));
        }
    }

    pub(super) fn take_ring(&mut self, ring: Ring) {
        self.sealers.set_ring(&ring);
        self.last_words_sealers.set_ring(&ring);
        self.opener.set_ring(&ring);
        self.ring = Some(ring);
        self.renew_last_words();
    }

    /// Members and seeds, for whoever admits connections.
    pub(super) fn tell_known(&self) {
        let members = self.cluster.view().members.iter().map(|member| member.gossip_addr);
        let known = members.chain(self.seeds.iter().copied()).map(|addr| addr.ip().to_canonical()).collect();
        if **self.known.borrow() != known {
            self.known.send_replace(Arc::new(known));
        }
    }
}
