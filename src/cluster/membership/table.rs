//! The members as the application sees them, and the events that a change of them makes.
//!
//! foca's own table is the truth; after every call it is compared with this one. Comparing, rather than listening to
//! foca's notifications, also shows suspicions that were only heard of, and shows a down and an up within one packet as
//! what they are together. A new bump of a member means nothing here: it is the same process.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use foca::State;
use quorate_proto::{Generation, Identity, MemberId};

use super::codec::LEFT;
use super::peer::{Peer, Tag};
use super::{Event, Member};
use crate::cluster::view::MemberState;

/// Most members known at once, the gone ones included: a bound on memory, far above any cluster this is for.
pub const MEMBERS_MAX: usize = 1_024;
/// How long a member that is gone is remembered.
pub(super) const REMEMBERED: Duration = Duration::from_hours(24);

#[derive(Debug)]
struct Entry {
    peer: Peer,
    member: Member,
}

/// Every member by id, this agent included.
#[derive(Debug)]
pub(super) struct Table {
    own: MemberId,
    entries: BTreeMap<MemberId, Entry>,
}

impl Table {
    pub(super) fn new(own: &Peer, identity: &Identity, now: Duration) -> Self {
        let member = Member {
            identity: identity.clone(),
            state: MemberState::Alive,
            incarnation: 0,
            since: now,
            alive_since: now,
        };
        let entry = Entry { peer: own.clone(), member };
        Self { own: identity.id.clone(), entries: BTreeMap::from([(identity.id.clone(), entry)]) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.entries.values().map(|entry| &entry.member)
    }

    pub(super) fn others(&self) -> impl Iterator<Item = (&Peer, &Member)> {
        self.entries.values().filter(|entry| entry.member.identity.id != self.own).map(|e| (&e.peer, &e.member))
    }

    pub(super) fn get(&self, id: &MemberId) -> Option<(&Peer, &Member)> {
        self.entries.get(id).map(|entry| (&entry.peer, &entry.member))
    }

    /// The member of that tag, in the life that began with this generation.
    pub(super) fn named(&self, tag: Tag, generation: Generation) -> Option<Identity> {
        let mut known = self.others().map(|(peer, _)| peer).filter(|peer| peer.tag() == Some(tag));
        let identity = known.next()?.identity()?;
        (identity.generation == generation && identity.bump == 0).then(|| identity.clone())
    }

    /// Whether a member answers, as far as is known; a suspect does until it is down.
    pub(super) fn is_present(&self, id: &MemberId) -> bool {
        self.entries.get(id).is_some_and(|entry| is_active(entry.member.state))
    }

    /// Gossip addresses of present members, this agent's included.
    pub(super) fn present_addresses(&self) -> BTreeSet<SocketAddr> {
        self.iter().filter(|member| is_active(member.state)).map(|member| member.identity.gossip_addr).collect()
    }

    /// Members by state: alive, suspect, down, left.
    pub(super) fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for member in self.iter() {
            counts[match member.state {
                MemberState::Alive => 0,
                MemberState::Suspect => 1,
                MemberState::Down => 2,
                MemberState::Left => 3,
            }] += 1;
        }
        counts
    }

    /// Whether one more fits beside those known and `admitted` others.
    pub(super) fn has_room(&self, admitted: usize) -> bool {
        self.entries.len() + admitted < MEMBERS_MAX
    }

    /// The member that has been gone longest.
    pub(super) fn longest_gone(&self) -> Option<Peer> {
        let gone = self.others().filter(|(_, member)| !is_active(member.state));
        gone.min_by_key(|(_, member)| member.since).map(|(peer, _)| peer.clone())
    }

    /// Members that have been gone since before `deadline`.
    pub(super) fn gone_before(&self, deadline: Duration) -> Vec<Peer> {
        let gone = self.others().filter(|(_, member)| !is_active(member.state) && member.since <= deadline);
        gone.map(|(peer, _)| peer.clone()).collect()
    }

