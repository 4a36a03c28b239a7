//! The agent: brings the parts up and carries between them. Leases go to the tasks, runs to the guardian, ends of runs
//! back; hand-over and shutdown wait here until nothing runs.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::identity::Versions;
use quorate_proto::seal::{Opener, Sealer};
use quorate_proto::{BootNonce, Epoch, Identity, Instance, MemberId};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{OnceCell, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::control::Control;
use super::core::{Command, Core, Notice};
use super::handle::{ClusterSnapshot, ForwardError, Forwarded, Handle, Health, MetricsText, Request, TasksSnapshot};
use super::journal::{self, Unfinished};
use super::metrics::Metrics;
use super::persist::{self, ADDRESS_BOOK_PERIOD};
use super::runs::{Exits, Runner};
use super::settings::{SUCCESSOR_WAIT, Settings};
use super::snapshot::Chronicle;
use super::{address, clock, core, resolve, story};
use crate::cluster::leadership::{Lease, Rules};
use crate::cluster::membership::Stats;
use crate::cluster::view::MemberState;
use crate::cluster::{Cluster, Event, View};
use crate::guardian::{self, Datagram, Guardian, OnDeath};
use crate::source;
use crate::store::{OpenError, Store};
use crate::task::{self, MemberInput, Outcome, RunId, Tasks};

/// Commands waiting for the gossip thread. It takes them in microseconds; a full queue makes the sender wait.
const COMMANDS: usize = 1024;
/// Requests of faces waiting for the agent.
const REQUESTS: usize = 256;
/// How long a forwarded request may take: a little more than the leader gives itself for one (`http::limits`).
const FORWARD: Duration = Duration::from_secs(62);
/// How long a permanent leave waits to be removed from the voters.
const LEAVE: Duration = Duration::from_secs(15);
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
}

/// A running agent.
#[derive(Debug)]
pub struct Agent {
    /// For the faces.
    pub handle: Handle,
    /// Requests that other agents forwarded, for the HTTP room to answer.
    pub forwarded: mpsc::Receiver<Forwarded>,
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
        let (bind, key) = match &settings.network {
            Some(network) => (network.bind, network.key.clone()),
            None => (SocketAddr::from(([127, 0, 0, 1], 0)), None),
        };
        let socket = core::bind(bind).and_then(UdpSocket::from_std);
        let socket = socket.map_err(|source| StartError::Bind { addr: bind, what: "gossip (UDP)", source })?;
        let bound = socket.local_addr().unwrap_or(bind);
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
            fresh = opened.fresh, generation = %opened.generation, sealed = key.is_some(), "agent starts"
        );
        let (commands, command_queue) = mpsc::channel(COMMANDS);
        let (notices, notice_queue) = mpsc::unbounded_channel();
        let (outgoing, outgoing_queue) = mpsc::channel(64);
        let (forwarded, forwarded_queue) = mpsc::channel(64);
        let (failed, failed_queue) = mpsc::unbounded_channel();
        let name = settings.cluster.name.clone();
        let control = Control::new(name.clone(), key.clone(), own, commands.clone(), forwarded);
        if settings.network.is_some() {
            let listener = TcpListener::bind(bound).await;
            let listener =
                listener.map_err(|source| StartError::Bind { addr: bound, what: "control (TCP)", source })?;
            tokio::spawn(control.clone().accept(listener));
        }
        tokio::spawn(control.clone().send_outgoing(outgoing_queue));
        let store = persist::start(store, commands.clone(), failed, metrics.clone()).map_err(StartError::Thread)?;
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
        let (last_will, last_wills) = watch::channel(Vec::new());
        let core = Core {
            cluster,
            socket,
            sealer: Sealer::new(&name, key.as_ref(), seed.session),
            opener: Opener::new(&name, key.as_ref()),
            commands: command_queue,
            notices,
            control: outgoing,
            store: store.clone(),
            view,
            last_will,
            will_sealer: Sealer::new(&name, key.as_ref(), seed.will_session),
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
        let mut chronicle = Chronicle::new(settings.network.is_some());
        let first = chronicle.snapshot(&views.borrow(), false);
        let (cluster_tx, cluster_rx) = watch::channel(first);
        let (tasks_tx, tasks_rx) = watch::channel(Arc::new(TasksSnapshot::default()));
        let (health_tx, health_rx) = watch::channel(Health::default());
        let (requests, request_queue) = mpsc::channel(REQUESTS);
        let (lease_tx, lease_rx) = watch::channel(None);
        let exits = Arc::new(Exits::default());
        let runner = Arc::new(Runner {
            me: settings.id.clone(),
            guardian: guardian.clone(),
            exits: exits.clone(),
            lease: lease_rx,
            commands: commands.clone(),
            start_margin: settings.cluster.timing.lease.start_margin,
            environment: settings.environment,
            terraform: settings.terraform,
            binary: OnceCell::new(),
            metrics: metrics.clone(),
        });
        let (finished, finished_queue) = mpsc::unbounded_channel();
        let agent = Loop {
            me: settings.id,
            tasks: Tasks::new(settings.tasks, task::Settings::default(), seed.tasks),
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
            hand_over: None,
            stopping: None,
            leaving: None,
            remembered: Vec::new(),
            members: Vec::new(),
            from: Some(bound.ip()).filter(|ip| !ip.is_unspecified()),
            orphaned: false,
        };
        let queues = Queues {
            notices: notice_queue,
            requests: request_queue,
            finished: finished_queue,
            failed: failed_queue,
            guardian: guardian_notices,
            last_will: last_wills,
            shutdown: shutdown.clone(),
        };
        let done = tokio::spawn(agent.run(queues));
        let metrics: Arc<dyn MetricsText> = metrics;
        let handle = Handle { cluster: cluster_rx, tasks: tasks_rx, health: health_rx, requests, metrics };
        Ok(Self { handle, forwarded: forwarded_queue, shutdown, done })
    }
}

