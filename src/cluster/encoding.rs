//! Control messages as plain bytes, and which renewals may be sent in their short form (`quorate_proto::renewal`): most of what an idle leader sends.
//!
//! The short form is for a voter that answered the renewal before, because that one has promised the epoch to this very
//! process and can tell whom the tag stands for. Whatever went wrong (a lost answer, a voter that was started again), one
//! renewal is not answered, and the next is sent in full. An address never gets two short ones in a row without an answer.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_proto::message::{Message, Round};
use quorate_proto::seal::KIND_CONTROL;
use quorate_proto::{Epoch, codec};

/// What was renewed with each address, and what it answered.
#[derive(Debug, Default)]
pub(super) struct Renewals {
    epoch: Epoch,
    rounds: BTreeMap<SocketAddr, Rounds>,
}

#[derive(Debug, Default)]
struct Rounds {
    sent: Round,
    answered: Round,
}

impl Renewals {
    /// Notes a renewal that is sent now. Whether it may be short.
    pub(super) fn send(&mut self, to: SocketAddr, epoch: Epoch, round: Round) -> bool {
        if epoch != self.epoch {
            *self = Self { epoch, rounds: BTreeMap::new() };
        }
        let rounds = self.rounds.entry(to).or_default();
        let brief = round > rounds.sent && rounds.answered == rounds.sent && rounds.answered != Round::default();
        rounds.sent = round;
        brief
    }

    /// An answer to a renewal came from there.
    pub(super) fn handle_answer(&mut self, from: SocketAddr, epoch: Epoch, round: Round) {
        if let Some(rounds) = self.rounds.get_mut(&from).filter(|rounds| epoch == self.epoch && round == rounds.sent) {
            rounds.answered = round;
        }
    }
}

/// A control message as plain bytes, the kind in front. Our own messages always encode.
pub(super) fn control_bytes(message: &Message) -> Option<Vec<u8>> {
    Some(plain_bytes(KIND_CONTROL, &codec::encode(message).ok()?))
}

/// The kind in front.
pub(super) fn plain_bytes(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(body.len() + 1);
    plain.push(kind);
    plain.extend_from_slice(body);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Epoch = Epoch(7);

    fn addr(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    #[test]
    fn only_what_follows_an_answered_renewal_is_short() {
        let mut renewals = Renewals::default();
        let here = addr(1);
        assert!(!renewals.send(here, EPOCH, Round(1)), "the first");
        assert!(!renewals.send(here, EPOCH, Round(1)), "the same again");
        assert!(!renewals.send(here, EPOCH, Round(2)), "nothing was answered");
        renewals.handle_answer(here, EPOCH, Round(1));
        assert!(!renewals.send(here, EPOCH, Round(3)), "what was answered is not the last one sent");
        renewals.handle_answer(here, EPOCH, Round(3));
        assert!(renewals.send(here, EPOCH, Round(4)));
        assert!(!renewals.send(here, EPOCH, Round(4)), "asked again: in full");
        assert!(!renewals.send(here, EPOCH, Round(5)));
    }

    #[test]
    fn an_answer_counts_for_its_epoch_and_address_only() {
        let mut renewals = Renewals::default();
        renewals.send(addr(1), EPOCH, Round(1));
        renewals.send(addr(2), EPOCH, Round(1));
        renewals.handle_answer(addr(1), EPOCH, Round(1));
        renewals.handle_answer(addr(2), Epoch(6), Round(1));
        renewals.handle_answer(addr(3), EPOCH, Round(1));
        assert!(renewals.send(addr(1), EPOCH, Round(2)));
        assert!(!renewals.send(addr(2), EPOCH, Round(2)));
        assert!(!renewals.send(addr(3), EPOCH, Round(2)));
        renewals.handle_answer(addr(1), EPOCH, Round(2));
        assert!(!renewals.send(addr(1), Epoch(8), Round(3)), "another leadership begins in full");
    }
}
