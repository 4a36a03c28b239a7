//! Control connections: a handshake that proves the cluster, then frames of any size in both directions.
//!
//! Both sides say hello (magic, version, mode), so that a mismatch has a name. With a group key they run the Noise
//! pattern `NNpsk0`: fresh keys for every connection, hence forward secrecy, mixed with a secret derived from
//! the group key and the cluster's name, hence only members get through. A recorded first message can be repeated at
//! a responder, which then waits for a frame that never opens: a responder acts on frames, not on handshakes.
//! While a cluster changes its key, the initiator takes one and the responder finds out which: the first message has a tag that
//! only the right key verifies. Up to [`RING_MAX`](crate::seal::RING_MAX) keys cost some hashes each and no key exchange, which
//! comes after. A responder without that key closes, and the initiator dials again with its next.
//! Without a key the hello carries a hash of the cluster's name and nothing is hidden.
//!
//! After that each direction is a stream of *frames* (u32 big-endian length, bytes). With a key the stream is cut
//! into *records* (u16 big-endian length, one Noise message), so that lengths of frames are authenticated too.
//!
//! This is sans-IO: the driver feeds what it read and writes what it is given, and closes after any error. It also
//! limits how long a handshake may take.
//!
//! # Not here
//!
//! Sockets, timeouts, the meaning of a frame. Randomness is the one thing taken from the system instead of an
//! argument: the ephemeral keys of Noise must never come from a seed.

mod channel;

#[cfg(test)]
mod tests;

pub use channel::{Channel, FrameError};

use bytes::{Buf, BytesMut};
use snow::HandshakeState;

use crate::seal::{Fingerprint, Key, MAGIC, MODE_PLAIN, MODE_SEALED, Ring, VERSION, name_hash};

/// Largest handshake message: known before anybody proved anything, so nothing larger is waited for.
pub const HANDSHAKE_MAX: usize = 64;
/// The Noise protocol used with a key.
pub const NOISE_PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";

const HELLO: usize = 4;
const NAME_HASH: usize = 16;
/// An ephemeral public key and the tag of an empty payload.
const NOISE_MESSAGE: usize = 32 + 16;
const PSK_CONTEXT: &str = "quorate 2026 v1 control connection psk";
const PROLOGUE: &[u8] = b"quorate control";

/// Why a control connection did not come about. Close it; trying again is sensible only for the side that dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first bytes are not ours.
    #[error("the peer does not speak the control protocol")]
    Magic,
    /// Another version.
    #[error("the peer speaks version {0} of the control protocol, this agent speaks {VERSION}")]
    Version(u8),
    /// One side has a key and the other has none.
    #[error("one side encrypts and the other does not: give all agents the same `encrypt`")]
    Mode,
    /// Without a key: another cluster.
    #[error("the peer belongs to a cluster with another name")]
    ForeignCluster,
    /// With a key: another key, another cluster, or damaged.
    #[error("the peer has another key or belongs to a cluster with another name")]
    BadSeal,
    /// The cryptography failed on our side, for instance for want of random numbers.
    #[error("noise: {0}")]
    Noise(String),
    /// `finish` was called before the end. A defect.
    #[error("the handshake is not finished")]
    Unfinished,
}

impl HandshakeError {
    /// The reason as a metric's label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Magic => "magic",
            Self::Version(_) => "version",
            Self::Mode => "mode",
            Self::ForeignCluster => "foreign_cluster",
            Self::BadSeal => "bad_seal",
            Self::Noise(_) => "noise",
            Self::Unfinished => "unfinished",
        }
    }
}

/// One side of the handshake. Write what [`Handshake::poll_output`] gives, [`Handshake::feed`] what was read, until
/// [`Handshake::is_finished`]; then drain the output once more and [`Handshake::finish`].
pub struct Handshake {
    secret: Secret,
    name: String,
    name_hash: [u8; NAME_HASH],
    initiator: bool,
    heard: bool,
    by: Option<Fingerprint>,
    input: BytesMut,
    output: Option<Vec<u8>>,
}

enum Secret {
    /// There is no key.
    None,
    /// The responder has heard nothing yet: any of these keys will do.
    AnyOf(Ring),
    /// The key is known.
    One(Box<HandshakeState>),
}

impl Handshake {
    /// The side that dialled: it speaks first.
    pub fn initiator(cluster_name: &str, key: Option<&Key>) -> Result<Self, HandshakeError> {
        Self::start(cluster_name, key, true, None)
    }

    /// The side that accepted.
    pub fn responder(cluster_name: &str, key: Option<&Key>) -> Result<Self, HandshakeError> {
        Self::start(cluster_name, key, false, None)
    }

    /// The side that accepted, whichever key of the ring the initiator took.
    pub fn responder_of(cluster_name: &str, ring: Option<&Ring>) -> Self {
        let secret = ring.map_or(Secret::None, |ring| Secret::AnyOf(ring.clone()));
        Self::with(cluster_name, secret, false, None)
    }

    fn with(cluster_name: &str, secret: Secret, initiator: bool, by: Option<Fingerprint>) -> Self {
        let (name, name_hash) = (cluster_name.to_owned(), name_hash(cluster_name));
        Self { secret, name, name_hash, initiator, heard: false, by, input: BytesMut::new(), output: None }
    }

    fn start(
        cluster_name: &str,
        key: Option<&Key>,
        initiator: bool,
        ephemeral: Option<&[u8; 32]>,
    ) -> Result<Self, HandshakeError> {
        let secret = match key {
            Some(key) => {
                let state = noise(cluster_name, key, &name_hash(cluster_name), initiator, ephemeral)?;
                Secret::One(Box::new(state))
            }
            None => Secret::None,
        };
        let mut this = Self::with(cluster_name, secret, initiator, key.map(Fingerprint::of));
        if initiator {
            this.speak()?;
        }
        Ok(this)
    }

