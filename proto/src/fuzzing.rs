//! One function per decoder that faces the network: takes any bytes, panics only on a defect of ours.
//!
//! The targets in `fuzz/` call these, and `tests/fuzz_brief.rs` calls the same ones on every test run. Each asserts
//! what must hold for whatever is accepted; refusing is always right. Each says whether anything was accepted, so that
//! a test can tell that its inputs reach the inside.
//!
//! # A new decoder
//!
//! Add a function (here, or public in the decoder's room), a one-line target in `fuzz/fuzz_targets/`, a folder of that
//! name in `fuzz/corpus/`, and a line in `tests/fuzz_brief.rs`, which checks that all four exist.

use crate::codec::{self, Wire};
use crate::identity::Identity;
use crate::message::{Message, Renewal, Voters};
use crate::noise::{Channel, Handshake};
use crate::seal::{DATAGRAM_MAX, Key, Kind, Opener, Refused};

/// The cluster that inputs are made for, with the key 0, 1, 2, .. 31.
const NAME: &str = "edge";

/// A datagram as it comes from the socket.
pub fn datagram(bytes: &[u8]) -> bool {
    let mut accepted = false;
    for key in [None, key()] {
        let mut opener = Opener::new(NAME, key.as_ref());
        if let Ok(opened) = opener.open(bytes) {
            accepted = true;
            assert!(bytes.len() <= DATAGRAM_MAX && opened.plain.len() < bytes.len());
            assert_eq!(opener.open(bytes), Err(Refused::Replayed), "a datagram is accepted once");
            if opened.kind != Kind::Gossip {
                control_message(&opened.plain);
            }
        }
    }
    accepted
}

/// A control message, an identity, a voter set or a short renewal after the seal was checked.
pub fn control_message(bytes: &[u8]) -> bool {
    let message = one_form::<Message>(bytes);
    let identity = one_form::<Identity>(bytes);
    let voters = one_form::<Voters>(bytes);
    let renewal = one_form::<Renewal>(bytes);
    message || identity || voters || renewal
}

/// Everything that a peer can write to a control connection. The first byte says how the rest is cut into reads.
pub fn control_stream(bytes: &[u8]) -> bool {
    let Some((&cut, bytes)) = bytes.split_first() else { return false };
    let cut = usize::from(cut).max(1);
    let plain = connection(bytes, cut, None);
    let sealed = connection(bytes, cut, key().as_ref());
    assert!(!sealed, "a frame got through without the key");
    plain
}

/// Runs a responder on the bytes, and then a channel behind a true handshake. Says whether a frame came out.
fn connection(bytes: &[u8], cut: usize, key: Option<&Key>) -> bool {
    let (Ok(mut dialled), Ok(mut asked), Ok(mut fuzzed)) =
        (Handshake::initiator(NAME, key), Handshake::responder(NAME, key), Handshake::responder(NAME, key))
    else {
        return false;
    };
    let mut frames = false;
    if bytes.chunks(cut).all(|part| fuzzed.feed(part).is_ok()) && fuzzed.poll_output().is_some() {
        frames |= fuzzed.finish().is_ok_and(|mut channel| drain(&mut channel));
    }
    let hello = dialled.poll_output().unwrap_or_default();
    assert!(asked.feed(&hello).is_ok() && asked.poll_output().is_some(), "our own hello is refused");
    if let Ok(mut channel) = asked.finish() {
        for part in bytes.chunks(cut) {
            channel.feed(part);
            frames |= drain(&mut channel);
        }
    }
    frames
}

fn drain(channel: &mut Channel) -> bool {
    let mut any = false;
    while let Ok(Some(frame)) = channel.next_frame() {
        any = true;
        control_message(&frame);
    }
    any
}

/// Whatever is accepted is written back byte for byte.
fn one_form<T: Wire>(bytes: &[u8]) -> bool {
    let Ok(value) = codec::decode_frame::<T>(bytes) else { return false };
    assert_eq!(codec::encode(&value).ok().as_deref(), Some(bytes), "a value has two forms");
    true
}

fn key() -> Option<Key> {
    let bytes: Vec<u8> = (0..32).collect();
    Key::from_bytes(&bytes)
}
