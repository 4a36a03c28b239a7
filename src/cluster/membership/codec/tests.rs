use proptest::prelude::*;
use quorate_proto::identity::{ADDRESS_MAX, IDENTITY_MAX, Versions};
use quorate_proto::ids::MEMBER_ID_MAX;
use quorate_proto::{Generation, Identity, Instance, MemberId};

use super::super::testing::identity;
use super::*;

fn cts(number: u8) -> Identity {
    Identity { id: MemberId::new(format!("cts-0{number}")).unwrap(), ..identity("a", 1_790_000_000_000) }
}

fn header(dst: &Peer, message: Message<Peer>) -> Header<Peer> {
    Header { src: Peer::new(cts(1)), src_incarnation: 0, dst: dst.clone(), message }
}

fn encoded(header: &Header<Peer>) -> Vec<u8> {
    let mut out = Vec::new();
    Codec::put_header(header, &mut out).unwrap();
    out
}

fn decoded(own: &Peer, bytes: &[u8]) -> Result<Header<Peer>, BytesError> {
    let mut reader = Reader::new(bytes);
    let header = Codec::new(own.clone()).read_header(&mut reader)?;
    if reader.left() == 0 { Ok(header) } else { Err(BytesError::Field("rest")) }
}

fn longest() -> Identity {
    Identity {
        id: MemberId::new("x".repeat(MEMBER_ID_MAX)).unwrap(),
        bump: u32::MAX,
        gossip_addr: "[2001:db8::1]:8559".parse().unwrap(),
        api_addr: "[2001:db8::2]:8558".parse().unwrap(),
        address: "h".repeat(ADDRESS_MAX),
        versions: Versions { min: 1, max: 255 },
        software: (u16::MAX, u16::MAX, u16::MAX),
        ..identity("a", (1 << 48) - 1)
    }
}

fn messages() -> Vec<Message<Peer>> {
    let third = Peer::new(cts(3));
    vec![
        Message::Ping(7),
        Message::Ack(7),
        Message::PingReq { target: third.clone(), probe_number: 7 },
        Message::IndirectPing { origin: third.clone(), probe_number: 7 },
        Message::IndirectAck { target: third.clone(), probe_number: 7 },
        Message::ForwardedAck { origin: third, probe_number: 7 },
        Message::Announce,
        Message::Feed,
        Message::Gossip,
        Message::Broadcast,
        Message::TurnUndead,
    ]
}

#[test]
fn the_bytes_of_a_ping_are_as_specified() {
    // Of version 1 only: an identity without anything unusual.
    let src = Peer::new(Identity { versions: Versions { min: 1, max: 1 }, ..cts(1) });
    let bytes = encoded(&Header { src, ..header(&Peer::new(cts(2)), Message::Ping(7)) });
    let hex = bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let expected = concat!(
        "00",                               // Ping
        "00",                               // identity: nothing unusual
        "066374732d3031",                   // cts-01
        "61616161616161616161616161616161", // instance
        "01a0c4506c00",                     // generation
        "0a000061216f",                     // gossip address
        "216e",                             // API port, same host
        "000100",                           // software 0.1.0
        "9af3715bde0c80c4",                 // receiver
        "01a0c4506c00",                     // its generation
        "07",                               // probe number
    );
    assert_eq!(hex, expected);
    assert!(bytes.len() + 2 <= 60, "with the count of records: {}", bytes.len() + 2);
}

#[test]
fn every_message_comes_back_as_it_was() {
    let own = Peer::new(cts(2));
    for message in messages() {
        for incarnation in [0, 1, u16::MAX] {
            for dst in [own.clone(), own.at(Generation(5), 0), own.at(Generation(5), 300)] {
                let sent = Header { src_incarnation: incarnation, ..header(&dst, message.clone()) };
                assert_eq!(decoded(&own, &encoded(&sent)), Ok(sent));
            }
        }
    }
}

#[test]
fn a_seed_that_is_known_by_address_only_reads_its_own_name() {
    let seed = Peer::Address("192.0.2.1:8559".parse().unwrap());
    let own = Peer::new(cts(2));
    let bytes = encoded(&header(&seed, Message::Announce));
    assert_eq!(decoded(&own, &bytes).unwrap().dst, own);
    let ping = Codec::put_header(&header(&seed, Message::Ping(1)), &mut Vec::new());
    assert_eq!(ping, Err(BytesError::Field("destination")), "nothing but an announce may be for whoever answers");
    let mut forged = bytes;
    forged[0] = forged[0] & !KIND_MASK | GOSSIP;
    assert!(decoded(&own, &forged).is_err());
}

