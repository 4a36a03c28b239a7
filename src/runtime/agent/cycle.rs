//! The loop of a running agent: leases go to the tasks, runs to the guardian, ends of runs back, and what is now to the
//! faces. How it all ends is in `shutdown`, what faces ask for in `requests`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::{Epoch, MemberId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::changes::{Reply, Tried};
use super::consul::ConsulWatches;
use super::interrupted::Interrupted;
use super::requested_runs::Asked;
use super::requests::Leaving;
use super::roster::{self, Recovered};
use super::run_end::{Ended, Written};
use super::shutdown::{HandOver, Stopping};
use super::writer::Writer;
use crate::cluster::leadership::{Lease, Released};
use crate::cluster::view::MemberState;
use crate::cluster::{Event, View};
use crate::guardian::{self, Datagram, Guardian, OnDeath};
use crate::roster::{Differs, Roster};
use crate::runtime::access::Gate;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::control::Control;
use crate::runtime::core::{Command, Datagrams, LastWords, Notice};
use crate::runtime::handle::{ChangeError, ClusterSnapshot, Health, Plan, ReloadReport, Request, TasksSnapshot};
use crate::runtime::journal::{self, Unfinished};
use crate::runtime::metrics::Metrics;
use crate::runtime::persist::{self, ADDRESS_BOOK_PERIOD};
use crate::runtime::replica::Replica;
use crate::runtime::runs::{Carried, Exits, Runner};
use crate::runtime::settings::{Mode, Reload, Reloaded};
use crate::runtime::snapshot::Chronicle;
use crate::runtime::{clock, event_log};
use crate::source::consul::Update;
use crate::source::members;
use crate::task::report::TaskReport;
use crate::task::{self, MemberInput, RunId, TaskSpec, Tasks};

/// How often a follower compares its files with the leader's.
const FILES_PERIOD: Duration = Duration::from_secs(5);
/// How often it is looked whether Consul is read again. What it says and why it does not is told at once.
const CONSUL_PERIOD: Duration = Duration::from_secs(1);

/// How often it is shown how far the runs under way are.
const PROGRESS_PERIOD: Duration = Duration::from_millis(500);

/// What wakes the loop.
pub(super) struct Queues {
    pub(super) notices: mpsc::UnboundedReceiver<Notice>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) finished: mpsc::UnboundedReceiver<(RunId, Carried)>,
    pub(super) internal: mpsc::UnboundedReceiver<Internal>,
    pub(super) hang_up: mpsc::Receiver<()>,
    pub(super) failed: mpsc::UnboundedReceiver<String>,
    pub(super) guardian: mpsc::Receiver<guardian::Notice>,
    pub(super) last_words: watch::Receiver<LastWords>,
    pub(super) shutdown: CancellationToken,
    pub(super) consul: mpsc::UnboundedReceiver<Update>,
}

/// What this loop's own side tasks come back with.
#[derive(Debug)]
pub(super) enum Internal {
    /// What a new leader found on its majority.
    Recovered(Box<Recovered>),
    /// It has no key for something of that.
    Unreadable(Epoch, Unreadable),
    /// What was tried out has ended.
    Tried(Box<Tried>),
    /// What is kept of this task is on a majority, or will not be.
    Kept(String, bool),
    /// The end of a run is on a majority, or will not be.
    RunEnded(Box<Ended>),
    /// Every task has had its turn, or one failed.
    Sequence(Result<(), String>),
    /// The configuration files were read again.
    Reloaded(Result<Reloaded, String>, Option<oneshot::Sender<Result<ReloadReport, String>>>),
}

/// Why a run did not go well, and who waits to be told.
type Served = (Option<String>, Reply<Option<Plan>>);

/// Who shall follow, and who waits to be told.
type SteppingDown = (Option<MemberId>, oneshot::Sender<Result<Option<MemberId>, String>>);

