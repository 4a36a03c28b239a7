//! The keys that a cluster shares at one time: one that seals, and those that open.

use std::fmt;
use std::str::FromStr;

use super::Key;

/// Most keys of a ring: a rotation needs two. What a stranger's datagram costs grows with this.
pub const RING_MAX: usize = 8;

const FINGERPRINT_CONTEXT: &str = "quorate 2026 v1 group key fingerprint";

/// Names a key and tells nothing of it: 8 bytes of a hash, shown as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// Of a key.
    pub fn of(key: &Key) -> Self {
        let mut short = [0; 8];
        short.copy_from_slice(&key.derive(FINGERPRINT_CONTEXT, &[])[..8]);
        Self(short)
    }

    /// The eight bytes.
    pub(super) fn bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint of a key is 16 hexadecimal digits")]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NoFingerprint);
        }
        u64::from_str_radix(text, 16).map(|number| Self(number.to_be_bytes())).map_err(|_| NoFingerprint)
    }
}

/// Why keys are no ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// None at all.
    #[error("a ring has one key at least")]
    Empty,
    /// More than [`RING_MAX`].
    #[error("{0} keys are given, a ring has {RING_MAX} at most")]
    TooMany(usize),
    /// One of them twice.
    #[error("the key {0} is given twice")]
    Twice(Fingerprint),
}

/// One key that seals (the primary, first) and others that only open. Never empty, no key twice, at most [`RING_MAX`].
#[derive(Clone, PartialEq, Eq)]
pub struct Ring(Vec<(Fingerprint, Key)>);

impl Ring {
    /// The first key is the primary.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, RingError> {
        let keys: Vec<_> = keys.into_iter().map(|key| (Fingerprint::of(&key), key)).collect();
        if keys.is_empty() {
            return Err(RingError::Empty);
        }
        if keys.len() > RING_MAX {
            return Err(RingError::TooMany(keys.len()));
        }
        let twice = keys.iter().enumerate().find(|(n, (print, _))| keys[..*n].iter().any(|(other, _)| other == print));
        match twice {
            Some((_, (print, _))) => Err(RingError::Twice(*print)),
            None => Ok(Self(keys)),
        }
    }

    /// A ring of one key.
    pub fn of(key: Key) -> Self {
        Self(vec![(Fingerprint::of(&key), key)])
    }

    /// The key that seals.
    pub fn primary(&self) -> Fingerprint {
        self.0[0].0
    }

    /// All fingerprints, the primary first.
    pub fn fingerprints(&self) -> impl ExactSizeIterator<Item = Fingerprint> + '_ {
        self.0.iter().map(|(print, _)| *print)
    }

    /// All keys, the primary first.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Key> + '_ {
        self.0.iter().map(|(_, key)| key)
    }

    /// The key of that fingerprint.
    pub fn key(&self, print: Fingerprint) -> Option<&Key> {
        self.0.iter().find(|(other, _)| *other == print).map(|(_, key)| key)
    }

    /// Whether it has the key of that fingerprint.
    pub fn contains(&self, print: Fingerprint) -> bool {
        self.key(print).is_some()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fingerprints().map(|print| print.to_string())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_bytes(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_ring_has_a_primary_and_no_key_twice() {
        let ring = Ring::new([key(1), key(2)]).unwrap();
        assert_eq!(ring.primary(), Fingerprint::of(&key(1)));
        assert!(ring.contains(Fingerprint::of(&key(2))) && !ring.contains(Fingerprint::of(&key(3))));
        assert_eq!(Ring::new([]), Err(RingError::Empty));
        assert_eq!(Ring::new([key(1), key(2), key(1)]), Err(RingError::Twice(Fingerprint::of(&key(1)))));
        assert_eq!(Ring::new((0..9).map(key)), Err(RingError::TooMany(9)));
    }

    #[test]
    fn a_fingerprint_is_read_back_and_a_ring_prints_nothing_else() {
        let print = Fingerprint::of(&key(0x41));
        assert_eq!(print.to_string().parse(), Ok(print));
        for wrong in ["", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0", "+123456789abcdef"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(NoFingerprint));
        }
        assert_eq!(format!("{:?}", Ring::of(key(0x41))), format!("[\"{print}\"]"));
    }
}