/// All randomness of one process, drawn once at start.
#[derive(Debug, Clone)]
pub struct Seeds {
    /// For a new data directory.
    pub instance: Instance,
    /// Of this process.
    pub boot: BootNonce,
    /// Of the datagrams of this process.
    pub session: [u8; 8],
    /// Of the datagrams its guardian may send.
    pub will_session: [u8; 8],
    /// For the cluster core.
    pub core: [u8; 32],
    /// For the task room.
    pub tasks: [u8; 32],
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

/// What wakes the loop.
struct Queues {
    notices: mpsc::UnboundedReceiver<Notice>,
    requests: mpsc::Receiver<Request>,
    finished: mpsc::UnboundedReceiver<(RunId, Outcome)>,
    failed: mpsc::UnboundedReceiver<String>,
    guardian: mpsc::Receiver<guardian::Notice>,
    last_will: watch::Receiver<Vec<(SocketAddr, Vec<u8>)>>,
    shutdown: CancellationToken,
}

/// The hand-over under way.
struct HandOver {
    /// When runs that have not ended are stopped.
    patience: Duration,
    stopped: bool,
}

/// The shutdown under way.
struct Stopping {
    /// When it goes on without a successor.
    until: Duration,
    said_goodbye: bool,
}

/// A leave for good under way.
struct Leaving {
    /// Until when it waits to be removed from the voters.
    until: Duration,
    /// Who asked.
    reply: Option<oneshot::Sender<Result<(), String>>>,
}

struct Loop {
    me: MemberId,
    tasks: Tasks,
    runner: Arc<Runner>,
    exits: Arc<Exits>,
    guardian: Guardian,
    commands: mpsc::Sender<Command>,
    control: Control,
    store: persist::Store,
    metrics: Arc<Metrics>,
    views: watch::Receiver<Arc<View>>,
    chronicle: Chronicle,
    lease: watch::Sender<Option<Lease>>,
    cluster: watch::Sender<Arc<ClusterSnapshot>>,
    reports: watch::Sender<Arc<TasksSnapshot>>,
    health: watch::Sender<Health>,
    finished: mpsc::UnboundedSender<(RunId, Outcome)>,
    /// Runs under way and their grace.
    running: BTreeMap<RunId, Duration>,
    hand_over: Option<HandOver>,
    stopping: Option<Stopping>,
    leaving: Option<Leaving>,
    remembered: Vec<(MemberId, SocketAddr)>,
    members: Vec<MemberInput>,
    /// Where the guardian sends from, when this agent is bound to one address.
    from: Option<std::net::IpAddr>,
    /// The guardian is lost: its runs are ours to end.
    orphaned: bool,
}

impl Loop {
    async fn run(mut self, mut queues: Queues) -> Result<(), String> {
        let mut address_book = tokio::time::interval(ADDRESS_BOOK_PERIOD);
        self.view_changed();
        loop {
            self.drain();
            let wake = self.poll_timeout().saturating_sub(clock::now().mono);
            tokio::select! {
                notice = queues.notices.recv() => match notice {
                    Some(Notice::Left) => return self.end(Ok(())).await,
                    None => return self.end(Err("the gossip thread has ended by itself".to_owned())).await,
                    Some(notice) => {
                        if let Some(fatal) = self.notice(notice).await {
                            return self.end(Err(fatal)).await;
                        }
                    }
                },
                changed = self.views.changed() => {
                    if changed.is_ok() {
                        self.view_changed();
                    }
                }
                Some((run, outcome)) = queues.finished.recv() => self.run_finished(run, outcome).await,
                Some(request) = queues.requests.recv() => self.request(request).await,
                failed = queues.failed.recv() => match failed {
                    Some(why) => return self.end(Err(why)).await,
                    // It ends with the gossip thread, which may be quicker than its last notice.
                    None if self.has_said_goodbye() => return self.end(Ok(())).await,
                    None => return self.end(Err("the thread of the store has ended by itself".to_owned())).await,
                },
                notice = queues.guardian.recv() => match notice {
                    Some(notice) => {
                        if let Some(fatal) = self.guardian_notice(notice) {
                            return self.end(Err(fatal)).await;
                        }
                    }
                    None => return self.end(Err("the guardian is gone".to_owned())).await,
                },
                changed = queues.last_will.changed() => {
                    if changed.is_ok() {
                        let datagrams = queues.last_will.borrow_and_update().clone();
                        let datagrams = datagrams.into_iter().map(|(to, bytes)| Datagram { to, bytes }).collect();
                        self.guardian.on_death(OnDeath { from: self.from, datagrams });
                    }
                }
                () = queues.shutdown.cancelled(), if self.stopping.is_none() => self.begin_stop().await,
                _ = address_book.tick() => self.remember(),
                () = tokio::time::sleep(wake) => self.timeout().await,
            }
        }
    }