/// See the module.
pub(super) struct Loop {
    pub(super) me: MemberId,
    pub(super) tasks: Tasks,
    /// Which tasks there are.
    pub(super) roster: Roster,
    pub(super) replica: Replica,
    /// Why this agent cannot read what the cluster keeps, and so never leads again.
    pub(super) unreadable: Option<String>,
    pub(super) gate: Arc<Gate>,
    /// Takes changes of the tasks to a majority.
    pub(super) writer: Writer,
    pub(super) internal: mpsc::UnboundedSender<Internal>,
    pub(super) reload: Option<Arc<dyn Reload>>,
    /// Tasks whose newest event is on its way to a majority; `true`: there is a newer one already.
    pub(super) recording: BTreeMap<String, bool>,
    /// Tasks whose newest event is on a majority before it is told.
    pub(super) written: BTreeMap<String, Written>,
    /// Tasks with an event that came while the lease was away.
    pub(super) unrecorded: BTreeSet<String>,
    /// Tasks of which something is tried out, in lower case, and by which run.
    pub(super) trying: BTreeMap<String, RunId>,
    /// Who waits for the end of a run, by the ticket of the task room.
    pub(super) awaited: BTreeMap<u64, Reply<Option<Plan>>>,
    /// By task: who is told how a run ended as soon as its event is on a majority.
    pub(super) served: BTreeMap<String, Vec<Served>>,
    /// Agents whose files define tasks differently, while this agent leads.
    pub(super) differences: BTreeMap<MemberId, BTreeMap<String, Differs>>,
    pub(super) runner: Arc<Runner>,
    pub(super) exits: Arc<Exits>,
    pub(super) guardian: Guardian,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) control: Control,
    pub(super) store: persist::Store,
    pub(super) metrics: Arc<Metrics>,
    pub(super) views: watch::Receiver<Arc<View>>,
    pub(super) chronicle: Chronicle,
    pub(super) lease: watch::Sender<Option<Lease>>,
    pub(super) cluster: watch::Sender<Arc<ClusterSnapshot>>,
    pub(super) reports: watch::Sender<Arc<TasksSnapshot>>,
    pub(super) health: watch::Sender<Health>,
    pub(super) finished: mpsc::UnboundedSender<(RunId, Carried)>,
    /// Runs under way and their grace.
    pub(super) running: BTreeMap<RunId, Duration>,
    /// Runs that were promised and are not over.
    pub(super) asked: Asked,
    /// How far they were when they were last shown.
    pub(super) shown_moves: u64,
    /// The specs of the tasks as they were last shown, of this version of the roster.
    pub(super) shown_specs: (Option<u64>, Vec<Arc<TaskSpec>>),
    pub(super) hand_over: Option<HandOver>,
    pub(super) stopping: Option<Stopping>,
    pub(super) leaving: Option<Leaving>,
    /// Who asked this agent to step down and waits until it has, and who shall follow.
    pub(super) stepping_down: Vec<SteppingDown>,
    pub(super) remembered: Vec<(MemberId, SocketAddr)>,
    pub(super) members: Vec<MemberInput>,
    /// Where the guardian sends from, when this agent is bound to one address.
    pub(super) from: Option<std::net::IpAddr>,
    /// The guardian is lost: its runs are ours to end.
    pub(super) orphaned: bool,
    /// The epoch that was lost and whose runs may not have ended.
    pub(super) lost: Option<Epoch>,
    /// Why the disk takes nothing more, while it is full.
    pub(super) disk_full: Option<String>,
    /// `None`: no Consul is configured.
    pub(super) consul: Option<ConsulWatches>,
    pub(super) mode: Mode,
    /// There are, or may be, other agents.
    pub(super) clustered: bool,
    /// The leadership whose tasks and events are read. Before that, what this agent knows of them may be old: it neither
    /// shows nor changes them.
    pub(super) recovered: Option<Epoch>,
    /// The leadership for which the tasks are being read.
    pub(super) recovering: Option<Epoch>,
    /// What was found while its lease was suspended: it is looked at when the lease goes on.
    pub(super) held_back: Option<Internal>,
    /// Runs of former leaders whose end is not in the journal, by task.
    pub(super) interrupted: BTreeMap<String, Interrupted>,
}

