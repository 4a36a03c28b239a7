//! Keys: what a cluster shares, what a session derives from it, and the cryptography of one datagram.

use std::fmt;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

use super::{CHECK, COUNTER, Fingerprint, HEADER, HINT, MODE_PLAIN, MODE_SEALED, Refused, SealError, TAG};

/// Domain separation: one string for each use of a hash, never reused, with the version inside.
const NAME_CONTEXT: &str = "quorate 2026 v1 cluster name";
const SESSION_CONTEXT: &str = "quorate 2026 v1 datagram session key";
const HINT_CONTEXT: &str = "quorate 2026 v1 datagram session hint";
const CHECK_CONTEXT: &str = "quorate 2026 v1 plain datagram check";

/// The secret that a cluster shares. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; 32]);

impl Key {
    /// Takes 32 bytes; `None` for any other length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, for whoever keeps keys. Never to be printed.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives a key for one use: `context` names it, `parts` must be unambiguous when joined.
    pub(crate) fn derive(&self, context: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.0);
        for part in parts {
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// The first 16 bytes of a hash of the cluster's name: what binds an envelope or a connection to the cluster.
pub(crate) fn name_hash(cluster_name: &str) -> [u8; 16] {
    let hash = blake3::derive_key(NAME_CONTEXT, cluster_name.as_bytes());
    let mut short = [0; 16];
    short.copy_from_slice(&hash[..16]);
    short
}

/// What all members share.
pub(super) struct Group {
    name: String,
    name_hash: [u8; 16],
    key: Option<GroupKey>,
}

struct GroupKey {
    key: Key,
    print: Fingerprint,
    /// For the hint alone: a hint is computed for every datagram of a stranger.
    hint: [u8; 32],
}

impl Group {
    pub(super) fn new(cluster_name: &str, key: Option<&Key>) -> Self {
        let key = key.map(|key| GroupKey {
            key: key.clone(),
            print: Fingerprint::of(key),
            hint: key.derive(HINT_CONTEXT, &[cluster_name.as_bytes()]),
        });
        Self { name: cluster_name.to_owned(), name_hash: name_hash(cluster_name), key }
    }

    /// What the last byte of a session with these others is, if it is of this key; `None`: there is no key.
    pub(super) fn hint(&self, session: [u8; 8]) -> Option<u8> {
        let key = self.key.as_ref()?;
        Some(blake3::keyed_hash(&key.hint, &session[..HINT]).as_bytes()[0])
    }

    /// Bytes behind the text.
    pub(super) fn foot(&self) -> usize {
        if self.key.is_some() { TAG } else { CHECK }
    }

    /// What its datagrams say in their mode byte.
    pub(super) fn mode(&self) -> u8 {
        if self.key.is_some() { MODE_SEALED } else { MODE_PLAIN }
    }

    /// Key and session have fixed lengths, so the joined input is unambiguous for any name.
    pub(super) fn secret(&self, session: [u8; 8]) -> Secret {
        match &self.key {
            Some(GroupKey { key, print, .. }) => {
                let derived = key.derive(SESSION_CONTEXT, &[self.name.as_bytes(), &session]);
                let cipher = ChaCha20Poly1305::new(&derived.into());
                Secret::Sealed { cipher, name_hash: self.name_hash, by: *print }
            }
            None => Secret::Plain { check: blake3::derive_key(CHECK_CONTEXT, self.name.as_bytes()) },
        }
    }
}

/// What one session seals with.
#[derive(Clone)]
pub(super) enum Secret {
    Sealed { cipher: ChaCha20Poly1305, name_hash: [u8; 16], by: Fingerprint },
    Plain { check: [u8; 32] },
}

impl Secret {
    pub(super) fn mode(&self) -> u8 {
        match self {
            Self::Sealed { .. } => MODE_SEALED,
            Self::Plain { .. } => MODE_PLAIN,
        }
    }

    /// The group key that it was derived from.
    pub(super) fn by(&self) -> Option<Fingerprint> {
        match self {
            Self::Sealed { by, .. } => Some(*by),
            Self::Plain { .. } => None,
        }
    }

    /// Encrypts what follows the header and appends the tag, or appends the check value.
    pub(super) fn close(&self, datagram: &mut Vec<u8>) -> Result<(), SealError> {
        match self {
            Self::Sealed { cipher, name_hash, .. } => {
                let (head, body) = datagram.split_at_mut(HEADER);
                let (nonce, aad) = nonce_and_aad(head, name_hash);
                // The only error of the cipher is a text of 256 GiB.
                let tag = cipher.encrypt_in_place_detached(&nonce, &aad, body).map_err(|_| SealError::Exhausted)?;
                datagram.extend_from_slice(&tag);
            }
            Self::Plain { check } => {
                let value = blake3::keyed_hash(check, datagram);
                datagram.extend_from_slice(&value.as_bytes()[..CHECK]);
            }
        }
        Ok(())
    }

    /// Verifies and decrypts `rest`; gives kind and body.
    pub(super) fn open(&self, header: &[u8; HEADER], rest: &[u8]) -> Result<Vec<u8>, Refused> {
        let foot = match self {
            Self::Sealed { .. } => TAG,
            Self::Plain { .. } => CHECK,
        };
        let length = rest.len().checked_sub(foot).filter(|&length| length > 0).ok_or(Refused::TooShort)?;
        let (text, foot) = rest.split_at(length);
        match self {
            Self::Sealed { cipher, name_hash, .. } => {
                let (nonce, aad) = nonce_and_aad(header, name_hash);
                let mut plain = text.to_vec();
                cipher
                    .decrypt_in_place_detached(&nonce, &aad, &mut plain, Tag::from_slice(foot))
                    .map_err(|_| Refused::BadSeal)?;
                Ok(plain)
            }
            Self::Plain { check } => {
                let mut hasher = blake3::Hasher::new_keyed(check);
                hasher.update(header).update(text);
                let value = hasher.finalize();
                if value.as_bytes()[..CHECK] == *foot { Ok(text.to_vec()) } else { Err(Refused::BadSeal) }
            }
        }
    }
}

/// Nonce: four zero bytes and the counter as it stands in the header. Associated data: header and name hash.
fn nonce_and_aad(header: &[u8], name_hash: &[u8; 16]) -> (Nonce, [u8; HEADER + 16]) {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&header[COUNTER]);
    let mut aad = [0; HEADER + 16];
    aad[..HEADER].copy_from_slice(&header[..HEADER]);
    aad[HEADER..].copy_from_slice(name_hash);
    (nonce.into(), aad)
}
