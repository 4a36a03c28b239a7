//! What is kept on disks, sealed: which registers are, and with which keys this agent seals and opens them now.
//!
//! Values are sealed before they become registers ([`super::replica`]), so every copy anywhere is sealed. The keys come from a
//! file, or are derived from the keys of the cluster; then those count that the cluster agreed on at run time. The leader takes
//! what the register of the keys says before it writes anything ([`AtRest::learn`]), so whatever a leadership writes is sealed
//! with the key that the cluster agreed on last.
//!
//! A key may be forgotten when nothing is sealed with it and nothing that was sealed with it is on its way:
//! [`AtRest::is_under_way`].
//!
//! # Not here
//!
//! The envelope (`quorate_proto::at_rest`). Writing anew what an older key sealed (`replica::anew`).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use quorate_proto::at_rest::{KeyId, Keys, OpenError, START, of_cluster_key};
use quorate_proto::message::{Entry, VOTERS_KEY};
use tracing::warn;

use super::keyring;
use crate::keyring::{Agreed, REGISTER};

/// What is kept as it is: the journal of runs, which a new leader needs at once, and what says who may come in, so that an
/// agent without the key can still tell its operators so. Neither holds a secret: tokens are hashes.
const PLAIN: [&str; 3] = ["run/", "token/", "access/"];

/// Whether the value of this register is sealed. The set of voters and the keys of the cluster are needed to find the rest.
pub fn is_sealed(key: &str) -> bool {
    key != VOTERS_KEY && key != REGISTER && !PLAIN.iter().any(|prefix| key.starts_with(prefix))
}

/// What the configuration says.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// Nothing is sealed, and nothing that is can be opened.
    #[default]
    Off,
    /// Keys of a file. What the keys of the cluster sealed before is opened too.
    File(Keys),
    /// The keys of the cluster. Without `seals` they only open.
    Cluster {
        /// Whether anything is sealed.
        seals: bool,
    },
}

impl Source {
    /// Whether anything is sealed.
    pub fn seals(&self) -> bool {
        match self {
            Self::Off => false,
            Self::File(keys) => keys.seals(),
            Self::Cluster { seals } => *seals,
        }
    }
}

/// A value that is there and cannot be read. It is not lost, and nobody may take it for absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its register.
    pub key: String,
    /// Why.
    pub why: OpenError,
}

impl Unreadable {
    /// Why, and what to do.
    pub fn reason(&self) -> String {
        let help = match self.why {
            OpenError::NoKey(_) => {
                "; it is not lost: give this agent the key (at_rest in its configuration) and start it again"
            }
            OpenError::Broken => "",
        };
        format!("{}{help}", self.why)
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "what is kept as {:?} cannot be read: {}", self.key, self.reason())
    }
}

impl std::error::Error for Unreadable {}

/// Entries as they go to the registers. As long as this lives, they count as being on their way.
#[derive(Debug)]
pub struct Sealed {
    /// What to write.
    pub entries: Vec<Entry>,
    /// With which keys they were sealed.
    pub under_way: UnderWay,
}

/// Something sealed is on its way to a majority.
#[derive(Debug, Clone)]
pub struct UnderWay {
    _keys: Arc<Keys>,
}

/// Seals and opens for one agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AtRest {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    cluster: keyring::Keys,
    now: Mutex<Now>,
    /// Held by whoever writes anew what older keys sealed.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Now {
    keys: Arc<Keys>,
    /// How many changes of the cluster's keys they come after.
    revision: u64,
    /// Keys of before with which something was sealed that may still be on its way.
    past: Vec<Weak<Keys>>,
}

impl AtRest {
    /// `cluster`: the keys of the cluster; `stored`: their register on this disk.
    pub fn new(source: Source, cluster: keyring::Keys, stored: Option<&[u8]>) -> Self {
        let now = Mutex::new(Now { keys: Arc::new(Keys::new(&[], false)), revision: 0, past: Vec::new() });
        let all = Self { shared: Arc::new(Shared { source, cluster, now, turn: tokio::sync::Mutex::default() }) };
        all.learn(stored.and_then(|value| Agreed::decode(value).ok()), true);
        all
    }

    /// Nothing is sealed.
    pub fn off() -> Self {
        Self::new(Source::Off, keyring::Keys::new(None, None), None)
    }

    /// Whether anything is sealed, or opened at least.
    pub fn is_off(&self) -> bool {
        matches!(self.shared.source, Source::Off)
    }