impl Loop {
    pub(super) async fn run(mut self, mut queues: Queues) -> Result<(), String> {
        let mut address_book = tokio::time::interval(ADDRESS_BOOK_PERIOD);
        let mut files = tokio::time::interval(FILES_PERIOD);
        let mut consul = tokio::time::interval(CONSUL_PERIOD);
        let mut progress = tokio::time::interval(PROGRESS_PERIOD);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.view_changed();
        loop {
            self.drain();
            self.close_interrupted().await;
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
                Some((run, carried)) = queues.finished.recv() => self.run_over(run, carried).await,
                Some(result) = queues.internal.recv() => match result {
                    Internal::Recovered(found) => self.recovered(*found),
                    Internal::Unreadable(epoch, why) => {
                        if let Some(fatal) = self.cannot_read(epoch, &why).await {
                            return self.end(Err(fatal)).await;
                        }
                    }
                    Internal::Kept(task, is_kept) => self.kept_on_majority(&task, is_kept),
                    Internal::RunEnded(ended) => self.run_ended(*ended).await,
                    Internal::Tried(tried) => {
                        self.tried(*tried);
                        self.check_hand_over().await;
                    }
                    Internal::Reloaded(loaded, reply) => self.reloaded(loaded, reply),
                    Internal::Sequence(Ok(())) => self.begin_stop().await,
                    Internal::Sequence(Err(why)) => return self.end(Err(why)).await,
                },
                Some(()) = queues.hang_up.recv() => self.begin_reload(None),
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
                changed = queues.last_words.changed() => {
                    if changed.is_ok() {
                        let words = queues.last_words.borrow_and_update().clone();
                        let datagrams = |all: Datagrams| all.into_iter().map(|(to, bytes)| Datagram { to, bytes }).collect();
                        let (lease_ended, release) = (datagrams(words.lease_ended), datagrams(words.release));
                        self.guardian.on_death(OnDeath { from: self.from, lease_ended, release });
                    }
                }
                () = queues.shutdown.cancelled(), if self.stopping.is_none() => self.begin_stop().await,
                _ = address_book.tick() => self.remember(),
                _ = files.tick() => self.check_files(),
                Some(update) = queues.consul.recv() => self.handle_consul(update),
                _ = consul.tick(), if self.consul.is_some() => self.check_consul(),
                _ = progress.tick(), if !self.running.is_empty() => self.check_progress(),
                () = tokio::time::sleep(wake) => self.timeout().await,
            }
        }
    }

    // The core.

    pub(super) async fn notice(&mut self, notice: Notice) -> Option<String> {
        match notice {
            Notice::Led { lease, journal, keyring, released } => {
                event_log::tell(&Event::LeaseGained(lease));
                // Before anything is read or written under this lease.
                self.learn_keys(keyring);
                self.lead(lease, &journal, &released);
            }
            Notice::Event(event) => {
                event_log::tell(&event);
                match event {
                    Event::LeaseExtended(lease) => {
                        let resumes = self.lease.borrow().is_none();
                        self.extend(lease);
                        if resumes {
                            drop(self.held_back.take().map(|held| self.internal.send(held)));
                            self.record_late();
                            self.publish();
                        }
                    }
                    Event::LeaseSuspended { .. } => {
                        self.lease.send_replace(None);
                        self.metrics.set_lease_end(None);
                        self.publish();
                    }
                    Event::LeaseLost { epoch, why } => {
                        self.lose(&why);
                        self.lost = Some(epoch);
                        self.check_lost().await;
                    }
                    Event::HandOver { .. } => self.begin_hand_over().await,
                    Event::Released { epoch, by } => self.runs_released(epoch, &by),
                    Event::DiskFull { why } => self.disk_is_full(Some(why)),
                    Event::DiskOk => self.disk_is_full(None),
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

    fn disk_is_full(&mut self, why: Option<String>) {
        self.disk_full = why;
        self.publish();
    }

    pub(super) fn lead(&mut self, lease: Lease, journal: &BTreeMap<String, Vec<u8>>, released: &Released) {
        let unfinished = journal::unfinished(journal, released, lease.epoch());
        for Unfinished { task, wait, text } in &unfinished {
            debug!(task, wait = ?wait, "{text}");
        }
        self.hand_over = None;
        self.recovered = None;
        (self.recovering, self.held_back) = (Some(lease.epoch()), None);
        self.extend(lease);
        self.note_interrupted(journal, &unfinished, lease.epoch());
        self.recover(lease.epoch(), unfinished, journal::interrupted(journal), journal::newest(journal));
    }

    /// What is kept of the tasks is read: they may start.
    pub(super) fn take_over(&mut self, epoch: Epoch, unfinished: Vec<Unfinished>) {
        if self.begin_sequence(epoch) {
            return self.publish();
        }
        let now = clock::now();
        let waits =
            unfinished.into_iter().map(|u| task::Unfinished { task: u.task, until: now.mono + u.wait, text: u.text });
        self.tasks.handle_lease(epoch, waits.collect(), now, clock::wall());
        self.publish();
    }

    pub(super) fn extend(&mut self, lease: Lease) {
        self.lease.send_replace(Some(lease));
        self.metrics.set_lease_end(Some(lease.ends_boot()));
        self.guardian.deadline(&lease);
    }

    pub(super) fn lose(&mut self, why: &str) {
        self.lease.send_replace(None);
        self.metrics.set_lease_end(None);
        self.hand_over = None;
        (self.recovered, self.recovering, self.held_back) = (None, None, None);
        self.interrupted.clear();
        self.unrecorded.clear();
        self.written.clear();
        self.asked.clear();
        self.guardian.stop_all(why, None);
        self.tasks.handle_lease_lost();
        self.unwatch();
        let served = std::mem::take(&mut self.served).into_values().flatten().map(|(_, reply)| reply);
        for reply in std::mem::take(&mut self.awaited).into_values().chain(served) {
            drop(reply.send(Err(ChangeError::Lost)));
        }
        self.publish();
        for (successor, reply) in self.stepping_down.drain(..) {
            drop(reply.send(Ok(successor)));
        }
    }

    pub(super) fn view_changed(&mut self) {
        let view = self.views.borrow_and_update().clone();
        let members = members::members(&view);
        if members != self.members {
            self.members.clone_from(&members);
            self.tasks.handle_members(&members, clock::now(), clock::wall());
        }
        self.publish();
    }

    /// The epoch under which this agent leads: its lease is live, and what was kept of the tasks is read.
    pub(super) fn leads(&self) -> Option<Epoch> {
        let epoch = self.lease.borrow().as_ref().map(Lease::epoch);
        epoch.filter(|epoch| self.recovered == Some(*epoch))
    }

    /// Shows the faces what is now.
    pub(super) fn publish(&mut self) {
        let view = self.shown_view();
        let leading = self.leads().is_some();
        self.metrics.observe_view(&view, leading);
        self.cluster.send_replace(self.chronicle.snapshot(&view, leading));
        // A single agent shows its tasks also before it leads, as CTS does, and while its lease is away for a moment: there is
        // nobody else to ask.
        let snapshot = if leading || !self.clustered {
            TasksSnapshot {
                leading,
                tasks: self.task_reports(),
                specs: roster::specs(self),
                differences: self.differences.clone(),
                consul: self.consul.as_ref().and_then(ConsulWatches::report),
                trials: self.trying.values().map(|run| run.0).collect(),
                changed: roster::changed(&self.roster),
                plans: self.runner.plans.all(),
            }
        } else {
            TasksSnapshot::default()
        };
        self.reports.send_replace(Arc::new(snapshot));
        self.health.send_replace(self.health_now(&view));
    }

    /// The tasks with how far their runs are.
    fn task_reports(&mut self) -> Vec<Arc<TaskReport>> {
        self.shown_moves = self.runner.progress.moves();
        let progress = &self.runner.progress;
        self.tasks.reports(|task| progress.of(task))
    }

    /// Runs have come further since they were last shown.
    fn check_progress(&mut self) {
        if self.runner.progress.moves() != self.shown_moves {
            self.publish();
        }
    }

    pub(super) fn remember(&mut self) {
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
    pub(super) fn drain(&mut self) {
        let mut changed = false;
        while let Some(output) = self.tasks.poll_output() {
            match output {
                task::Output::Start(start) => {
                    self.running.insert(start.run, start.spec.grace);
                    self.interrupted.remove(&start.task);
                    let (runner, finished) = (self.runner.clone(), self.finished.clone());
                    tokio::spawn(async move {
                        let (run, task) = (start.run, start.task.clone());
                        // A hand-over waits for every end: a defect in one run must not be silent.
                        let carried = tokio::spawn(async move { runner.carry_out(&start).await }).await;
                        drop(finished.send((run, carried.unwrap_or_else(|error| Carried::broken(task, &error)))));
                    });
                    changed = true;
                }
                task::Output::Changed => changed = true,
                task::Output::Served { ticket, task, error } => self.served(ticket, &task, error),
                task::Output::Recorded(task) => self.record(&task),
                task::Output::Log(line) => match line.level {
                    // The run itself has told that it ended well, and after how long.
                    task::Level::Info if line.run.is_some() => debug!(task = line.task, "{}", line.text),
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

    pub(super) fn guardian_notice(&mut self, notice: guardian::Notice) -> Option<String> {
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

    // Time.

    pub(super) fn poll_timeout(&self) -> Duration {
        let now = clock::now().mono;
        let tasks = self.tasks.poll_timeout().map(|(at, _)| at);
        let hand_over = self.hand_over.as_ref().filter(|h| !h.stopped).map(|h| h.patience);
        let stopping = self.stopping.as_ref().map(|_| now + Duration::from_millis(10));
        let leaving = self.leaving.as_ref().map(|_| now + Duration::from_millis(50));
        let all = [tasks, hand_over, stopping, leaving, Some(now + Duration::from_mins(1))];
        all.into_iter().flatten().min().unwrap_or(now)
    }

    pub(super) async fn timeout(&mut self) {
        let now = clock::now();
        self.tasks.handle_timeout(now, clock::wall());
        if self.hand_over.as_ref().is_some_and(|h| !h.stopped && now.mono >= h.patience) {
            self.stop_runs("leadership is handed over");
        }
        self.check_leave().await;
        self.check_stop().await;
    }

    pub(super) async fn command(&self, command: Command) {
        // The gossip thread ends only after the goodbye.
        drop(self.commands.send(command).await);
    }
}
