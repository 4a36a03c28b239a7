//! SWIM packets as bytes: headers and member records (`proto/WIRE.md`, "SWIM packets").
//!
//! The sender of a packet is written in full, because it may be news to the receiver (but see `short_acks`). The receiver is written as a tag
//! of eight bytes with the generation and bump that the sender remembers: the receiver knows the rest about itself.
//! That keeps a Ping near 60 bytes and works when a member is dialled at another address than it advertises. It is also
//! where a member learns that others remember a later life of it than the present one (rule R8).
//!
//! A member that left is Down with the highest incarnation. foca treats it as any Down, and nothing else has that
//! number, because a member renews itself before it gets near ([`super::renewals::INCARNATION_LIMIT`]).

use bytes::{Buf, BufMut};
use foca::{Header, Incarnation, Message, State};

use super::bytes::{BytesError, Reader, put_generation, put_identity, put_varint};
use super::peer::Peer;

/// The incarnation of a Down record that says "left".
pub(super) const LEFT: Incarnation = Incarnation::MAX;

const PING: u8 = 0;
pub(super) const ACK: u8 = 1;
const PING_REQ: u8 = 2;
const INDIRECT_PING: u8 = 3;
const INDIRECT_ACK: u8 = 4;
const FORWARDED_ACK: u8 = 5;
const ANNOUNCE: u8 = 6;
const FEED: u8 = 7;
const GOSSIP: u8 = 8;
const BROADCAST: u8 = 9;
const TURN_UNDEAD: u8 = 10;

pub(super) const KIND_MASK: u8 = 0x0f;
pub(super) const TO_WHOEVER: u8 = 1 << 4;
const DST_BUMP: u8 = 1 << 5;
const INCARNATION: u8 = 1 << 6;
/// The sender is named by a tag: `short_acks` puts its identity in its place before anything is read here.
pub(super) const BY_TAG: u8 = 1 << 7;

const STATE_MASK: u8 = 0x03;
const STATE_ALIVE: u8 = 0;
const STATE_SUSPECT: u8 = 1;
const STATE_DOWN: u8 = 2;
const STATE_LEFT: u8 = 3;
const RECORD_INCARNATION: u8 = 1 << 2;

/// Encodes and decodes for one member, whom it knows by name and instance.
#[derive(Debug, Clone)]
pub(super) struct Codec {
    own: Peer,
}

impl Codec {
    pub(super) fn new(own: Peer) -> Self {
        Self { own }
    }

    pub(super) fn put_header(header: &Header<Peer>, out: &mut Vec<u8>) -> Result<(), BytesError> {
        let src = header.src.identity().ok_or(BytesError::Field("source"))?;
        let whoever = matches!(header.dst, Peer::Address(_));
        if whoever && header.message != Message::Announce {
            return Err(BytesError::Field("destination"));
        }
        let dst = header.dst.identity();
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        out.push(
            kind(&header.message)
                | flag(whoever, TO_WHOEVER)
                | flag(dst.is_some_and(|dst| dst.bump != 0), DST_BUMP)
                | flag(header.src_incarnation != 0, INCARNATION),
        );
        put_identity(out, src)?;
        if header.src_incarnation != 0 {
            out.extend_from_slice(&header.src_incarnation.to_be_bytes());
        }
        if !whoever {
            let dst = dst.ok_or(BytesError::Field("destination"))?;
            out.extend_from_slice(&header.dst.tag().ok_or(BytesError::Field("destination"))?);
            put_generation(out, dst.generation)?;
            if dst.bump != 0 {
                put_varint(out, dst.bump);
            }
        }
        match &header.message {
            Message::Ping(number) | Message::Ack(number) => out.push(*number),
            Message::PingReq { target: third, probe_number }
            | Message::IndirectPing { origin: third, probe_number }
            | Message::IndirectAck { target: third, probe_number }
            | Message::ForwardedAck { origin: third, probe_number } => {
                out.push(*probe_number);
                put_identity(out, third.identity().ok_or(BytesError::Field("third"))?)?;
            }
            Message::Announce | Message::Feed | Message::Gossip | Message::Broadcast | Message::TurnUndead => {}
        }
        Ok(())
    }

    pub(super) fn read_header(&self, reader: &mut Reader<'_>) -> Result<Header<Peer>, BytesError> {
        let first = reader.byte()?;
        let (kind, has) = (first & KIND_MASK, |flag: u8| first & flag != 0);
        let strange = has(BY_TAG) || (has(TO_WHOEVER) && (has(DST_BUMP) || kind != ANNOUNCE));
        if strange {
            return Err(BytesError::Field("kind"));
        }
        let src = Peer::new(reader.identity()?);
        let src_incarnation = read_incarnation(reader, has(INCARNATION))?;
        let dst = if has(TO_WHOEVER) {
            self.own.clone()
        } else {
            let tag = reader.array()?;
            let generation = reader.generation()?;
            let bump = reader.nonzero(has(DST_BUMP), "bump")?;
            if self.own.tag() == Some(tag) { self.own.at(generation, bump) } else { Peer::Stranger }
        };
        let message = read_message(kind, reader)?;
        Ok(Header { src, src_incarnation, dst, message })
    }