    // The core.

    async fn notice(&mut self, notice: Notice) -> Option<String> {
        match notice {
            Notice::Led { lease, journal, released } => {
                story::tell(&Event::LeaseGained(lease));
                self.lead(lease, &journal, &released);
            }
            Notice::Event(event) => {
                story::tell(&event);
                match event {
                    Event::LeaseExtended(lease) => {
                        let resumes = self.lease.borrow().is_none();
                        self.extend(lease);
                        if resumes {
                            self.publish();
                        }
                    }
                    Event::LeaseSuspended { .. } => {
                        self.lease.send_replace(None);
                        self.metrics.set_lease_end(None);
                        self.publish();
                    }
                    Event::LeaseLost { why, .. } => self.lose(&why),
                    Event::HandOver { .. } => self.begin_hand_over().await,
                    Event::Claiming { .. } => self.metrics.election(),
                    Event::MemberSuspect { .. } => self.metrics.suspicion(),
                    Event::MemberRefuted { .. } => self.metrics.refutation(),
                    Event::Fatal { text } => return Some(text),
                    _ => {}
                }
            }
            Notice::Left => {}
        }
        None
    }

    fn lead(&mut self, lease: Lease, journal: &BTreeMap<String, Vec<u8>>, released: &BTreeSet<Epoch>) {
        let now = clock::now();
        let unfinished = journal::unfinished(journal, released, lease.epoch());
        for Unfinished { task, wait, text } in &unfinished {
            debug!(task, wait = ?wait, "{text}");
        }
        let waits =
            unfinished.into_iter().map(|u| task::Unfinished { task: u.task, until: now.mono + u.wait, text: u.text });
        self.hand_over = None;
        self.extend(lease);
        self.tasks.handle_lease(lease.epoch(), waits.collect(), now, clock::wall());
        self.publish();
    }