    /// The cluster agreed on these keys; `None`: on none yet. `leads`: they are what a majority has now; else they may be older
    /// than what this agent knows already, and are left alone then.
    pub fn learn(&self, register: Option<Agreed>, leads: bool) {
        let revision = register.as_ref().map_or(0, |agreed| agreed.revision);
        let derived: Vec<[u8; 32]> =
            self.shared.cluster.known(register).iter().map(|key| of_cluster_key(key.bytes())).collect();
        let keys = match &self.shared.source {
            Source::Off => Keys::new(&[], false),
            Source::File(keys) => keys.clone().opening(&derived),
            Source::Cluster { seals } => Keys::new(&derived, *seals),
        };
        let mut now = self.now();
        if revision < now.revision && !leads {
            return;
        }
        if revision > 0 && now.revision == 0 && matches!(self.shared.source, Source::Cluster { seals: true }) {
            warn!(
                "the keys of the cluster were changed at run time, so they are in the data directory: with it alone what \
                 at_rest seals can be opened; `key_file` keeps the key elsewhere"
            );
        }
        now.revision = revision;
        let before = std::mem::replace(&mut now.keys, Arc::new(keys));
        now.past.push(Arc::downgrade(&before));
        drop(before);
        now.past.retain(|past| past.strong_count() > 0);
    }

    /// Seals what is to be sealed. Keep [`Sealed::under_way`] until the write has ended.
    pub fn seal(&self, mut entries: Vec<Entry>) -> Sealed {
        let keys = self.keys();
        for Entry { key, value } in entries.iter_mut().filter(|entry| is_sealed(&entry.key)) {
            *value = value.take().map(|value| keys.seal(key, value));
        }
        Sealed { entries, under_way: UnderWay { _keys: keys } }
    }

    /// The value of a register.
    pub fn open(&self, key: &str, kept: Vec<u8>) -> Result<Vec<u8>, Unreadable> {
        if !is_sealed(key) {
            return Ok(kept);
        }
        self.keys().open(key, kept).map_err(|why| Unreadable { key: key.to_owned(), why })
    }

    /// Whether there is a key for a value that begins like this.
    pub fn check(&self, key: &str, start: &[u8]) -> Result<(), Unreadable> {
        if !is_sealed(key) {
            return Ok(());
        }
        self.keys().check(start).map_err(|why| Unreadable { key: key.to_owned(), why })
    }

    /// Whether a value that begins like this is to be written anew.
    pub fn is_stale(&self, key: &str, start: &[u8]) -> bool {
        is_sealed(key) && !self.is_off() && !self.keys().is_current(start)
    }

    /// Whether something is sealed with this key, or was and is on its way.
    pub fn is_under_way(&self, id: KeyId) -> bool {
        let now = self.now();
        let past = now.past.iter().filter_map(Weak::upgrade).any(|keys| keys.current() == Some(id));
        past || now.keys.current() == Some(id)
    }

