//! The only file that names bincode: typed values to bytes and back, with a limit on every decode.
//!
//! Layout: bincode 2 "standard" (little endian, variable-length integers). Everything else in the
//! project says [`encode`] and [`decode`], so that the encoding can be replaced (bincode is no longer developed).

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
    exactly(bytes, bincode::decode_from_slice(bytes, config::<DATAGRAM_LIMIT>()))
}

/// Decodes exactly one value from a frame's bytes.
pub fn decode_frame<T: Wire>(bytes: &[u8]) -> Result<T, CodecError> {
    exactly(bytes, bincode::decode_from_slice(bytes, config::<FRAME_LIMIT>()))
}

/// Decodes one value from the front and says how many bytes it took.
pub fn decode_prefix<T: Wire>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::decode_from_slice(bytes, config::<DATAGRAM_LIMIT>()).map_err(|e| CodecError::Decode(e.to_string()))
}

fn exactly<T>(bytes: &[u8], decoded: Result<(T, usize), bincode::error::DecodeError>) -> Result<T, CodecError> {
    let (value, used) = decoded.map_err(|e| CodecError::Decode(e.to_string()))?;
    match bytes.len() - used {
        0 => Ok(value),
        left => Err(CodecError::Trailing(left)),
    }
}