    fn extend(&mut self, lease: Lease) {
        self.lease.send_replace(Some(lease));
        self.metrics.set_lease_end(Some(lease.ends_boot()));
        self.guardian.deadline(&lease);
    }

    fn lose(&mut self, why: &str) {
        self.lease.send_replace(None);
        self.metrics.set_lease_end(None);
        self.hand_over = None;
        self.guardian.stop_all(why, None);
        self.tasks.handle_lease_lost();
        self.publish();
    }

    fn view_changed(&mut self) {
        let view = self.views.borrow_and_update().clone();
        let members = source::members::members(&view);
        if members != self.members {
            self.members.clone_from(&members);
            self.tasks.handle_members(&members, clock::now(), clock::wall());
        }
        self.publish();
    }

    /// Shows the faces what is now.
    fn publish(&mut self) {
        let view = self.views.borrow().clone();
        let leading = self.lease.borrow().is_some();
        self.metrics.observe_view(&view, leading);
        self.cluster.send_replace(self.chronicle.snapshot(&view, leading));
        let reports = if leading { self.tasks.reports() } else { Vec::new() };
        self.reports.send_replace(Arc::new(TasksSnapshot { tasks: reports }));
        let not_ready = if self.stopping.is_some() {
            Some("stopping".to_owned())
        } else {
            (!view.formed).then(|| view.reason.clone())
        };
        self.health.send_replace(Health { not_ready });
    }

    fn remember(&mut self) {
        let view = self.views.borrow().clone();
        let others = view.members.iter().filter(|m| m.id != self.me && m.state != MemberState::Left);
        let peers: Vec<(MemberId, SocketAddr)> = others.map(|m| (m.id.clone(), m.gossip_addr)).collect();
        if peers != self.remembered {
            self.remembered.clone_from(&peers);
            self.store.remember(peers);
        }
    }

    // Runs.

    /// Starts what the tasks want started.
    fn drain(&mut self) {
        let mut changed = false;
        while let Some(output) = self.tasks.poll_output() {
            match output {
                task::Output::Start(start) => {
                    self.running.insert(start.run, start.spec.grace);
                    let (runner, finished) = (self.runner.clone(), self.finished.clone());
                    tokio::spawn(async move {
                        let run = start.run;
                        // A hand-over waits for every end: a defect in one run must not be silent.
                        let outcome = tokio::spawn(async move { runner.run(&start).await }).await;
                        let outcome = outcome.unwrap_or_else(|error| Outcome::Interrupted(error.to_string()));
                        drop(finished.send((run, outcome)));
                    });
                    changed = true;
                }
                task::Output::Changed => changed = true,
                task::Output::Log(line) => match line.level {
                    task::Level::Info => info!(task = line.task, "{}", line.text),
                    task::Level::Warn => warn!(task = line.task, "{}", line.text),
                    task::Level::Error => error!(task = line.task, "{}", line.text),
                },
            }
        }
        if changed {
            self.publish();
        }
    }

    async fn run_finished(&mut self, run: RunId, outcome: Outcome) {
        self.running.remove(&run);
        self.tasks.handle_run_finished(run, outcome, clock::now(), clock::wall());
        self.publish();
        self.check_hand_over().await;
    }

    fn guardian_notice(&mut self, notice: guardian::Notice) -> Option<String> {
        match &notice {
            guardian::Notice::Ready { cgroups } => info!(cgroups, "the guardian is up"),
            guardian::Notice::Lost { why } => {
                self.exits.clear();
                self.orphaned = true;
                return Some(format!("the guardian is gone ({why}): runs cannot be watched any more"));
            }
            guardian::Notice::Output { run, .. } | guardian::Notice::Exited { run, .. } => {
                let run = run.clone();
                self.exits.handle(&run, notice);
            }
        }
        None
    }

    // Hand-over and shutdown.

    async fn begin_hand_over(&mut self) {
        self.tasks.stop_starting();
        let grace = self.running.values().max().copied().unwrap_or_default();
        self.hand_over = Some(HandOver { patience: clock::now().mono + grace, stopped: false });
        if self.stopping.is_some() {
            self.stop_runs("this agent stops");
        }
        self.check_hand_over().await;
    }

