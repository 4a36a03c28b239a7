//! The driver of the watches: one task that sends the requests of the watches and tells what they bring.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::Settings;
use super::answer::Content;
use super::client::{Client, Reply};
use super::error::ConsulError;
use super::plan::{self, Compiled};
use super::request::Endpoint;
use super::watches::{Output, Watches};
use crate::task::consul_data::{Data, KvQuery, Query};

/// Requests at a time of one [`Watcher::fetch_once`].
const FETCH_MAX: usize = 3;

/// News about one query.
#[derive(Debug)]
pub struct Update {
    /// Which.
    pub query: Query,
    /// Its new answer, or why there is none at the moment; the last one stays true then, and asking goes on. An error is
    /// told once, and again when its text changes.
    pub data: Result<Arc<Data>, ConsulError>,
    /// When the answer that brought it was there.
    pub answered: Instant,
}

/// How the watches are doing.
#[derive(Debug, Clone, Default)]
pub struct Health {
    /// Queries that cannot be asked at the moment, and why.
    pub faults: BTreeMap<Query, ConsulError>,
    /// Queries without a first answer.
    pub waiting: usize,
}

/// All watches in one Consul. They end when it is dropped.
#[derive(Debug)]
pub struct Watcher {
    client: Client,
    queries: mpsc::UnboundedSender<BTreeSet<Query>>,
    health: Arc<Mutex<Health>>,
    driver: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Watcher {
    /// Reads the certificates and starts with nothing to watch; `seed` spreads the retries of several agents. Call it
    /// inside a runtime. The receiver gets one message for each change; an [`Arc`] each, so that it is not bounded.
    pub async fn new(settings: &Settings, seed: u64) -> Result<(Self, mpsc::UnboundedReceiver<Update>), ConsulError> {
        let client = Client::new(settings).await?;
        let (queries, asked) = mpsc::unbounded_channel();
        let (updates, receiver) = mpsc::unbounded_channel();
        let health = Arc::new(Mutex::new(Health::default()));
        let driver = Driver {
            client: client.clone(),
            watches: Watches::new(seed),
            requests: JoinSet::new(),
            tickets: BTreeMap::new(),
            updates,
            health: Arc::clone(&health),
            began: Instant::now(),
            answered: Instant::now(),
        };
        let driver = tokio::spawn(driver.run(asked)).abort_handle();
        Ok((Self { client, queries, health, driver }, receiver))
    }

    /// Watches exactly these. What is new is announced as soon as it is answered; what stays goes on undisturbed.
    pub fn set_queries(&self, queries: BTreeSet<Query>) {
        // Refused only when the runtime ends.
        drop(self.queries.send(queries));
    }

    /// How the watches are doing.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The client, for single requests.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One answer, without retries: for checking a new task, for `-once` and `-inspect`.
    pub async fn fetch_once(&self, query: &Query) -> Result<Data, ConsulError> {
        fetch_once(&self.client, query).await
    }

    /// The value of one key; none when it is absent.
    pub async fn kv_get(&self, path: &str) -> Result<Option<String>, ConsulError> {
        kv_get(&self.client, path).await
    }
}

/// Waits until Consul has a leader, 2, 4, 8, 16 and 32 s between the looks, as CTS does at its start. An error at once when
/// it cannot be reached.
pub async fn wait_for_leader(client: &Client) -> Result<(), ConsulError> {
    for tried in 1..=5 {
        match client.ask(&Endpoint::Leader, None).await {
            Ok(Content::Leader(true)) => return Ok(()),
            Ok(_) | Err(ConsulError::Leaderless | ConsulError::Response { status: 500..=599, .. }) => {}
            Err(error) => return Err(error),
        }
        let wait = Duration::from_secs(1 << tried);
        tracing::warn!(?wait, "Consul has no leader yet, asking again");
        tokio::time::sleep(wait).await;
    }
    match client.ask(&Endpoint::Leader, None).await {
        Ok(Content::Leader(true)) => Ok(()),
        Ok(_) => Err(ConsulError::Leaderless),
        Err(error) => Err(error),
    }
}

/// The value of one key; none when it is absent.
pub async fn kv_get(client: &Client, path: &str) -> Result<Option<String>, ConsulError> {
    let path = path.trim_start_matches('/').to_owned();
    let query = KvQuery { path: path.clone(), ..KvQuery::default() };
    match client.ask(&Endpoint::Kv(query), None).await? {
        Content::Kv(pairs) => Ok(pairs.get(&path).cloned()),
        _ => Ok(None),
    }
}

/// One answer, without retries.
pub async fn fetch_once(client: &Client, query: &Query) -> Result<Data, ConsulError> {
    let compiled = Compiled::new(query)?;
    let mut found: BTreeMap<Endpoint, Content> = BTreeMap::new();
    if let Query::Services(_) = query {
        let catalog = plan::catalog(query);
        let names = client.ask(&catalog, None).await?;
        found.insert(catalog, names);
    }
    let asked = plan::basis(query, &compiled, |endpoint| found.get(endpoint));
    let replies = stream::iter(asked).map(|endpoint| async move {
        let content = client.ask(&endpoint, None).await?;
        Ok::<_, ConsulError>((endpoint, content))
    });
    let replies: Vec<_> = replies.buffer_unordered(FETCH_MAX).try_collect().await?;
    found.extend(replies);
    plan::compose(query, &compiled, |endpoint| found.get(endpoint))
        .ok_or_else(|| ConsulError::Query("it has no answer".to_owned()))
}

struct Driver {
    client: Client,
    watches: Watches,
    requests: JoinSet<(u64, Result<Reply, ConsulError>)>,
    tickets: BTreeMap<u64, AbortHandle>,
    updates: mpsc::UnboundedSender<Update>,
    health: Arc<Mutex<Health>>,
    began: Instant,
    /// The newest answer.
    answered: Instant,
}

impl Driver {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<BTreeSet<Query>>) {
        loop {
            let due = self.watches.poll_timeout();
            // Far away stands for never.
            let due = self.began + due.unwrap_or_else(|| self.now() + Duration::from_hours(1));
            tokio::select! {
                queries = asked.recv() => {
                    let Some(queries) = queries else { return };
                    let now = self.now();
                    self.watches.set_queries(&queries, now);
                }
                Some(reply) = self.requests.join_next() => {
                    // A cancelled one has no answer.
                    let Ok((ticket, reply)) = reply else { continue };
                    self.tickets.remove(&ticket);
                    self.answered = Instant::now();
                    let now = self.now();
                    self.watches.handle_reply(ticket, reply, now);
                }
                () = tokio::time::sleep_until(due) => {
                    let now = self.now();
                    self.watches.handle_timeout(now);
                }
            }
            self.carry_out();
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.watches.poll_output() {
            match output {
                Output::Ask { ticket, endpoint, index, known } => {
                    let client = self.client.clone();
                    let asked = async move { (ticket, client.ask_beyond(&endpoint, index, known).await) };
                    self.tickets.insert(ticket, self.requests.spawn(asked));
                }
                Output::Cancel(ticket) => {
                    if let Some(request) = self.tickets.remove(&ticket) {
                        request.abort();
                    }
                }
                // Nobody listens any more when the runtime ends.
                Output::Notice(query, data) => {
                    drop(self.updates.send(Update { query, data, answered: self.answered }));
                }
            }
        }
        if !self.watches.have_faults_moved() {
            return;
        }
        let (faults, waiting) = self.watches.faults();
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = Health { faults, waiting };
    }
}
