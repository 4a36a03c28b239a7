//! The numbers of this process, rendered as text for a Prometheus server.
//!
//! One [`Metrics`] lives as long as the agent. Rooms that know something call a plain setter; nobody else sees the
//! library behind it. Names begin with `quorate_`, times are in seconds, sizes in bytes. What comes from a
//! [`View`] is set all at once by [`Metrics::observe_view`], so that two of its gauges never contradict each other for long.
//!
//! What is known only when somebody asks (tasks, tokens, the disk, this process) is read then: `scrape`, `process`.
//!
//! There are two texts: OpenMetrics ([`CONTENT_TYPE`]) and the older one ([`CLASSIC_CONTENT_TYPE`]), for whoever does not ask for
//! the first. `docs/metrics.md` lists all metrics; a test (`reference`) writes it.
//!
//! # Not here
//!
//! Labels made from what a client or a peer sent: every label below has a bounded set of values. Series of a task that is deleted
//! are forgotten with it.

mod classic;
mod labels;
mod process;
mod scrape;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use quorate_proto::seal::Refused;

pub use self::classic::CONTENT_TYPE as CLASSIC_CONTENT_TYPE;
use self::labels::{
    ByDirection, ByEndpointAndStatus, ByKind, ByNoticeAndOutcome, ByReason, BySink, ByState, ByTask, ByTaskAndOutcome,
    RunSeconds, Word,
};
pub use self::labels::{Direction, Outcome};
use self::scrape::Scrape;
pub use self::scrape::Sources;
use super::clock;
use super::handle::MetricsText;
use super::udp_queue;
use crate::cluster::View;
use crate::cluster::view::MemberState;

/// The `Content-Type` of the OpenMetrics text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Why control connections are refused: too many a second of one address, the places for it all taken, no proof of the key in
/// time, too many connections of members.
pub const CONNECTIONS_REFUSED: [&str; 4] = ["rate", "full", "unproven", "members"];

