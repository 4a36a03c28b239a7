//! A door for fuzzers: any bytes, into the decoder and into a live member.

use std::time::Duration;

use quorate_proto::identity::Versions;
use quorate_proto::{Generation, Identity, Instance, MemberId};

use super::bytes::Reader;
use super::codec::Codec;
use super::packet_filter::Parsed;
use super::peer::Peer;
use super::{Membership, Output};
use crate::cluster::clock::Now;
use crate::cluster::settings::Profile;

/// Feeds bytes to the decoder and to a member that has company, then lets its timers run. Never panics.
///
/// The bytes are taken twice: whole, as one datagram, and as a list of datagrams, each preceded by its length in one
/// byte. What is accepted must encode to the bytes it came from. Says whether the whole was a packet.
pub fn fuzz_datagram(bytes: &[u8]) -> bool {
    let (Some(mut one), Some(mut other)) = (agent(1), agent(2)) else { return false };
    let mut now = Now::default();
    let addr = |agent: &Membership| agent.identity().map(|own| own.gossip_addr);
    let (Some(here), Some(there)) = (addr(&one), addr(&other)) else { return false };
    one.handle_seeds(vec![there], now);
    for _ in 0..20 {
        exchange(&mut one, &mut other, now);
        now.mono += Duration::from_millis(50);
    }
    let accepted = check_canonical(&one.codec, bytes);
    one.handle_datagram(there, bytes, now);
    let mut reader = Reader::new(bytes);
    while let Ok(length) = reader.byte() {
        let Ok(datagram) = reader.slice(usize::from(length)) else { break };
        one.handle_datagram(there, datagram, now);
        now.mono += Duration::from_millis(30);
        exchange(&mut one, &mut other, now);
    }
    for _ in 0..20 {
        now.mono += Duration::from_millis(200);
        exchange(&mut one, &mut other, now);
    }
    one.leave(now);
    one.handle_datagram(here, bytes, now);
    exchange(&mut one, &mut other, now);
    accepted
}

fn agent(number: u8) -> Option<Membership> {
    let addr = std::net::SocketAddr::from(([10, 0, 0, number], 8559));
    let identity = Identity {
        id: MemberId::new(format!("fuzz-{number}")).ok()?,
        instance: Instance([number; 16]),
        generation: Generation(1_000),
        bump: 0,
        gossip_addr: addr,
        api_addr: addr,
        address: String::new(),
        versions: Versions::OURS,
        software: (0, 1, 0),
    };
    Some(Membership::new(identity, &Profile::Lan.timing().gossip, [number; 32], Now::default()))
}

/// Fires what is due and carries packets between the two; other addresses lead nowhere.
fn exchange(one: &mut Membership, other: &mut Membership, now: Now) {
    for _ in 0..8 {
        one.handle_timeout(now);
        other.handle_timeout(now);
        for there in [true, false] {
            let (sender, receiver) = if there { (&mut *one, &mut *other) } else { (&mut *other, &mut *one) };
            let Some(source) = sender.identity().map(|own| own.gossip_addr) else { return };
            let target = receiver.identity().map(|own| own.gossip_addr);
            while let Some(output) = sender.poll_output() {
                match output {
                    Output::Transmit { to, payload } if Some(to) == target => {
                        receiver.handle_datagram(source, &payload, now);
                    }
                    Output::AdoptGeneration(generation) => sender.handle_generation(generation, now),
                    Output::Transmit { .. } | Output::Event(_) | Output::Left => {}
                }
            }
        }
    }
}

fn check_canonical(codec: &Codec, bytes: &[u8]) -> bool {
    let Ok(parsed) = Parsed::read(codec, bytes) else { return false };
    for record in &parsed.records {
        let mut again = Vec::new();
        let put = Codec::put_member(&record.member, &mut again);
        assert!(put.is_ok() && bytes.windows(again.len()).any(|window| window == again), "a record has one encoding");
    }
    if !matches!(parsed.header.dst, Peer::Stranger) && parsed.header.message != foca::Message::Announce {
        let mut again = Vec::new();
        let put = Codec::put_header(&parsed.header, &mut again);
        assert!(put.is_ok() && bytes.starts_with(&again), "a header has one encoding");
    }
    true
}
