//! An Ack in few bytes: its sender is named by a tag and a generation, as its receiver is.
//!
//! Whoever gets an Ack has asked for it by a Ping that named its sender's present life, so it knows the rest. The form is
//! made of the packet that foca wrote, and foca is given that packet again, so that its limits hold for the full form.

use std::borrow::Cow;

use quorate_proto::{Generation, Identity};

use super::bytes::{Reader, put_generation, put_identity};
use super::codec::{ACK, BY_TAG, KIND_MASK, TO_WHOEVER};
use super::peer::{Peer, Tag};

/// The packet as it travels to this member: short when it is an Ack and the member understands it.
pub(super) fn shorten<'a>(to: &Peer, packet: &'a [u8]) -> Cow<'a, [u8]> {
    let understood = to.identity().is_some_and(|to| to.versions.has_short_forms());
    let short = understood.then(|| short_ack(packet)).flatten();
    short.map_or(Cow::Borrowed(packet), Cow::Owned)
}

fn short_ack(packet: &[u8]) -> Option<Vec<u8>> {
    let (&first, rest) = packet.split_first()?;
    if first & (KIND_MASK | TO_WHOEVER) != ACK {
        return None;
    }
    let mut reader = Reader::new(rest);
    let sender = reader.identity().ok()?;
    // There is no place for a bump, and hardly ever one.
    if sender.bump != 0 {
        return None;
    }
    let rest = &rest[rest.len() - reader.left()..];
    let mut short = Vec::with_capacity(packet.len());
    short.push(first | BY_TAG);
    let generation = sender.generation;
    short.extend_from_slice(&Peer::new(sender).tag()?);
    put_generation(&mut short, generation).ok()?;
    short.extend_from_slice(rest);
    Some(short)
}

/// The packet in full. `find` knows the members; `None` when the sender is not among them.
pub(super) fn expand(packet: &[u8], find: impl FnOnce(Tag, Generation) -> Option<Identity>) -> Option<Cow<'_, [u8]>> {
    let Some((&first, rest)) = packet.split_first() else { return Some(Cow::Borrowed(packet)) };
    if first & (KIND_MASK | TO_WHOEVER | BY_TAG) != ACK | BY_TAG {
        return Some(Cow::Borrowed(packet));
    }
    let mut reader = Reader::new(rest);
    let (tag, generation) = (reader.array().ok()?, reader.generation().ok()?);
    let sender = find(tag, generation)?;
    let mut full = Vec::with_capacity(packet.len() + 64);
    full.push(first & !BY_TAG);
    put_identity(&mut full, &sender).ok()?;
    full.extend_from_slice(&rest[rest.len() - reader.left()..]);
    Some(Cow::Owned(full))
}

#[cfg(test)]
mod tests {
    use foca::{Header, Message};
    use quorate_proto::identity::Versions;

    use super::super::codec::Codec;
    use super::super::testing::identity;
    use super::*;

    fn packet(sender: &Identity, to: &Peer, message: Message<Peer>) -> Vec<u8> {
        let (src, dst) = (Peer::new(sender.clone()), to.clone());
        let mut out = Vec::new();
        Codec::put_header(&Header { src, src_incarnation: 9, dst, message }, &mut out).unwrap();
        out.extend_from_slice(&[0, 0]);
        out
    }

    fn known(sender: &Identity) -> impl Fn(Tag, Generation) -> Option<Identity> {
        let sender = sender.clone();
        move |tag, generation| {
            let known = Peer::new(sender.clone()).tag() == Some(tag) && sender.generation == generation;
            known.then(|| sender.clone())
        }
    }

    #[test]
    fn an_ack_travels_short_and_comes_back_whole() {
        let (sender, to) = (identity("a", 5), Peer::new(identity("b", 6)));
        let full = packet(&sender, &to, Message::Ack(7));
        let short = shorten(&to, &full);
        assert!(short.len() + 20 < full.len(), "{} of {}", short.len(), full.len());
        assert_eq!(expand(&short, known(&sender)).as_deref(), Some(&full[..]));
        assert_eq!(expand(&short, known(&identity("a", 4))), None, "another life");
        assert_eq!(expand(&short, known(&identity("c", 5))), None, "another member");
        for length in 1..15 {
            assert_eq!(expand(&short[..length], known(&sender)), None, "cut off after {length}");
        }
    }

    #[test]
    fn everything_else_travels_in_full() {
        let (sender, to) = (identity("a", 5), Peer::new(identity("b", 6)));
        let old = Peer::new(Identity { versions: Versions { min: 1, max: 1 }, ..identity("b", 6) });
        let renewed = Identity { bump: 1, ..sender.clone() };
        for (sender, to, message) in [
            (&sender, &to, Message::Ping(7)),
            (&sender, &to, Message::Gossip),
            (&sender, &to, Message::IndirectAck { target: to.clone(), probe_number: 7 }),
            (&sender, &old, Message::Ack(7)),
            (&renewed, &to, Message::Ack(7)),
        ] {
            let full = packet(sender, to, message);
            assert_eq!(shorten(to, &full), full);
            assert_eq!(expand(&full, known(sender)).as_deref(), Some(&full[..]));
        }
    }
}
