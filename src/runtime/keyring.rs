//! The keys of this agent while it runs, and what operators ask of those of the cluster.
//!
//! What the cluster agreed on is in a register ([`crate::keyring`]). [`follow`] takes it from there, once it is on this agent's
//! disk, to everything that seals. [`KeyringService`] answers for the faces: which member has which key, and changes, which only the leader
//! makes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use quorate_proto::at_rest::{KeyId, of_cluster_key};
use quorate_proto::message::Entry;
use quorate_proto::seal::{Fingerprint, Key, Ring};
use quorate_proto::{Epoch, MemberId};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::at_rest::AtRest;
use super::clock;
use super::control::Control;
use super::core::{Command, ProposeError};
use super::handle::{ApiRequest, ApiResponse, Caller};
use super::replica::{Replica, keep_sealed};
use crate::cluster::View;
use crate::cluster::leadership::Lease;
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::{MemberState, MemberView};
use crate::keyring::{Agreed, Change, Configured, Own, REGISTER, Refusal, Report, Standing, Standings, decide, find};

/// Path on which an agent is asked for its keys. Only over the control connection.
pub const PATH: &str = "/internal/keyring";
/// How long a member may take to tell its keys.
const ASK: Duration = Duration::from_secs(2);
/// How long a change waits until every member that is here has seen it.
const SEEN: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// The keys of this agent. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Keys {
    /// `None`: nothing is encrypted.
    own: Option<Arc<Mutex<Own>>>,
    configured: Option<Ring>,
    ring: Arc<watch::Sender<Option<Ring>>>,
}

impl Keys {
    /// At start: the keys of the configuration, and what the store has of the register.
    pub fn new(configured: Option<Ring>, stored: Option<&[u8]>) -> Self {
        let own = configured.clone().map(|configured| {
            let stored = stored.and_then(read);
            let (own, told) = Own::new(configured, stored);
            told.iter().for_each(tell);
            own
        });
        let ring = own.as_ref().map(|own| own.ring().clone());
        let (ring, _) = watch::channel(ring);
        Self { own: own.map(|own| Arc::new(Mutex::new(own))), configured, ring: Arc::new(ring) }
    }

    /// The keys now; `None`: nothing is encrypted.
    pub fn ring(&self) -> Option<Ring> {
        self.ring.borrow().clone()
    }

    /// The keys, always current.
    pub fn watch(&self) -> watch::Receiver<Option<Ring>> {
        self.ring.subscribe()
    }

    /// What this agent tells of them.
    pub fn report(&self) -> Option<Report> {
        self.own.as_ref().map(|own| own.lock().unwrap_or_else(PoisonError::into_inner).report())
    }

    /// Every key that this agent knows. First those that the cluster uses if the register says this, the primary before the
    /// others, last those of the configuration, removed ones too. Nothing: nothing is encrypted.
    pub fn known(&self, register: Option<Agreed>) -> Vec<Key> {
        let Some(own) = &self.own else { return Vec::new() };
        let own = own.lock().unwrap_or_else(PoisonError::into_inner);
        let said = register.as_ref().map(|agreed| agreed.ring.clone());
        let mut rings = vec![own.base(register).ring, own.ring().clone()];
        rings.extend(said);
        rings.extend(own.agreed().map(|agreed| agreed.ring.clone()));
        rings.extend(self.configured.clone());
        let mut known: Vec<Key> = Vec::new();
        for key in rings.iter().flat_map(Ring::keys) {
            if known.iter().all(|other| other.bytes() != key.bytes()) {
                known.push(key.clone());
            }
        }
        known
    }

    fn base(&self, register: Option<Agreed>) -> Option<Agreed> {
        let own = self.own.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(own.base(register))
    }

    fn apply(&self, agreed: Agreed) -> Option<Ring> {
        let mut own = self.own.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = agreed.revision;
        let changed = own.apply(agreed);
        let ring = own.ring().clone();
        if !changed {
            return None;
        }
        let others: Vec<String> = ring.fingerprints().skip(1).map(|print| print.to_string()).collect();
        info!(revision, primary = %ring.primary(), also_opens = others.join(","), "the keys of the cluster have changed");
        Some(ring)
    }
}

/// What a register of keys says; that it cannot be read is told.
pub(super) fn read(value: &[u8]) -> Option<Agreed> {
    let agreed = Agreed::decode(value);
    agreed
        .inspect_err(|why| error!(why, "the register of the keys cannot be read; a newer version may have written it"))
        .ok()
}

