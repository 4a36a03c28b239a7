//! The gate of an agent: which callers it knows, from its own rules and its own copy of the tokens.
//!
//! Tokens are registers, `token/<accessor>`, replicated as tasks are. Every agent looks at its copy all the time
//! ([`LOOK`]), so what is made or revoked anywhere counts everywhere within a second. The leader knows of its own changes at once
//! ([`keeper`]). An agent without a majority goes on with what it knows: a token that was revoked meanwhile is taken there, for
//! what such an agent still does, which is to show what it knew, to reload its files, and to leave.
//!
//! # Not here
//!
//! What a request needs (the HTTP room), and what follows from roles (the access room).

mod keeper;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use quorate_proto::Stamp;
use tokio::sync::{Mutex as Turn, watch};
use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

pub use self::keeper::{KeepError, Made, NewToken};
use super::clock;
use super::control::Control;
use super::handle::{ApiRequest, Caller};
use super::replica::Replica;
use crate::access::{Grants, Identity, Locked, Record, Rules, TokenTable, Tries, Unknown};
use crate::cluster::View;
use crate::cluster::leadership::Lease;

/// Register prefix of tokens.
const TOKEN: &str = "token/";
/// How often an agent looks whether its copy has changed: an index of some hundred keys, without their contents.
const LOOK: Duration = Duration::from_millis(250);
/// How often expired tokens are taken away and uses are written down.
const SWEEP: Duration = Duration::from_mins(1);
/// How long the leader may take to hear which tokens were used.
const TELL: Duration = Duration::from_secs(5);
/// Uses are told by the hour: one write an hour for each token at most, however often it is used.
const HOUR: i64 = 3600;
/// Accessors taken in one message about uses.
const USES_MAX: usize = 10_000;
/// Path on which an agent tells the leader which tokens were used there. Only over the control connection.
pub const USED_PATH: &str = "/internal/tokens-used";

/// See the module.
#[derive(Debug)]
pub struct Gate {
    /// `None`: everybody may do everything.
    rules: Option<Rules>,
    book: RwLock<Arc<TokenTable>>,
    tries: Mutex<Tries>,
    /// Tokens used here whose record does not say so yet: accessor, and the hour.
    used: Mutex<BTreeMap<String, i64>>,
    registers: Option<Registers>,
}

#[derive(Debug)]
struct Registers {
    replica: Replica,
    lease: watch::Receiver<Option<Lease>>,
    /// Whoever reads or changes the copy as a whole. What it holds: the stamps of the tokens that are in the book.
    turn: Turn<Vec<(String, Stamp)>>,
}