    fn stop_runs(&mut self, why: &str) {
        if let Some(hand_over) = &mut self.hand_over {
            hand_over.stopped = true;
        }
        self.guardian.stop_all(why, None);
    }

    async fn check_hand_over(&mut self) {
        if self.hand_over.is_some() && self.running.is_empty() {
            self.hand_over = None;
            self.command(Command::RunsStopped).await;
        }
    }

    async fn begin_stop(&mut self) {
        info!("stopping: leadership is handed over first");
        self.stopping = Some(Stopping { until: Duration::MAX, said_goodbye: false });
        self.publish();
        let why = "this agent stops".to_owned();
        if self.hand_over.is_some() {
            self.stop_runs(&why);
        }
        self.command(Command::StepDown { why, leaving: true }).await;
        self.check_stop().await;
    }

    /// When nothing runs and somebody else leads (or nobody can): say goodbye.
    async fn check_stop(&mut self) {
        let view = self.views.borrow().clone();
        let now = clock::now().mono;
        let leading = self.lease.borrow().is_some();
        let Some(stopping) = &mut self.stopping else { return };
        if stopping.said_goodbye || leading || !self.running.is_empty() {
            return;
        }
        if stopping.until == Duration::MAX {
            stopping.until = now + SUCCESSOR_WAIT;
        }
        let others = view.members.iter().any(|m| m.id != self.me && m.state == MemberState::Alive && m.voter);
        let succeeded = view.leader.as_ref().is_some_and(|leader| *leader != self.me);
        if succeeded || !others || now >= stopping.until {
            stopping.said_goodbye = true;
            self.command(Command::Leave).await;
        }
    }

    fn has_said_goodbye(&self) -> bool {
        self.stopping.as_ref().is_some_and(|stopping| stopping.said_goodbye)
    }

    fn poll_timeout(&self) -> Duration {
        let now = clock::now().mono;
        let tasks = self.tasks.poll_timeout().map(|(at, _)| at);
        let hand_over = self.hand_over.as_ref().filter(|h| !h.stopped).map(|h| h.patience);
        let stopping = self.stopping.as_ref().map(|_| now + Duration::from_millis(10));
        let leaving = self.leaving.as_ref().map(|_| now + Duration::from_millis(50));
        let all = [tasks, hand_over, stopping, leaving, Some(now + Duration::from_mins(1))];
        all.into_iter().flatten().min().unwrap_or(now)
    }

    async fn timeout(&mut self) {
        let now = clock::now();
        self.tasks.handle_timeout(now, clock::wall());
        if self.hand_over.as_ref().is_some_and(|h| !h.stopped && now.mono >= h.patience) {
            self.stop_runs("leadership is handed over");
        }
        self.check_leave().await;
        self.check_stop().await;
    }

    async fn end(mut self, result: Result<(), String>) -> Result<(), String> {
        if let Err(why) = &result {
            error!(why, "the agent stops");
            // Neither a vote nor a renewal leaves an agent that is about to end, however long its runs take to.
            self.command(Command::Halt).await;
            self.lose(why);
        }
        if self.orphaned {
            // Being a subreaper too, this agent has inherited what the guardian left.
            let (guardian, grace) = (self.guardian.clone(), self.running.values().max().copied().unwrap_or_default());
            let swept = tokio::task::spawn_blocking(move || guardian.sweep_orphans(grace)).await;
            match swept {
                Ok(Ok(killed)) => warn!(killed, "ended what the lost guardian left"),
                Ok(Err(error)) => error!(%error, "could not end what the lost guardian left"),
                Err(error) => error!(%error, "could not end what the lost guardian left"),
            }
        } else {
            self.guardian.bye().await;
        }
        result
    }

    async fn command(&self, command: Command) {
        // The gossip thread ends only after the goodbye.
        drop(self.commands.send(command).await);
    }

    // Requests of faces.

    async fn request(&mut self, request: Request) {
        match request {
            Request::StepDown(reply) => drop(reply.send(self.step_down().await)),
            Request::Leave(reply) => self.begin_leave(reply).await,
            Request::Forward(request, reply) => self.forward(request, reply),
            Request::SetEnabled { task, enabled, reply } => {
                let answer = if self.lease.borrow().is_some() {
                    let set = self.tasks.set_enabled(&task, enabled, clock::now(), clock::wall());
                    set.map_err(|error| error.to_string())
                } else {
                    Err("this agent does not lead".to_owned())
                };
                self.publish();
                drop(reply.send(answer));
            }
        }
    }

