//! The agent: brings the parts up in their order and connects them. What then runs is the loop in `cycle`.

mod approve;
mod cancel;
mod changes;
mod consul;
mod cycle;
mod interrupted;
mod last_known;
mod readiness;
mod records;
mod requested_runs;
mod requests;
pub mod roster;
mod run_end;
mod sequence;
mod shutdown;
mod unreadable;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::identity::Versions;
use quorate_proto::message::Value;
use quorate_proto::seal::{Opener, Sealers, Speakers};
use quorate_proto::{BootNonce, Identity, Instance};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{OnceCell, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::consul::ConsulWatches;
use self::cycle::{Loop, Queues};
use super::access::Gate;
use super::at_rest::AtRest;
use super::control::{self, Control};
use super::core::{Core, ToldRing};
use super::event_stream::EventStream;
use super::handle::{Forwarded, Handle, Health, MetricsText, TasksSnapshot};
use super::keyring::{self, Keys};
use super::logs::{self, Keeper};
use super::metrics::{self, Metrics};
use super::notices::{self, Notifier};
use super::plans::Plans;
use super::pulse::Pulse;
use super::replica::Replica;
use super::runs::{Exits, Interruptions, Known, ProgressTable, Runner, StateOfRuns};
use super::settings::{Mode, Settings};
use super::snapshot::Chronicle;
use super::state::RunCredentials;
use super::state::service::ClusterState;
use super::strangers::Strangers;
use super::{address, blobs, clock, core, fetch, persist, resolve};
use crate::cluster::Cluster;
use crate::cluster::leadership::Rules;
use crate::cluster::membership::Stats;
use crate::cluster::settings::LeadershipMode;
use crate::guardian::Guardian;
use crate::roster::Roster;
use crate::source::consul::{ConsulError, Update, Watcher};
use crate::store::{OpenError, Store};
use crate::task::{self, Tasks};

/// Commands waiting for the gossip thread. It takes them in microseconds; a full queue makes the sender wait.
const COMMANDS: usize = 1024;
/// Requests of faces waiting for the agent.
const REQUESTS: usize = 256;
/// How long names of seeds are waited for when the own address depends on them.
const NAMES: Duration = Duration::from_secs(2);

/// Why an agent did not start. Nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("open the data directory {}", path.display())]
    Store {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The gossip or control port.
    #[error("bind {addr} for {what}; is another agent running there?")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// UDP or TCP.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No address to tell others.
    #[error("find an address to advertise for {0}: set gossip.advertise or -advertise")]
    Advertise(SocketAddr),
    /// The guardian.
    #[error("start the guardian from {}", exe.display())]
    Guardian {
        /// This program.
        exe: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread.
    #[error("start a thread")]
    Thread(#[source] std::io::Error),
    /// Consul's settings.
    #[error("set up the Consul client")]
    Consul(#[source] ConsulError),
    /// A `notify` block.
    #[error("set up notify {name:?}: {why}")]
    Notify {
        /// Which.
        name: String,
        /// Why not.
        why: String,
    },
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// For the faces.
    pub handle: Handle,
    /// Requests that other agents forwarded, for the HTTP room to answer.
    pub forwarded: mpsc::Receiver<Forwarded>,
    /// What answers runs about their state; where it listens goes to `runs_heard_at`.
    pub state: Arc<ClusterState>,
    /// Which runs may ask.
    pub credentials: RunCredentials,
    /// The address of the listener for runs, once it is there: runs with state kept by the cluster wait for it.
    pub runs_heard_at: watch::Sender<Option<SocketAddr>>,
    /// Whether it works.
    pub pulse: Pulse,
    /// Send to read the configuration files again (SIGHUP).
    pub reload: mpsc::Sender<()>,
    /// Cancel it to stop cleanly.
    pub shutdown: CancellationToken,
    /// Ends with the agent: `Err` when it had to stop by itself.
    pub done: tokio::task::JoinHandle<Result<(), String>>,
}

impl Agent {
    /// Brings everything up. `seed` is all the randomness the core gets.
    pub async fn start(settings: Settings, seed: Seeds) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let unix_ms = u64::try_from(clock::utc().timestamp_millis()).unwrap_or(0);
        let open = Store::open(&settings.data_dir, &settings.id, seed.instance, unix_ms);
        let (store, opened) = open.map_err(|source| StartError::Store { path: settings.data_dir.clone(), source })?;
        let (bind, configured) = match &settings.network {
            Some(network) => (network.bind, network.ring.clone()),
            None => (SocketAddr::from(([127, 0, 0, 1], 0)), None),
        };
        let stored = opened.durable.registers.get(crate::keyring::REGISTER);
        let told_ring = ToldRing::new(stored.map(|(stamp, _)| *stamp));
        let stored = stored.and_then(|(_, value)| value.as_ref().and_then(Value::inline));
        let keys = Keys::new(configured, stored);
        let at_rest = AtRest::new(settings.at_rest.clone(), keys.clone(), stored);
        let ring = keys.ring();
        let socket = core::bind(bind).and_then(UdpSocket::from_std);
        let socket = socket.map_err(|source| StartError::Bind { addr: bind, what: "gossip (UDP)", source })?;
        let bound = socket.local_addr().unwrap_or(bind);
        metrics.set_gossip(bound);
        let own = advertise(&settings, bound).await?;
        let api = match settings.api_addr {
            addr if addr.ip().is_unspecified() => SocketAddr::new(own.ip(), addr.port()),
            addr => addr,
        };
        let identity = Identity {
            id: settings.id.clone(),
            instance: opened.durable.instance,
            generation: opened.generation,
            bump: 0,
            gossip_addr: own,
            api_addr: api,
            address: settings.address.clone(),
            versions: Versions::OURS,
            software: software(),
        };
        info!(
            id = %settings.id, gossip = %own, data_dir = %settings.data_dir.display(),
            fresh = opened.fresh, generation = %opened.generation, sealed = ring.is_some(), "agent starts"
        );
        let (commands, command_queue) = mpsc::channel(COMMANDS);
        let (notices, notice_queue) = mpsc::unbounded_channel();
        let (outgoing, outgoing_queue) = mpsc::channel(64);
        let (forwarded, forwarded_queue) = mpsc::channel(64);
        let (failed, failed_queue) = mpsc::unbounded_channel();
        let name = settings.cluster.name.clone();
        let (known, known_addresses) = watch::channel(Arc::default());
        let control = Control::new(control::Parts {
            name: name.clone(),
            keys: keys.clone(),
            own,
            commands: commands.clone(),
            forwarded,
            blobs: store.blobs().clone(),
            known: known_addresses,
            metrics: metrics.clone(),
        });
        if settings.network.is_some() {
            let listener = TcpListener::bind(bound).await;
            let listener =
                listener.map_err(|source| StartError::Bind { addr: bound, what: "control (TCP)", source })?;
            tokio::spawn(control.clone().accept(listener));
        }
        tokio::spawn(control.clone().send_outgoing(outgoing_queue));
        if opened.damaged > 0 {
            warn!(
                opened.damaged,
                "large values are missing or damaged on this disk: they are fetched from other agents"
            );
        }
        let files = store.blobs().clone();
        let store =
            persist::start(store, commands.clone(), failed.clone(), metrics.clone()).map_err(StartError::Thread)?;
        let blobs = blobs::start(files, store.clone(), commands.clone(), failed).map_err(StartError::Thread)?;
        let (fetch, fetch_queue) = mpsc::unbounded_channel();
        tokio::spawn(fetch::run(fetch_queue, control.clone(), blobs.clone(), store.clone(), commands.clone()));
        let now = clock::now();
        let mut cluster = Cluster::new(
            settings.cluster.clone(),
            opened.durable,
            identity,
            seed.boot,
            Rules::default(),
            seed.core,
            now,
        );
        cluster.handle_address_book(opened.peers, now);
        let (view, views) = watch::channel(Arc::new(cluster.view().clone()));
        let (last_words, newest_last_words) = watch::channel(core::LastWords::default());
        let (agreed, newest_agreed) = watch::channel(None);
        tokio::spawn(keyring::follow(keys.clone(), at_rest.clone(), newest_agreed, commands.clone()));
        let replica = Replica::new(commands.clone(), at_rest);
        let core = Core {
            cluster,
            socket,
            sealers: Sealers::new(&name, ring.as_ref(), seed.sealing),
            opener: Opener::with_ring(&name, ring.as_ref()),
            speakers: Speakers::default(),
            agreed,
            told_ring,
            known,
            seeds: BTreeSet::new(),
            strangers: Strangers::default(),
            refilled: now.mono,
            commands: command_queue,
            notices,
            control: outgoing,
            store: store.clone(),
            blobs,
            fetch,
            installs: 0,
            view,
            last_words,
            last_words_sealers: Sealers::new(&name, ring.as_ref(), seed.last_words_sealing),
            ring,
            metrics: metrics.clone(),
            counted: Stats::default(),
        };
        core::start(core).map_err(StartError::Thread)?;
        if settings.network.is_some() {
            tokio::spawn(resolve::run(settings.cluster.seeds.clone(), commands.clone()));
        }
        let (guardian, guardian_notices) = Guardian::start(&settings.exe)
            .map_err(|source| StartError::Guardian { exe: settings.exe.clone(), source })?;
        let shutdown = CancellationToken::new();
        let (reload_now, hang_up) = mpsc::channel(1);
        let keeps_state = settings.network.is_some() && settings.cluster.mode == LeadershipMode::Quorum;
        let sealed = settings.network.is_some().then(|| settings.at_rest.seals());
        let mut chronicle = Chronicle::new(settings.network.is_some(), sealed);
        let first = chronicle.snapshot(&views.borrow(), false);
        let (cluster_tx, cluster_rx) = watch::channel(first);
        let (tasks_tx, tasks_rx) = watch::channel(Arc::new(TasksSnapshot::default()));
        let (health_tx, health_rx) = watch::channel(Health::default());
        let (requests, request_queue) = mpsc::channel(REQUESTS);
        let pulse = Pulse { replica: replica.clone(), requests: requests.clone() };
        let (lease_tx, lease_rx) = watch::channel(None);
        let exits = Arc::new(Exits::default());
        let senders = notices::senders(&settings).map_err(|(name, why)| StartError::Notify { name, why })?;
        let gate = Arc::new(Gate::new(settings.access, replica.clone(), lease_tx.subscribe()));
        tokio::spawn(gate.clone().run(settings.id.clone(), views.clone(), control.clone()));
        metrics.read_from(metrics::Sources {
            data_dir: settings.data_dir,
            tasks: tasks_rx.clone(),
            health: health_rx.clone(),
            gate: gate.clone(),
        });
        let desk = ClusterState::new(replica.clone(), lease_tx.subscribe(), views.clone(), control.clone());
        let desk = Arc::new(desk);
        let keyring =
            keyring::KeyringService::new(keys, replica.clone(), lease_tx.subscribe(), views.clone(), control.clone());
        let credentials = RunCredentials::new(settings.id.clone());
        // Where no majority keeps registers, logs stay with the agent that ran; and one that ends with its runs keeps none.
        let keeps_logs = settings.mode == Mode::Daemon && settings.cluster.mode == LeadershipMode::Quorum;
        let logs = Keeper::start(
            settings.runs,
            keeps_logs.then(|| replica.clone()),
            lease_tx.subscribe(),
            tasks_tx.subscribe(),
        );
        let (notified, notifies, cluster_name) = (replica.clone(), lease_rx.clone(), name.clone());
        let log_reader = logs::LogReader::new(logs.clone(), replica.clone());
        let (runs_heard_at, state_address) = watch::channel(None);
        let runner = Arc::new(Runner {
            me: settings.id.clone(),
            guardian: guardian.clone(),
            exits: exits.clone(),
            lease: lease_rx,
            replica: replica.clone(),
            start_margin: settings.cluster.timing.lease.start_margin,
            environment: settings.environment,
            own_secrets: settings.own_secrets,
            run_env: settings.run_env,
            fill_in: settings.secrets,
            known: Known::default(),
            terraform: settings.terraform,
            binary: OnceCell::new(),
            caches: crate::terraform::Caches::default(),
            called: crate::terraform::handler::Called::default(),
            metrics: metrics.clone(),
            logs,
            state: StateOfRuns {
                kept: keeps_state,
                clustered: settings.network.is_some(),
                credentials: credentials.clone(),
                address: state_address,
                desk: desk.clone(),
                consul: settings.consul_backend,
            },
            plans: Plans::default(),
            progress: ProgressTable::default(),
            interruptions: Interruptions::default(),
            workspaces: tokio::sync::RwLock::new(()),
        });
        let (consul, consul_queue) = watches(settings.consul.as_ref(), &seed).await?;
        let (finished, finished_queue) = mpsc::unbounded_channel();
        let (internal, internal_queue) = mpsc::unbounded_channel();
        let agent = Loop {
            me: settings.id,
            tasks: Tasks::new(
                settings.tasks.clone(),
                task::Settings { max_parallel: settings.max_parallel, take_over_all: settings.take_over_all },
                seed.tasks,
            ),
            roster: Roster::new(settings.tasks, BTreeMap::new()),
            writer: writer::Writer::new(replica.clone()),
            replica,
            unreadable: None,
            gate: gate.clone(),
            internal,
            reload: settings.reload,
            recording: BTreeMap::new(),
            trying: BTreeMap::new(),
            written: BTreeMap::new(),
            unrecorded: BTreeSet::new(),
            awaited: BTreeMap::new(),
            served: BTreeMap::new(),
            differences: BTreeMap::new(),
            runner,
            exits,
            guardian,
            commands,
            control,
            store,
            metrics: metrics.clone(),
            views,
            chronicle,
            lease: lease_tx,
            cluster: cluster_tx,
            reports: tasks_tx,
            health: health_tx,
            finished,
            running: BTreeMap::new(),
            shown_moves: 0,
            shown_specs: (None, Vec::new()),
            asked: requested_runs::Asked::new(),
            hand_over: None,
            stopping: None,
            leaving: None,
            stepping_down: Vec::new(),
            remembered: Vec::new(),
            members: Vec::new(),
            from: Some(bound.ip()).filter(|ip| !ip.is_unspecified()),
            orphaned: false,
            lost: None,
            disk_full: None,
            consul,
            mode: settings.mode,
            recovered: None,
            recovering: None,
            held_back: None,
            clustered: settings.network.is_some(),
            interrupted: BTreeMap::new(),
        };
        let queues = Queues {
            notices: notice_queue,
            requests: request_queue,
            finished: finished_queue,
            internal: internal_queue,
            hang_up,
            failed: failed_queue,
            guardian: guardian_notices,
            last_words: newest_last_words,
            shutdown: shutdown.clone(),
            consul: consul_queue,
        };
        let done = tokio::spawn(agent.run(queues));
        let feed = Arc::new(EventStream::default());
        tokio::spawn(feed.clone().follow(cluster_rx.clone(), tasks_rx.clone()));
        notices::start(senders, |sender| Notifier {
            sender,
            cluster_name: cluster_name.clone(),
            events: feed.clone(),
            replica: notified.clone(),
            lease: notifies.clone(),
            cluster: cluster_rx.clone(),
            tasks: tasks_rx.clone(),
            metrics: metrics.clone(),
        });
        let metrics: Arc<dyn MetricsText> = metrics;
        let handle = Handle {
            cluster: cluster_rx,
            tasks: tasks_rx,
            health: health_rx,
            requests,
            state: Some(desk.clone()),
            feed,
            logs: Some(Arc::new(log_reader)),
            keyring: Some(Arc::new(keyring)),
            objects: settings.objects,
            metrics,
            gate,
        };
        Ok(Self {
            handle,
            forwarded: forwarded_queue,
            state: desk,
            credentials,
            runs_heard_at,
            pulse,
            reload: reload_now,
            shutdown,
            done,
        })
    }
}

/// All randomness of one process, drawn once at start.
#[derive(Debug, Clone)]
pub struct Seeds {
    /// For a new data directory.
    pub instance: Instance,
    /// Of this process.
    pub boot: BootNonce,
    /// For what needs few bits, such as pauses before retries.
    pub session: [u8; 8],
    /// For the sessions of the datagrams of this process.
    pub sealing: [u8; 32],
    /// For those of the datagrams that its guardian may send.
    pub last_words_sealing: [u8; 32],
    /// For the cluster core.
    pub core: [u8; 32],
    /// For the task room.
    pub tasks: [u8; 32],
}

/// The watches, when there is a Consul. Nothing is asked yet.
async fn watches(
    settings: Option<&crate::source::consul::Settings>,
    seed: &Seeds,
) -> Result<(Option<ConsulWatches>, mpsc::UnboundedReceiver<Update>), StartError> {
    let Some(settings) = settings else { return Ok((None, mpsc::unbounded_channel().1)) };
    let (watcher, updates) =
        Watcher::new(settings, u64::from_le_bytes(seed.session)).await.map_err(StartError::Consul)?;
    Ok((Some(ConsulWatches::new(watcher, settings.address.clone())), updates))
}

async fn advertise(settings: &Settings, bound: SocketAddr) -> Result<SocketAddr, StartError> {
    let Some(network) = &settings.network else { return Ok(bound) };
    if let Some(advertise) = network.advertise {
        return Ok(advertise);
    }
    let mut seeds = Vec::new();
    if bound.ip().is_unspecified() {
        for seed in &settings.cluster.seeds {
            if let Ok(Ok(found)) = tokio::time::timeout(NAMES, tokio::net::lookup_host(seed)).await {
                seeds.extend(found);
            }
        }
    }
    address::advertised(bound, &seeds).ok_or(StartError::Advertise(bound))
}

fn software() -> (u16, u16, u16) {
    let part = |text: &str| text.parse().unwrap_or(0);
    let mut parts = env!("CARGO_PKG_VERSION").split('.').map(part);
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