    /// This agent's own entry: a new identity or incarnation.
    pub(super) fn observe_self(&mut self, own: &Peer, incarnation: u16) {
        if let (Some(entry), Some(identity)) = (self.entries.get_mut(&self.own), own.identity()) {
            if entry.peer != *own {
                entry.peer = own.clone();
                entry.member.identity = identity.clone();
            }
            entry.member.incarnation = incarnation;
        }
    }

    /// One entry of foca's table, now.
    pub(super) fn observe(&mut self, known: &foca::Member<Peer>, now: Duration, events: &mut Vec<Event>) {
        let Some(identity) = known.id().identity() else { return };
        let state = match known.state() {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Down if known.incarnation() == LEFT => MemberState::Left,
            State::Down => MemberState::Down,
        };
        let incarnation = if state == MemberState::Left { 0 } else { known.incarnation() };
        let Some(entry) = self.entries.get_mut(&identity.id) else {
            let peer = known.id().clone();
            let member = Member { identity: identity.clone(), state, incarnation, since: now, alive_since: now };
            self.entries.insert(identity.id.clone(), Entry { peer, member });
            if is_active(state) {
                events.push(Event::Up { id: identity.id.clone(), restarted: false });
            }
            return;
        };
        let same = entry.peer == *known.id();
        // A leave that was heard of after the down stays known: foca only knows the down.
        let same_end =
            state == entry.member.state || (state, entry.member.state) == (MemberState::Down, MemberState::Left);
        if same && same_end && (entry.member.incarnation == incarnation || !is_active(state)) {
            return;
        }
        let was = entry.member.state;
        let restarted = !same && is_another_process(&entry.member.identity, identity);
        if !same {
            entry.peer = known.id().clone();
            entry.member.identity = identity.clone();
        }
        entry.member.incarnation = incarnation;
        if was != state || restarted {
            entry.member.since = now;
        }
        entry.member.state = state;
        if is_active(state) && (!is_active(was) || restarted) {
            entry.member.alive_since = now;
        }
        events.extend(event(&identity.id, was, state, restarted));
    }

    /// A packet says that this life of a member ended by leaving, after it was already taken for down.
    pub(super) fn observe_leave(&mut self, peer: &Peer, events: &mut Vec<Event>) {
        let entry = peer.identity().and_then(|identity| self.entries.get_mut(&identity.id));
        if let Some(entry) = entry.filter(|entry| entry.peer == *peer && entry.member.state == MemberState::Down) {
            entry.member.state = MemberState::Left;
            events.push(Event::Left { id: entry.member.identity.id.clone() });
        }
    }

    /// Drops entries that foca no longer has.
    pub(super) fn retain<'a>(&mut self, known: impl ExactSizeIterator<Item = &'a foca::Member<Peer>>) {
        if known.len() + 1 < self.entries.len() {
            let ids: BTreeSet<_> = known.filter_map(|member| member.id().identity()).map(|known| &known.id).collect();
            self.entries.retain(|id, _| *id == self.own || ids.contains(id));
        }
    }
}

pub(super) fn is_active(state: MemberState) -> bool {
    matches!(state, MemberState::Alive | MemberState::Suspect)
}

fn is_another_process(one: &Identity, other: &Identity) -> bool {
    (one.instance, one.generation) != (other.instance, other.generation)
}

fn event(id: &MemberId, was: MemberState, state: MemberState, restarted: bool) -> Option<Event> {
    use MemberState::{Alive, Down, Left, Suspect};
    let id = id.clone();
    Some(match (was, state) {
        (Down | Left, Alive | Suspect) => Event::Up { id, restarted },
        (Alive | Suspect, Alive | Suspect) if restarted => Event::Up { id, restarted },
        (Alive, Suspect) => Event::Suspect { id },
        (Suspect, Alive) => Event::Refuted { id },
        (Alive | Suspect, Down) => Event::Down { id },
        (Alive | Suspect | Down, Left) => Event::Left { id },
        (Alive, Alive) | (Suspect, Suspect) | (Down | Left, Down) | (Left, Left) => return None,
    })
}
