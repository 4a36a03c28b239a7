//! Golden vectors: the bytes of every message, identity, datagram and plain frame, as WIRE.md describes them.
//!
//! `vectors.txt` holds lines `name = hex`. A difference means that agents of different versions would no longer
//! understand each other: if that is intended, raise the version and copy the file that the failure names.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail this way")]

use std::fmt::{Debug, Write};
use std::path::Path;

use quorate_proto::codec::{self, Wire};
use quorate_proto::identity::Versions;
use quorate_proto::message::{
    Body, Commits, Header, Message, Process, Proposal, Put, RefuseReason, Register, Renewal, Round, Value, Voter,
    Voters,
};
use quorate_proto::noise::Handshake;
use quorate_proto::seal::{Key, Kind, Opener, Sealer};
use quorate_proto::{BlobHash, BootNonce, ClusterId, Epoch, Generation, Identity, Instance, MemberId, Seq, Stamp};

#[test]
fn the_bytes_on_the_wire_have_not_changed() {
    let now = text();
    let golden = include_str!("vectors.txt");
    if now != golden {
        let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vectors.txt");
        std::fs::write(&copy, &now).unwrap();
        let changed = now.lines().find(|line| !golden.lines().any(|old| old == *line)).unwrap_or("a line is gone");
        panic!("the wire changed, first: {changed}\nif intended: cp {} proto/tests/vectors.txt", copy.display());
    }
}

#[test]
fn golden_bytes_decode_to_the_values_they_came_from() {
    for (name, body) in bodies() {
        decodes(&name, &message(body));
    }
    decodes("renewal", &renewal());
    decodes("identity", &identity("127.0.0.1:8559"));
    decodes("identity/v6", &identity("[2001:db8::1]:8559"));
    decodes("voters", &Voters(vec![voter("a"), voter("b")]));

    let key = key();
    for (name, key) in [("datagram/sealed", Some(&key)), ("datagram/plain", None)] {
        let opened = Opener::new("edge", key).open(&golden(name)).unwrap();
        assert_eq!((opened.kind, opened.plain), (Kind::Control, b"hello".to_vec()), "{name}");
    }
    let mut handshake = Handshake::responder("edge", None).unwrap();
    handshake.feed(&golden("hello/plain")).unwrap();
    handshake.poll_output().unwrap();
    let mut channel = handshake.finish().unwrap();
    channel.feed(&golden("frame/plain"));
    assert_eq!(channel.next_frame().unwrap(), Some(b"hello".to_vec()));
}

fn decodes<T: Wire + PartialEq + Debug>(name: &str, value: &T) {
    assert_eq!(codec::decode_frame::<T>(&golden(name)).unwrap(), *value, "{name}");
}

