//! Failed tries of each address: after too many it is not listened to for a while.
//!
//! The same wrong token again is no new try: a script with a revoked token must not lock out everybody else behind its
//! address. Who guesses shows another one each time. And a token that was good from an address before is listened to whatever others
//! behind that address do. An IPv6 address counts with its neighbours of the same /64. The tables are bounded: when one is
//! full, the oldest entry goes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use quorate_proto::network;

/// Different wrong tokens that an address may show within [`WINDOW`].
const TRIES: usize = 10;
/// For how long tries count, from the first one on.
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses kept: some 150 bytes each.
const ADDRESSES: usize = 4096;

/// Not listened to for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked(pub Duration);

#[derive(Debug, Clone)]
struct Entry {
    since: Duration,
    shown: Vec<u64>,
}

/// Good tokens kept of each address.
const GOOD: usize = 16;

/// See the module. `now` is a clock that never goes back, `token` tells a token from others.
#[derive(Debug, Clone, Default)]
pub struct Tries {
    failed: BTreeMap<IpAddr, Entry>,
    /// What was good from an address, oldest first.
    good: BTreeMap<IpAddr, Good>,
}

#[derive(Debug, Clone)]
struct Good {
    since: Duration,
    tokens: Vec<u64>,
}

impl Tries {
    /// Whether to listen to this token from there.
    pub fn check(&self, address: IpAddr, token: u64, now: Duration) -> Result<(), Locked> {
        let place = network(address);
        let Some(entry) = self.failed.get(&place) else { return Ok(()) };
        let left = (entry.since + WINDOW).saturating_sub(now);
        let was_good = || self.good.get(&place).is_some_and(|good| good.tokens.contains(&token));
        if entry.shown.len() >= TRIES && !left.is_zero() && !was_good() { Err(Locked(left)) } else { Ok(()) }
    }

    /// A wrong token came from there. Whether the address is locked by that, now.
    pub fn failed(&mut self, address: IpAddr, token: u64, now: Duration) -> bool {
        let place = network(address);
        if let Some(good) = self.good.get_mut(&place) {
            good.tokens.retain(|other| *other != token);
        }
        if !self.failed.contains_key(&place) && self.failed.len() >= ADDRESSES {
            self.make_room(now);
        }
        let entry = self.failed.entry(place).or_insert_with(|| Entry { since: now, shown: Vec::new() });
        if now >= entry.since + WINDOW {
            *entry = Entry { since: now, shown: Vec::new() };
        }
        if entry.shown.len() >= TRIES || entry.shown.contains(&token) {
            return false;
        }
        entry.shown.push(token);
        entry.shown.len() == TRIES
    }

    /// A good token came from there.
    pub fn succeeded(&mut self, address: IpAddr, token: u64, now: Duration) {
        let place = network(address);
        if !self.good.contains_key(&place)
            && self.good.len() >= ADDRESSES
            && let Some(oldest) = self.good.iter().min_by_key(|(_, good)| good.since).map(|(place, _)| *place)
        {
            self.good.remove(&oldest);
        }
        let good = self.good.entry(place).or_insert_with(|| Good { since: now, tokens: Vec::new() });
        good.since = now;
        if !good.tokens.contains(&token) {
            if good.tokens.len() >= GOOD {
                good.tokens.remove(0);
            }
            good.tokens.push(token);
        }
    }

    /// Whether this token was found wrong from there a moment ago.
    pub fn is_wrong(&self, address: IpAddr, token: u64, now: Duration) -> bool {
        let entry = self.failed.get(&network(address)).filter(|entry| now < entry.since + WINDOW);
        entry.is_some_and(|entry| entry.shown.contains(&token))
    }

    fn make_room(&mut self, now: Duration) {
        self.failed.retain(|_, entry| now < entry.since + WINDOW);
        if self.failed.len() >= ADDRESSES
            && let Some(oldest) = self.failed.iter().min_by_key(|(_, entry)| entry.since).map(|(place, _)| *place)
        {
            self.failed.remove(&oldest);
        }
    }

