//! Failed tries of each address: after too many it is not listened to for a while.
//!
//! The same wrong token again is no new try: a script with a revoked token must not lock out everybody else behind its
//! address. Who guesses shows another one each time. An IPv6 address counts with its neighbours of the same /64, which one
//! customer usually has all of. The table is bounded: when it is full, the oldest entry goes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

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

/// See the module. `now` is a clock that never goes back.
#[derive(Debug, Clone, Default)]
pub struct Tries(BTreeMap<IpAddr, Entry>);

fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Tries {
    /// Whether to listen to a token from there.
    pub fn check(&self, address: IpAddr, now: Duration) -> Result<(), Locked> {
        let Some(entry) = self.0.get(&place(address)) else { return Ok(()) };
        let left = (entry.since + WINDOW).saturating_sub(now);
        if entry.shown.len() >= TRIES && !left.is_zero() { Err(Locked(left)) } else { Ok(()) }
    }

    /// A wrong token came from there; `token` tells it from others. Whether the address is locked by that, now.
    pub fn failed(&mut self, address: IpAddr, token: u64, now: Duration) -> bool {
        let place = place(address);
        if !self.0.contains_key(&place) && self.0.len() >= ADDRESSES {
            self.make_room(now);
        }
        let entry = self.0.entry(place).or_insert_with(|| Entry { since: now, shown: Vec::new() });
        if now >= entry.since + WINDOW {
            *entry = Entry { since: now, shown: Vec::new() };
        }
        if entry.shown.len() >= TRIES || entry.shown.contains(&token) {
            return false;
        }
        entry.shown.push(token);
        entry.shown.len() == TRIES
    }

    fn make_room(&mut self, now: Duration) {
        self.0.retain(|_, entry| now < entry.since + WINDOW);
        if self.0.len() >= ADDRESSES
            && let Some(oldest) = self.0.iter().min_by_key(|(_, entry)| entry.since).map(|(place, _)| *place)
        {
            self.0.remove(&oldest);
        }
    }

    /// Addresses that are kept.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
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
            assert_eq!(tries.check(ip("10.0.0.1"), at(token)), Ok(()));
            assert_eq!(tries.failed(ip("10.0.0.1"), token, at(token)), token == 9, "{token}");
        }
        assert_eq!(tries.check(ip("10.0.0.1"), at(20)), Err(Locked(at(40))));
        assert_eq!(tries.check(ip("10.0.0.2"), at(20)), Ok(()));
        assert_eq!(tries.check(ip("10.0.0.1"), at(60)), Ok(()));
        assert!(!tries.failed(ip("10.0.0.1"), 99, at(60)));
        assert_eq!(tries.check(ip("10.0.0.1"), at(61)), Ok(()));
    }

    #[test]
    fn the_same_wrong_token_is_one_try() {
        let mut tries = Tries::default();
        for second in 0..50 {
            tries.failed(ip("127.0.0.1"), 1, at(second));
        }
        assert_eq!(tries.check(ip("127.0.0.1"), at(50)), Ok(()));
    }

    #[test]
    fn neighbours_of_ipv6_count_together_and_mapped_addresses_are_ipv4() {
        let mut tries = Tries::default();
        for token in 0..10 {
            tries.failed(ip(&format!("2001:db8:1:2::{token:x}")), token, at(0));
        }
        assert!(tries.check(ip("2001:db8:1:2:ffff::1"), at(1)).is_err());
        assert!(tries.check(ip("2001:db8:1:3::1"), at(1)).is_ok());
        for token in 0..10 {
            tries.failed(ip("::ffff:10.1.1.1"), token, at(0));
        }
        assert!(tries.check(ip("10.1.1.1"), at(1)).is_err() && tries.check(ip("::ffff:10.1.1.2"), at(1)).is_ok());
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