fn tell(what: &Configured) {
    match what {
        Configured::Removed(key) => warn!(
            %key,
            "a key of the configuration was removed from the cluster's ring and is not used; the keys that the cluster agreed on \
             are. Put the current key in encrypt_file, so that this agent can come back with an empty data directory"
        ),
        Configured::Added(key) => warn!(
            %key,
            "a key of the configuration is not in the ring that this agent knew last; it is tried too, until this agent hears \
             what the cluster agreed on"
        ),
        Configured::Instead(key) => warn!(
            %key,
            "the configuration has only keys that the cluster had not agreed on when this agent stopped: they are used, and those \
             agreed on before are not"
        ),
        Configured::NoRoom(key) => warn!(%key, "a key of the configuration is not used: the ring is full"),
        Configured::NotPrimary(key) => {
            info!(%key, "the first key of the configuration only opens: the cluster agreed to seal with another");
        }
    }
}

/// Takes what the register says to the keys of this agent, for ever.
pub async fn follow(
    keys: Keys,
    at_rest: AtRest,
    mut agreed: watch::Receiver<Option<Vec<u8>>>,
    commands: mpsc::Sender<Command>,
) {
    while agreed.changed().await.is_ok() {
        let value = agreed.borrow_and_update().clone();
        let Some(agreed) = value.as_deref().and_then(read) else { continue };
        at_rest.learn(Some(agreed.clone()), false);
        let Some(ring) = keys.apply(agreed) else { continue };
        // Datagrams first: then nobody is told of a key that this agent does not open with yet.
        drop(commands.send(Command::Ring(ring.clone())).await);
        keys.ring.send_replace(Some(ring));
    }
}

/// What an operator wants, as it was said.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// A new key.
    Install(Key),
    /// This one shall seal.
    Use(Named),
    /// This one shall go.
    Remove(Named),
}

/// A key of the ring.
#[derive(Debug, Clone)]
pub enum Named {
    /// Itself.
    Key(Key),
    /// The beginning of its fingerprint.
    Fingerprint(String),
}

/// Why nothing was changed, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There are no keys.
    #[error(
        "the traffic of this cluster is not encrypted, so there are no keys. To encrypt it, make a key with `quorate keygen`, \
         give it to every agent as `encrypt_file` in the block `gossip`, and restart them all"
    )]
    Plain,
    /// Ask the leader.
    #[error("this agent does not lead")]
    NotLeading,
    /// Nothing is agreed on in this mode.
    #[error(
        "with leadership = \"alive\" no majority agrees on keys. Give every agent an encrypt_file with the old key and the new \
         one below it and restart them one by one, then with the new one first, then without the old one"
    )]
    NoMajority,
    /// It would not be safe, or there is no such key.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Something that is kept would be unreadable without this key.
    #[error(
        "{count} kept value{} still sealed at rest with {key} (such as {first}); the leader writes them anew with the primary \
         key: ask again in a moment. If this goes on, its log says why", if *count == 1 { " is" } else { "s are" }
    )]
    StillSeals {
        /// Which key.
        key: Fingerprint,
        /// How many.
        count: usize,
        /// One of them.
        first: String,
    },
    /// It was not written.
    #[error("{0}")]
    Failed(String),
    /// It may have been.
    #[error(
        "leadership ended before the change was acknowledged; whether it took effect is unknown: see `quorate keyring list`"
    )]
    Lost,
}

/// What became of a change.
#[derive(Debug, Clone)]
pub struct Changed {
    /// Which key.
    pub key: Fingerprint,
    /// False: it was so already.
    pub changed: bool,
    /// Members that are here and had not seen it in time.
    pub waiting: Vec<MemberId>,
    /// For the operator, one sentence each.
    pub warnings: Vec<String>,
}

/// A member and its keys.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Who.
    pub member: MemberView,
    /// What it says.
    pub standing: Standing,
}

/// Answers about the keys. One of each agent.
#[derive(Debug)]
pub struct KeyringService {
    keys: Keys,
    replica: Replica,
    lease: watch::Receiver<Option<Lease>>,
    views: watch::Receiver<Arc<View>>,
    control: Control,
    /// One change at a time: each is decided on what the one before left.
    changing: tokio::sync::Mutex<()>,
}

impl KeyringService {
    /// `lease`: this agent's own.
    pub fn new(
        keys: Keys,
        replica: Replica,
        lease: watch::Receiver<Option<Lease>>,
        views: watch::Receiver<Arc<View>>,
        control: Control,
    ) -> Self {
        Self { keys, replica, lease, views, control, changing: tokio::sync::Mutex::default() }
    }