    async fn step_down(&mut self) -> Result<Option<MemberId>, String> {
        if self.lease.borrow().is_none() {
            return Err(match &self.views.borrow().leader {
                Some(leader) => format!("{} does not lead, {leader} does: ask there", self.me),
                None => format!("{} does not lead, nobody does", self.me),
            });
        }
        let view = self.views.borrow().clone();
        let may = |m: &&crate::cluster::view::MemberView| m.id != self.me && m.voter && m.state == MemberState::Alive;
        let Some(successor) = view.members.iter().find(may).map(|m| m.id.clone()) else {
            return Err("no other voter is alive: there is nobody to hand leadership to".to_owned());
        };
        self.command(Command::StepDown { why: "an operator asked for it".to_owned(), leaving: false }).await;
        Ok(Some(successor))
    }

    /// Follower to leader, over the sealed control connection.
    fn forward(
        &self,
        request: super::handle::ApiRequest,
        reply: oneshot::Sender<Result<super::handle::ApiResponse, ForwardError>>,
    ) {
        let view = self.views.borrow().clone();
        let leader = view.members.iter().find(|m| m.leader && m.id != self.me);
        let Some(leader) = leader.cloned() else {
            let why = if view.reason.is_empty() { "leadership is changing".to_owned() } else { view.reason.clone() };
            drop(reply.send(Err(ForwardError::NoLeader { why, retry_after: Duration::from_secs(1) })));
            return;
        };
        let control = self.control.clone();
        tokio::spawn(async move {
            let begun = clock::now().mono;
            let answer = control.ask(leader.gossip_addr, request, FORWARD).await;
            let waited = clock::now().mono.saturating_sub(begun);
            let answer = answer.ok_or(ForwardError::NoAnswer { leader: leader.id, waited });
            drop(reply.send(answer));
        });
    }

    // Leaving for good.

    async fn begin_leave(&mut self, reply: oneshot::Sender<Result<(), String>>) {
        let voters = self.views.borrow().members.iter().filter(|m| m.voter).count();
        let voter = self.views.borrow().members.iter().any(|m| m.id == self.me && m.voter);
        if voter && voters <= 1 {
            drop(reply.send(Err("the last voter cannot leave: stop it instead".to_owned())));
            return;
        }
        if self.leaving.is_some() {
            drop(reply.send(Err("this agent is leaving already".to_owned())));
            return;
        }
        info!("leaving for good: leadership is handed over, then this agent is removed from the voters");
        self.leaving = Some(Leaving { until: clock::now().mono + LEAVE, reply: Some(reply) });
        self.command(Command::StepDown { why: "this agent leaves".to_owned(), leaving: true }).await;
    }

    /// Asks the leader to be removed, again and again, until it is; then stops.
    async fn check_leave(&mut self) {
        let view = self.views.borrow().clone();
        let leads = self.lease.borrow().is_some();
        let Some(Leaving { until, reply }) = &mut self.leaving else { return };
        if leads {
            // The hand-over waits for runs; only then is there somebody to ask.
            *until = clock::now().mono + LEAVE;
        }
        let removed = view.formed && !view.members.iter().any(|m| m.id == self.me && m.voter);
        let late = clock::now().mono >= *until;
        if removed || late {
            if let Some(reply) = reply.take() {
                let answer = if removed {
                    Ok(())
                } else {
                    let text = "the leader did not remove this agent from the voters in time: it has not left, and it will \
                                not lead before it is restarted; ask again when there is a leader";
                    warn!("{text}");
                    Err(text.to_owned())
                };
                drop(reply.send(answer));
            }
            self.leaving = None;
            if removed && self.stopping.is_none() {
                self.stopping = Some(Stopping { until: Duration::MAX, said_goodbye: false });
                self.publish();
            }
            return;
        }
        if let Some(leader) = view.members.iter().find(|m| m.leader && m.id != self.me) {
            self.control.ask_to_be_removed(leader.gossip_addr, self.me.clone()).await;
        }
    }
}
