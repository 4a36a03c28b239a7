//! An open control connection: frames in, frames out.

use bytes::BytesMut;
use snow::TransportState;

use super::take_unit;
use crate::codec::FRAME_LIMIT;

/// Largest Noise message, by its specification.
const RECORD_MAX: usize = 65_535;
const TAG: usize = 16;

/// Why a frame could not be sent or read. Close the connection: the stream cannot be found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame, ours or theirs, is above [`FRAME_LIMIT`], or above what a stranger may send. Nothing was sent, nothing was allocated.
    #[error("a frame of {0} bytes is above the limit")]
    TooLarge(usize),
    /// A record without content.
    #[error("an empty record")]
    Empty,
    /// A record does not open: damaged, reordered, or not from the peer of the handshake.
    #[error("a record with a bad seal")]
    BadSeal,
}

impl FrameError {
    /// The reason as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_large",
            Self::Empty => "empty",
            Self::BadSeal => "bad_seal",
        }
    }
}

/// Both directions of a connection after the handshake.
pub struct Channel {
    transport: Option<TransportState>,
    /// As read from the socket.
    wire: BytesMut,
    /// The frame stream, when it is not the same as `wire`.
    opened: BytesMut,
    /// The stream is lost: every further read fails with this.
    broken: Option<FrameError>,
}

impl Channel {
    pub(super) fn new(transport: Option<TransportState>, wire: BytesMut) -> Self {
        Self { transport, wire, opened: BytesMut::new(), broken: None }
    }

    /// The bytes to write for one frame. The order of writing is the order of sealing.
    pub fn seal_frame(&mut self, frame: &[u8]) -> Result<Vec<u8>, FrameError> {
        let too_large = FrameError::TooLarge(frame.len());
        let size = u32::try_from(frame.len()).map_err(|_| too_large)?;
        if frame.len() > FRAME_LIMIT {
            return Err(too_large);
        }
        let stream = [&size.to_be_bytes(), frame].concat();
        let Some(transport) = &mut self.transport else { return Ok(stream) };

        let chunk = RECORD_MAX - TAG;
        let mut wire = Vec::with_capacity(stream.len() + stream.len().div_ceil(chunk) * (2 + TAG));
        let mut record = vec![0; stream.len().min(chunk) + TAG];
        for part in stream.chunks(chunk) {
            let size = transport.write_message(part, &mut record).map_err(|_| FrameError::BadSeal)?;
            let length = u16::try_from(size).map_err(|_| FrameError::TooLarge(size))?;
            wire.extend_from_slice(&length.to_be_bytes());
            wire.extend_from_slice(&record[..size]);
        }
        Ok(wire)
    }

    /// Takes bytes from the peer, however cut. Call [`Channel::next_frame`] until `None` before feeding more, so
    /// that at most one unfinished frame is held.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        self.next_frame_within(FRAME_LIMIT)
    }

    /// The next whole frame, which may have `limit` bytes at most: for a peer that has proved nothing yet.
    pub fn next_frame_within(&mut self, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let next = self.decode(limit.min(FRAME_LIMIT));
        self.broken = next.as_ref().err().copied();
        next
    }

    fn decode(&mut self, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
        let Some(transport) = &mut self.transport else {
            return take_frame(&mut self.wire, limit);
        };
        loop {
            if let Some(frame) = take_frame(&mut self.opened, limit)? {
                return Ok(Some(frame));
            }
            let Some(record) = take_unit(&mut self.wire, 2, RECORD_MAX).map_err(FrameError::TooLarge)? else {
                return Ok(None);
            };
            if record.len() <= TAG {
                return Err(FrameError::Empty);
            }
            let start = self.opened.len();
            self.opened.resize(start + record.len() - TAG, 0);
            transport.read_message(&record, &mut self.opened[start..]).map_err(|_| FrameError::BadSeal)?;
        }
    }
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel").field("sealed", &self.transport.is_some()).finish_non_exhaustive()
    }
}

fn take_frame(stream: &mut BytesMut, limit: usize) -> Result<Option<Vec<u8>>, FrameError> {
    Ok(take_unit(stream, 4, limit).map_err(FrameError::TooLarge)?.map(Vec::from))
}