    /// Whoever holds it writes anew, and nobody else.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.turn.lock().await
    }

    fn keys(&self) -> Arc<Keys> {
        self.now().keys.clone()
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Now> {
        self.shared.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many bytes of a value [`AtRest::check`] and [`AtRest::is_stale`] look at.
pub const LOOKED_AT: usize = START;

#[cfg(test)]
mod tests {
    use quorate_proto::seal::{Key, Ring};

    use super::*;

    const VALUE: &[u8] = b"{\"origin\":{}}";

    fn key(byte: u8) -> Key {
        Key::from_bytes(&[byte; 32]).unwrap()
    }

    fn ring(bytes: &[u8]) -> Ring {
        Ring::new(bytes.iter().map(|byte| key(*byte))).unwrap()
    }

    fn agreed(revision: u64, bytes: &[u8]) -> Agreed {
        Agreed { revision, ring: ring(bytes), removed: Vec::new() }
    }

    fn id(byte: u8) -> KeyId {
        KeyId::of(&of_cluster_key(&[byte; 32]))
    }

    /// Of an agent with these keys in its configuration.
    fn of_cluster(bytes: &[u8], stored: Option<&Agreed>) -> AtRest {
        let stored = stored.map(Agreed::encode);
        let cluster = keyring::Keys::new(Some(ring(bytes)), stored.as_deref());
        AtRest::new(Source::Cluster { seals: true }, cluster, stored.as_deref())
    }

    fn sealed(at_rest: &AtRest, key: &str) -> Vec<u8> {
        at_rest.seal(vec![Entry::new(key, Some(VALUE.to_vec()))]).entries.remove(0).value.unwrap()
    }

    #[test]
    fn all_that_users_made_is_sealed_and_what_finds_it_is_not() {
        for key in ["task/a", "history/a", "history-0/a", "applied/a", "asked/a", "cancelled/a", "state/a", "new/a"] {
            assert!(is_sealed(key), "{key}");
        }
        for key in [VOTERS_KEY, REGISTER, "run/a", "token/a", "access/bootstrap"] {
            assert!(!is_sealed(key), "{key}");
        }
        let at_rest = of_cluster(&[1], None);
        assert_eq!(sealed(&at_rest, "run/a"), VALUE);
        let kept = sealed(&at_rest, "task/a");
        assert_ne!(kept, VALUE);
        assert_eq!(at_rest.open("task/a", kept), Ok(VALUE.to_vec()));
        assert_eq!(at_rest.seal(vec![Entry::new("task/a", None)]).entries, [Entry::new("task/a", None)]);
    }

    #[test]
    fn what_the_cluster_agreed_on_last_seals_and_an_older_word_is_not_taken() {
        let at_rest = of_cluster(&[1], None);
        let old = sealed(&at_rest, "task/a");
        assert!(!at_rest.is_stale("task/a", &old) && at_rest.is_stale("task/a", VALUE));
        at_rest.learn(Some(agreed(2, &[2, 1])), false);
        assert!(at_rest.is_stale("task/a", &old));
        assert_eq!(KeyId::of_envelope(&sealed(&at_rest, "task/a")), Some(id(2)));
        at_rest.learn(Some(agreed(1, &[1, 2])), false);
        assert_eq!(KeyId::of_envelope(&sealed(&at_rest, "task/a")), Some(id(2)), "it was older");
        at_rest.learn(Some(agreed(3, &[2])), true);
        // The key of the configuration opens as long as it stands there.
        assert_eq!(at_rest.open("task/a", old.clone()), Ok(VALUE.to_vec()));
        let restarted = of_cluster(&[1], Some(&agreed(3, &[2])));
        assert_eq!(restarted.open("task/a", sealed(&at_rest, "task/a")), Ok(VALUE.to_vec()), "the ring is on its disk");
        let other = of_cluster(&[3], None);
        let unreadable = other.open("task/a", old.clone()).unwrap_err();
        assert_eq!(unreadable, Unreadable { key: "task/a".to_owned(), why: OpenError::NoKey(id(1)) });
        assert!(unreadable.to_string().contains("it is not lost"), "{unreadable}");
        assert_eq!(other.check("task/a", &old[..LOOKED_AT]), Err(unreadable));
        assert_eq!(other.check("run/a", &old), Ok(()));
    }

    #[test]
    fn a_key_is_in_use_while_something_sealed_with_it_is_on_its_way() {
        let at_rest = of_cluster(&[1], None);
        assert!(at_rest.is_under_way(id(1)) && !at_rest.is_under_way(id(2)));
        let first = at_rest.seal(Vec::new());
        at_rest.learn(Some(agreed(1, &[2, 1])), true);
        let second = at_rest.seal(Vec::new());
        at_rest.learn(Some(agreed(2, &[3, 2, 1])), true);
        assert!(at_rest.is_under_way(id(1)) && at_rest.is_under_way(id(2)) && at_rest.is_under_way(id(3)));
        drop(first);
        assert!(!at_rest.is_under_way(id(1)) && at_rest.is_under_way(id(2)));
        drop(second);
        assert!(!at_rest.is_under_way(id(2)));
    }

    #[test]
    fn a_file_goes_before_the_keys_of_the_cluster_and_opens_what_they_sealed() {
        let before = sealed(&of_cluster(&[1], None), "task/a");
        let cluster = keyring::Keys::new(Some(ring(&[1])), None);
        let file = AtRest::new(Source::File(Keys::new(&[[9; 32]], true)), cluster, None);
        assert_eq!(file.open("task/a", before.clone()), Ok(VALUE.to_vec()));
        assert!(file.is_stale("task/a", &before));
        assert_eq!(KeyId::of_envelope(&sealed(&file, "task/a")), Some(KeyId::of(&[9; 32])));
        let off = AtRest::off();
        assert!(!off.is_stale("task/a", &before) && off.open("task/a", before).is_err());
        assert_eq!(sealed(&off, "task/a"), VALUE);
    }
}
