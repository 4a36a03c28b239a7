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

use super::answer::{Content, differing};
use super::client::Reply;
use super::error::ConsulError;
use super::plan::{self, Compiled, Kind};
use super::query_schedule::{Class, QuerySchedule, Slot};
use super::request::{Endpoint, Scope};
use crate::task::consul_data::{Data, Query};

/// Two requests to one endpoint are at least this and up to a fifth more apart.
const GAP: Duration = Duration::from_millis(100);
/// Without an index in the answer there is nothing to wait for: ask so often instead.
const NO_INDEX_GAP: Duration = Duration::from_secs(1);
/// A service that only *may* have changed is read again after so long for each service that is watched with it, at least after
/// `GAP`: so many reads a second at most, however many services there are.
const SWEEP_GAP: Duration = Duration::from_millis(1);
/// A service that has changed within this time goes first among those that only may have: it is likely to be the one.
const RECENT: Duration = Duration::from_mins(10);
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
    /// `index`: it waits for a change beyond that one. `known`: an answer of this index need not be read again.
    Ask { ticket: u64, endpoint: Endpoint, index: Option<u64>, known: Option<u64> },
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

/// The state of all watches.
pub(super) struct Watches {
    queries: BTreeMap<Query, Compiled>,
    topics: BTreeMap<Query, Topic>,
    slots: BTreeMap<Endpoint, Slot>,
    schedule: QuerySchedule,
    /// Which queries an endpoint's answer is a part of.
    readers: BTreeMap<Endpoint, Vec<Query>>,
    /// Queries with an empty answer that is held back.
    doubted: BTreeSet<Query>,
    /// Queries without a first answer.
    waiting: usize,
    /// Why queries have no news, or for how many there is no answer, may have changed.
    faults_moved: bool,
    tickets: BTreeMap<u64, (Endpoint, Kind)>,
    next: u64,
    shaken: Option<Duration>,
    random: SmallRng,
    outputs: VecDeque<Output>,
}

