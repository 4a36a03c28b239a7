//! Names and numbers that travel: each its own type, so that two `u64`s are never confused.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bincode::{Decode, Encode};

/// Longest member id, in bytes.
pub const MEMBER_ID_MAX: usize = 63;

/// Why a text is not a [`MemberId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MemberIdError {
    /// Nothing changed; give a name.
    #[error("an id may not be empty")]
    Empty,
    /// Nothing changed; shorten it.
    #[error("an id has at most {MEMBER_ID_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// Nothing changed; use letters, digits, `.`, `_` and `-`.
    #[error("an id has only letters, digits, `.`, `_` and `-`, found {0:?}")]
    Character(char),
}

/// The name of an agent: 1 to 63 of `A-Z a-z 0-9 . _ -`. The lowest in byte order leads. Copies share the text: it is in every
/// message, voter and run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(Arc<str>);

impl MemberId {
    /// Checks and takes a name.
    pub fn new(text: impl Into<String>) -> Result<Self, MemberIdError> {
        let text = text.into();
        if text.is_empty() {
            return Err(MemberIdError::Empty);
        }
        if text.len() > MEMBER_ID_MAX {
            return Err(MemberIdError::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
            return Err(MemberIdError::Character(bad));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MemberId {
    type Err = MemberIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Encode for MemberId {
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        self.as_str().encode(encoder)
    }
}

impl<C> Decode<C> for MemberId {
    fn decode<D: bincode::de::Decoder<Context = C>>(decoder: &mut D) -> Result<Self, bincode::error::DecodeError> {
        let text = String::decode(decoder)?;
        Self::new(text).map_err(|e| bincode::error::DecodeError::OtherString(e.to_string()))
    }
}

bincode::impl_borrow_decode!(MemberId);

macro_rules! random_128 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            /// The first eight bytes in hex: enough to tell two apart in a log line.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

random_128!(
    /// 128 random bits made with a data directory: a new directory is a new instance (protocol-safety R21).
    Instance
);
random_128!(
    /// 128 random bits made at process start: two processes never share one (protocol-safety 3).
    BootNonce
);
random_128!(
    /// The hash of the founding proposal (protocol-safety F2): one for ever per cluster.
    ClusterId
);

/// BLAKE3 of the contents of a large value: its name on disk and on the wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct BlobHash(pub [u8; 32]);

impl BlobHash {
    /// Of these contents.
    pub fn of(contents: &[u8]) -> Self {
        Self(*blake3::hash(contents).as_bytes())
    }
}

impl fmt::Display for BlobHash {
    /// All of it in hex: it is also the name of a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlobHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        pub struct $name(pub u64);

        impl $name {
            /// The next number.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Number of a leadership; only ever grows. Also the fencing token that work carries.
    Epoch
);
number!(
    /// Number of a write within one epoch, from 1.
    Seq
);
number!(
    /// Number of an agent's start: durable, strictly growing (gossip R8: `max(stored + 1, unix ms)`).
    Generation
);

/// Names one write batch for ever (invariant I3). Ordered by epoch, then seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct Stamp {
    /// The leadership that wrote it.
    pub epoch: Epoch,
    /// Its number in that leadership.
    pub seq: Seq,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}
