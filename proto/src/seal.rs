//! Datagrams: an envelope that only members of one cluster can make, and nobody can change or repeat.
//!
//! ```text
//! magic "Qr" | version | mode | session, 8 | counter, 8 | kind and body, encrypted | tag, 16
//! ```
//!
//! A sealed envelope costs 36 bytes, a plain one 28. No handshake and no state on disk are needed, because
//! every process draws a random *session* at start and derives a key of its own from the group key, the
//! cluster's name and that session. Under that key the *counter* is the nonce and never repeats: it starts at
//! 1 and sealing ends with an error before it wraps. Two processes would have to draw the same 64 random bits
//! under one group key to share a nonce, which is to be expected after some 2^32 starts.
//!
//! Without a group key the envelope is *plain*: nothing is hidden and nobody is kept out, but a check value
//! that depends on the cluster's name still tells apart clusters and damaged packets. An agent with a key takes
//! no plain datagram, and one without takes no sealed one: no downgrade by a peer's wish.
//!
//! # More than one key
//!
//! A cluster that changes its key has several for a while: a [`Ring`]. The last byte of the session is a *hint*, a keyed hash of
//! the seven before it: who has the key sees which one it is, and to everybody else it is as random as the rest. A process has a
//! session for each key ([`Sealers`]); by which it speaks to whom is decided by [`Speakers`]. An older agent draws all
//! eight bytes: nothing tells its key, so it is tried by every key, though only so often ([`Opener::refill`]).
//!
//! # Replays
//!
//! [`Opener`] remembers the last 1,024 counters of each of the last 1,024 sessions that proved themselves. A datagram
//! of a session that was forgotten (or that another receiver was meant to get) can be repeated by somebody who
//! recorded it. That is harmless to safety because no message gains anything from being heard again: gossip is
//! ordered by generation, bump and incarnation, control messages by epoch, stamp, round and boot nonce, and each
//! is idempotent. What remains is a nuisance: an old acknowledgement may hide a death for one probe period.
//!
//! # Not here
//!
//! Sockets, and the choice of the session: randomness is an argument. Control connections are in [`crate::noise`].

mod ring;
mod sealers;
mod secret;
mod speakers;
mod window;

#[cfg(test)]
mod tests;

use std::fmt;

pub use ring::{Fingerprint, NoFingerprint, RING_MAX, Ring, RingError};
pub use sealers::Sealers;
pub use secret::Key;
pub use speakers::Speakers;

pub(crate) use secret::name_hash;

use secret::{Group, Secret};
use window::Sessions;

/// Largest datagram, envelope included: fits the smallest IPv6 path with room for a tunnel.
pub const DATAGRAM_MAX: usize = 1_200;
/// Largest plain text (kind and body) that fits a datagram in either mode.
pub const PLAIN_MAX: usize = DATAGRAM_MAX - HEADER - TAG;
/// What every datagram and every control connection starts with.
pub const MAGIC: [u8; 2] = *b"Qr";
/// Version of the envelope, the frames and the messages in them.
pub const VERSION: u8 = 1;
/// Kind byte of a SWIM packet.
pub const KIND_GOSSIP: u8 = 0;
/// Kind byte of a control message.
pub const KIND_CONTROL: u8 = 1;
/// Kind byte of a renewal in its short form.
pub const KIND_RENEWAL: u8 = 2;

/// Mode byte: not encrypted.
pub(crate) const MODE_PLAIN: u8 = 0;
/// Mode byte: encrypted with a group key.
pub(crate) const MODE_SEALED: u8 = 1;

const HEADER: usize = 20;
const TAG: usize = 16;
const CHECK: usize = 8;
const SESSION: std::ops::Range<usize> = 4..12;
/// Where in a session the hint is.
const HINT: usize = 7;
const COUNTER: std::ops::Range<usize> = 12..20;

/// What a datagram carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A SWIM packet.
    Gossip,
    /// A control message ([`crate::message::Message`]).
    Control,
    /// A renewal in its short form ([`crate::message::Renewal`]).
    Renewal,
}

impl Kind {
    /// The first byte of the plain text.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Gossip => KIND_GOSSIP,
            Self::Control => KIND_CONTROL,
            Self::Renewal => KIND_RENEWAL,
        }
    }

    /// The kind with that byte, if there is one.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            KIND_GOSSIP => Some(Self::Gossip),
            KIND_CONTROL => Some(Self::Control),
            KIND_RENEWAL => Some(Self::Renewal),
            _ => None,
        }
    }
}