#[test]
fn a_packet_for_another_member_or_data_directory_is_for_a_stranger() {
    let bytes = encoded(&header(&Peer::new(cts(2)), Message::Ping(1)));
    assert_eq!(decoded(&Peer::new(cts(3)), &bytes).unwrap().dst, Peer::Stranger);
    let other = Peer::new(Identity { instance: Instance([1; 16]), ..cts(2) });
    assert_eq!(decoded(&other, &bytes).unwrap().dst, Peer::Stranger);
}

#[test]
fn the_longest_identity_fits_its_bound_and_survives() {
    let mut out = Vec::new();
    put_identity(&mut out, &longest()).unwrap();
    assert_eq!(out.len(), IDENTITY_MAX);
    assert_eq!(Reader::new(&out).identity(), Ok(longest()));
    let late = Identity { generation: Generation(1 << 48), ..cts(1) };
    assert_eq!(put_identity(&mut Vec::new(), &late), Err(BytesError::Field("generation")));
}

#[test]
fn a_cut_off_packet_is_refused_at_every_length() {
    let own = Peer::new(cts(2));
    for message in messages() {
        let bytes = encoded(&header(&own, message));
        for length in 0..bytes.len() {
            assert!(decoded(&own, &bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
    }
}

#[test]
fn a_member_that_left_is_down_with_the_highest_incarnation() {
    for (state, incarnation, first) in [
        (State::Alive, 0, 0),
        (State::Suspect, 9, STATE_SUSPECT | RECORD_INCARNATION),
        (State::Down, 0, STATE_DOWN),
        (State::Down, LEFT, STATE_LEFT),
    ] {
        let member = foca::Member::new(Peer::new(cts(1)), incarnation, state);
        let mut bytes = Vec::new();
        Codec::put_member(&member, &mut bytes).unwrap();
        assert_eq!(bytes[0], first);
        assert_eq!(Codec::read_member(&mut Reader::new(&bytes)), Ok(member));
    }
}

#[test]
fn an_address_that_leads_nowhere_is_refused() {
    for bad in ["0.0.0.0:8559", "10.0.0.1:0", "224.0.0.1:8559", "[::]:8559"] {
        let mut bytes = Vec::new();
        put_identity(&mut bytes, &Identity { gossip_addr: bad.parse().unwrap(), ..cts(1) }).unwrap();
        assert_eq!(Reader::new(&bytes).identity(), Err(BytesError::Field("gossip address")), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_is_accepted_encodes_to_the_same_bytes(flips in prop::collection::vec((0..400_usize, any::<u8>()), 1..4), which in 0..11_usize) {
        let own = Peer::new(cts(2));
        let mut bytes = encoded(&Header { src: Peer::new(longest()), ..header(&own, messages().swap_remove(which)) });
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Ok(header) = decoded(&own, &bytes) && header.dst != Peer::Stranger && bytes[0] & TO_WHOEVER == 0 {
            prop_assert_eq!(encoded(&header), bytes);
        }
    }

    #[test]
    fn any_identity_survives(
        id in "[A-Za-z0-9._-]{1,63}", instance: [u8; 16], generation in 0..1_u64 << 48, bump: u32,
        gossip: std::net::SocketAddr, api: std::net::SocketAddr, address in "[a-z.]{0,100}", software: (u16, u16, u16),
        versions: (u8, u8),
    ) {
        let plain = |addr: std::net::SocketAddr| std::net::SocketAddr::new(addr.ip(), addr.port());
        let identity = Identity {
            id: MemberId::new(id).unwrap(), instance: Instance(instance), generation: Generation(generation), bump,
            gossip_addr: plain(gossip), api_addr: plain(api), address, software,
            versions: Versions { min: versions.0.min(versions.1), max: versions.0.max(versions.1) },
        };
        let mut bytes = Vec::new();
        put_identity(&mut bytes, &identity).unwrap();
        prop_assert!(bytes.len() <= IDENTITY_MAX);
        let usable = gossip.port() != 0 && !gossip.ip().is_unspecified() && !gossip.ip().is_multicast();
        prop_assert_eq!(Reader::new(&bytes).identity().ok(), usable.then_some(identity));
    }
}
