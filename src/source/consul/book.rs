//! The watches: what is asked when, and what of the answers is believed. Pure; time and randomness are arguments.
//!
//! # Nothing is missed
//! A watch is asked again with the index of its last answer, so that what changed in between answers at once. After a
//! failure, an index of 0 or one that went back it is asked without an index. Reads begin only when all sentinels of
//! their scope have answered, and every move of a sentinel marks what may have moved; a mark goes only with an answer to a
//! request that began after it. After a failure of a sentinel its next answer marks everything.
//!
//! # Nothing is acted on
//! Where there was something, an empty answer is held back until a second one, asked after a pause, says the same, and
//! Consul has a leader. The pause is long when Consul has just failed or gone back.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use super::answer::Content;
use super::client::Reply;
use super::error::ConsulError;
use super::plan::{self, Compiled, Kind};
use super::request::{Endpoint, Scope};
use crate::task::feed::{Data, Query};

/// Two requests to one endpoint are at least this and up to a fifth more apart.
const GAP: Duration = Duration::from_millis(100);
/// Without an index in the answer there is nothing to wait for: ask so often instead.
const NO_INDEX_GAP: Duration = Duration::from_secs(1);
/// A service that only *may* have changed is read at most so often.
const SWEEP_GAP: Duration = Duration::from_secs(1);
/// Reads at a time, for all scopes: a connection each.
const READS_MAX: usize = 3;
/// First wait after a failure, doubled up to the last, each up to half as long again.
const BACKOFF: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// How long an empty answer is doubted: when all is calm, and when Consul failed or went back within the last `SHAKEN`.
const SETTLE: Duration = Duration::from_millis(500);
const SETTLE_SHAKEN: Duration = Duration::from_secs(5);
const SHAKEN: Duration = Duration::from_secs(30);

/// What the driver is to do.
#[derive(Debug)]
pub(super) enum Output {
    /// Send a request; the answer comes back with the ticket.
    Ask { ticket: u64, endpoint: Endpoint, index: Option<u64> },
    /// Nobody waits for this answer any more.
    Cancel(u64),
    /// News, or why there are none.
    Notice(Query, Result<Arc<Data>, ConsulError>),
}

#[derive(Debug, Default)]
struct Topic {
    published: Option<Arc<Data>>,
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    since: Duration,
    until: Duration,
}

#[derive(Debug)]
struct Slot {
    kind: Kind,
    index: u64,
    /// The request that is out.
    ticket: Option<u64>,
    started: Duration,
    /// When to ask next; none: when marked.
    due: Option<Duration>,
    /// Surely moved: goes before what only may have.
    is_urgent: bool,
    /// Marked while a request was out.
    again: bool,
    /// Ask without an index.
    is_plain: bool,
    tries: u32,
    error: Option<ConsulError>,
    content: Option<Content>,
    /// When the request began that was answered last.
    fresh: Option<Duration>,
}

/// The state of all watches.
pub(super) struct Book {
    queries: BTreeMap<Query, Compiled>,
    topics: BTreeMap<Query, Topic>,
    slots: BTreeMap<Endpoint, Slot>,
    tickets: BTreeMap<u64, Endpoint>,
    next: u64,
    shaken: Option<Duration>,
    random: SmallRng,
    outputs: VecDeque<Output>,
}

