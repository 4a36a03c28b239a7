//! A member the way foca needs to see it: one entry per name, compared cheaply, with seeds that have only an address.
//!
//! foca keeps one entry per [`foca::Identity::addr`]. Ours is a hash of the member id, so that an agent that comes
//! back at another address replaces its old entry instead of standing beside it: peers see a rename, not a flap.
//! Of two identities with one name the higher (generation, bump) wins; the remaining fields make the order total,
//! because foca lets the newcomer win ties and two equal ranks would replace each other for ever.

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::Arc;

use quorate_proto::{Generation, Identity, Instance, MemberId};

/// First bytes of a hash over instance and id: how a packet names its receiver (see `codec`).
pub(super) type Tag = [u8; 8];

/// Whom a packet is from, for or about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    /// A member.
    Known(Arc<Known>),
    /// Whoever answers there: the receiver of an Announce to a seed.
    Address(SocketAddr),
    /// The packet names a receiver that is not us.
    Stranger,
}

/// An identity with its hashes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Known {
    key: u128,
    tag: Tag,
    identity: Identity,
}

impl Peer {
    pub(super) fn new(identity: Identity) -> Self {
        let key = key_of(&identity.id);
        let tag = tag_of(&identity.id, identity.instance);
        Self::Known(Arc::new(Known { key, tag, identity }))
    }

    /// The identity, unless it is a placeholder.
    pub(super) fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Known(known) => Some(&known.identity),
            Self::Address(_) | Self::Stranger => None,
        }
    }

    /// The hash of the name; zero for placeholders, which no name hashes to.
    pub(super) fn key(&self) -> u128 {
        match self {
            Self::Known(known) => known.key,
            Self::Address(_) | Self::Stranger => 0,
        }
    }

    pub(super) fn tag(&self) -> Option<Tag> {
        match self {
            Self::Known(known) => Some(known.tag),
            Self::Address(_) | Self::Stranger => None,
        }
    }

    /// Where to send.
    pub(super) fn destination(&self) -> Option<SocketAddr> {
        match self {
            Self::Known(known) => Some(known.identity.gossip_addr),
            Self::Address(addr) => Some(*addr),
            Self::Stranger => None,
        }
    }

    /// The same member in another life.
    pub(super) fn at(&self, generation: Generation, bump: u32) -> Self {
        match self {
            Self::Known(known) if (known.identity.generation, known.identity.bump) != (generation, bump) => {
                let identity = Identity { generation, bump, ..known.identity.clone() };
                Self::Known(Arc::new(Known { key: known.key, tag: known.tag, identity }))
            }
            Self::Known(_) | Self::Address(_) | Self::Stranger => self.clone(),
        }
    }
}

impl foca::Identity for Peer {
    type Addr = u128;

    /// Never by itself: the driver renews, with a back-off (rule R7).
    fn renew(&self) -> Option<Self> {
        None
    }

    fn addr(&self) -> u128 {
        self.key()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        match (self.identity(), adversary.identity()) {
            (Some(ours), Some(theirs)) => rank(ours, theirs) == Ordering::Greater,
            (known, _) => known.is_some(),
        }
    }
}

fn rank(a: &Identity, b: &Identity) -> Ordering {
    (a.generation, a.bump).cmp(&(b.generation, b.bump)).then_with(|| a.cmp(b))
}

/// 128 bits of a hash of the name: foca compares it for every member and packet.
pub(super) fn key_of(id: &MemberId) -> u128 {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(id.as_str().as_bytes()).as_bytes()[..16]);
    u128::from_be_bytes(first)
}

fn tag_of(id: &MemberId, instance: Instance) -> Tag {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&instance.0);
    hasher.update(id.as_str().as_bytes());
    let mut tag = [0; 8];
    tag.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    tag
}

#[cfg(test)]
mod tests {
    use foca::Identity as _;

    use super::super::testing::identity;
    use super::*;

    #[test]
    fn of_two_lives_exactly_one_wins() {
        let old = Peer::new(identity("a", 1));
        let renewed = old.at(Generation(1), 1);
        let restarted = old.at(Generation(2), 0);
        let elsewhere = Peer::new(Identity { gossip_addr: "10.9.9.9:1".parse().unwrap(), ..identity("a", 1) });
        for (low, high) in [(&old, &renewed), (&renewed, &restarted)] {
            assert!(high.win_addr_conflict(low) && !low.win_addr_conflict(high));
        }
        assert_ne!(old.win_addr_conflict(&elsewhere), elsewhere.win_addr_conflict(&old), "equal ranks are ordered too");
        assert!(!old.win_addr_conflict(&old.clone()));
    }

    #[test]
    fn a_member_at_another_address_has_the_same_key() {
        let here = identity("a", 1);
        let there = Identity { gossip_addr: "10.9.9.9:1".parse().unwrap(), generation: Generation(2), ..here.clone() };
        assert_eq!(Peer::new(here).addr(), Peer::new(there).addr());
    }
}
