//! Who holds which connections, and which of them has to give way. No I/O and no clock of its own.
//!
//! A client is an address; of IPv6 its /64, since whoever has one address there has all of them. It may hold so many
//! connections, and all clients together so many. A newcomer is not turned away as long as somebody holds a connection that
//! does nothing: at the limit of its client, the client's own gives way; at the limit of all, one of the client that holds
//! most, which may be the newcomer's. So a flood costs those who flood. First the connection goes that has rested longest, then the read that has waited
//! longest for its answer; a request that changes something is never ended.
//!
//! # Not here
//!
//! The limits of a request's body (`body`), what is done with a connection that must end (`server`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::limits;

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Client {
    /// An IPv4 address, or the first 64 bits of an IPv6 address.
    Net(IpAddr),
    /// A user of this machine, over a Unix socket.
    User(u32),
}

impl Client {
    /// Of an address.
    pub(super) fn of(addr: IpAddr) -> Self {
        Self::Net(match addr.to_canonical() {
            IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX))),
            addr @ IpAddr::V4(_) => addr,
        })
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Net(addr @ IpAddr::V6(_)) => write!(f, "{addr}/64"),
            Self::Net(addr) => addr.fmt(f),
            Self::User(uid) => write!(f, "the user {uid}"),
        }
    }
}

/// Names a connection; grows.
pub(super) type Id = u64;

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing yet: it is new.
    New,
    /// A part of a request's head has come.
    Head,
    /// Its request is being answered; it changes nothing, or its body has not come yet.
    Reading,
    /// Its request changes something.
    Changing,
    /// It has had an answer and may ask again.
    Resting,
}

/// Why a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// Another one needed the place.
    Room,
    /// It sent nothing, or a head that did not end.
    SlowHead,
    /// It did not take its answer.
    SlowReader,
    /// Nothing was asked of it for long.
    Idle,
}

impl Ended {
    /// One word, for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Room => "room",
            Self::SlowHead => "slow-head",
            Self::SlowReader => "slow-reader",
            Self::Idle => "idle",
        }
    }
}

/// Why a connection is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The client holds as many as it may, and all of them are at work.
    Client,
    /// All together hold as many as they may, and nothing of this client or of those who hold more can give way.
    Total,
}

impl Refused {
    /// One word, for metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Total => "total",
        }
    }
}

#[derive(Debug)]
struct Entry {
    client: Client,
    phase: Phase,
    /// Since when.
    since: Duration,
    /// Since when it does not take what is written.
    blocked: Option<Duration>,
    /// The kernel has given it up meanwhile.
    given_up: bool,
}

impl Entry {
    /// Who gives way first is less; `None`: it does not.
    fn rank(&self) -> Option<(bool, Duration)> {
        match self.phase {
            Phase::Changing => None,
            Phase::Reading => Some((true, self.since)),
            Phase::New | Phase::Head | Phase::Resting => Some((false, self.since)),
        }
    }

    fn late(&self, now: Duration) -> Option<Ended> {
        // While an answer cannot be written, the server reads no further request: their heads are not late.
        if let Some(since) = self.blocked {
            return (now.saturating_sub(since) > limits::ANSWER).then_some(Ended::SlowReader);
        }
        let (limit, ended) = match self.phase {
            // The server itself says 408 to the first request; what is ended here, it does not see.
            Phase::New | Phase::Head => (limits::REQUEST_HEAD + limits::MARGIN, Ended::SlowHead),
            Phase::Resting => (limits::KEEP_ALIVE + limits::MARGIN, Ended::Idle),
            Phase::Reading | Phase::Changing => return None,
        };
        (now.saturating_sub(self.since) > limit).then_some(ended)
    }
}

/// The connections of one listener. Times are of any one clock.
#[derive(Debug)]
pub(super) struct Table {
    max: usize,
    max_per_client: usize,
    next: Id,
    entries: BTreeMap<Id, Entry>,
    clients: BTreeMap<Client, BTreeSet<Id>>,
}

impl Table {
    /// Without any connection.
    pub(super) fn new(max: usize, max_per_client: usize) -> Self {
        Self { max, max_per_client, next: 0, entries: BTreeMap::new(), clients: BTreeMap::new() }
    }

