//! A datagram taken apart and, when a record has to go, put together again without it.
//!
//! foca reads the datagram a second time by itself; there is no way to hand it what was read here.

use std::ops::Range;

use foca::{Header, Message, State};

use super::bytes::{BytesError, Reader};
use super::codec::{Codec, LEFT};
use super::peer::Peer;

/// A datagram taken apart.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) header: Header<Peer>,
    pub(super) records: Vec<Record>,
    count_at: usize,
    tail: usize,
}

/// One member record and where it is.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) member: foca::Member<Peer>,
    bytes: Range<usize>,
}

impl Record {
    /// Whether it says that the member left cleanly.
    pub(super) fn is_leave(&self) -> bool {
        self.member.state() == State::Down && self.member.incarnation() == LEFT
    }
}

impl Parsed {
    /// Reads all of it, so that nothing half-understood is ever applied.
    pub(super) fn read(codec: &Codec, payload: &[u8]) -> Result<Self, BytesError> {
        let mut reader = Reader::new(payload);
        let header = codec.read_header(&mut reader)?;
        let count_at = payload.len() - reader.left();
        let mut records = Vec::new();
        let has_records = !matches!(header.message, Message::Announce | Message::TurnUndead | Message::Broadcast);
        if has_records {
            for _ in 0..reader.u16()? {
                let start = payload.len() - reader.left();
                let member = Codec::read_member(&mut reader)?;
                records.push(Record { member, bytes: start..payload.len() - reader.left() });
            }
        }
        let tail = payload.len() - reader.left();
        if tail < payload.len() && matches!(header.message, Message::Announce | Message::TurnUndead) {
            return Err(BytesError::Field("length"));
        }
        Ok(Self { header, records, count_at, tail })
    }

    /// The datagram with only the records that `keep` accepts; `None` when that is all of them.
    pub(super) fn without(&self, payload: &[u8], keep: impl Fn(&Record) -> bool) -> Option<Vec<u8>> {
        let kept: Vec<_> = self.records.iter().filter(|record| keep(record)).collect();
        if kept.len() == self.records.len() {
            return None;
        }
        let mut copy = payload.get(..self.count_at)?.to_vec();
        copy.extend_from_slice(&u16::try_from(kept.len()).ok()?.to_be_bytes());
        for record in kept {
            copy.extend_from_slice(payload.get(record.bytes.clone())?);
        }
        copy.extend_from_slice(payload.get(self.tail..)?);
        Some(copy)
    }
}
