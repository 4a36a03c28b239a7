//! The advice about members: what gossip would say, with its delays; or nonsense (I12).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::leadership::Peer;
use quorate::cluster::view::MemberState;
use quorate_proto::{Generation, Instance, MemberId};

use super::clock::Real;
use super::dice::Dice;
use super::node::{Contact, Host};
use super::scenario::{Advice, MS};

/// How often the advice is looked at.
pub(crate) const PERIOD: Real = 100 * MS;
/// A member that is reached again is seen after this.
const SEEN_AFTER: Real = 200 * MS;
/// One that does not answer is suspected after this,
const SUSPECT_AFTER: Real = 400 * MS;
/// and down after this.
pub(crate) const DOWN_AFTER: Real = 1_200 * MS;

/// One look from one host at another.
pub(crate) fn look(contact: &mut Contact, other: &Host, reachable: bool, real: Real, local: Duration) {
    let life = other.running.as_ref().map_or(0, |r| r.life);
    if reachable && (!contact.reachable || contact.life != life) {
        *contact = Contact {
            reachable: true,
            since: real,
            instance: Some(other.disk.durable.instance),
            life,
            alive_since: local,
        };
    } else if !reachable && contact.reachable {
        contact.reachable = false;
        contact.since = real;
    }
}

/// What a failure detector makes of it.
fn verdict(contact: &Contact, real: Real) -> Option<MemberState> {
    contact.instance?;
    let since = real - contact.since;
    Some(match contact.reachable {
        true if since >= SEEN_AFTER => MemberState::Alive,
        true => MemberState::Suspect,
        false if since < SUSPECT_AFTER => MemberState::Alive,
        false if since < DOWN_AFTER => MemberState::Suspect,
        false => MemberState::Down,
    })
}

/// The whole advice that one host gets.
pub(crate) fn advise(
    me: usize,
    hosts: &[Host],
    advice: Advice,
    before: &BTreeMap<MemberId, Peer>,
    real: Real,
    dice: &mut Dice,
) -> BTreeMap<MemberId, Peer> {
    let mut peers = BTreeMap::new();
    for (i, contact) in hosts[me].contacts.iter().enumerate().filter(|(i, _)| *i != me) {
        let other = &hosts[i];
        if let (Some(state), Some(instance)) = (verdict(contact, real), contact.instance) {
            let generation = Generation(u64::from(contact.life));
            let peer = Peer {
                instance,
                addr: other.addr,
                generation,
                state,
                alive_since: contact.alive_since,
                has_horizon: true,
            };
            peers.insert(other.id.clone(), peer);
        }
    }
    match advice {
        Advice::Accurate => {}
        Advice::Erratic => {
            // A wrong state stays wrong for a while.
            for (id, peer) in &mut peers {
                let wrong = before.get(id).is_some_and(|b| b.state != peer.state && dice.percent(80));
                if wrong && let Some(had) = before.get(id) {
                    peer.state = had.state;
                } else if dice.percent(3) {
                    peer.state = any_state(dice);
                }
            }
        }
        Advice::Lying => {
            if !dice.percent(20) {
                return before.clone();
            }
            return lie(me, hosts, real, dice);
        }
    }
    peers
}

fn any_state(dice: &mut Dice) -> MemberState {
    [MemberState::Alive, MemberState::Suspect, MemberState::Down, MemberState::Left][dice.index(4)]
}

fn lie(me: usize, hosts: &[Host], real: Real, dice: &mut Dice) -> BTreeMap<MemberId, Peer> {
    let mut peers = BTreeMap::new();
    for (i, other) in hosts.iter().enumerate() {
        if i == me || dice.percent(10) {
            continue;
        }
        let instance = match dice.index(10) {
            0 => Instance([u8::try_from(dice.range(0, 255)).unwrap_or(0); 16]),
            1 => hosts[dice.index(hosts.len())].disk.durable.instance,
            _ => other.disk.durable.instance,
        };
        let addr: SocketAddr = if dice.percent(8) { hosts[dice.index(hosts.len())].addr } else { other.addr };
        let local = hosts[me].now(real).mono;
        let alive_since = local.mul_f64(dice.signed_unit().abs());
        let generation = Generation(dice.range(0, 9));
        peers.insert(
            other.id.clone(),
            Peer { instance, addr, generation, state: any_state(dice), alive_since, has_horizon: true },
        );
    }
    peers
}