    pub(super) fn put_member(member: &foca::Member<Peer>, out: &mut Vec<u8>) -> Result<(), BytesError> {
        let (state, incarnation) = match (member.state(), member.incarnation()) {
            (State::Alive, incarnation) => (STATE_ALIVE, incarnation),
            (State::Suspect, incarnation) => (STATE_SUSPECT, incarnation),
            (State::Down, LEFT) => (STATE_LEFT, 0),
            (State::Down, incarnation) => (STATE_DOWN, incarnation),
        };
        out.push(state | if incarnation == 0 { 0 } else { RECORD_INCARNATION });
        if incarnation != 0 {
            out.extend_from_slice(&incarnation.to_be_bytes());
        }
        put_identity(out, member.id().identity().ok_or(BytesError::Field("member"))?)
    }

    pub(super) fn read_member(reader: &mut Reader<'_>) -> Result<foca::Member<Peer>, BytesError> {
        let first = reader.byte()?;
        if first & !(STATE_MASK | RECORD_INCARNATION) != 0 {
            return Err(BytesError::Field("state"));
        }
        let incarnation = read_incarnation(reader, first & RECORD_INCARNATION != 0)?;
        let (state, incarnation) = match (first & STATE_MASK, incarnation) {
            (STATE_ALIVE, incarnation) => (State::Alive, incarnation),
            (STATE_SUSPECT, incarnation) => (State::Suspect, incarnation),
            (STATE_DOWN, incarnation) if incarnation != LEFT => (State::Down, incarnation),
            (STATE_LEFT, 0) => (State::Down, LEFT),
            _ => return Err(BytesError::Field("state")),
        };
        Ok(foca::Member::new(Peer::new(reader.identity()?), incarnation, state))
    }
}

fn read_incarnation(reader: &mut Reader<'_>, present: bool) -> Result<Incarnation, BytesError> {
    if !present {
        return Ok(0);
    }
    Some(reader.u16()?).filter(|number| *number != 0).ok_or(BytesError::Field("incarnation"))
}

fn kind(message: &Message<Peer>) -> u8 {
    match message {
        Message::Ping(_) => PING,
        Message::Ack(_) => ACK,
        Message::PingReq { .. } => PING_REQ,
        Message::IndirectPing { .. } => INDIRECT_PING,
        Message::IndirectAck { .. } => INDIRECT_ACK,
        Message::ForwardedAck { .. } => FORWARDED_ACK,
        Message::Announce => ANNOUNCE,
        Message::Feed => FEED,
        Message::Gossip => GOSSIP,
        Message::Broadcast => BROADCAST,
        Message::TurnUndead => TURN_UNDEAD,
    }
}

fn read_message(kind: u8, reader: &mut Reader<'_>) -> Result<Message<Peer>, BytesError> {
    let probe_number = if kind <= FORWARDED_ACK { reader.byte()? } else { 0 };
    let mut third = || reader.identity().map(Peer::new);
    Ok(match kind {
        PING => Message::Ping(probe_number),
        ACK => Message::Ack(probe_number),
        PING_REQ => Message::PingReq { target: third()?, probe_number },
        INDIRECT_PING => Message::IndirectPing { origin: third()?, probe_number },
        INDIRECT_ACK => Message::IndirectAck { target: third()?, probe_number },
        FORWARDED_ACK => Message::ForwardedAck { origin: third()?, probe_number },
        ANNOUNCE => Message::Announce,
        FEED => Message::Feed,
        GOSSIP => Message::Gossip,
        BROADCAST => Message::Broadcast,
        TURN_UNDEAD => Message::TurnUndead,
        _ => return Err(BytesError::Field("kind")),
    })
}

/// Puts the whole item or nothing: foca relies on it, and `put_slice` panics when it does not fit.
fn put_all(bytes: &[u8], mut buf: impl BufMut) -> Result<(), BytesError> {
    if buf.remaining_mut() < bytes.len() {
        return Err(BytesError::Full);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn read_one<T>(
    mut buf: impl Buf,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, BytesError>,
) -> Result<T, BytesError> {
    let mut reader = Reader::new(buf.chunk());
    let before = reader.left();
    let value = read(&mut reader)?;
    let used = before - reader.left();
    buf.advance(used);
    Ok(value)
}

impl foca::Codec<Peer> for Codec {
    type Error = BytesError;

    fn encode_header(&mut self, header: &Header<Peer>, buf: impl BufMut) -> Result<(), BytesError> {
        let mut bytes = Vec::with_capacity(128);
        Self::put_header(header, &mut bytes)?;
        put_all(&bytes, buf)
    }

    fn decode_header(&mut self, buf: impl Buf) -> Result<Header<Peer>, BytesError> {
        read_one(buf, |reader| self.read_header(reader))
    }

    fn encode_member(&mut self, member: &foca::Member<Peer>, buf: impl BufMut) -> Result<(), BytesError> {
        let mut bytes = Vec::with_capacity(64);
        Self::put_member(member, &mut bytes)?;
        put_all(&bytes, buf)
    }

    fn decode_member(&mut self, buf: impl Buf) -> Result<foca::Member<Peer>, BytesError> {
        read_one(buf, Self::read_member)
    }
}

#[cfg(test)]
mod tests;