impl Watches {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            queries: BTreeMap::new(),
            topics: BTreeMap::new(),
            slots: BTreeMap::new(),
            schedule: QuerySchedule::default(),
            readers: BTreeMap::new(),
            doubted: BTreeSet::new(),
            waiting: 0,
            faults_moved: false,
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
        self.doubted.retain(|query| queries.contains(query));
        self.faults_moved = true;
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
        self.waiting = self.topics.values().filter(|topic| topic.published.is_none()).count();
        self.replan(now);
        for query in new {
            self.evaluate(&query, now);
        }
        self.handle_timeout(now);
    }

    /// Takes an answer in. One that nobody waits for is dropped.
    pub(super) fn handle_reply(&mut self, ticket: u64, reply: Result<Reply, ConsulError>, now: Duration) {
        let Some((endpoint, _)) = self.tickets.remove(&ticket) else { return };
        match reply {
            Ok(reply) => self.handle_answer(&endpoint, &reply, now),
            Err(error) => self.handle_failure(&endpoint, &error, now),
        }
        self.handle_timeout(now);
    }

    /// Asks what is due.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        let is_due = |(due, _): &(Duration, &Endpoint)| *due <= now;
        let watches = self.schedule.of(Class::Watch).take_while(is_due).map(|(_, endpoint)| endpoint.clone());
        let mut asked: Vec<Endpoint> = watches.collect();
        let room = READS_MAX.saturating_sub(self.reads_out());
        if room > 0 {
            let mut guards = Guards::of(self);
            let reads = Class::READS.into_iter().flat_map(|class| self.schedule.of(class).take_while(is_due));
            let reads = reads.filter(|(_, endpoint)| guards.allow(endpoint)).take(room);
            let reads: Vec<Endpoint> = reads.map(|(_, endpoint)| endpoint.clone()).collect();
            asked.extend(reads);
        }
        for endpoint in asked {
            let Some(slot) = self.slots.get_mut(&endpoint) else { continue };
            let ticket = self.next;
            self.next += 1;
            let is_blocking = slot.kind == Kind::Watch && !slot.is_plain && slot.index > 0;
            let index = is_blocking.then_some(slot.index);
            let is_calm = self.shaken.is_none_or(|shaken| now.saturating_sub(shaken) >= SHAKEN);
            let knows = slot.content.is_some() && slot.index > 0 && slot.tries == 0 && !slot.is_plain && is_calm;
            let known = (slot.kind == Kind::Read && knows).then_some(slot.index);
            self.schedule.set_due(&endpoint, slot, None);
            self.schedule.set_rank(&endpoint, slot, Class::Sweep);
            (slot.ticket, slot.started, slot.is_plain) = (Some(ticket), now, false);
            self.tickets.insert(ticket, (endpoint.clone(), slot.kind));
            self.outputs.push_back(Output::Ask { ticket, endpoint, index, known });
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let watch = self.schedule.of(Class::Watch).next().map(|(due, _)| due);
        let mut guards = Guards::of(self);
        let has_room = self.reads_out() < READS_MAX;
        let reads = Class::READS.into_iter().filter(|_| has_room).filter_map(|class| {
            let first = self.schedule.of(class).find(|(_, endpoint)| guards.allow(endpoint));
            first.map(|(due, _)| due)
        });
        reads.chain(watch).min()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether [`Self::faults`] may say something else than when this was asked last.
    pub(super) fn have_faults_moved(&mut self) -> bool {
        std::mem::take(&mut self.faults_moved)
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
        (faults, self.waiting)
    }

    fn reads_out(&self) -> usize {
        self.tickets.values().filter(|(_, kind)| *kind == Kind::Read).count()
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
            self.remove(&endpoint);
        }
        for (endpoint, kind) in plan {
            if self.slots.get(&endpoint).is_some_and(|slot| slot.kind == kind) {
                continue;
            }
            let content = self.remove(&endpoint).and_then(|slot| slot.content);
            let due = (endpoint != Endpoint::Leader).then_some(now);
            let mut slot = Slot::new(kind, content, now);
            self.schedule.set_due(&endpoint, &mut slot, due);
            self.slots.insert(endpoint, slot);
        }
        let mut readers: BTreeMap<Endpoint, Vec<Query>> = BTreeMap::new();
        for (query, compiled) in &self.queries {
            let basis = plan::basis(query, compiled, |endpoint| self.content(endpoint));
            let names = matches!(query, Query::Services(_)).then(|| plan::catalog(query));
            for endpoint in basis.into_iter().chain(names) {
                readers.entry(endpoint).or_default().push(query.clone());
            }
        }
        self.readers = readers;
    }

    fn remove(&mut self, endpoint: &Endpoint) -> Option<Slot> {
        self.cancel(endpoint);
        let slot = self.slots.remove(endpoint)?;
        self.schedule.remove(endpoint, &slot);
        self.faults_moved |= slot.error.is_some();
        Some(slot)
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
        let old = slot.content.clone();
        let new = reply.content.clone().or_else(|| old.clone());
        let has_changed = old != new;
        if has_changed && old.is_some() {
            slot.changed = Some(now);
        }
        let is_leaderless = new == Some(Content::Leader(false));
        slot.content = new;
        self.faults_moved |= slot.error.is_some();
        slot.index = if went_back { 0 } else { reply.index };
        (slot.ticket, slot.tries, slot.error, slot.fresh) = (None, 0, None, Some(slot.started));
        let pause = if reply.index == 0 { NO_INDEX_GAP } else { gap };
        let due = (slot.kind == Kind::Watch || slot.again).then_some(now + pause);
        self.schedule.set_due(endpoint, slot, due);
        slot.again = false;
        if is_leaderless || went_back && slot.kind == Kind::Watch {
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
        (slot.ticket, slot.index, slot.again) = (None, 0, false);
        self.schedule.set_due(endpoint, slot, Some(now + wait));
        slot.tries = slot.tries.saturating_add(1);
        if slot.error.replace(error.clone()).as_ref() == Some(error) {
            return;
        }
        self.faults_moved = true;
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
                let due = slot.due().map(|due| due.min(now + GAP));
                self.schedule.set_due(other, slot, due);
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
        let services =
            self.slots.keys().filter(|it| matches!(it, Endpoint::Service { scope: own, .. } if *own == scope));
        let sweep = SWEEP_GAP.saturating_mul(u32::try_from(services.count()).unwrap_or(u32::MAX)).max(GAP);
        for (endpoint, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.kind == Kind::Read) {
            let Endpoint::Service { scope: own, name, .. } = endpoint else { continue };
            let is_urgent = moved.contains(name);
            if *own != scope || !(is_urgent || all) {
                continue;
            }
            let is_recent = slot.changed.is_some_and(|changed| now.saturating_sub(changed) < RECENT);
            if is_urgent {
                self.schedule.set_rank(endpoint, slot, Class::Urgent);
            } else if is_recent && !slot.is_urgent() {
                self.schedule.set_rank(endpoint, slot, Class::Recent);
            }
            if slot.ticket.is_some() {
                slot.again = true;
                continue;
            }
            let pause = if is_urgent { GAP } else { sweep };
            let due = slot.fresh.map_or(now, |fresh| now.max(fresh + pause));
            let due = slot.due().filter(|_| slot.error.is_none()).map_or(due, |earlier| earlier.min(due));
            self.schedule.set_due(endpoint, slot, Some(due));
        }
    }

    /// Queries that an answer may matter to: those it is a part of, and those whose own empty answer is doubted.
    fn concerned(&self, endpoint: &Endpoint, has_changed: bool) -> BTreeSet<Query> {
        let is_unanswered = |query: &Query| self.topics.get(query).is_some_and(|topic| topic.published.is_none());
        let readers = self.readers.get(endpoint).into_iter().flatten();
        let concerned = readers.filter(|query| has_changed || is_unanswered(query));
        concerned.chain(&self.doubted).cloned().collect()
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
            self.doubted.remove(query);
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
            self.doubted.insert(query.clone());
            if !self.is_confirmed(&basis, doubt, now) {
                return;
            }
        }
        let data = Arc::new(data);
        if let Some(topic) = self.topics.get_mut(query) {
            let is_first = topic.published.is_none();
            (topic.published, topic.doubt) = (Some(Arc::clone(&data)), None);
            self.doubted.remove(query);
            if is_first {
                self.waiting = self.waiting.saturating_sub(1);
                self.faults_moved = true;
            }
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
                let due = slot.due().filter(|_| slot.kind == Kind::Read).map_or(soon, |due| due.min(soon));
                self.schedule.set_due(endpoint, slot, Some(due));
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

/// Which reads may begin: those of a scope whose sentinels have all answered. Each scope is looked at once.
struct Guards<'a> {
    watches: &'a Watches,
    scopes: BTreeMap<&'a Scope, bool>,
}

impl<'a> Guards<'a> {
    fn of(watches: &'a Watches) -> Self {
        Self { watches, scopes: BTreeMap::new() }
    }

    fn allow(&mut self, endpoint: &'a Endpoint) -> bool {
        let Endpoint::Service { scope, .. } = endpoint else { return *endpoint == Endpoint::Leader };
        *self.scopes.entry(scope).or_insert_with(|| self.watches.is_guarded(scope))
    }
}

#[cfg(test)]
mod tests;