/// Why our own bytes could not be sealed. No counter was used up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Does not fit a datagram: send it over the control connection.
    #[error("{0} bytes do not fit a datagram, which holds {PLAIN_MAX}")]
    TooLarge(usize),
    /// The plain text does not start with a known kind. A defect.
    #[error("the plain text does not start with a kind")]
    Kind,
    /// 2^64 datagrams were sent: restart the process. Not reached in a lifetime.
    #[error("the counter of this session is used up")]
    Exhausted,
}

/// Why a datagram was dropped. Nothing changed; there is nothing to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum Refused {
    /// More than [`DATAGRAM_MAX`] bytes.
    TooLarge,
    /// Shorter than an envelope with a kind.
    TooShort,
    /// Not ours.
    Magic,
    /// An envelope that this build does not know.
    Version,
    /// No key of this agent opens it, and nothing of its session was ever heard: another key, another cluster's name, or no
    /// agent at all. Or it is sealed and this agent has no key.
    UnknownKey,
    /// Not encrypted, but this agent has a key.
    Plain,
    /// Of a session that proved itself, and damaged; or not encrypted and of another cluster's name, or damaged.
    BadSeal,
    /// Heard before, or too old to tell.
    Replayed,
    /// Its kind is not known.
    Kind,
}

impl Refused {
    /// All reasons, so that every counter exists from the start.
    pub const ALL: [Self; 9] = [
        Self::TooLarge,
        Self::TooShort,
        Self::Magic,
        Self::Version,
        Self::UnknownKey,
        Self::Plain,
        Self::BadSeal,
        Self::Replayed,
        Self::Kind,
    ];

    /// The reason as a metric's label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::TooShort => "too_short",
            Self::Magic => "magic",
            Self::Version => "version",
            Self::UnknownKey => "unknown_key",
            Self::Plain => "plain",
            Self::BadSeal => "bad_seal",
            Self::Replayed => "replayed",
            Self::Kind => "kind",
        }
    }
}

/// A datagram that proved to be of this cluster and new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What it carries.
    pub kind: Kind,
    /// The body, without the kind byte.
    pub plain: Vec<u8>,
    /// The key that sealed it; `None`: it was not encrypted.
    pub by: Option<Fingerprint>,
}

/// Seals what this process sends. One per process and socket: it owns the counter.
pub struct Sealer {
    secret: Secret,
    session: [u8; 8],
    counter: u64,
}

impl Sealer {
    /// `session` is 8 random bytes, drawn anew at every process start and never stored.
    pub fn new(cluster_name: &str, key: Option<&Key>, session: [u8; 8]) -> Self {
        Self { secret: Group::new(cluster_name, key).secret(session), session, counter: 0 }
    }

    /// The same with the hint in the last byte of the session.
    pub(crate) fn hinting(cluster_name: &str, key: Option<&Key>, mut session: [u8; 8]) -> Self {
        let group = Group::new(cluster_name, key);
        if let Some(hint) = group.hint(session) {
            session[HINT] = hint;
        }
        Self { secret: group.secret(session), session, counter: 0 }
    }

    /// Seals a body of a kind.
    pub fn seal(&mut self, kind: Kind, body: &[u8]) -> Result<Vec<u8>, SealError> {
        let size = body.len() + 1;
        if size > PLAIN_MAX {
            return Err(SealError::TooLarge(size));
        }
        let counter = self.counter.checked_add(1).ok_or(SealError::Exhausted)?;
        self.counter = counter;

        let mut datagram = Vec::with_capacity(HEADER + size + TAG);
        datagram.extend_from_slice(&MAGIC);
        datagram.push(VERSION);
        datagram.push(self.secret.mode());
        datagram.extend_from_slice(&self.session);
        datagram.extend_from_slice(&counter.to_be_bytes());
        datagram.push(kind.byte());
        datagram.extend_from_slice(body);
        self.secret.close(&mut datagram)?;
        Ok(datagram)
    }

    /// Seals a plain text whose first byte is the kind, as the cluster core hands it out.
    pub fn seal_plain(&mut self, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (&first, body) = plain.split_first().ok_or(SealError::Kind)?;
        self.seal(Kind::from_byte(first).ok_or(SealError::Kind)?, body)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("counter", &self.counter).finish_non_exhaustive()
    }
}

