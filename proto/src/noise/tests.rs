use proptest::prelude::*;

use super::*;
use crate::codec::FRAME_LIMIT;
use crate::hex;

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32]).unwrap()
}

/// Runs both sides to the end, one byte at a time.
fn connect(a: &mut Handshake, b: &mut Handshake) -> Result<(), HandshakeError> {
    while !(a.is_finished() && b.is_finished()) {
        let mut moved = false;
        for byte in a.poll_output().unwrap_or_default() {
            moved = true;
            b.feed(&[byte])?;
        }
        for byte in b.poll_output().unwrap_or_default() {
            moved = true;
            a.feed(&[byte])?;
        }
        assert!(moved, "both sides wait");
    }
    Ok(())
}

fn pair(key: Option<&Key>) -> (Channel, Channel) {
    let mut a = Handshake::initiator("edge", key).unwrap();
    let mut b = Handshake::responder("edge", key).unwrap();
    connect(&mut a, &mut b).unwrap();
    (a.finish().unwrap(), b.finish().unwrap())
}

#[test]
fn frames_of_any_size_pass_in_both_directions_and_modes() {
    for key in [None, Some(key(1))] {
        let (mut a, mut b) = pair(key.as_ref());
        for size in [0, 1, 65_515, 65_516, 200_000] {
            let frame: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let wire = a.seal_frame(&frame).unwrap();
            for part in wire.chunks(1_000) {
                assert_eq!(b.next_frame(), Ok(None));
                b.feed(part);
            }
            assert_eq!(b.next_frame(), Ok(Some(frame)));
            assert_eq!(b.next_frame(), Ok(None));
        }
        let wire = [b.seal_frame(b"one").unwrap(), b.seal_frame(b"two").unwrap()].concat();
        a.feed(&wire);
        assert_eq!(a.next_frame(), Ok(Some(b"one".to_vec())));
        assert_eq!(a.next_frame(), Ok(Some(b"two".to_vec())));
    }
}

#[test]
fn bytes_sent_right_behind_the_handshake_reach_the_channel() {
    for key in [None, Some(key(1))] {
        let mut a = Handshake::initiator("edge", key.as_ref()).unwrap();
        let mut b = Handshake::responder("edge", key.as_ref()).unwrap();
        b.feed(&a.poll_output().unwrap()).unwrap();
        let mut answer = b.poll_output().unwrap();
        let mut b = b.finish().unwrap();
        answer.extend(b.seal_frame(b"early").unwrap());
        a.feed(&answer).unwrap();
        assert_eq!(a.finish().unwrap().next_frame(), Ok(Some(b"early".to_vec())));
    }
}

#[test]
fn peers_of_another_cluster_key_mode_or_version_are_refused() {
    let check = |a: (&str, Option<Key>), b: (&str, Option<Key>), reason: HandshakeError| {
        let mut a = Handshake::initiator(a.0, a.1.as_ref()).unwrap();
        let mut b = Handshake::responder(b.0, b.1.as_ref()).unwrap();
        assert_eq!(connect(&mut a, &mut b), Err(reason));
    };
    check(("edge", None), ("core", None), HandshakeError::ForeignCluster);
    check(("edge", Some(key(1))), ("core", Some(key(1))), HandshakeError::BadSeal);
    check(("edge", Some(key(1))), ("edge", Some(key(2))), HandshakeError::BadSeal);
    check(("edge", Some(key(1))), ("edge", None), HandshakeError::Mode);
    check(("edge", None), ("edge", Some(key(1))), HandshakeError::Mode);

    let refused = |bytes: &[u8]| Handshake::responder("edge", None).unwrap().feed(bytes);
    assert_eq!(refused(b"GET / HTTP/1.1"), Err(HandshakeError::Magic));
    assert_eq!(refused(b"G"), Err(HandshakeError::Magic));
    assert_eq!(refused(b"Qr\x07"), Err(HandshakeError::Version(7)));
}

#[test]
fn a_handshake_is_not_finished_early() {
    let a = Handshake::initiator("edge", None).unwrap();
    assert_eq!(a.finish().unwrap_err(), HandshakeError::Unfinished);
}

#[test]
fn a_recorded_first_message_gets_no_frame_through() {
    let key = key(1);
    let mut a = Handshake::initiator("edge", Some(&key)).unwrap();
    let first = a.poll_output().unwrap();
    let mut b = Handshake::responder("edge", Some(&key)).unwrap();
    b.feed(&first).unwrap();
    a.feed(&b.poll_output().unwrap()).unwrap();
    let frame = a.finish().unwrap().seal_frame(b"do it").unwrap();

    let mut repeated = Handshake::responder("edge", Some(&key)).unwrap();
    repeated.feed(&[first, frame].concat()).unwrap();
    assert!(repeated.poll_output().is_some());
    assert_eq!(repeated.finish().unwrap().next_frame(), Err(FrameError::BadSeal));
}

#[test]
fn a_frame_above_the_limit_is_refused_before_it_is_read_or_sent() {
    let (mut a, mut b) = pair(None);
    assert_eq!(a.seal_frame(&vec![0; FRAME_LIMIT + 1]), Err(FrameError::TooLarge(FRAME_LIMIT + 1)));
    b.feed(&u32::MAX.to_be_bytes());
    assert_eq!(b.next_frame(), Err(FrameError::TooLarge(u32::MAX as usize)));
    b.feed(&[0; 4]);
    assert!(b.next_frame().is_err(), "a broken stream stays broken");
}