    /// Connections now.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Takes a new connection: its id, and which one must be ended for it.
    pub(super) fn admit(&mut self, client: Client, now: Duration) -> Result<(Id, Option<Id>), Refused> {
        let held = self.clients.get(&client).map_or(0, BTreeSet::len);
        let instead = if held >= self.max_per_client {
            Some(self.idlest(client).ok_or(Refused::Client)?)
        } else if self.entries.len() >= self.max {
            let other = self.idlest_of_the_greatest(held);
            Some(other.or_else(|| self.idlest(client)).ok_or(Refused::Total)?)
        } else {
            None
        };
        if let Some(id) = instead {
            self.remove(id);
        }
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, Entry { client, phase: Phase::New, since: now, blocked: None, given_up: false });
        self.clients.entry(client).or_default().insert(id);
        Ok((id, instead))
    }

    /// One to end when this process has no descriptors left: of the client that holds most. It is forgotten.
    pub(super) fn give_way(&mut self) -> Option<Id> {
        let id = self.idlest_of_the_greatest(0)?;
        self.remove(id);
        Some(id)
    }

    fn idlest(&self, client: Client) -> Option<Id> {
        let ids = self.clients.get(&client)?.iter();
        let ranked = ids.filter_map(|id| Some((self.entries.get(id)?.rank()?, *id)));
        ranked.min().map(|(_, id)| id)
    }

    /// Of the client that holds most, and more than `held`.
    fn idlest_of_the_greatest(&self, held: usize) -> Option<Id> {
        let mut clients: Vec<_> = self.clients.iter().map(|(client, ids)| (ids.len(), *client)).collect();
        clients.sort_unstable_by(|a, b| b.cmp(a));
        clients.into_iter().take_while(|(count, _)| *count > held).find_map(|(_, client)| self.idlest(client))
    }

    /// It does something else now.
    pub(super) fn set(&mut self, id: Id, phase: Phase, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.phase = phase;
            entry.since = now;
        }
    }

    /// What it does; `None`: it is to end, or has.
    pub(super) fn phase(&self, id: Id) -> Option<Phase> {
        self.entries.get(&id).map(|entry| entry.phase)
    }

    /// It takes nothing of what is written to it, or takes it again.
    pub(super) fn set_blocked(&mut self, id: Id, blocked: bool, now: Duration) {
        if let Some(entry) = self.entries.get_mut(&id) {
            if blocked {
                entry.blocked = entry.blocked.or(Some(now));
            } else if entry.blocked.take().is_some() {
                entry.since = now;
            }
        }
    }

    /// The kernel gives it up: for long, it has not acknowledged anything or not had any room.
    pub(super) fn give_up(&mut self, id: Id) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.given_up = entry.blocked.is_some();
        }
    }

    /// It has ended; why, when that was from here and nobody knows yet.
    pub(super) fn remove(&mut self, id: Id) -> Option<Ended> {
        let entry = self.entries.remove(&id)?;
        if let Some(ids) = self.clients.get_mut(&entry.client) {
            ids.remove(&id);
            if ids.is_empty() {
                self.clients.remove(&entry.client);
            }
        }
        entry.given_up.then_some(Ended::SlowReader)
    }

    /// Those whose time is up, and why. They are forgotten.
    pub(super) fn take_late(&mut self, now: Duration) -> Vec<(Id, Ended)> {
        let late: Vec<_> = self.entries.iter().filter_map(|(id, entry)| Some((*id, entry.late(now)?))).collect();
        for (id, _) in &late {
            self.remove(*id);
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(text: &str) -> Client {
        Client::of(text.parse().unwrap())
    }

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_client_is_an_address_or_a_network() {
        assert_eq!(client("10.0.0.1"), client("::ffff:10.0.0.1"));
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:1"));
        assert_ne!(client("2001:db8::1"), client("2001:db8:0:1::1"));
        assert_eq!(client("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn at_its_limit_a_client_ends_its_own_that_has_rested_longest() {
        let mut table = Table::new(10, 2);
        let (first, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        let (second, _) = table.admit(client("10.0.0.1"), at(1)).unwrap();
        table.set(first, Phase::Resting, at(2));
        let (third, instead) = table.admit(client("10.0.0.1"), at(3)).unwrap();
        assert_eq!(instead, Some(second));
        table.set(third, Phase::Changing, at(3));
        table.set(first, Phase::Reading, at(4));
        assert_eq!(table.admit(client("10.0.0.1"), at(5)).unwrap().1, Some(first), "a read gives way to a newcomer");
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_change_never_gives_way() {
        let mut table = Table::new(2, 1);
        let (id, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        table.set(id, Phase::Changing, at(0));
        assert_eq!(table.admit(client("10.0.0.1"), at(1)), Err(Refused::Client));
        let (other, _) = table.admit(client("10.0.0.2"), at(1)).unwrap();
        table.set(other, Phase::Changing, at(1));
        assert_eq!(table.admit(client("10.0.0.3"), at(1)), Err(Refused::Total));
        table.remove(id);
        assert!(table.admit(client("10.0.0.1"), at(2)).is_ok());
    }

    #[test]
    fn at_the_limit_of_all_the_greatest_gives_way() {
        let mut table = Table::new(6, 4);
        for n in 0..4 {
            table.admit(client("10.0.0.1"), at(n)).unwrap();
        }
        for _ in 0..2 {
            table.admit(client("10.0.0.2"), at(4)).unwrap();
        }
        assert_eq!(table.admit(client("10.0.0.3"), at(5)).unwrap().1, Some(0), "the oldest of the greatest");
        assert_eq!(table.admit(client("10.0.0.3"), at(6)).unwrap().1, Some(1));
        assert_eq!(table.admit(client("10.0.0.3"), at(7)).unwrap().1, Some(6), "nobody holds more: its own");
        assert_eq!(table.len(), 6);
        assert!(table.give_way().is_some());
        assert_eq!(table.len(), 5);
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let mut table = Table::new(10, 10);
        let ids: Vec<Id> = (0..5).map(|_| table.admit(client("10.0.0.1"), at(0)).unwrap().0).collect();
        table.set(ids[1], Phase::Reading, at(0));
        table.set(ids[2], Phase::Resting, at(0));
        table.set(ids[3], Phase::Resting, at(0));
        table.set_blocked(ids[3], true, at(0));
        table.set(ids[3], Phase::Head, at(1));
        table.set(ids[4], Phase::Head, at(5));
        assert_eq!(table.take_late(at(5)), []);
        assert_eq!(table.take_late(at(8)), [(ids[0], Ended::SlowHead)]);
        assert_eq!(table.take_late(at(12)), [(ids[4], Ended::SlowHead)]);
        table.set(ids[2], Phase::Resting, at(30));
        table.set_blocked(ids[3], true, at(30));
        assert_eq!(
            table.take_late(at(61)),
            [(ids[3], Ended::SlowReader)],
            "asked again, it is blocked since the first"
        );
        assert_eq!(table.take_late(at(92)), [(ids[2], Ended::Idle)]);
        assert_eq!(table.take_late(at(9999)), [], "an answer takes as long as it takes");
        assert_eq!(table.len(), 1);
    }
    #[test]
    fn a_client_that_the_kernel_gives_up_was_a_slow_reader_if_an_answer_waited() {
        let mut table = Table::new(10, 10);
        let (waits, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        let (rests, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        let (reads_again, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        table.set_blocked(waits, true, at(1));
        table.set_blocked(reads_again, true, at(1));
        table.set_blocked(reads_again, false, at(2));
        for id in [waits, rests, reads_again] {
            table.give_up(id);
        }
        assert_eq!(table.remove(waits), Some(Ended::SlowReader));
        assert_eq!((table.remove(rests), table.remove(reads_again)), (None, None));
        assert_eq!(table.remove(waits), None, "once");
    }

    #[test]
    fn a_head_is_not_late_while_an_answer_before_it_waits() {
        let mut table = Table::new(10, 10);
        let (id, _) = table.admit(client("10.0.0.1"), at(0)).unwrap();
        table.set(id, Phase::Head, at(1));
        table.set_blocked(id, true, at(1));
        assert_eq!(table.take_late(at(40)), []);
        table.set_blocked(id, false, at(40));
        assert_eq!(table.take_late(at(44)), [], "its time begins now");
        assert_eq!(table.take_late(at(50)), [(id, Ended::SlowHead)]);
    }
}
