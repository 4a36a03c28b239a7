//! Who may wait at the control port: connections that have not proved yet that they have the key.
//!
//! A stranger can open connections as fast as its network allows, and from many addresses. So the addresses of members and seeds
//! have places of their own, which no other address can take; all others share a few, each address some of them. Where the places
//! are full, the one that waits longest there makes room: a true newcomer needs its place for milliseconds, also when a stranger shares
//! its address (a host with other users, a NAT). What has proved itself waits here no more.
//!
//! Pure: the driver closes what is refused or has to make room.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use quorate_proto::network;

/// Places of each address of a member or seed: many agents may share a host.
const KNOWN_EACH: usize = 64;
/// Places of each other address.
const STRANGER_EACH: usize = 16;
/// Places of all other addresses together.
const STRANGERS: usize = 64;
/// Connections that another address may begin in a second, and how many addresses are counted.
const STRANGER_RATE: u32 = 32;
const COUNTED_MAX: usize = 4_096;
const SECOND: Duration = Duration::from_secs(1);

/// Connections that wait.
#[derive(Debug, Default)]
pub(super) struct Admissions {
    waiting: BTreeMap<u64, Guest>,
    next: u64,
    /// Since when the connections of an address are counted, and how many they are.
    begun: BTreeMap<IpAddr, (Duration, u32)>,
}

#[derive(Debug, Clone, Copy)]
struct Guest {
    addr: IpAddr,
    is_known: bool,
}

/// What becomes of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Close it; why, as a metric's label.
    Refused(&'static str),
    /// It may prove itself.
    Admitted {
        /// For [`Admissions::leave`].
        ticket: u64,
        /// Close this one instead.
        evicted: Option<u64>,
    },
}

impl Admissions {
    /// A connection from this address. `is_known`: it is the address of a member or seed. `now`: monotonic.
    pub(super) fn admit(&mut self, addr: IpAddr, is_known: bool, now: Duration) -> Admission {
        let addr = if is_known { addr } else { network(addr) };
        let each = if is_known { KNOWN_EACH } else { STRANGER_EACH };
        if !is_known && !self.count(addr, now) {
            return Admission::Refused("rate");
        }
        // Tickets grow: the first is the one that waits longest.
        let longest = |fits: &dyn Fn(&Guest) -> bool, places: usize| {
            let fit = || self.waiting.iter().filter(|(_, guest)| fits(guest)).map(|(ticket, _)| *ticket);
            if fit().count() >= places { fit().next() } else { None }
        };
        let neighbour = longest(&|guest| guest.addr == addr && guest.is_known == is_known, each);
        let evicted = match neighbour {
            None if !is_known => longest(&|guest| !guest.is_known, STRANGERS),
            neighbour => neighbour,
        };
        if let Some(evicted) = evicted {
            self.waiting.remove(&evicted);
        }
        let ticket = self.next;
        self.next += 1;
        self.waiting.insert(ticket, Guest { addr, is_known });
        Admission::Admitted { ticket, evicted }
    }

    /// It has proved itself, or is closed.
    pub(super) fn leave(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// Counts one more of an address; false: it is one too many, or there are too many addresses.
    fn count(&mut self, addr: IpAddr, now: Duration) -> bool {
        let is_over = |since: Duration| now.saturating_sub(since) >= SECOND;
        if self.begun.len() >= COUNTED_MAX && !self.begun.contains_key(&addr) {
            self.begun.retain(|_, (since, _)| !is_over(*since));
            if self.begun.len() >= COUNTED_MAX {
                return false;
            }
        }
        let (since, count) = self.begun.entry(addr).or_insert((now, 0));
        if is_over(*since) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= STRANGER_RATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn stranger(n: u16) -> IpAddr {
        let [high, low] = n.to_be_bytes();
        [198, 51, high, low].into()
    }

    fn admit(gate: &mut Admissions, addr: IpAddr, is_known: bool) -> (Option<u64>, Option<u64>) {
        match gate.admit(addr, is_known, NOW) {
            Admission::Admitted { ticket, evicted } => (Some(ticket), evicted),
            Admission::Refused(_) => (None, None),
        }
    }

    #[test]
    fn strangers_from_anywhere_take_no_place_of_members() {
        let mut gate = Admissions::default();
        for n in 0..10_000 {
            let _ = gate.admit(stranger(n), false, NOW);
        }
        assert_eq!(gate.waiting.len(), STRANGERS);
        let member: IpAddr = [10, 0, 0, 1].into();
        let mut tickets = Vec::new();
        for _ in 0..KNOWN_EACH {
            let (Some(ticket), None) = admit(&mut gate, member, true) else { panic!("no place of its own") };
            tickets.push(ticket);
        }
        assert_eq!(
            admit(&mut gate, member, true).1,
            Some(tickets[0]),
            "its own connections make room, the oldest first"
        );
        assert!(matches!(admit(&mut gate, [10, 0, 0, 2].into(), true), (Some(_), None)), "another member has its own");
    }

    #[test]
    fn one_address_has_few_places_and_gets_them_back() {
        let mut gate = Admissions::default();
        let tickets: Vec<_> = (0..STRANGER_EACH).map(|_| admit(&mut gate, stranger(1), false).0.unwrap()).collect();
        assert_eq!(admit(&mut gate, stranger(1), false).1, Some(tickets[0]), "who shares the address has a chance");
        assert_eq!(admit(&mut gate, stranger(2), false).1, None);
        gate.leave(tickets[3]);
        assert_eq!(admit(&mut gate, stranger(1), false).1, None);
    }

    #[test]
    fn the_stranger_that_waits_longest_makes_room() {
        let mut gate = Admissions::default();
        for n in 0..STRANGERS {
            admit(&mut gate, stranger(u16::try_from(n).unwrap()), false);
        }
        assert_eq!(admit(&mut gate, stranger(7_000), false).1, Some(0));
        assert_eq!(admit(&mut gate, stranger(7_001), false).1, Some(1));
        assert_eq!(gate.waiting.len(), STRANGERS);
    }

    #[test]
    fn an_address_begins_so_many_in_a_second() {
        let mut gate = Admissions::default();
        let mut tries = |now| {
            let all = (0..100).filter(|_| match gate.admit(stranger(1), false, now) {
                Admission::Admitted { ticket, .. } => {
                    gate.leave(ticket);
                    true
                }
                Admission::Refused(why) => {
                    assert_eq!(why, "rate");
                    false
                }
            });
            all.count()
        };
        assert_eq!(tries(NOW), 32);
        assert_eq!(tries(NOW + Duration::from_millis(900)), 0);
        assert_eq!(tries(NOW + SECOND), 32);
    }
}
