//! What is done with a datagram before and around foca.
//!
//! foca keeps nobody out and tells little, so a few things are decided here first: who speaks under our own name,
//! whether others remember a later life of us (R8), whether a member may enter a full table, what a banned instance
//! says, and which records are about us although they are not. Such records are cut out: foca would answer them by
//! declaring our namesake down, which the namesake would answer in kind.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use foca::Message;
use quorate_proto::{Generation, Identity};

use super::packet_filter::Parsed;
use super::peer::Peer;
use super::renewals::BUMP_BELIEVED;
use super::rules::Rule;
use super::timers::Chore;
use super::{Membership, Output, PACKET_MAX, Phase, short_acks, table};
use crate::cluster::Now;

impl Membership {
    /// A SWIM datagram arrived: unsealed, without the byte that says its kind. `from` is where it came from on the
    /// network, which with address translation is not what the sender says; that is the answer, if it can be read.
    pub fn handle_datagram(&mut self, from: SocketAddr, payload: &[u8], now: Now) -> Option<SocketAddr> {
        if matches!(self.phase, Phase::Leaving | Phase::Left) {
            // A record of our own leave coming back would make us join again.
            return None;
        }
        self.stats.packets_in += 1;
        self.stats.bytes_in += payload.len() as u64;
        if payload.len() > PACKET_MAX {
            self.stats.count("too_big");
            return None;
        }
        let Some(payload) = short_acks::expand(payload, |tag, generation| self.table.named(tag, generation)) else {
            self.stats.count("unknown_sender");
            return None;
        };
        let payload = &*payload;
        let Ok(parsed) = Parsed::read(&self.codec, payload) else {
            self.stats.count("decode");
            return None;
        };
        if self.screen_sender(from, &parsed, now.mono) {
            let screened = self.screen_records(&parsed, payload, now.mono);
            let result = self.swim.handle_data(screened.as_deref().unwrap_or(payload), &mut self.effects);
            self.settle(result, now.mono);
        }
        parsed.header.src.identity().map(|identity| identity.gossip_addr)
    }

    /// Decides about the sender. False: nothing more is done with the datagram.
    fn screen_sender(&mut self, from: SocketAddr, parsed: &Parsed, now: Duration) -> bool {
        let own = self.swim.identity().clone();
        let (Some(src), Some(ours)) = (parsed.header.src.identity(), own.identity()) else { return false };
        if self.banned.contains(&src.instance) {
            self.stats.count("banned");
            return false;
        }
        self.join_addresses.handle_answer(from, &src.id);
        if parsed.header.src.key() == own.key() {
            self.stats.count("from_ourselves");
            let alarm = self.conflicts.handle_namesake(ours, src, now.saturating_sub(self.started), now);
            self.outputs.extend(alarm.map(Output::Event));
            if src.instance == ours.instance {
                self.consider_later_life(src.generation, src.bump, now);
            }
            return false;
        }
        if parsed.header.dst == Peer::Stranger {
            self.stats.count("not_for_us");
            return false;
        }
        if let Some(remembered) = parsed.header.dst.identity() {
            self.consider_later_life(remembered.generation, remembered.bump, now);
        }
        if matches!(&parsed.header.message, Message::PingReq { target, .. } if target.key() == own.key()) {
            // A peer remembers an earlier bump of us and asks us to probe it: harmless, and nothing to do.
            self.stats.count("indirect_for_ourselves");
            return false;
        }
        let Some((peer, member)) = self.table.get(&src.id) else { return self.make_room(0, now) };
        let alarm = self.conflicts.handle_packet(src, &member.identity, now);
        // The old data directory is gone; the clock that numbered its starts says nothing about this one.
        let obsolete = member.identity.instance != src.instance && !table::is_active(member.state);
        let obsolete = obsolete.then(|| peer.clone());
        self.outputs.extend(alarm.map(Output::Event));
        if let Some(peer) = obsolete {
            self.forget(peer, now);
        }
        true
    }

    /// Decides about the records: the datagram without those that foca shall not see, if there are such.
    fn screen_records(&mut self, parsed: &Parsed, payload: &[u8], now: Duration) -> Option<Vec<u8>> {
        let own = self.swim.identity().clone();
        let mut events = Vec::new();
        let mut admitted = BTreeSet::new();
        for peer in std::iter::once(&parsed.header.src).chain(parsed.records.iter().map(|record| record.member.id())) {
            let unknown = peer.key() != own.key() && !self.knows(peer) && !admitted.contains(&peer.key());
            if unknown && self.make_room(admitted.len(), now) {
                admitted.insert(peer.key());
            }
        }
        for record in &parsed.records {
            let peer = record.member.id();
            if peer.key() == own.key() {
                self.hear_about_ourselves(peer, now);
            } else if record.is_leave() {
                self.table.observe_leave(peer, &mut events);
            }
        }
        self.outputs.extend(events.into_iter().map(Output::Event));
        parsed.without(payload, |record| {
            let peer = record.member.id();
            if peer.key() == own.key() {
                return *peer == own;
            }
            let banned = peer.identity().is_none_or(|identity| self.banned.contains(&identity.instance));
            !banned && (admitted.contains(&peer.key()) || self.knows(peer))
        })
    }

    fn knows(&self, peer: &Peer) -> bool {
        peer.identity().is_some_and(|identity| self.table.get(&identity.id).is_some())
    }

    /// Second-hand news about our name. About another data directory it proves nothing: that one may be long gone.
    fn hear_about_ourselves(&mut self, peer: &Peer, now: Duration) {
        let (Some(theirs), Some(ours)) = (peer.identity(), self.identity()) else { return };
        if theirs.instance == ours.instance {
            self.consider_later_life(theirs.generation, theirs.bump, now);
        }
    }

    /// R8: somebody remembers this of us. Ours must be later.
    fn consider_later_life(&mut self, generation: Generation, bump: u32, now: Duration) {
        let Some(own) = self.swim.identity().identity() else { return };
        let (ours, our_bump, own) = (own.generation, own.bump, own.clone());
        if !self.rules.keep(Rule::Adopt) {
            return;
        }
        if generation > ours {
            if let Some(next) = self.renewals.adopt(generation, now) {
                self.outputs.push_back(Output::AdoptGeneration(next));
            }
            if self.renewals.is_contested() {
                let other = Identity { generation, ..own.clone() };
                let alarm = self.conflicts.handle_namesake(&own, &other, Duration::MAX, now);
                self.outputs.extend(alarm.map(Output::Event));
            }
        } else if generation == ours && (our_bump.saturating_add(1)..BUMP_BELIEVED).contains(&bump) {
            self.rounds.bump_known = self.rounds.bump_known.max(bump);
            if !self.timers.is_set(Chore::Renew) {
                let at = self.renewals.schedule(self.rules.keep(Rule::Backoff), now);
                self.timers.set(Chore::Renew, at);
            }
        }
    }

    /// Whether one more than `admitted` new members may enter the table, after forgetting the one that has been gone
    /// longest if need be.
    fn make_room(&mut self, admitted: usize, now: Duration) -> bool {
        if self.table.has_room(admitted) {
            return true;
        }
        match self.table.longest_gone() {
            Some(peer) => self.forget(peer, now),
            None => self.stats.count("table_full"),
        }
        self.table.has_room(admitted)
    }
}