    /// The key of the connection, once both sides have spoken.
    pub fn by(&self) -> Option<Fingerprint> {
        self.by.filter(|_| self.heard)
    }

    /// Takes bytes from the peer, however cut. Bytes after the handshake wait for the channel.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), HandshakeError> {
        self.input.extend_from_slice(bytes);
        if self.heard {
            return Ok(());
        }
        self.check_hello()?;
        let size = HELLO + self.rest_size();
        if self.input.len() < size {
            return Ok(());
        }
        let message = self.input.split_to(size);
        self.hear(&message[HELLO..])?;
        self.heard = true;
        if self.initiator { Ok(()) } else { self.speak() }
    }

    /// What to write now, if anything.
    pub fn poll_output(&mut self) -> Option<Vec<u8>> {
        self.output.take()
    }

    /// Whether both sides have said what they have to say.
    pub fn is_finished(&self) -> bool {
        self.heard
    }

    /// The channel, with what the peer already sent on it.
    pub fn finish(self) -> Result<Channel, HandshakeError> {
        if !self.heard || self.output.is_some() {
            return Err(HandshakeError::Unfinished);
        }
        let transport = match self.secret {
            Secret::One(state) => Some(state.into_transport_mode().map_err(|e| HandshakeError::Noise(e.to_string()))?),
            Secret::None | Secret::AnyOf(_) => None,
        };
        Ok(Channel::new(transport, self.input))
    }

    fn mode(&self) -> u8 {
        if self.is_sealed() { MODE_SEALED } else { MODE_PLAIN }
    }

    fn rest_size(&self) -> usize {
        if self.is_sealed() { NOISE_MESSAGE } else { NAME_HASH }
    }

    fn is_sealed(&self) -> bool {
        !matches!(self.secret, Secret::None)
    }

    /// Refuses at the first byte that is wrong: a peer of another kind may send less than we wait for.
    fn check_hello(&self) -> Result<(), HandshakeError> {
        let hello = &self.input[..self.input.len().min(HELLO)];
        if hello.iter().zip(MAGIC).any(|(got, want)| *got != want) {
            return Err(HandshakeError::Magic);
        }
        match hello.get(2) {
            Some(&version) if version != VERSION => return Err(HandshakeError::Version(version)),
            _ => {}
        }
        match hello.get(3) {
            Some(&mode) if mode != self.mode() => Err(HandshakeError::Mode),
            _ => Ok(()),
        }
    }

    fn hear(&mut self, rest: &[u8]) -> Result<(), HandshakeError> {
        let mut payload = [0; HANDSHAKE_MAX];
        let mut found = None;
        match &mut self.secret {
            Secret::One(state) => {
                return state.read_message(rest, &mut payload).map(|_| ()).map_err(|_| HandshakeError::BadSeal);
            }
            Secret::None if *rest == self.name_hash => return Ok(()),
            Secret::None => return Err(HandshakeError::ForeignCluster),
            Secret::AnyOf(ring) => {
                for (print, key) in ring.fingerprints().zip(ring.keys()) {
                    let mut state = noise(&self.name, key, &self.name_hash, self.initiator, None)?;
                    if state.read_message(rest, &mut payload).is_ok() {
                        found = Some((print, state));
                        break;
                    }
                }
            }
        }
        let (print, state) = found.ok_or(HandshakeError::BadSeal)?;
        self.by = Some(print);
        self.secret = Secret::One(Box::new(state));
        Ok(())
    }

    fn speak(&mut self) -> Result<(), HandshakeError> {
        let mut message = vec![MAGIC[0], MAGIC[1], VERSION, self.mode()];
        match &mut self.secret {
            Secret::One(state) => {
                let mut buffer = [0; HANDSHAKE_MAX];
                let size = state.write_message(&[], &mut buffer).map_err(|e| HandshakeError::Noise(e.to_string()))?;
                message.extend_from_slice(&buffer[..size]);
            }
            Secret::AnyOf(_) => return Err(HandshakeError::Unfinished),
            Secret::None => message.extend_from_slice(&self.name_hash),
        }
        self.output = Some(message);
        Ok(())
    }
}

/// The prologue repeats the hello, so that a hello changed on the way fails the handshake.
fn noise(
    cluster_name: &str,
    key: &Key,
    name_hash: &[u8; NAME_HASH],
    initiator: bool,
    ephemeral: Option<&[u8; 32]>,
) -> Result<HandshakeState, HandshakeError> {
    let failed = |e: snow::Error| HandshakeError::Noise(e.to_string());
    let psk = key.derive(PSK_CONTEXT, &[cluster_name.as_bytes()]);
    let prologue = [PROLOGUE, &MAGIC, &[VERSION, MODE_SEALED], name_hash].concat();
    let pattern = NOISE_PATTERN.parse().map_err(failed)?;
    let mut builder = snow::Builder::new(pattern).prologue(&prologue).and_then(|b| b.psk(0, &psk)).map_err(failed)?;
    if let Some(ephemeral) = ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(ephemeral);
    }
    if initiator { builder.build_initiator() } else { builder.build_responder() }.map_err(failed)
}

/// Takes a big-endian length off the front of `input` when the whole unit behind it is there.
fn take_unit(input: &mut BytesMut, width: usize, max: usize) -> Result<Option<BytesMut>, usize> {
    if input.len() < width {
        return Ok(None);
    }
    let size = input[..width].iter().fold(0_usize, |size, &byte| (size << 8) | usize::from(byte));
    if size > max {
        return Err(size);
    }
    if input.len() - width < size {
        return Ok(None);
    }
    input.advance(width);
    Ok(Some(input.split_to(size)))
}