/// How many tries of a key without a hint there are between two calls of [`Opener::refill`].
pub const TRIALS: u32 = 512;

/// Opens what arrives, from any number of senders.
pub struct Opener {
    name: String,
    /// One for each key, the primary first; one without a key when nothing is encrypted.
    groups: Vec<Group>,
    sessions: Sessions,
    trials: u32,
}

impl Opener {
    /// The same name and key as the senders'.
    pub fn new(cluster_name: &str, key: Option<&Key>) -> Self {
        Self::with_ring(cluster_name, key.cloned().map(Ring::of).as_ref())
    }

    /// Opens by every key of the ring; `None`: nothing is encrypted.
    pub fn with_ring(cluster_name: &str, ring: Option<&Ring>) -> Self {
        let mut this =
            Self { name: cluster_name.to_owned(), groups: Vec::new(), sessions: Sessions::default(), trials: TRIALS };
        match ring {
            Some(ring) => this.set_ring(ring),
            None => this.groups.push(Group::new(cluster_name, None)),
        }
        this
    }

    /// Another ring from now on. Sessions of keys that are no more in it are forgotten.
    pub fn set_ring(&mut self, ring: &Ring) {
        self.groups = ring.keys().map(|key| Group::new(&self.name, Some(key))).collect();
        self.sessions.retain(|by| by.is_none_or(|by| ring.contains(by)));
    }

    /// Allows [`TRIALS`] tries again. To be called some ten times a second: it bounds what the datagrams of strangers cost.
    pub fn refill(&mut self) {
        self.trials = TRIALS;
    }

    /// Checks everything and gives the plain text. Only what proved itself is remembered, so that a stranger
    /// can push no session out of the memory.
    pub fn open(&mut self, datagram: &[u8]) -> Result<Opened, Refused> {
        if datagram.len() > DATAGRAM_MAX {
            return Err(Refused::TooLarge);
        }
        let Some((header, rest)) = datagram.split_first_chunk::<HEADER>() else {
            return Err(Refused::TooShort);
        };
        if header[..2] != MAGIC {
            return Err(Refused::Magic);
        }
        if header[2] != VERSION {
            return Err(Refused::Version);
        }
        match header[3] {
            mode if mode == self.groups[0].mode() => {}
            MODE_PLAIN => return Err(Refused::Plain),
            _ => return Err(Refused::UnknownKey),
        }
        let mut session = [0; 8];
        session.copy_from_slice(&header[SESSION]);
        let mut counter = [0; 8];
        counter.copy_from_slice(&header[COUNTER]);
        let counter = u64::from_be_bytes(counter);

        let (mut plain, secret) = match self.sessions.secret(session) {
            Some(known) => {
                let known = known.clone();
                (known.open(header, rest)?, known)
            }
            None => self.open_first(session, header, rest)?,
        };
        let by = secret.by();
        if !self.sessions.accept(session, secret, counter) {
            return Err(Refused::Replayed);
        }
        let kind = plain.first().copied().and_then(Kind::from_byte).ok_or(Refused::Kind)?;
        plain.remove(0);
        Ok(Opened { kind, plain, by })
    }

    /// The first datagram of a session that is heard. The hint costs one short hash for each key. What has no hint, or the wrong
    /// one, is tried by every key as long as there are tries left: it may be an older agent's.
    fn open_first(
        &mut self,
        session: [u8; 8],
        header: &[u8; HEADER],
        rest: &[u8],
    ) -> Result<(Vec<u8>, Secret), Refused> {
        if rest.len() <= self.groups[0].foot() {
            return Err(Refused::TooShort);
        }
        let hinted = |group: &Group| group.hint(session).is_none_or(|hint| hint == session[HINT]);
        for group in self.groups.iter().filter(|group| hinted(group)) {
            let secret = group.secret(session);
            match secret.open(header, rest) {
                Ok(plain) => return Ok((plain, secret)),
                Err(reason) if group.mode() == MODE_PLAIN => return Err(reason),
                Err(_) => {}
            }
        }
        for group in self.groups.iter().filter(|group| !hinted(group)) {
            let Some(left) = self.trials.checked_sub(1) else { break };
            self.trials = left;
            let secret = group.secret(session);
            if let Ok(plain) = secret.open(header, rest) {
                return Ok((plain, secret));
            }
        }
        Err(Refused::UnknownKey)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}
