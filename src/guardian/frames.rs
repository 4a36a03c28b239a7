//! Messages on the socket between agent and guardian: four bytes of length, little endian, then the encoded value.

use quorate_proto::codec::{self, CodecError, Wire};

/// Largest message. What needs the most is the standard input of a run: a task's input variables.
pub(super) const FRAME_MAX: usize = 8 * 1024 * 1024;
const LENGTH: usize = 4;

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The other end is not ours, or broken: close the connection.
    #[error("message of {0} bytes, the limit is {FRAME_MAX}")]
    TooLong(usize),
    /// As above.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// One message as bytes.
pub(super) fn frame<T: Wire>(message: &T) -> Result<Vec<u8>, FrameError> {
    let body = codec::encode(message)?;
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_MAX);
    let length = length.ok_or(FrameError::TooLong(body.len()))?;
    let mut bytes = Vec::with_capacity(LENGTH + body.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Takes bytes as they come, gives messages.
#[derive(Debug, Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one.
    pub(super) fn poll_message<T: Wire>(&mut self) -> Result<Option<T>, FrameError> {
        let Some(head) = self.buffer.first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > FRAME_MAX {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = self.buffer.get(LENGTH..LENGTH + length) else { return Ok(None) };
        let message = codec::decode_frame(body)?;
        self.buffer.drain(..LENGTH + length);
        if self.buffer.is_empty() {
            // A large one is not kept for the life of the process: the guardian is to stay small.
            self.buffer = Vec::new();
        }
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cut_anywhere_come_out_whole() {
        let sent = ["one".to_owned(), String::new(), "three".repeat(100)];
        let bytes: Vec<u8> = sent.iter().flat_map(|text| frame(text).unwrap()).collect();
        for size in [1, 2, 3, 7, bytes.len()] {
            let mut frames = Frames::default();
            let mut received = Vec::new();
            for piece in bytes.chunks(size) {
                frames.push(piece);
                while let Some(text) = frames.poll_message::<String>().unwrap() {
                    received.push(text);
                }
            }
            assert_eq!(received, sent, "pieces of {size}");
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_awaited() {
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_le_bytes());
        assert!(matches!(frames.poll_message::<String>(), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_body_of_another_shape_is_refused() {
        let mut frames = Frames::default();
        frames.push(&frame(&(7u64, 7u64)).unwrap());
        assert!(matches!(frames.poll_message::<String>(), Err(FrameError::Codec(_))));
    }
}