    /// What this agent answers another one. It holds no key.
    pub fn tell(&self) -> ApiResponse {
        let content_type = "application/json".to_owned();
        match self.keys.report() {
            Some(report) => {
                let body = serde_json::to_vec(&report).unwrap_or_default();
                ApiResponse { status: 200, content_type, body }
            }
            None => ApiResponse { status: 404, content_type, body: Vec::new() },
        }
    }

    /// Every member and its keys. Asks all that are here, at once.
    pub async fn list(&self) -> Result<Vec<Listed>, KeyringError> {
        let own = self.keys.report().ok_or(KeyringError::Plain)?;
        let view = self.views.borrow().clone();
        let matters = |member: &&MemberView| member.state != MemberState::Left || member.voter;
        let members: Vec<MemberView> = view.members.iter().filter(matters).cloned().collect();
        let listed = members.into_iter().map(async |member| {
            let standing = match member.state {
                _ if member.id == view.observer => Standing::Told(own.clone()),
                MemberState::Alive | MemberState::Suspect => self.ask(&view.observer, &member).await,
                MemberState::Down | MemberState::Left => Standing::Away,
            };
            Listed { member, standing }
        });
        Ok(join_all(listed).await)
    }

    async fn ask(&self, me: &MemberId, member: &MemberView) -> Standing {
        let request = ApiRequest {
            method: "GET".to_owned(),
            target: PATH.to_owned(),
            body: Vec::new(),
            request_id: String::new(),
            caller: Caller::member(me),
        };
        match self.control.ask(member.gossip_addr, request, ASK).await {
            None => Standing::Silent("it does not answer".to_owned()),
            Some(answer) if answer.status == 200 => serde_json::from_slice(&answer.body)
                .map_or_else(|_| Standing::Silent("it answers oddly".to_owned()), Standing::Told),
            Some(_) => Standing::Silent("it is of an older version, which knows one key only".to_owned()),
        }
    }

    async fn standings(&self) -> Result<Standings, KeyringError> {
        let listed = self.list().await?;
        Ok(listed.into_iter().map(|listed| (listed.member.id, listed.standing)).collect())
    }

    /// Changes the keys of the cluster, as its leader. `force`: also when members that are here are not ready.
    pub async fn change(&self, wanted: Wanted, force: bool) -> Result<Changed, KeyringError> {
        if self.keys.own.is_none() {
            return Err(KeyringError::Plain);
        }
        if self.views.borrow().mode == LeadershipMode::Alive {
            return Err(KeyringError::NoMajority);
        }
        let _turn = self.changing.lock().await;
        let epoch = self.leads().ok_or(KeyringError::NotLeading)?;
        let kept = self.replica.get(REGISTER).await.map_err(|why| KeyringError::Failed(why.to_string()))?;
        let register = match kept {
            Some(value) => Some(
                Agreed::decode(&value)
                    .map_err(|why| KeyringError::Failed(format!("the register of the keys cannot be read: {why}")))?,
            ),
            None => None,
        };
        let now = self.keys.base(register).ok_or(KeyringError::Plain)?;
        let change = resolve(wanted, &now)?;
        let outcome = decide(&now, &change, &self.standings().await?, force)?;
        let changed = outcome.next.is_some();
        if let Some(next) = outcome.next {
            if let Change::Remove(print) = &change
                && let Some(key) = now.ring.key(*print)
            {
                wait_until_unused(&self.replica, key, epoch, SEEN).await?;
            }
            let entry = Entry { key: REGISTER.to_owned(), value: Some(next.encode()) };
            self.replica.propose(epoch, vec![entry]).await.map_err(|error| match error {
                ProposeError::NotLeader => KeyringError::NotLeading,
                ProposeError::Refused(why) => KeyringError::Failed(why),
                ProposeError::Unknown => KeyringError::Lost,
            })?;
            // Before anything else is written: what is on its way is counted.
            self.replica.at_rest().learn(Some(next), true);
            tokio::spawn(keep_sealed(self.replica.clone(), epoch));
        }
        let waiting = self.wait_seen(&change).await?;
        Ok(Changed { key: change.key(), changed, waiting, warnings: outcome.warnings })
    }

