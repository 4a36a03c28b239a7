//! The keys of this agent while it runs, and what operators ask of those of the cluster.
//!
//! What the cluster agreed on is in a register ([`crate::keyring`]). [`follow`] takes it from there, once it is on this agent's
//! disk, to everything that seals. [`Desk`] answers for the faces: which member has which key, and changes, which only the leader
//! makes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use quorate_proto::MemberId;
use quorate_proto::message::Entry;
use quorate_proto::seal::{Fingerprint, Key, Ring};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::clock;
use super::control::Control;
use super::core::{Command, ProposeError};
use super::handle::{ApiRequest, ApiResponse, Caller};
use super::replica::Replica;
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
    ring: Arc<watch::Sender<Option<Ring>>>,
}

impl Keys {
    /// At start: the keys of the configuration, and what the store has of the register.
    pub fn new(configured: Option<Ring>, stored: Option<&[u8]>) -> Self {
        let own = configured.map(|configured| {
            let stored = stored.and_then(read);
            let (own, told) = Own::new(configured, stored);
            told.iter().for_each(tell);
            own
        });
        let ring = own.as_ref().map(|own| own.ring().clone());
        let (ring, _) = watch::channel(ring);
        Self { own: own.map(|own| Arc::new(Mutex::new(own))), ring: Arc::new(ring) }
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

fn read(value: &[u8]) -> Option<Agreed> {
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
pub async fn follow(keys: Keys, mut agreed: watch::Receiver<Option<Vec<u8>>>, commands: mpsc::Sender<Command>) {
    while agreed.changed().await.is_ok() {
        let value = agreed.borrow_and_update().clone();
        let Some(ring) = value.as_deref().and_then(read).and_then(|agreed| keys.apply(agreed)) else { continue };
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
pub struct Desk {
    keys: Keys,
    replica: Replica,
    lease: watch::Receiver<Option<Lease>>,
    views: watch::Receiver<Arc<View>>,
    control: Control,
    /// One change at a time: each is decided on what the one before left.
    changing: tokio::sync::Mutex<()>,
}

impl Desk {
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
        let register = match self.replica.get(REGISTER).await {
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
            let entry = Entry { key: REGISTER.to_owned(), value: Some(next.encode()) };
            self.replica.propose(epoch, vec![entry]).await.map_err(|error| match error {
                ProposeError::NotLeader => KeyringError::NotLeading,
                ProposeError::Refused(why) => KeyringError::Failed(why),
                ProposeError::Unknown => KeyringError::Lost,
            })?;
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

    fn leads(&self) -> Option<quorate_proto::Epoch> {
        let lease = *self.lease.borrow();
        lease.filter(|lease| lease.is_live(Duration::ZERO, clock::now())).map(|lease| lease.epoch())
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