impl Book {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            queries: BTreeMap::new(),
            topics: BTreeMap::new(),
            slots: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next: 0,
            shaken: None,
            random: SmallRng::seed_from_u64(seed),
            outputs: VecDeque::new(),
        }
    }

    /// Watches these and no others. A new one that is answered already is announced at once.
    pub(super) fn set_queries(&mut self, queries: &BTreeSet<Query>, now: Duration) {
        self.queries.retain(|query, _| queries.contains(query));
        self.topics.retain(|query, _| queries.contains(query));
        let mut new = Vec::new();
        for query in queries.iter().filter(|query| !self.queries.contains_key(query)).cloned().collect::<Vec<_>>() {
            match Compiled::new(&query) {
                Ok(compiled) => {
                    self.queries.insert(query.clone(), compiled);
                    self.topics.insert(query.clone(), Topic::default());
                    new.push(query);
                }
                Err(error) => self.outputs.push_back(Output::Notice(query, Err(error))),
            }
        }
        self.replan(now);
        for query in new {
            self.evaluate(&query, now);
        }
        self.handle_timeout(now);
    }

    /// Takes an answer in. One that nobody waits for is dropped.
    pub(super) fn handle_reply(&mut self, ticket: u64, reply: Result<Reply, ConsulError>, now: Duration) {
        let Some(endpoint) = self.tickets.remove(&ticket) else { return };
        match reply {
            Ok(reply) => self.handle_answer(&endpoint, &reply, now),
            Err(error) => self.handle_failure(&endpoint, &error, now),
        }
        self.handle_timeout(now);
    }

    /// Asks what is due.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        let watches = self.due(Kind::Watch, now);
        let mut reads = self.due(Kind::Read, now);
        reads.retain(|endpoint| *endpoint == Endpoint::Leader || self.is_guarded(&endpoint.scope()));
        reads.sort_by_key(|endpoint| {
            let slot = self.slots.get(endpoint);
            slot.map(|slot| (*endpoint != Endpoint::Leader, !slot.is_urgent, slot.due))
        });
        reads.truncate(READS_MAX.saturating_sub(self.reads_out()));
        for endpoint in watches.into_iter().chain(reads) {
            let Some(slot) = self.slots.get_mut(&endpoint) else { continue };
            let ticket = self.next;
            self.next += 1;
            let is_blocking = slot.kind == Kind::Watch && !slot.is_plain && slot.index > 0;
            let index = is_blocking.then_some(slot.index);
            (slot.ticket, slot.started, slot.due) = (Some(ticket), now, None);
            (slot.is_plain, slot.is_urgent) = (false, false);
            self.tickets.insert(ticket, endpoint.clone());
            self.outputs.push_back(Output::Ask { ticket, endpoint, index });
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let has_room = self.reads_out() < READS_MAX;
        let may_start = |endpoint: &Endpoint, slot: &Slot| {
            slot.kind == Kind::Watch
                || (has_room && (*endpoint == Endpoint::Leader || self.is_guarded(&endpoint.scope())))
        };
        let dues = self.slots.iter().filter(|(endpoint, slot)| slot.due.is_some() && may_start(endpoint, slot));
        dues.filter_map(|(_, slot)| slot.due).min()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Why queries have no news, and for how many there is no first answer yet.
    pub(super) fn faults(&self) -> (BTreeMap<Query, ConsulError>, usize) {
        let failing: Vec<_> =
            self.slots.iter().filter_map(|(endpoint, slot)| Some((endpoint, slot.error.as_ref()?))).collect();
        let mut faults = BTreeMap::new();
        for query in self.queries.keys().filter(|_| !failing.is_empty()) {
            let why = failing.iter().find(|(endpoint, _)| self.depends(query, endpoint));
            faults.extend(why.map(|(_, error)| (query.clone(), (*error).clone())));
        }
        (faults, self.topics.values().filter(|topic| topic.published.is_none()).count())
    }

    fn reads_out(&self) -> usize {
        self.slots.values().filter(|slot| slot.kind == Kind::Read && slot.ticket.is_some()).count()
    }

    fn due(&self, kind: Kind, now: Duration) -> Vec<Endpoint> {
        let is_due = |slot: &Slot| slot.kind == kind && slot.ticket.is_none() && slot.due.is_some_and(|due| due <= now);
        self.slots.iter().filter(|(_, slot)| is_due(slot)).map(|(endpoint, _)| endpoint.clone()).collect()
    }

    /// Whether all sentinels of the scope have answered, so that no change after a read goes unnoticed.
    fn is_guarded(&self, scope: &Scope) -> bool {
        plan::sentinels(scope).iter().all(|it| self.content(it).is_some())
    }

    fn content(&self, endpoint: &Endpoint) -> Option<&Content> {
        self.slots.get(endpoint).and_then(|slot| slot.content.as_ref())
    }

    fn replan(&mut self, now: Duration) {
        let plan = plan::endpoints(&self.queries, |endpoint| self.content(endpoint));
        let gone: Vec<_> = self.slots.keys().filter(|it| !plan.contains_key(it)).cloned().collect();
        for endpoint in gone {
            self.cancel(&endpoint);
            self.slots.remove(&endpoint);
        }
        for (endpoint, kind) in plan {
            if self.slots.get(&endpoint).is_some_and(|slot| slot.kind == kind) {
                continue;
            }
            self.cancel(&endpoint);
            let content = self.slots.remove(&endpoint).and_then(|slot| slot.content);
            let due = (endpoint != Endpoint::Leader).then_some(now);
            let slot = Slot {
                kind,
                index: 0,
                ticket: None,
                started: now,
                due,
                is_urgent: content.is_none(),
                again: false,
                is_plain: false,
                tries: 0,
                error: None,
                content,
                fresh: None,
            };
            self.slots.insert(endpoint, slot);
        }
    }

    fn cancel(&mut self, endpoint: &Endpoint) {
        if let Some(ticket) = self.slots.get_mut(endpoint).and_then(|slot| slot.ticket.take()) {
            self.tickets.remove(&ticket);
            self.outputs.push_back(Output::Cancel(ticket));
        }
    }

    fn handle_answer(&mut self, endpoint: &Endpoint, reply: &Reply, now: Duration) {
        let gap = self.spread(GAP, 5);
        let Some(slot) = self.slots.get_mut(endpoint) else { return };
        let is_recovered = slot.tries > 0;
        let went_back = reply.index < slot.index;
        let has_moved = reply.index != slot.index;
        let old = slot.content.replace(reply.content.clone());
        let has_changed = old.as_ref() != Some(&reply.content);
        slot.index = if went_back { 0 } else { reply.index };
        (slot.ticket, slot.tries, slot.error, slot.fresh) = (None, 0, None, Some(slot.started));
        let pause = if reply.index == 0 { NO_INDEX_GAP } else { gap };
        slot.due = (slot.kind == Kind::Watch || slot.again).then_some(now + pause);
        slot.again = false;
        if went_back && slot.kind == Kind::Watch {
            self.shaken = Some(now);
        }
        if reply.content == Content::Leader(false) {
            self.shaken = Some(now);
        }
        if is_recovered {
            self.hasten(endpoint, now);
        }
        let everything = is_recovered || went_back || old.is_none();
        self.mark(endpoint, old.as_ref(), everything, has_moved, now);
        if has_changed && matches!(endpoint, Endpoint::Catalog { .. }) {
            self.replan(now);
        }
        for query in self.concerned(endpoint, has_changed) {
            self.evaluate(&query, now);
        }
    }

    fn handle_failure(&mut self, endpoint: &Endpoint, error: &ConsulError, now: Duration) {
        let Some(tries) = self.slots.get(endpoint).map(|slot| slot.tries) else { return };
        let doubled = BACKOFF.saturating_mul(1 << tries.min(6)).min(BACKOFF_MAX);
        let wait = self.spread(if error.is_lasting() { BACKOFF_MAX } else { doubled }, 2);
        if !error.is_lasting() {
            self.shaken = Some(now);
        }
        let Some(slot) = self.slots.get_mut(endpoint) else { return };
        (slot.ticket, slot.index, slot.again, slot.due) = (None, 0, false, Some(now + wait));
        slot.tries = slot.tries.saturating_add(1);
        if slot.error.replace(error.clone()).as_ref() == Some(error) {
            return;
        }
        let told: Vec<_> = self.queries.keys().filter(|it| self.depends(it, endpoint)).cloned().collect();
        for query in told {
            self.outputs.push_back(Output::Notice(query, Err(error.clone())));
        }
    }

    /// Consul is back for one endpoint: the others of its datacenter need not wait.
    fn hasten(&mut self, endpoint: &Endpoint, now: Duration) {
        let datacenter = endpoint.scope().datacenter;
        for (other, slot) in &mut self.slots {
            let is_waiting = slot.error.as_ref().is_some_and(|error| !error.is_lasting());
            if is_waiting && slot.ticket.is_none() && other.scope().datacenter == datacenter {
                slot.due = slot.due.map(|due| due.min(now + GAP));
            }
        }
    }

    /// Marks the services that moved, or may have, when a sentinel answers.
    fn mark(&mut self, sentinel: &Endpoint, old: Option<&Content>, everything: bool, has_moved: bool, now: Duration) {
        if !has_moved && !everything {
            return;
        }
        let new = self.content(sentinel).cloned();
        let (moved, all): (BTreeSet<String>, bool) = match (sentinel, old, &new) {
            (Endpoint::Checks(_), Some(Content::Checks(old)), Some(Content::Checks(new))) => {
                let moved = differing(old, new);
                let all = everything || moved.contains("");
                (moved, all)
            }
            (Endpoint::Catalog { node_meta, .. }, Some(Content::Catalog(old)), Some(Content::Catalog(new)))
                if node_meta.is_empty() =>
            {
                (differing(old, new), true)
            }
            (Endpoint::Catalog { node_meta, .. }, ..) if !node_meta.is_empty() => return,
            (Endpoint::Checks(_) | Endpoint::Nodes(_) | Endpoint::Catalog { .. }, ..) => (BTreeSet::new(), true),
            _ => return,
        };
        let scope = sentinel.scope();
        for (endpoint, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.kind == Kind::Read) {
            let Endpoint::Service { scope: own, name, .. } = endpoint else { continue };
            let is_urgent = moved.contains(name);
            if *own != scope || !(is_urgent || all) {
                continue;
            }
            slot.is_urgent |= is_urgent;
            if slot.ticket.is_some() {
                slot.again = true;
                continue;
            }
            let pause = if is_urgent { GAP } else { SWEEP_GAP };
            let due = slot.fresh.map_or(now, |fresh| now.max(fresh + pause));
            slot.due = Some(slot.due.filter(|_| slot.error.is_none()).map_or(due, |earlier| earlier.min(due)));
        }
    }

    /// Queries that an answer may matter to.
    fn concerned(&self, endpoint: &Endpoint, has_changed: bool) -> Vec<Query> {
        let is_doubted = |query: &Query| self.topics.get(query).is_some_and(|topic| topic.doubt.is_some());
        let concerns = |query: &&Query| {
            is_doubted(query) || (has_changed && self.depends(query, endpoint)) || self.is_unanswered(query, endpoint)
        };
        self.queries.keys().filter(concerns).cloned().collect()
    }

    fn is_unanswered(&self, query: &Query, endpoint: &Endpoint) -> bool {
        self.topics.get(query).is_some_and(|topic| topic.published.is_none()) && self.depends(query, endpoint)
    }

    /// Whether an answer of the endpoint, or its absence, matters to the query.
    fn depends(&self, query: &Query, endpoint: &Endpoint) -> bool {
        match (query, endpoint) {
            (Query::Kv(query), Endpoint::Kv(asked)) => query == asked,
            (Query::Service(query), Endpoint::Service { .. }) => Endpoint::of_service(query) == *endpoint,
            (Query::Services(query), Endpoint::Service { name, .. }) => Endpoint::of_match(query, name) == *endpoint,
            (Query::Catalog(_), Endpoint::Catalog { .. }) => plan::catalog(query) == *endpoint,
            (Query::Services(_), _) => plan::sentinels(&plan::catalog(query).scope()).contains(endpoint),
            (Query::Service(service), _) => {
                let is_read = self.slots.get(&Endpoint::of_service(service)).is_some_and(|it| it.kind == Kind::Read);
                is_read && plan::sentinels(&plan::catalog(query).scope()).contains(endpoint)
            }
            _ => false,
        }
    }

    /// Announces what is new and believed.
    fn evaluate(&mut self, query: &Query, now: Duration) {
        let Some(compiled) = self.queries.get(query) else { return };
        let get = |endpoint: &Endpoint| self.content(endpoint);
        let Some(data) = plan::compose(query, compiled, get) else { return };
        let mut basis = plan::basis(query, compiled, get);
        if basis.is_empty() {
            basis.push(plan::catalog(query));
        }
        let shaken = self.shaken;
        let Some(topic) = self.topics.get_mut(query) else { return };
        if topic.published.as_deref() == Some(&data) {
            topic.doubt = None;
            return;
        }
        let vanished = plan::is_empty(&data) && topic.published.as_deref().is_some_and(|old| !plan::is_empty(old));
        if vanished {
            let kept = topic.doubt.filter(|doubt| shaken.is_none_or(|shaken| shaken <= doubt.since));
            let doubt = kept.unwrap_or_else(|| {
                let was_shaken = shaken.is_some_and(|shaken| now.saturating_sub(shaken) < SHAKEN);
                Doubt { since: now, until: now + if was_shaken { SETTLE_SHAKEN } else { SETTLE } }
            });
            topic.doubt = Some(doubt);
            if !self.is_confirmed(&basis, doubt, now) {
                return;
            }
        }
        let data = Arc::new(data);
        if let Some(topic) = self.topics.get_mut(query) {
            (topic.published, topic.doubt) = (Some(Arc::clone(&data)), None);
        }
        self.outputs.push_back(Output::Notice(query.clone(), Ok(data)));
    }

    /// Whether everything has been asked anew since the pause ended; if not, sees that it will be.
    fn is_confirmed(&mut self, basis: &[Endpoint], doubt: Doubt, now: Duration) -> bool {
        let mut all = true;
        for endpoint in basis.iter().chain([&Endpoint::Leader]) {
            let Some(slot) = self.slots.get_mut(endpoint) else { continue };
            let is_leaderless = slot.content == Some(Content::Leader(false));
            if slot.fresh.is_some_and(|fresh| fresh >= doubt.until) && slot.error.is_none() && !is_leaderless {
                continue;
            }
            all = false;
            let is_asked = slot.ticket.is_some() && (slot.started >= doubt.until || slot.kind == Kind::Read);
            if is_asked {
                slot.again |= slot.started < doubt.until;
                continue;
            }
            if slot.error.is_none() {
                let soon = doubt.until.min(now + SETTLE);
                slot.due = Some(slot.due.filter(|_| slot.kind == Kind::Read).map_or(soon, |due| due.min(soon)));
            }
            slot.is_plain = true;
            self.cancel(endpoint);
        }
        all
    }

    /// `time` and up to `1 / part` of it more.
    fn spread(&mut self, time: Duration, part: u32) -> Duration {
        time + (time / part).mul_f64(self.random.random::<f64>())
    }
}

/// Names whose values are not the same in both.
fn differing<V: PartialEq>(old: &BTreeMap<String, V>, new: &BTreeMap<String, V>) -> BTreeSet<String> {
    let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(value)).map(|(name, _)| name);
    changed.chain(old.keys().filter(|name| !new.contains_key(*name))).cloned().collect()
}

#[cfg(test)]
mod tests;
