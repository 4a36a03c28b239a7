//! When what is asked next: watches at once, then who leads, what surely moved, and what only may have, first of that what has
//! changed lately. What is due is found without looking at what is not.

use std::collections::BTreeSet;
use std::time::Duration;

use super::answer::Content;
use super::error::ConsulError;
use super::plan::Kind;
use super::request::Endpoint;

/// Which of two goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    Watch,
    Leader,
    Urgent,
    Recent,
    Sweep,
}

impl Class {
    /// Those that share the few connections for reads, in their order.
    pub(super) const READS: [Self; 4] = [Self::Leader, Self::Urgent, Self::Recent, Self::Sweep];
}

/// What is known of one endpoint.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) index: u64,
    /// The request that is out.
    pub(super) ticket: Option<u64>,
    pub(super) started: Duration,
    /// Marked while a request was out.
    pub(super) again: bool,
    /// Ask without an index.
    pub(super) is_plain: bool,
    pub(super) tries: u32,
    pub(super) error: Option<ConsulError>,
    pub(super) content: Option<Content>,
    /// When the request began that was answered last.
    pub(super) fresh: Option<Duration>,
    /// When an answer was another than the one before.
    pub(super) changed: Option<Duration>,
    /// When to ask next; none: when marked. Only a [`QuerySchedule`] sets it.
    due: Option<Duration>,
    /// Of a read that may have to wait for others.
    rank: Class,
}

impl Slot {
    /// One that is not asked yet. What is known of its answer, by another kind of asking, stays.
    pub(super) fn new(kind: Kind, content: Option<Content>, now: Duration) -> Self {
        Self {
            kind,
            index: 0,
            ticket: None,
            started: now,
            again: false,
            is_plain: false,
            tries: 0,
            error: None,
            rank: if content.is_none() { Class::Urgent } else { Class::Sweep },
            content,
            fresh: None,
            changed: None,
            due: None,
        }
    }

    pub(super) fn is_urgent(&self) -> bool {
        self.rank == Class::Urgent
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    fn class(&self, endpoint: &Endpoint) -> Class {
        match self.kind {
            Kind::Watch => Class::Watch,
            Kind::Read if *endpoint == Endpoint::Leader => Class::Leader,
            Kind::Read => self.rank,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct QuerySchedule(BTreeSet<(Class, Duration, Endpoint)>);

impl QuerySchedule {
    /// Asks an endpoint at this moment, or not before it is marked.
    pub(super) fn set_due(&mut self, endpoint: &Endpoint, slot: &mut Slot, due: Option<Duration>) {
        self.remove(endpoint, slot);
        slot.due = due;
        if let Some(due) = due {
            self.0.insert((slot.class(endpoint), due, endpoint.clone()));
        }
    }

    /// Lets a read go before others, or not any more.
    pub(super) fn set_rank(&mut self, endpoint: &Endpoint, slot: &mut Slot, rank: Class) {
        if slot.rank != rank {
            self.remove(endpoint, slot);
            slot.rank = rank;
            self.set_due(endpoint, slot, slot.due);
        }
    }

    /// Forgets it: it is asked no more.
    pub(super) fn remove(&mut self, endpoint: &Endpoint, slot: &Slot) {
        if let Some(due) = slot.due {
            self.0.remove(&(slot.class(endpoint), due, endpoint.clone()));
        }
    }

    /// Those of one class, the first due first.
    pub(super) fn of(&self, class: Class) -> impl Iterator<Item = (Duration, &Endpoint)> {
        let from = (class, Duration::ZERO, Endpoint::FIRST);
        self.0.range(from..).take_while(move |entry| entry.0 == class).map(|(_, due, endpoint)| (*due, endpoint))
    }
}
