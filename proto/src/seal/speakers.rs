//! By which key each peer is spoken to while not everybody has the same ring.
//!
//! During a rotation some have a key that others lack. Whoever speaks has the key with which it speaks, so an answer by that key
//! is always understood. Two agents that only mirrored each other would never come to the new primary, and one that has not spoken
//! yet shows nothing. Hence three rules, for a ring of more than one key:
//!
//! - To a peer that speaks by our primary: by our primary.
//! - To a peer that speaks by another key of our ring: by that key, and each eighth time by our primary. If it has that, it
//!   answers by it, and both have arrived; if not, one datagram of eight is lost, as the network loses some anyway.
//! - To a peer not heard yet: by our primary, and each fourth time by another key in turn.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Fingerprint, Ring};

/// Addresses remembered, as many as there can be members. The one used longest ago is forgotten first.
const PEERS_MAX: usize = 1_024;
/// To a peer with another key, each so many a datagram goes by our primary.
const PRIMARY_EACH: u32 = 8;
/// To a peer not heard yet, each so many a datagram goes by another key than our primary.
const OTHER_EACH: u32 = 4;

/// What is known of the keys of peers. Only fed by what proved itself.
#[derive(Debug, Default)]
pub struct Speakers {
    peers: BTreeMap<SocketAddr, Peer>,
    /// Counts uses: the order of last use, without a clock.
    tick: u64,
}

#[derive(Debug, Default)]
struct Peer {
    /// The key by which it spoke last.
    heard: Option<Fingerprint>,
    /// Datagrams to it for which there was a choice.
    sent: u32,
    used: u64,
}

impl Speakers {
    /// An authentic datagram of this peer was sealed by that key.
    pub fn heard(&mut self, from: SocketAddr, by: Fingerprint) {
        self.peer(from).heard = Some(by);
    }

    /// The key for one datagram to a peer.
    pub fn choose(&mut self, to: SocketAddr, ring: &Ring) -> Fingerprint {
        let (primary, count) = (ring.primary(), ring.fingerprints().len());
        if count == 1 {
            return primary;
        }
        let peer = self.peer(to);
        let turn = peer.sent;
        peer.sent = turn.wrapping_add(1);
        match peer.heard.filter(|heard| ring.contains(*heard)) {
            Some(heard) if heard == primary || turn % PRIMARY_EACH == PRIMARY_EACH - 1 => primary,
            Some(heard) => heard,
            None if turn % OTHER_EACH == OTHER_EACH - 1 => {
                let other = turn / OTHER_EACH % u32::try_from(count - 1).unwrap_or(1);
                ring.fingerprints().nth(1 + usize::try_from(other).unwrap_or(0)).unwrap_or(primary)
            }
            None => primary,
        }
    }

    /// The keys for a connection to a peer, to be tried in this order: one that is refused is known at once.
    pub fn order(&self, to: SocketAddr, ring: &Ring) -> Vec<Fingerprint> {
        let heard = self.peers.get(&to).and_then(|peer| peer.heard);
        let mut order: Vec<_> = ring.fingerprints().collect();
        // Stable, so the others stay as they are.
        order.sort_by_key(|print| (*print != ring.primary(), Some(*print) != heard));
        order
    }

    fn peer(&mut self, addr: SocketAddr) -> &mut Peer {
        self.tick += 1;
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&addr) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.used).map(|(addr, _)| *addr);
            oldest.map(|oldest| self.peers.remove(&oldest));
        }
        let peer = self.peers.entry(addr).or_default();
        peer.used = self.tick;
        peer
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;

    fn key(byte: u8) -> Key {
        Key::from_bytes(&[byte; 32]).unwrap()
    }

    fn print(byte: u8) -> Fingerprint {
        Fingerprint::of(&key(byte))
    }

    fn addr(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn chosen(speakers: &mut Speakers, ring: &Ring, count: usize) -> Vec<Fingerprint> {
        (0..count).map(|_| speakers.choose(addr(1), ring)).collect()
    }

    #[test]
    fn a_peer_is_answered_by_its_key_and_offered_ours() {
        let ring = Ring::new([key(2), key(1)]).unwrap();
        let mut speakers = Speakers::default();
        speakers.heard(addr(1), print(1));
        let all = chosen(&mut speakers, &ring, 16);
        assert_eq!(all.iter().filter(|by| **by == print(2)).count(), 2);
        assert_eq!(all[0], print(1));
        speakers.heard(addr(1), print(2));
        assert!(chosen(&mut speakers, &ring, 16).iter().all(|by| *by == print(2)));
    }

    #[test]
    fn a_peer_not_heard_yet_is_addressed_by_every_key() {
        let ring = Ring::new([key(3), key(2), key(1)]).unwrap();
        let all = chosen(&mut Speakers::default(), &ring, 8);
        assert_eq!(all.iter().filter(|by| **by == print(3)).count(), 6);
        assert!(all.contains(&print(2)) && all.contains(&print(1)));
    }

    #[test]
    fn a_key_that_is_no_more_in_the_ring_is_not_used() {
        let mut speakers = Speakers::default();
        speakers.heard(addr(1), print(1));
        assert_eq!(chosen(&mut speakers, &Ring::of(key(2)), 3), [print(2); 3]);
        let ring = Ring::new([key(2), key(3)]).unwrap();
        assert!(!chosen(&mut speakers, &ring, 50).contains(&print(1)));
        assert_eq!(speakers.order(addr(1), &ring), [print(2), print(3)]);
    }

    #[test]
    fn a_connection_is_tried_by_our_primary_then_by_the_peers_key_and_then_by_all() {
        let ring = Ring::new([key(3), key(2), key(1)]).unwrap();
        let mut speakers = Speakers::default();
        assert_eq!(speakers.order(addr(1), &ring), [print(3), print(2), print(1)]);
        speakers.heard(addr(1), print(1));
        assert_eq!(speakers.order(addr(1), &ring), [print(3), print(1), print(2)]);
    }

    #[test]
    fn the_address_used_longest_ago_is_forgotten() {
        let mut speakers = Speakers::default();
        for port in 0..=1_024 {
            speakers.heard(addr(port), print(1));
        }
        assert_eq!(speakers.peers.len(), PEERS_MAX);
        assert!(!speakers.peers.contains_key(&addr(0)) && speakers.peers.contains_key(&addr(1_024)));
    }
}