/// All metrics of one process. Setters never fail and never wait.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    scrape: Arc<Scrape>,
    /// Tasks that have series of their own.
    tasks: Mutex<BTreeSet<String>>,
    members: Family<ByState, Gauge>,
    is_leader: Gauge,
    quorum_held: Gauge,
    epoch: Gauge<u64, AtomicU64>,
    lease_left: Gauge<f64, AtomicU64>,
    /// When the lease ends, on `CLOCK_BOOTTIME`.
    lease_end: Mutex<Option<Duration>>,
    elections: Counter,
    suspicions: Counter,
    refutations: Counter,
    renewals: Counter,
    packets: Family<ByDirection, Counter>,
    bytes: Family<ByDirection, Counter>,
    dropped: Family<ByReason, Counter>,
    /// Where gossip is bound.
    gossip: Mutex<Option<SocketAddr>>,
    queue_drops: Counter,
    connections_refused: Family<ByReason, Counter>,
    odd_messages: Family<ByReason, Counter>,
    keys: Family<ByState, Gauge>,
    foca_errors: Family<ByKind, Counter>,
    timer_lateness: Gauge<f64, AtomicU64>,
    runs_started: Family<ByTask, Counter>,
    runs_finished: Family<ByTaskAndOutcome, Counter>,
    run_seconds: Family<ByTask, Histogram, RunSeconds>,
    notices: Family<ByNoticeAndOutcome, Counter>,
    commit_seconds: Histogram,
    http_requests: Family<ByEndpointAndStatus, Counter>,
    http_connections: Gauge,
    http_refused: Family<ByReason, Counter>,
    http_ended: Family<ByReason, Counter>,
    audit_written: Counter,
    audit_failed: Family<BySink, Counter>,
    audit_lost: Counter,
    audit_counted: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            scrape: Arc::default(),
            tasks: Mutex::default(),
            members: Family::default(),
            is_leader: Gauge::default(),
            quorum_held: Gauge::default(),
            epoch: Gauge::default(),
            lease_left: Gauge::default(),
            lease_end: Mutex::new(None),
            elections: Counter::default(),
            suspicions: Counter::default(),
            refutations: Counter::default(),
            renewals: Counter::default(),
            packets: Family::default(),
            bytes: Family::default(),
            dropped: Family::default(),
            gossip: Mutex::new(None),
            queue_drops: Counter::default(),
            connections_refused: Family::default(),
            odd_messages: Family::default(),
            keys: Family::default(),
            foca_errors: Family::default(),
            timer_lateness: Gauge::default(),
            runs_started: Family::default(),
            runs_finished: Family::default(),
            run_seconds: Family::new_with_constructor(RunSeconds),
            notices: Family::default(),
            // From a write that only touches the page cache to a disk in trouble.
            commit_seconds: Histogram::new([0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0]),
            http_requests: Family::default(),
            http_connections: Gauge::default(),
            http_refused: Family::default(),
            http_ended: Family::default(),
            audit_written: Counter::default(),
            audit_failed: Family::default(),
            audit_lost: Counter::default(),
            audit_counted: Counter::default(),
        };
        metrics.register();
        for reason in Refused::ALL {
            drop(metrics.dropped.get_or_create(&ByReason { reason: Word(reason.as_str()) }));
        }
        for reason in CONNECTIONS_REFUSED {
            drop(metrics.connections_refused.get_or_create(&ByReason { reason: Word(reason) }));
        }
        metrics
    }

    fn register(&mut self) {
        self.registry.register_collector(Box::new(process::Process::default()));
        let r = self.registry.sub_registry_with_prefix("quorate");
        r.register_collector(Box::new(self.scrape.clone()));
        r.register("members", "Members by gossip state, this agent included", self.members.clone());
        r.register("is_leader", "1 while the lease of this agent is live", self.is_leader.clone());
        r.register("quorum_held", "1 while this agent leads or follows a live lease", self.quorum_held.clone());
        r.register("epoch", "Highest epoch seen", self.epoch.clone());
        r.register(
            "lease_remaining_seconds",
            "What is left of the lease of this agent, 0 without one",
            self.lease_left.clone(),
        );
        r.register("elections", "Claims of an epoch by this agent", self.elections.clone());
        r.register("suspicions", "Members that became suspect here", self.suspicions.clone());
        r.register("refutations", "Suspicions that were refuted", self.refutations.clone());
        r.register("identity_renewals", "Times this agent had to renew its gossip identity", self.renewals.clone());
        r.register("packets", "Datagrams by direction", self.packets.clone());
        r.register("packet_bytes", "Bytes of datagrams by direction", self.bytes.clone());
        r.register("packets_dropped", "Datagrams refused, by reason", self.dropped.clone());
        r.register(
            "packets_dropped_by_kernel",
            "Datagrams lost because the queue of the gossip socket was full",
            self.queue_drops.clone(),
        );
        r.register(
            "control_connections_refused",
            "Control connections refused, by reason",
            self.connections_refused.clone(),
        );
        r.register("messages_refused", "Messages with a number that cannot be, by number", self.odd_messages.clone());
        r.register(
            "store_keys",
            "Keys of the replicated store by state; deleted ones are forgotten later",
            self.keys.clone(),
        );
        r.register("gossip_errors", "Errors of the gossip library, by kind", self.foca_errors.clone());
        r.register("timer_lateness_max_seconds", "The latest that a timer ever fired", self.timer_lateness.clone());
        r.register("runs_started", "Runs started, by task", self.runs_started.clone());
        r.register("runs_finished", "Runs ended, by task and outcome", self.runs_finished.clone());
        r.register("run_duration_seconds", "How long runs took, by task", self.run_seconds.clone());
        r.register("notices", "Deliveries of notices that were tried, by block and outcome", self.notices.clone());
        r.register("store_commit_duration_seconds", "How long durable writes took", self.commit_seconds.clone());
        r.register("http_requests", "Requests answered, by endpoint and status", self.http_requests.clone());
        r.register("http_connections", "Connections of the API that are open", self.http_connections.clone());
        r.register("http_connections_refused", "Connections that were not taken, by reason", self.http_refused.clone());
        r.register("http_connections_ended", "Connections ended from here, by reason", self.http_ended.clone());
        r.register("audit_lines", "Lines of the audit trail that were written", self.audit_written.clone());
        r.register(
            "audit_sink_failures",
            "Lines that a sink of the audit trail did not take",
            self.audit_failed.clone(),
        );
        r.register("audit_lines_lost", "Lines that no sink of the audit trail took", self.audit_lost.clone());
        r.register(
            "audit_refusals_counted",
            "Refusals without a line in the audit trail: their address had too many",
            self.audit_counted.clone(),
        );
    }

    /// From where to read, at each scrape, what is not told by setters. Only the first call counts.
    pub fn read_from(&self, sources: Sources) {
        self.scrape.read_from(sources);
    }

    /// Forgets the series of tasks that are gone, as far as this agent knows: only a leader does.
    fn forget_deleted(&self) {
        let Some(names) = self.scrape.task_names() else { return };
        let mut known = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        for task in known.extract_if(.., |task| !names.contains(task)) {
            for outcome in Outcome::ALL {
                self.runs_finished.remove(&ByTaskAndOutcome { task: task.clone(), outcome: outcome.word() });
            }
            let label = ByTask { task };
            self.runs_started.remove(&label);
            self.run_seconds.remove(&label);
        }
    }

    fn has_series(&self, task: &str) {
        let mut known = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(task) {
            known.insert(task.to_owned());
        }
    }

    /// Takes over members, epoch and leadership from a view. `leading`: the lease of this agent is live.
    pub fn observe_view(&self, view: &View, leading: bool) {
        for state in [MemberState::Alive, MemberState::Suspect, MemberState::Down, MemberState::Left] {
            let count = view.members.iter().filter(|member| member.state == state).count();
            let label = ByState { state: Word(state.as_str()) };
            self.members.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        self.epoch.set(view.epoch.0);
        self.quorum_held.set(i64::from(view.held));
        self.is_leader.set(i64::from(leading));
    }

    /// A notice of this block was delivered, or could not be.
    pub fn notice(&self, block: &str, is_delivered: bool) {
        let outcome = Word(if is_delivered { "delivered" } else { "failed" });
        self.notices.get_or_create(&ByNoticeAndOutcome { notify: block.to_owned(), outcome }).inc();
    }

    /// When the lease of this agent ends, on `CLOCK_BOOTTIME` ([`crate::cluster::Now::boot`]); `None`: it has none.
    pub fn set_lease_end(&self, end: Option<Duration>) {
        if let Ok(mut slot) = self.lease_end.lock() {
            *slot = end;
        }
    }

    /// This agent asked for an epoch.
    pub fn election(&self) {
        self.elections.inc();
    }

    /// A member became suspect.
    pub fn suspicion(&self) {
        self.suspicions.inc();
    }

    /// A suspect proved that it lives.
    pub fn refutation(&self) {
        self.refutations.inc();
    }

    /// This agent renewed its gossip identity.
    pub fn renewal(&self) {
        self.renewals.inc();
    }

    /// One datagram of this size.
    pub fn packet(&self, direction: Direction, bytes: usize) {
        let label = ByDirection { direction: direction.word() };
        self.packets.get_or_create(&label).inc();
        self.bytes.get_or_create(&label).inc_by(bytes as u64);
    }

    /// A datagram was refused; `reason` is a short fixed word such as `bad_seal`.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&ByReason { reason: Word(reason) }).inc();
    }

    /// Gossip is bound here: the kernel counts what it drops there.
    pub fn set_gossip(&self, bound: SocketAddr) {
        if let Ok(mut slot) = self.gossip.lock() {
            *slot = Some(bound);
        }
    }

    fn refresh_queue(&self) {
        let bound = self.gossip.lock().ok().and_then(|slot| *slot);
        if let Some(dropped) = bound.and_then(udp_queue::dropped) {
            self.queue_drops.inner().store(dropped, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// A control connection was refused; one of [`CONNECTIONS_REFUSED`].
    pub fn connection_refused(&self, reason: &'static str) {
        self.connections_refused.get_or_create(&ByReason { reason: Word(reason) }).inc();
    }

    /// A sealed message had a number in it that no honest member comes to; `number` is a short fixed word.
    pub fn odd_message(&self, number: &'static str) {
        self.odd_messages.get_or_create(&ByReason { reason: Word(number) }).inc();
    }

    /// How many keys are stored, and how many more are deleted and not forgotten yet.
    pub fn set_keys(&self, live: usize, deleted: usize) {
        for (state, count) in [("live", live), ("deleted", deleted)] {
            self.keys.get_or_create(&ByState { state: Word(state) }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// The gossip library refused something; `kind` is a short fixed word.
    pub fn foca_error(&self, kind: &'static str) {
        self.foca_errors.get_or_create(&ByKind { kind: Word(kind) }).inc();
    }

    /// A timer fired this late. The greatest is kept.
    pub fn timer_lateness(&self, late: Duration) {
        // Positive floats order like their bits, so this is a maximum without a lock.
        self.timer_lateness.inner().fetch_max(late.as_secs_f64().to_bits(), std::sync::atomic::Ordering::Relaxed);
    }

    /// A run of this task began.
    pub fn run_started(&self, task: &str) {
        self.has_series(task);
        self.runs_started.get_or_create(&ByTask { task: task.to_owned() }).inc();
    }

    /// A run of this task ended.
    pub fn run_finished(&self, task: &str, outcome: Outcome, took: Duration) {
        self.has_series(task);
        let label = ByTaskAndOutcome { task: task.to_owned(), outcome: outcome.word() };
        self.runs_finished.get_or_create(&label).inc();
        self.run_seconds.get_or_create(&ByTask { task: task.to_owned() }).observe(took.as_secs_f64());
    }

    /// A durable write took this long.
    pub fn store_commit(&self, took: Duration) {
        self.commit_seconds.observe(took.as_secs_f64());
    }

    fn refresh_lease(&self) {
        self.lease_left.set(MetricsText::lease_left(self).unwrap_or_default().as_secs_f64());
    }
}

impl MetricsText for Metrics {
    fn text(&self) -> String {
        self.refresh_lease();
        self.refresh_queue();
        self.forget_deleted();
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // Writing to a string does not fail; a scraper must in any case not take half a text for the whole.
            Err(error) => format!("# cannot render the metrics: {error}\n"),
        }
    }

    fn classic_text(&self) -> String {
        classic::text(&self.text())
    }

    fn api_certificate(&self, ends: i64) {
        self.scrape.set_api_certificate(ends);
    }

    fn lease_left(&self) -> Option<Duration> {
        let end = self.lease_end.lock().ok().and_then(|slot| *slot)?;
        Some(end.saturating_sub(clock::now().boot))
    }

    fn http_request(&self, endpoint: &'static str, status: u16) {
        self.http_requests.get_or_create(&ByEndpointAndStatus { endpoint: Word(endpoint), status }).inc();
    }

    fn audit_written(&self) {
        self.audit_written.inc();
    }

    fn audit_failed(&self, sink: &'static str) {
        self.audit_failed.get_or_create(&BySink { sink: Word(sink) }).inc();
    }

    fn audit_lost(&self) {
        self.audit_lost.inc();
    }

    fn audit_counted(&self) {
        self.audit_counted.inc();
    }

    fn http_connections(&self, more: i64) {
        self.http_connections.inc_by(more);
    }

    fn http_connection_refused(&self, reason: &'static str) {
        self.http_refused.get_or_create(&ByReason { reason: Word(reason) }).inc();
    }

    fn http_connection_ended(&self, reason: &'static str) {
        self.http_ended.get_or_create(&ByReason { reason: Word(reason) }).inc();
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
