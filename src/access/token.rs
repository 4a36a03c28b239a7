//! The text of a token, and what is kept of it.
//!
//! `qrt_`, 64 hex digits of secret (256 random bits), 8 hex digits of checksum. The prefix lets scanners of source code find
//! one that was committed; the checksum tells a mistyped token from one that nobody knows, without asking anybody.
//!
//! What is kept is one BLAKE3 hash. A slow, salted hash protects secrets that people choose, which can be guessed. These
//! are 256 random bits: nobody guesses them, however fast the hash is, and no two are alike. A slow hash would only let
//! strangers make the agent work.

use std::fmt;

use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::hex;

/// What every token begins with.
pub const PREFIX: &str = "qrt_";
const CHECKSUM: usize = 4;
const LENGTH: usize = PREFIX.len() + 2 * (32 + CHECKSUM);

/// Contexts of the two hashes: neither says anything about the other.
const HASH_CONTEXT: &str = "quorate 2026-11-28 hash of a token";
const CHECKSUM_CONTEXT: &str = "quorate 2026-11-28 checksum of a token";

/// The secret of a token. Shown once, when it is made.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What is kept of a token.
#[derive(Clone, Copy, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
pub struct TokenHash([u8; 32]);

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// In constant time.
impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        blake3::Hash::from_bytes(self.0) == blake3::Hash::from_bytes(other.0)
    }
}

impl Eq for TokenHash {}

impl TokenHash {
    /// 64 hex digits, as the register has it.
    pub fn to_hex(self) -> String {
        hex(&self.0)
    }

    /// The other way; `None`: it is none.
    pub fn from_hex(text: &str) -> Option<Self> {
        bytes(text).map(Self)
    }

    /// Tells it from others in a small table, where a mistake only costs a try.
    pub fn short(self) -> u64 {
        self.0.iter().take(8).fold(0, |all, byte| (all << 8) | u64::from(*byte))
    }
}

/// Why a text is no token. Nobody needs to be asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is something else.
    #[error("it does not begin with {PREFIX}, so it is no token of Quorate")]
    Foreign,
    /// It was one.
    #[error("it is mistyped or cut off: its checksum does not fit")]
    Mistyped,
}

impl Secret {
    /// Of 256 random bits.
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads a token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let digits = text.strip_prefix(PREFIX).ok_or(TokenError::Foreign)?;
        if text.len() != LENGTH || !digits.is_ascii() {
            return Err(TokenError::Mistyped);
        }
        let (secret, checksum) = digits.split_at(64);
        let secret = Self(bytes(secret).ok_or(TokenError::Mistyped)?);
        if secret.checksum() == checksum { Ok(secret) } else { Err(TokenError::Mistyped) }
    }

    /// The token. For whoever it is made for, and nobody else.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}{}", hex(&self.0), self.checksum())
    }

    /// What is kept of it.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key(HASH_CONTEXT, &self.0))
    }

    fn checksum(&self) -> String {
        hex(&blake3::derive_key(CHECKSUM_CONTEXT, &self.0)[..CHECKSUM])
    }
}

/// Any bytes as a token, for the target in `fuzz/` and for `tests/fuzz_brief.rs`: what is read shows the same text again.
pub fn fuzz_token(bytes: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(bytes).ok() else { return false };
    match Secret::parse(text) {
        Ok(secret) => {
            assert_eq!(secret.reveal(), text);
            true
        }
        Err(_) => false,
    }
}

/// 64 lower-case hex digits.
fn bytes(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut all = [0; 32];
    let text = text.as_bytes();
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in all.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? * 16 + digit(pair[1])?;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_is_read_back_and_has_its_form() {
        let secret = Secret::new([0xa5; 32]);
        let text = secret.reveal();
        assert_eq!((text.len(), &text[..8]), (LENGTH, "qrt_a5a5"));
        assert_eq!(Secret::parse(&text), Ok(secret.clone()));
        assert_eq!(TokenHash::from_hex(&secret.hash().to_hex()), Some(secret.hash()));
        assert_ne!(secret.hash(), Secret::new([0xa4; 32]).hash());
    }

    #[test]
    fn a_mistyped_token_is_told_from_another_text() {
        let text = Secret::new([7; 32]).reveal();
        for at in PREFIX.len()..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(Secret::parse(std::str::from_utf8(&wrong).unwrap()), Err(TokenError::Mistyped), "digit {at}");
        }
        for wrong in ["qrt_", "qrt_x", &text[..text.len() - 1], &format!("{text}0"), &text.replace('7', "G")] {
            assert_eq!(Secret::parse(wrong), Err(TokenError::Mistyped), "{wrong}");
        }
        assert_eq!(Secret::parse(&text.to_uppercase()), Err(TokenError::Foreign));
        for foreign in ["", "root", "8f246b77-f3e1-ff88-5b48-8ec93abf3e05", "QRT_00", " qrt_"] {
            assert_eq!(Secret::parse(foreign), Err(TokenError::Foreign), "{foreign}");
        }
    }

    #[test]
    fn neither_secret_nor_hash_shows_itself() {
        let secret = Secret::new([9; 32]);
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "Secret(..) TokenHash(..)");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(qrt_)?\\PC{0,90}") {
            drop(Secret::parse(&text));
        }

        #[test]
        fn every_secret_is_read_back(random in any::<[u8; 32]>()) {
            prop_assert_eq!(Secret::parse(&Secret::new(random).reveal()), Ok(Secret::new(random)));
        }
    }
}
