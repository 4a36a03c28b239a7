//! What is kept on disks, sealed: an envelope around one value of a register.
//!
//! ```text
//! magic "QrR" | version | id of the key, 8 | nonce, 24 | the value, encrypted | tag, 16
//! ```
//!
//! XChaCha20-Poly1305. The nonce is a keyed hash of the name and the value, so that no randomness is needed, a value sealed
//! twice is the same bytes, and two different values under one key share a nonce as rarely as two hashes of 192 bits meet.
//! What that gives away is whether a register has the same value as before. The name of the register is authenticated: an
//! envelope opens under its own name only.
//!
//! # Not here
//!
//! Where keys come from, and which registers are sealed.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};

use crate::hex;

/// What every envelope starts with. No JSON does, and no other value of a register: where the first byte of one could be a
/// `Q`, the bytes behind it could not be these.
const MAGIC: [u8; 4] = [b'Q', b'r', b'R', 1];
const ID: usize = 8;
const NONCE: usize = 24;
const HEADER: usize = MAGIC.len() + ID + NONCE;
/// How much longer than its value an envelope is, in bytes.
pub const OVERHEAD: usize = HEADER + 16;
/// So many bytes of an envelope say which key opens it.
pub const START: usize = MAGIC.len() + ID;

/// Domain separation, see `seal`.
const SEAL_CONTEXT: &str = "quorate 2026 v1 at rest key";
const NONCE_CONTEXT: &str = "quorate 2026 v1 at rest nonce";
const ID_CONTEXT: &str = "quorate 2026 v1 at rest key id";
const FROM_CLUSTER: &str = "quorate 2026-11 terraform state at rest, from the key of the cluster";

/// The key at rest that is derived from a key of the cluster's traffic: no two uses share a key.
pub fn of_cluster_key(key: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key(FROM_CLUSTER, key)
}

/// Names a key and gives nothing of it away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; ID]);

impl KeyId {
    /// Of a key at rest.
    pub fn of(key: &[u8; 32]) -> Self {
        let mut id = [0; ID];
        id.copy_from_slice(&blake3::derive_key(ID_CONTEXT, key)[..ID]);
        Self(id)
    }

    /// Of the key that sealed this envelope, of which the first [`START`] bytes are enough. `None`: it is none.
    pub fn of_envelope(start: &[u8]) -> Option<Self> {
        let id = start.strip_prefix(&MAGIC)?.get(..ID)?;
        id.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// One key with what is derived from it.
#[derive(Clone)]
struct Derived {
    id: KeyId,
    seal: [u8; 32],
    nonce: [u8; 32],
}

/// The keys of an agent. Never printed.
#[derive(Clone)]
pub struct Keys {
    keys: Vec<Derived>,
    seals: bool,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<KeyId> = self.keys.iter().map(|key| key.id).collect();
        f.debug_struct("Keys").field("ids", &ids).field("seals", &self.seals).finish_non_exhaustive()
    }
}

/// Why an envelope was not opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the keys at hand sealed it. Nothing is lost: who has the key opens it.
    #[error("it is sealed with key {0}, which this agent does not have")]
    NoKey(KeyId),
    /// Changed, of another register, or cut off.
    #[error("its seal is broken: the data was changed, or is of another register")]
    Broken,
}

impl Keys {
    /// Of these bytes: the first seals if `seals`, each opens.
    pub fn new(keys: &[[u8; 32]], seals: bool) -> Self {
        let derive = |key: &[u8; 32]| Derived {
            id: KeyId::of(key),
            seal: blake3::derive_key(SEAL_CONTEXT, key),
            nonce: blake3::derive_key(NONCE_CONTEXT, key),
        };
        Self { keys: keys.iter().map(derive).collect(), seals }
    }

    /// The same, which these open too.
    #[must_use]
    pub fn opening(mut self, more: &[[u8; 32]]) -> Self {
        self.keys.extend(Self::new(more, false).keys);
        self
    }

    /// Whether values are sealed.
    pub fn seals(&self) -> bool {
        self.seals && !self.keys.is_empty()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that seals. `None`: nothing is sealed.
    pub fn current(&self) -> Option<KeyId> {
        self.keys.first().filter(|_| self.seals).map(|key| key.id)
    }

    /// The value as it is to be kept under this name.
    pub fn seal(&self, name: &str, value: Vec<u8>) -> Vec<u8> {
        let Some(key) = self.keys.first().filter(|_| self.seals) else { return value };
        let mut hash = blake3::Hasher::new_keyed(&key.nonce);
        hash.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes()).update(&value);
        let mut envelope = Vec::with_capacity(value.len() + OVERHEAD);
        envelope.extend_from_slice(&MAGIC);
        envelope.extend_from_slice(&key.id.0);
        envelope.extend_from_slice(&hash.finalize().as_bytes()[..NONCE]);
        let cipher = XChaCha20Poly1305::new(&key.seal.into());
        let aad = aad(&envelope, name);
        let payload = Payload { msg: &value, aad: &aad };
        // It fails for values beyond 256 GiB only.
        match cipher.encrypt(XNonce::from_slice(&envelope[HEADER - NONCE..]), payload) {
            Ok(sealed) => {
                envelope.extend_from_slice(&sealed);
                envelope
            }
            Err(_) => value,
        }
    }