    /// Until every member that is here has seen a change, though not for ever. Who has not.
    async fn wait_seen(&self, change: &Change) -> Result<Vec<MemberId>, KeyringError> {
        let begun = clock::now().mono;
        loop {
            let standings = self.standings().await?;
            let waiting = standings.into_iter().filter(|(_, standing)| match standing {
                Standing::Told(report) => !change.is_seen_in(report),
                Standing::Silent(_) => true,
                Standing::Away => false,
            });
            let waiting: Vec<MemberId> = waiting.map(|(id, _)| id).collect();
            if waiting.is_empty() || clock::now().mono.saturating_sub(begun) >= SEEN {
                return Ok(waiting);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn leads(&self) -> Option<Epoch> {
        let lease = *self.lease.borrow();
        lease.filter(|lease| lease.is_live(Duration::ZERO, clock::now())).map(|lease| lease.epoch())
    }
}

/// Until nothing that is kept is sealed with a key that shall go, though not for ever. `force` does not go on without: nobody
/// could read it again.
async fn wait_until_unused(replica: &Replica, key: &Key, epoch: Epoch, patience: Duration) -> Result<(), KeyringError> {
    let id = KeyId::of(&of_cluster_key(key.bytes()));
    let begun = clock::now().mono;
    loop {
        let left = patience.saturating_sub(clock::now().mono.saturating_sub(begun));
        let anew = replica.clone();
        // It goes on when this gives up.
        let anew = tokio::spawn(async move { anew.seal_anew(epoch).await });
        drop(tokio::time::timeout(left, anew).await);
        let mut sealed = replica.sealed_by(id).await;
        if replica.at_rest().is_under_way(id) {
            sealed.push("a write under way".to_owned());
        }
        let Some(first) = sealed.first().cloned() else { return Ok(()) };
        if clock::now().mono.saturating_sub(begun) >= patience {
            return Err(KeyringError::StillSeals { key: Fingerprint::of(key), count: sealed.len(), first });
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn resolve(wanted: Wanted, now: &Agreed) -> Result<Change, Refusal> {
    let print = |named: Named, removed: &[Fingerprint]| match named {
        Named::Key(key) => Ok(Fingerprint::of(&key)),
        Named::Fingerprint(text) => match (find(&now.ring, &text), text.trim().parse::<Fingerprint>()) {
            (Err(Refusal::Unknown(_)), Ok(gone)) if removed.contains(&gone) => Ok(gone),
            (found, _) => found,
        },
    };
    Ok(match wanted {
        Wanted::Install(key) => Change::Install(key),
        Wanted::Use(named) => Change::Use(print(named, &[])?),
        Wanted::Remove(named) => Change::Remove(print(named, &now.removed)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::at_rest::Source;
    use crate::runtime::replica::testing::leading;

    fn key(byte: u8) -> Key {
        Key::from_bytes(&[byte; 32]).unwrap()
    }

    #[tokio::test]
    async fn a_key_that_still_seals_something_is_not_removed() {
        let epoch = Epoch(1);
        let keys = Keys::new(Some(Ring::of(key(1))), None);
        let (replica, board) = leading(AtRest::new(Source::Cluster { seals: true }, keys, None));
        replica.propose(epoch, vec![Entry::new("task/a", Some(b"text".to_vec()))]).await.unwrap();
        let ring = Ring::new([key(2), key(1)]).unwrap();
        replica.at_rest().learn(Some(Agreed { revision: 1, ring, removed: Vec::new() }), true);

        board.lock().unwrap().refused = Some("task/a");
        let refused = wait_until_unused(&replica, &key(1), epoch, Duration::ZERO).await.unwrap_err();
        let text = refused.to_string();
        assert!(text.starts_with("1 kept value is still sealed at rest with ") && text.contains("task/a"), "{text}");
        board.lock().unwrap().refused = None;

        // Nothing is there that is sealed with it, but something is on its way.
        let under_way = {
            let old = Keys::new(Some(Ring::of(key(1))), None);
            let at_rest = AtRest::new(Source::Cluster { seals: true }, old, None);
            (at_rest.seal(Vec::new()), leading(at_rest).0)
        };
        let ring = Ring::new([key(2), key(1)]).unwrap();
        under_way.1.at_rest().learn(Some(Agreed { revision: 1, ring, removed: Vec::new() }), true);
        let refused = wait_until_unused(&under_way.1, &key(1), epoch, Duration::ZERO).await.unwrap_err();
        assert!(refused.to_string().contains("a write under way"), "{refused}");
        drop(under_way.0);
        assert_eq!(wait_until_unused(&under_way.1, &key(1), epoch, Duration::ZERO).await, Ok(()));

        assert_eq!(wait_until_unused(&replica, &key(1), epoch, SEEN).await, Ok(()), "it was written anew");
        assert_eq!(replica.get("task/a").await, Ok(Some(b"text".to_vec())));
        assert_eq!(replica.sealed_by(KeyId::of(&of_cluster_key(&[2; 32]))).await, ["task/a"]);
    }
}
