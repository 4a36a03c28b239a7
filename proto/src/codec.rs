//! The only file that names bincode: typed values to bytes and back, with a limit on every decode.
//!
//! Layout: bincode 2 "standard" (little endian, variable-length integers). Everything else in the
//! project says [`encode`] and `decode_*`, so that the encoding can be replaced (bincode is no longer developed).
//!
//! One value has one encoding: bincode alone would also take the number 1 as three, five or nine bytes. The decoders
//! here refuse whatever they would not have written themselves, so that hashes and comparisons of bytes mean something.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

/// Largest value that may be decoded from a datagram, in bytes of memory claimed by lengths.
pub const DATAGRAM_LIMIT: usize = 4 * 1024;
/// Largest value that may be decoded from a control frame.
pub const FRAME_LIMIT: usize = 32 * 1024 * 1024;

/// A type that travels.
pub trait Wire: bincode::Encode + bincode::Decode<()> {}
impl<T: bincode::Encode + bincode::Decode<()>> Wire for T {}

/// Why bytes could not be decoded, or a value not be encoded. Nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The bytes are not a value of this type: foreign, cut off, newer or hostile. Retrying is useless.
    #[error("decode: {0}")]
    Decode(String),
    /// Bytes were left over.
    #[error("decode: {0} bytes too many")]
    Trailing(usize),
    /// A value in a form that no sender of ours makes, such as a small number in a long form.
    #[error("decode: not the one form in which this value is written")]
    NotCanonical,
    /// Our own value does not fit. A defect.
    #[error("encode: {0}")]
    Encode(String),
}

fn config<const LIMIT: usize>() -> Configuration<LittleEndian, Varint, Limit<LIMIT>> {
    bincode::config::standard().with_limit::<LIMIT>()
}

/// Encodes a value. Control messages never exceed [`FRAME_LIMIT`].
pub fn encode<T: bincode::Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::encode_to_vec(value, config::<FRAME_LIMIT>()).map_err(|e| CodecError::Encode(e.to_string()))
}

/// Decodes exactly one value from a datagram's bytes.
pub fn decode_datagram<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    exactly(bytes, decode_limited::<T, DATAGRAM_LIMIT>(bytes)?)
}

/// Decodes exactly one value from a frame's bytes.
pub fn decode_frame<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    exactly(bytes, decode_limited::<T, FRAME_LIMIT>(bytes)?)
}

/// Decodes one value from the front and says how many bytes it took.
pub fn decode_prefix<T: Wire>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    decode_limited::<T, DATAGRAM_LIMIT>(bytes)
}

fn decode_limited<T: Wire, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    let (value, used): (T, usize) =
        bincode::decode_from_slice(bytes, config::<LIMIT>()).map_err(|e| CodecError::Decode(e.to_string()))?;
    let mut same = Same { rest: &bytes[..used] };
    match bincode::encode_into_writer(&value, &mut same, config::<LIMIT>()) {
        Ok(()) if same.rest.is_empty() => Ok((value, used)),
        _ => Err(CodecError::NotCanonical),
    }
}

fn exactly<T>(bytes: &[u8], (value, used): (T, usize)) -> Result<T, CodecError> {
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}

/// Compares what is written with what was read, without a copy.
struct Same<'a> {
    rest: &'a [u8],
}

impl bincode::enc::write::Writer for Same<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        match self.rest.strip_prefix(bytes) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(bincode::error::EncodeError::Other("differs")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_a_longer_form_than_needed_is_refused() {
        assert_eq!(decode_datagram::<u64>(&[250]).unwrap(), 250);
        for long in [&[251, 250, 0][..], &[252, 250, 0, 0, 0], &[253, 250, 0, 0, 0, 0, 0, 0, 0]] {
            assert!(matches!(decode_datagram::<u64>(long), Err(CodecError::NotCanonical)), "{long:?}");
        }
        assert_eq!(decode_datagram::<u64>(&[251, 251, 0]).unwrap(), 251);
    }

    #[test]
    fn bytes_left_over_or_missing_are_refused() {
        assert!(matches!(decode_frame::<u64>(&[1, 2]), Err(CodecError::Trailing(1))));
        assert!(matches!(decode_frame::<u64>(&[]), Err(CodecError::Decode(_))));
        assert_eq!(decode_prefix::<u64>(&[1, 2]).unwrap(), (1, 1));
    }

    #[test]
    fn a_hostile_length_allocates_nothing() {
        let mut bytes = vec![253];
        bytes.extend_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode_datagram::<Vec<u8>>(&bytes), Err(CodecError::Decode(_))));
        assert!(matches!(decode_frame::<Vec<String>>(&bytes), Err(CodecError::Decode(_))));
        assert!(matches!(decode_datagram::<Vec<u8>>(&[251, 1, 16]), Err(CodecError::Decode(_))));
    }
}