    /// The value that is kept under this name; what is not sealed is the value itself.
    pub fn open(&self, name: &str, kept: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        if !is_sealed(&kept) {
            return Ok(kept);
        }
        let (header, sealed) = kept.split_at_checked(HEADER).ok_or(OpenError::Broken)?;
        let nonce = &header[START..];
        let key = self.key_for(header)?;
        let cipher = XChaCha20Poly1305::new(&key.seal.into());
        let payload = Payload { msg: sealed, aad: &aad(header, name) };
        cipher.decrypt(XNonce::from_slice(nonce), payload).map_err(|_| OpenError::Broken)
    }

    /// Whether there is a key for a value that begins like this. Of an envelope the first [`START`] bytes are enough; whether
    /// it is whole is not looked at.
    pub fn check(&self, start: &[u8]) -> Result<(), OpenError> {
        if is_sealed(start) { self.key_for(start).map(drop) } else { Ok(()) }
    }

    fn key_for(&self, start: &[u8]) -> Result<&Derived, OpenError> {
        let id = KeyId::of_envelope(start).ok_or(OpenError::Broken)?;
        self.keys.iter().find(|key| key.id == id).ok_or(OpenError::NoKey(id))
    }

    /// Whether a kept value is as [`Keys::seal`] would have it now. The first [`START`] bytes are enough.
    pub fn is_current(&self, start: &[u8]) -> bool {
        is_sealed(start) == self.current().is_some() && KeyId::of_envelope(start) == self.current()
    }
}

/// Whether a value is an envelope.
pub fn is_sealed(kept: &[u8]) -> bool {
    kept.starts_with(&MAGIC)
}

/// What is authenticated besides: all of the header, then the name, which ends it.
fn aad(header: &[u8], name: &str) -> Vec<u8> {
    [header, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &[u8] = b"{\"lineage\":\"l\"}";

    #[test]
    fn an_envelope_opens_with_any_of_the_keys_and_seals_with_the_first() {
        let (old, new) = (Keys::new(&[[1; 32]], true), Keys::new(&[[2; 32], [1; 32]], true));
        let sealed = old.seal("a", VALUE.to_vec());
        assert_eq!(sealed.len(), VALUE.len() + OVERHEAD);
        assert!(!sealed.windows(7).any(|part| part == b"lineage"));
        assert_eq!(new.open("a", sealed.clone()).unwrap(), VALUE);
        assert!(old.is_current(&sealed) && !new.is_current(&sealed) && new.is_current(&new.seal("a", VALUE.to_vec())));
        let error = old.open("a", new.seal("a", VALUE.to_vec())).unwrap_err();
        assert!(matches!(error, OpenError::NoKey(_)), "{error}");
        assert_eq!(
            format!("{old:?}").len(),
            format!("{:?}", Keys::new(&[[7; 32]], true)).len(),
            "only ids are printed"
        );
    }

    #[test]
    fn the_same_value_is_the_same_bytes_and_another_one_has_another_nonce() {
        let keys = Keys::new(&[[1; 32]], true);
        assert_eq!(keys.seal("a", VALUE.to_vec()), keys.seal("a", VALUE.to_vec()));
        assert_ne!(keys.seal("a", VALUE.to_vec())[12..36], keys.seal("b", VALUE.to_vec())[12..36]);
        assert_ne!(keys.seal("a", VALUE.to_vec())[12..36], keys.seal("a", b"x".to_vec())[12..36]);
    }

    #[test]
    fn what_was_changed_or_moved_is_refused() {
        let keys = Keys::new(&[[1; 32]], true);
        let sealed = keys.seal("a", VALUE.to_vec());
        assert_eq!(keys.open("b", sealed.clone()), Err(OpenError::Broken));
        for at in 12..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open("a", changed), Err(OpenError::Broken), "byte {at}");
        }
        for length in 4..sealed.len() {
            assert!(keys.open("a", sealed[..length].to_vec()).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn plain_values_pass_and_who_does_not_seal_leaves_them_so() {
        let off = Keys::new(&[[1; 32]], false);
        assert_eq!(off.seal("a", VALUE.to_vec()), VALUE);
        assert_eq!(off.open("a", VALUE.to_vec()).unwrap(), VALUE);
        assert!(off.is_current(VALUE) && !off.seals() && !Keys::new(&[[1; 32]], true).is_current(VALUE));
        assert_eq!(off.open("a", Keys::new(&[[1; 32]], true).seal("a", VALUE.to_vec())).unwrap(), VALUE);
        assert!(!Keys::new(&[], true).seals());
    }

    #[test]
    fn the_start_of_an_envelope_says_whether_there_is_a_key_for_it() {
        let (old, new) = (Keys::new(&[[1; 32]], true), Keys::new(&[[2; 32]], true));
        let sealed = old.seal("a", VALUE.to_vec());
        let start = &sealed[..START];
        assert_eq!(KeyId::of_envelope(start), Some(KeyId::of(&[1; 32])));
        assert_eq!((KeyId::of_envelope(VALUE), old.current()), (None, Some(KeyId::of(&[1; 32]))));
        assert_eq!((old.check(start), new.check(VALUE)), (Ok(()), Ok(())));
        assert_eq!(new.check(start), Err(OpenError::NoKey(KeyId::of(&[1; 32]))));
        assert!(old.is_current(start) && !new.is_current(start));
        // Cut off before it says: an envelope still, and of no key.
        assert_eq!(old.check(&start[..START - 1]), Err(OpenError::Broken));
        assert!(!old.is_current(&start[..START - 1]));
        let both = new.opening(&[[1; 32]]);
        assert_eq!((both.open("a", sealed), both.current()), (Ok(VALUE.to_vec()), Some(KeyId::of(&[2; 32]))));
    }
}