fn golden(name: &str) -> Vec<u8> {
    let line = include_str!("vectors.txt").lines().find_map(|line| line.strip_prefix(&format!("{name} = ")));
    let hex = line.expect("a line of that name").as_bytes();
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// What the file must hold.
fn text() -> String {
    let mut text = String::new();
    let mut line = |name: &str, bytes: &[u8]| {
        write!(text, "{name} = ").unwrap();
        for byte in bytes {
            write!(text, "{byte:02x}").unwrap();
        }
        text.push('\n');
    };
    for number in [0, 250, 251, 65_535, 65_536, 4_294_967_295, 4_294_967_296_u64] {
        line(&format!("varint/{number}"), &codec::encode(&number).unwrap());
    }
    line("header", &codec::encode(&header()).unwrap());
    for (name, body) in bodies() {
        line(&name, &codec::encode(&message(body)).unwrap());
    }
    line("renewal", &codec::encode(&renewal()).unwrap());
    line("identity", &codec::encode(&identity("127.0.0.1:8559")).unwrap());
    line("identity/v6", &codec::encode(&identity("[2001:db8::1]:8559")).unwrap());
    line("voters", &codec::encode(&Voters(vec![voter("a"), voter("b")])).unwrap());

    let key = key();
    for (name, key) in [("datagram/sealed", Some(&key)), ("datagram/plain", None)] {
        let mut sealer = Sealer::new("edge", key, *b"session1");
        line(name, &sealer.seal(Kind::Control, b"hello").unwrap());
    }
    let mut initiator = Handshake::initiator("edge", None).unwrap();
    let hello = initiator.poll_output().unwrap();
    line("hello/plain", &hello);
    initiator.feed(&hello).unwrap();
    line("frame/plain", &initiator.finish().unwrap().seal_frame(b"hello").unwrap());
    text
}

fn key() -> Key {
    Key::from_bytes(&(0..32).collect::<Vec<u8>>()).unwrap()
}

fn id(text: &str) -> MemberId {
    MemberId::new(text).unwrap()
}

fn voter(text: &str) -> Voter {
    Voter { id: id(text), instance: Instance([text.as_bytes()[0]; 16]) }
}

fn process(text: &str) -> Process {
    Process { id: id(text), instance: Instance([text.as_bytes()[0]; 16]), boot: BootNonce([0xb0; 16]) }
}

fn stamp(epoch: u64, seq: u64) -> Stamp {
    Stamp { epoch: Epoch(epoch), seq: Seq(seq) }
}

fn header() -> Header {
    Header {
        cluster: Some(ClusterId([0xc1; 16])),
        from: process("a"),
        voters: stamp(7, 1),
        commits: Commits { started: 40, now: 300 },
    }
}

fn message(body: Body) -> Message {
    Message { header: header(), body }
}

/// The short form of `message/Renew`.
fn renewal() -> Renewal {
    let renew = bodies().into_iter().map(|(_, body)| message(body)).find_map(|message| Renewal::of(&message));
    renew.expect("one of the bodies is a renewal")
}

fn proposal() -> Proposal {
    Proposal { name: "edge".to_owned(), expect: 2, seeds: [0x5e; 16], founders: vec![voter("a"), voter("b")] }
}

fn identity(address: &str) -> Identity {
    Identity {
        id: id("cts-01"),
        instance: Instance([0x11; 16]),
        generation: Generation(1_800_000_000_000),
        bump: 3,
        gossip_addr: address.parse().unwrap(),
        api_addr: "127.0.0.1:8558".parse().unwrap(),
        address: "cts-01.example.com".to_owned(),
        versions: Versions { min: 1, max: 2 },
        software: (0, 1, 300),
    }
}

/// One of each body, and of each reason to refuse. The match makes a new variant fail to compile here.
fn bodies() -> Vec<(String, Body)> {
    let (epoch, round, index) = (Epoch(7), Round(300), [0x1d; 16]);
    let refuse = |reason: RefuseReason| Body::Refuse {
        epoch,
        round,
        promised: Epoch(8),
        holder: Some(id("b")),
        remaining_ms: 70_000,
        reason,
    };
    let put = |key: &str, value: Option<Value>| Put { key: key.to_owned(), value };
    let large = Value::Blob { hash: BlobHash([0xb1; 32]), len: 70_000 };
    let register = Register { key: "run/x".to_owned(), stamp: stamp(6, 2), value: None };
    let found = |accepted: Option<Proposal>, acceptances: Vec<MemberId>| Body::Found {
        name: "edge".to_owned(),
        expect: 2,
        seeds: [0x5e; 16],
        accepted,
        acceptances,
    };
    [
        Body::PreClaim { epoch, round },
        Body::PreGrant { epoch, round },
        Body::Claim { epoch, lease_ms: 1_050, round },
        Body::Grant { epoch, round, lease_ms: 1_050, index },
        refuse(RefuseReason::Promised),
        refuse(RefuseReason::LeaseRuns),
        refuse(RefuseReason::Quiet),
        refuse(RefuseReason::NotAVoter),
        refuse(RefuseReason::Jump),
        refuse(RefuseReason::Disk),
        Body::Renew { epoch, round, committed: Seq(4) },
        Body::Renewed { epoch, round, lease_ms: 1_050, clock_ms: 5_000_000_000, applied: Seq(4) },
        Body::Write {
            epoch,
            seq: Seq(5),
            entries: vec![put("k", Some(Value::Inline(b"v".to_vec()))), put("large", Some(large)), put("gone", None)],
        },
        Body::Ack { epoch, seq: Seq(5) },
        Body::Release { epoch, holder: process("a"), successor: Some(id("b")), leaving: true },
        Body::Pull { epoch, round, have: vec![[0xbc; 12], [0xbd; 12]] },
        Body::Values { epoch, round, registers: vec![register], complete: true },
        found(None, Vec::new()),
        found(Some(proposal()), vec![id("a"), id("b")]),
        Body::Formed { proposal: proposal() },
        Body::Conflict { id: id("a"), instance: Instance([0x61; 16]) },
        Body::Amnesia { instance: Instance([0x61; 16]), boot: BootNonce([0xb0; 16]), known: 300 },
    ]
    .into_iter()
    .map(|body| (name(&body), body))
    .collect()
}

fn name(body: &Body) -> String {
    let name = match body {
        Body::PreClaim { .. } => "PreClaim",
        Body::PreGrant { .. } => "PreGrant",
        Body::Claim { .. } => "Claim",
        Body::Grant { .. } => "Grant",
        Body::Refuse { reason, .. } => return format!("message/Refuse {reason:?}"),
        Body::Renew { .. } => "Renew",
        Body::Renewed { .. } => "Renewed",
        Body::Write { .. } => "Write",
        Body::Ack { .. } => "Ack",
        Body::Release { .. } => "Release",
        Body::Pull { .. } => "Pull",
        Body::Values { .. } => "Values",
        Body::Found { accepted: None, .. } => "Found",
        Body::Found { accepted: Some(_), .. } => "Found accepted",
        Body::Formed { .. } => "Formed",
        Body::Conflict { .. } => "Conflict",
        Body::Amnesia { .. } => "Amnesia",
    };
    format!("message/{name}")
}