#[test]
fn changed_reordered_repeated_and_empty_records_break_the_stream() {
    let key = key(1);
    let check = |wire: &dyn Fn(&mut Channel) -> Vec<u8>, reason: FrameError| {
        let (mut a, mut b) = pair(Some(&key));
        b.feed(&wire(&mut a));
        let mut last = b.next_frame();
        while let Ok(Some(_)) = last {
            last = b.next_frame();
        }
        assert_eq!(last, Err(reason));
        assert_eq!(b.next_frame(), Err(reason));
    };
    check(
        &|a| {
            let mut wire = a.seal_frame(b"hello").unwrap();
            wire[5] ^= 1;
            wire
        },
        FrameError::BadSeal,
    );
    check(
        &|a| [a.seal_frame(b"1"), a.seal_frame(b"2")].map(Result::unwrap).iter().rev().flatten().copied().collect(),
        FrameError::BadSeal,
    );
    check(&|a| a.seal_frame(b"1").unwrap().repeat(2), FrameError::BadSeal);
    check(&|_| vec![0; 2], FrameError::Empty);
}

/// For other implementations: the whole exchange with fixed ephemeral keys.
#[test]
fn the_noise_exchange_has_not_changed() {
    let key = key(0x11);
    let mut a = Handshake::start("edge", Some(&key), true, Some(&[0x22; 32])).unwrap();
    let mut b = Handshake::start("edge", Some(&key), false, Some(&[0x33; 32])).unwrap();
    let first = a.poll_output().unwrap();
    b.feed(&first).unwrap();
    let second = b.poll_output().unwrap();
    a.feed(&second).unwrap();
    let frame = a.finish().unwrap().seal_frame(b"hello").unwrap();
    let back = b.finish().unwrap().seal_frame(b"").unwrap();
    let lines = [
        ("noise/initiator", first),
        ("noise/responder", second),
        ("noise/frame hello", frame),
        ("noise/answer empty", back),
    ];
    let text = lines.map(|(name, bytes)| format!("{name} = {}\n", hex(&bytes))).concat();
    assert_eq!(text, include_str!("../../tests/noise.txt"), "the wire changed, now:\n{text}");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        with_key in any::<bool>(),
        cut in 1_usize..50,
    ) {
        let key = with_key.then(|| key(3));
        let mut handshake = Handshake::responder("edge", key.as_ref()).unwrap();
        let mut failed = false;
        for part in bytes.chunks(cut) {
            failed = failed || handshake.feed(part).is_err();
        }
        prop_assert!(failed || !handshake.is_finished());

        let (_, mut channel) = pair(key.as_ref());
        for part in bytes.chunks(cut) {
            channel.feed(part);
            while let Ok(Some(frame)) = channel.next_frame() {
                prop_assert!(!with_key, "forged {frame:?}");
            }
        }
    }
}

#[test]
fn a_responder_with_several_keys_finds_the_one_of_the_initiator() {
    let ring = Ring::new([key(1), key(2), key(3)]).unwrap();
    for by in [3, 1, 2] {
        let mut a = Handshake::initiator("edge", Some(&key(by))).unwrap();
        let mut b = Handshake::responder_of("edge", Some(&ring));
        assert_eq!(b.by(), None);
        connect(&mut a, &mut b).unwrap();
        assert_eq!((a.by(), b.by()), (Some(Fingerprint::of(&key(by))), Some(Fingerprint::of(&key(by)))));
        let (mut a, mut b) = (a.finish().unwrap(), b.finish().unwrap());
        b.feed(&a.seal_frame(b"hello").unwrap());
        assert_eq!(b.next_frame(), Ok(Some(b"hello".to_vec())));
    }
    let mut a = Handshake::initiator("edge", Some(&key(4))).unwrap();
    assert_eq!(connect(&mut a, &mut Handshake::responder_of("edge", Some(&ring))), Err(HandshakeError::BadSeal));
    let mut a = Handshake::initiator("edge", None).unwrap();
    assert_eq!(connect(&mut a, &mut Handshake::responder_of("edge", Some(&ring))), Err(HandshakeError::Mode));
    let mut a = Handshake::initiator("edge", None).unwrap();
    connect(&mut a, &mut Handshake::responder_of("edge", None)).unwrap();
}

#[test]
fn a_stranger_sends_short_frames_only() {
    for key in [None, Some(key(1))] {
        let (mut a, mut b) = pair(key.as_ref());
        b.feed(&a.seal_frame(&[0; 257]).unwrap());
        assert_eq!(b.next_frame_within(256), Err(FrameError::TooLarge(257)));
        let (mut a, mut b) = pair(key.as_ref());
        b.feed(&a.seal_frame(&[0; 256]).unwrap());
        b.feed(&a.seal_frame(&[0; 5_000]).unwrap());
        assert_eq!(b.next_frame_within(256).unwrap().map(|frame| frame.len()), Some(256));
        assert_eq!(b.next_frame().unwrap().map(|frame| frame.len()), Some(5_000));
    }
}