impl Gate {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self::with(None, None)
    }

    /// With these rules, over these registers. Nothing is known before [`Self::run`], which goes on for ever.
    pub fn new(rules: Option<Rules>, replica: Replica, lease: watch::Receiver<Option<Lease>>) -> Self {
        Self::with(rules, Some(Registers { replica, lease, turn: Turn::default() }))
    }

    /// With these rules and this book, for tests of faces.
    pub fn fixed(rules: Rules, book: TokenTable) -> Self {
        Self { book: RwLock::new(Arc::new(book)), ..Self::with(Some(rules), None) }
    }

    fn with(rules: Option<Rules>, registers: Option<Registers>) -> Self {
        Self { rules, book: RwLock::default(), tries: Mutex::default(), used: Mutex::default(), registers }
    }

    /// The rules; `None`: everybody may do everything.
    pub fn rules(&self) -> Option<&Rules> {
        self.rules.as_ref()
    }

    /// The tokens as they are known here.
    pub fn book(&self) -> Arc<TokenTable> {
        self.book.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who this is as far as this agent knows, and what it may do.
    pub fn admit(&self, identity: &Identity) -> Result<(Identity, Grants), Unknown> {
        let Some(rules) = &self.rules else { return Ok((identity.clone(), Grants::everything())) };
        let now = now();
        let book = self.book();
        let admitted = rules.admit(identity, &book, now)?;
        if let Identity::Token(token) = &admitted.0 {
            let hour = now - now.rem_euclid(HOUR);
            if book.get(&token.accessor).is_some_and(|record| record.used < Some(hour)) {
                self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(token.accessor.clone(), hour);
            }
        }
        Ok(admitted)
    }

    /// Whether to listen to this token from this address; `token` tells it from others.
    pub fn listens_to(&self, address: IpAddr, token: u64) -> Result<(), Locked> {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).check(address, token, clock::now().mono)
    }

    /// Whether it was found wrong from this address a moment ago.
    pub fn is_wrong(&self, address: IpAddr, token: u64) -> bool {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).is_wrong(address, token, clock::now().mono)
    }

    /// A good token came from this address.
    pub fn succeeded(&self, address: IpAddr, token: u64) {
        self.tries.lock().unwrap_or_else(PoisonError::into_inner).succeeded(address, token, clock::now().mono);
    }

    /// A wrong token came from this address; `token` tells it from others.
    pub fn failed(&self, address: IpAddr, token: u64) {
        let locked =
            self.tries.lock().unwrap_or_else(PoisonError::into_inner).failed(address, token, clock::now().mono);
        if locked {
            warn!(%address, "too many wrong tokens from this address: its tokens are not looked at for a while");
        }
    }

    /// Keeps the book as the registers are, for ever. `me`: how this agent calls itself.
    pub async fn run(
        self: Arc<Self>,
        me: quorate_proto::MemberId,
        views: watch::Receiver<Arc<View>>,
        control: Control,
    ) {
        let Some(registers) = &self.registers else { return };
        if self.rules.is_none() {
            return;
        }
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => self.look(registers).await,
                _ = sweep.tick() => self.sweep(&me, &views, &control).await,
            }
        }
    }

    /// Reads the copy now: before a new leader answers anybody.
    pub async fn refresh(&self) {
        if let Some(registers) = self.registers.as_ref().filter(|_| self.rules.is_some()) {
            self.look(registers).await;
        }
    }

    async fn look(&self, registers: &Registers) {
        let mut known = registers.turn.lock().await;
        let index = registers.replica.index(TOKEN).await;
        let stamps: Vec<(String, Stamp)> = index.into_iter().map(|entry| (entry.key, entry.stamp)).collect();
        if *known == stamps {
            return;
        }
        match registers.replica.list(TOKEN).await {
            Ok(found) => {
                self.set_book(records(found));
                *known = stamps;
            }
            Err(why) => warn!(%why, "the tokens are not read again"),
        }
    }

    fn set_book(&self, tokens: BTreeMap<String, Record>) {
        let mut book = self.book.write().unwrap_or_else(PoisonError::into_inner);
        debug!(tokens = tokens.len(), "the tokens are read");
        *book = Arc::new(TokenTable::new(tokens));
    }

    /// The leader writes down what is over and what was used; others tell it.
    async fn sweep(&self, me: &quorate_proto::MemberId, views: &watch::Receiver<Arc<View>>, control: &Control) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        if self.leads().is_some() {
            match self.write_sweep(used).await {
                Ok(0) => {}
                Ok(gone) => info!(tokens = gone, "expired tokens are taken away"),
                Err(error) => debug!(%error, "what tokens were used for was not written down"),
            }
            return;
        }
        if used.is_empty() {
            return;
        }
        let leader =
            views.borrow().members.iter().find(|member| member.leader && member.id != *me).map(|m| m.gossip_addr);
        let Some(leader) = leader else { return };
        let request = ApiRequest {
            method: "PUT".to_owned(),
            target: USED_PATH.to_owned(),
            body: serde_json::to_vec(&used).unwrap_or_default(),
            request_id: String::new(),
            caller: Caller::member(me),
        };
        // A use that is lost is told again in the next hour.
        drop(control.ask(leader, request, TELL).await);
    }

    /// Another agent says which tokens were used there.
    pub fn note_used(&self, body: &[u8]) {
        let Ok(told) = serde_json::from_slice::<BTreeMap<String, i64>>(body) else { return };
        let (book, now) = (self.book(), now());
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        for (accessor, hour) in told.into_iter().take(USES_MAX) {
            // An hour of this clock or the one before it: what another agent says is not more than that.
            let hour = hour.clamp(now - 2 * HOUR, now);
            let hour = hour - hour.rem_euclid(HOUR);
            if book.get(&accessor).is_some_and(|record| record.used < Some(hour)) {
                used.insert(accessor, hour);
            }
        }
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    clock::utc().timestamp()
}

/// The tokens among registers; what cannot be read is no token.
fn records(found: Vec<(String, Vec<u8>)>) -> BTreeMap<String, Record> {
    let read = |(key, value): (String, Vec<u8>)| {
        let accessor = key.strip_prefix(TOKEN)?.to_owned();
        match serde_json::from_slice(&value) {
            Ok(record) => Some((accessor, record)),
            Err(error) => {
                warn!(accessor, %error, "a token cannot be read and is not taken; a newer version may have written it");
                None
            }
        }
    };
    found.into_iter().filter_map(read).collect()
}