    /// Addresses of which failures are kept.
    pub fn len(&self) -> usize {
        self.failed.len()
    }

    /// None is.
    pub fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_guesses_is_locked_until_the_window_has_passed() {
        let mut tries = Tries::default();
        for token in 0..10 {
            assert_eq!(tries.check(ip("10.0.0.1"), 77, at(token)), Ok(()));
            assert_eq!(tries.failed(ip("10.0.0.1"), token, at(token)), token == 9, "{token}");
        }
        assert_eq!(tries.check(ip("10.0.0.1"), 77, at(20)), Err(Locked(at(40))));
        assert_eq!(tries.check(ip("10.0.0.2"), 77, at(20)), Ok(()));
        assert_eq!(tries.check(ip("10.0.0.1"), 77, at(60)), Ok(()));
        assert!(!tries.failed(ip("10.0.0.1"), 99, at(60)));
        assert_eq!(tries.check(ip("10.0.0.1"), 77, at(61)), Ok(()));
    }

    #[test]
    fn the_same_wrong_token_is_one_try() {
        let mut tries = Tries::default();
        for second in 0..50 {
            tries.failed(ip("127.0.0.1"), 1, at(second));
        }
        assert_eq!(tries.check(ip("127.0.0.1"), 77, at(50)), Ok(()));
    }

    #[test]
    fn neighbours_of_ipv6_count_together_and_mapped_addresses_are_ipv4() {
        let mut tries = Tries::default();
        for token in 0..10 {
            tries.failed(ip(&format!("2001:db8:1:2::{token:x}")), token, at(0));
        }
        assert!(tries.check(ip("2001:db8:1:2:ffff::1"), 77, at(1)).is_err());
        assert!(tries.check(ip("2001:db8:1:3::1"), 77, at(1)).is_ok());
        for token in 0..10 {
            tries.failed(ip("::ffff:10.1.1.1"), token, at(0));
        }
        assert!(
            tries.check(ip("10.1.1.1"), 77, at(1)).is_err() && tries.check(ip("::ffff:10.1.1.2"), 77, at(1)).is_ok()
        );
    }

    #[test]
    fn a_token_that_was_good_is_listened_to_whatever_its_neighbours_do() {
        let mut tries = Tries::default();
        tries.succeeded(ip("10.0.0.1"), 7, at(0));
        for token in 100..120 {
            tries.failed(ip("10.0.0.1"), token, at(1));
        }
        assert_eq!(tries.check(ip("10.0.0.1"), 7, at(2)), Ok(()));
        assert!(tries.check(ip("10.0.0.1"), 8, at(2)).is_err() && tries.is_wrong(ip("10.0.0.1"), 100, at(2)));
        assert!(!tries.is_wrong(ip("10.0.0.1"), 100, at(99)) && !tries.is_wrong(ip("10.0.0.1"), 7, at(2)));
        // It was revoked.
        tries.failed(ip("10.0.0.1"), 7, at(3));
        assert!(tries.check(ip("10.0.0.1"), 7, at(3)).is_err());
    }

    #[test]
    fn good_tokens_are_bounded_too() {
        let mut tries = Tries::default();
        for n in 0..10_000_u32 {
            tries.succeeded(IpAddr::from(n.to_be_bytes()), 1, at(u64::from(n)));
            tries.succeeded(ip("10.0.0.1"), u64::from(n), at(u64::from(n)));
        }
        assert_eq!((tries.good.len(), tries.good[&ip("10.0.0.1")].tokens.len()), (ADDRESSES, GOOD));
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_goes() {
        let mut tries = Tries::default();
        for n in 0..20_000_u32 {
            tries.failed(IpAddr::from(n.to_be_bytes()), 1, at(u64::from(n) / 1000));
        }
        assert_eq!(tries.len(), ADDRESSES);
        tries.failed(ip("10.0.0.1"), 1, at(1000));
        assert_eq!(tries.len(), 1);
    }
}
