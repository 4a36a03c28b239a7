use proptest::prelude::*;

use super::*;

const SESSION_A: [u8; 8] = *b"session1";

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32]).unwrap()
}

fn sealed(name: &str, key: Option<&Key>, body: &[u8]) -> Vec<u8> {
    Sealer::new(name, key, SESSION_A).seal(Kind::Control, body).unwrap()
}

#[test]
fn what_was_sealed_opens_in_both_modes() {
    for key in [None, Some(key(1))] {
        let mut sealer = Sealer::new("edge", key.as_ref(), SESSION_A);
        let mut opener = Opener::new("edge", key.as_ref());
        for kind in [Kind::Gossip, Kind::Control] {
            let datagram = sealer.seal(kind, b"hello").unwrap();
            let by = key.as_ref().map(Fingerprint::of);
            assert_eq!(opener.open(&datagram), Ok(Opened { kind, plain: b"hello".to_vec(), by }));
        }
        let datagram = sealer.seal_plain(&[KIND_GOSSIP, 7]).unwrap();
        assert_eq!(
            opener.open(&datagram),
            Ok(Opened { kind: Kind::Gossip, plain: vec![7], by: key.as_ref().map(Fingerprint::of) })
        );
    }
}

#[test]
fn the_envelope_costs_36_bytes_sealed_and_28_plain() {
    assert_eq!(sealed("edge", Some(&key(1)), b"12345").len(), 36 + 1 + 5);
    assert_eq!(sealed("edge", None, b"12345").len(), 28 + 1 + 5);
}

#[test]
fn the_largest_body_fits_exactly_and_one_more_does_not() {
    let mut sealer = Sealer::new("edge", Some(&key(1)), SESSION_A);
    let datagram = sealer.seal(Kind::Gossip, &[0; PLAIN_MAX - 1]).unwrap();
    assert_eq!(datagram.len(), DATAGRAM_MAX);
    assert!(Opener::new("edge", Some(&key(1))).open(&datagram).is_ok());
    assert_eq!(sealer.seal(Kind::Gossip, &[0; PLAIN_MAX]), Err(SealError::TooLarge(PLAIN_MAX + 1)));
}

#[test]
fn a_plain_text_without_a_kind_is_not_sealed() {
    let mut sealer = Sealer::new("edge", None, SESSION_A);
    assert_eq!(sealer.seal_plain(&[]), Err(SealError::Kind));
    assert_eq!(sealer.seal_plain(&[9, 1]), Err(SealError::Kind));
}

#[test]
fn an_unknown_kind_is_refused_although_it_is_authentic() {
    let group = Group::new("edge", None);
    let mut datagram = vec![b'Q', b'r', VERSION, MODE_PLAIN];
    datagram.extend_from_slice(&SESSION_A);
    datagram.extend_from_slice(&1_u64.to_be_bytes());
    datagram.push(9);
    group.secret(SESSION_A).close(&mut datagram).unwrap();
    assert_eq!(Opener::new("edge", None).open(&datagram), Err(Refused::Kind));
}

#[test]
fn strangers_are_refused_by_reason() {
    let ours = key(1);
    let good = sealed("edge", Some(&ours), b"x");
    let check = |datagram: &[u8], reason: Refused| {
        assert_eq!(Opener::new("edge", Some(&ours)).open(datagram), Err(reason));
    };
    check(&sealed("core", Some(&ours), b"x"), Refused::UnknownKey);
    check(&sealed("edge", Some(&key(2)), b"x"), Refused::UnknownKey);
    check(&sealed("edge", None, b"x"), Refused::Plain);
    check(&[0; DATAGRAM_MAX + 1], Refused::TooLarge);
    check(&good[..19], Refused::TooShort);
    check(&good[..36], Refused::TooShort);
    check(&[], Refused::TooShort);
    let changed = |at: usize, to: u8| {
        let mut copy = good.clone();
        copy[at] = to;
        copy
    };
    check(&changed(0, b'q'), Refused::Magic);
    check(&changed(2, 2), Refused::Version);
    check(&changed(3, 2), Refused::UnknownKey);

    assert_eq!(Opener::new("edge", None).open(&good), Err(Refused::UnknownKey));
    assert_eq!(Opener::new("core", None).open(&sealed("edge", None, b"x")), Err(Refused::BadSeal));
}

#[test]
fn a_name_and_a_session_cannot_be_shifted_into_each_other() {
    let key = key(1);
    let one = Group::new("ab", Some(&key)).secret(*b"cdefghij");
    let two = Group::new("abc", Some(&key)).secret(*b"defghij\0");
    let seal = |secret: &Secret| {
        let mut datagram = vec![0; HEADER + 4];
        secret.close(&mut datagram).unwrap();
        datagram
    };
    assert_ne!(seal(&one)[HEADER..HEADER + 4], seal(&two)[HEADER..HEADER + 4]);
}

#[test]
fn a_datagram_is_accepted_once_and_a_forged_one_uses_up_nothing() {
    let key = key(1);
    let mut sealer = Sealer::new("edge", Some(&key), SESSION_A);
    let mut opener = Opener::new("edge", Some(&key));
    let datagram = sealer.seal(Kind::Gossip, b"x").unwrap();
    let mut forged = datagram.clone();
    forged[30] ^= 1;
    assert_eq!(opener.open(&forged), Err(Refused::UnknownKey), "nothing of this session was heard yet");
    assert!(opener.open(&datagram).is_ok());
    assert_eq!(opener.open(&forged), Err(Refused::BadSeal));
    assert_eq!(opener.open(&datagram), Err(Refused::Replayed));
}

#[test]
fn the_counter_never_wraps() {
    let mut sealer = Sealer::new("edge", Some(&key(1)), SESSION_A);
    sealer.counter = u64::MAX - 1;
    assert!(sealer.seal(Kind::Gossip, b"").is_ok());
    assert_eq!(sealer.seal(Kind::Gossip, b""), Err(SealError::Exhausted));
}

#[test]
fn a_key_is_never_printed() {
    let text = format!("{:?} {:?}", key(0x41), Sealer::new("edge", Some(&key(0x41)), SESSION_A));
    assert!(!text.contains("65") && !text.contains("41"), "{text}");
    assert_eq!(Key::from_bytes(&[0; 31]), None);
}

proptest! {
    #[test]
    fn any_single_bit_flip_is_refused(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        with_key in any::<bool>(),
        bit in any::<proptest::sample::Index>(),
    ) {
        let key = with_key.then(|| key(7));
        let mut datagram = sealed("edge", key.as_ref(), &body);
        let bit = bit.index(datagram.len() * 8);
        datagram[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Opener::new("edge", key.as_ref()).open(&datagram).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_are_refused(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..1_300),
        with_key in any::<bool>(),
        pretend in any::<bool>(),
    ) {
        let key = with_key.then(|| key(7));
        if pretend && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[b'Q', b'r', VERSION, u8::from(with_key)]);
        }
        prop_assert!(Opener::new("edge", key.as_ref()).open(&bytes).is_err());
    }
}

fn ring(keys: &[u8]) -> Ring {
    Ring::new(keys.iter().map(|byte| key(*byte))).unwrap()
}

/// Sealed by a process with this ring, by this key of it.
fn from(keys: &[u8], by: u8) -> Vec<u8> {
    let mut sealers = Sealers::new("edge", Some(&ring(keys)), [by; 32]);
    sealers.seal_plain(&[KIND_GOSSIP, 7], Some(Fingerprint::of(&key(by)))).unwrap()
}

#[test]
fn every_key_of_the_ring_opens_and_says_which_it_was() {
    let mut opener = Opener::with_ring("edge", Some(&ring(&[1, 2, 3])));
    for by in [3, 1, 2] {
        let opened = opener.open(&from(&[1, 2, 3], by)).unwrap();
        assert_eq!(opened.by, Some(Fingerprint::of(&key(by))));
    }
    assert_eq!(opener.trials, TRIALS, "the hint of each session named its key");
    assert_eq!(opener.open(&from(&[4], 4)), Err(Refused::UnknownKey));
}

#[test]
fn a_removed_key_opens_nothing_any_more_and_a_new_one_does_at_once() {
    let mut sealers = Sealers::new("edge", Some(&ring(&[1])), [9; 32]);
    let mut opener = Opener::with_ring("edge", Some(&ring(&[1])));
    let next = |sealers: &mut Sealers| sealers.seal_plain(&[KIND_GOSSIP], None).unwrap();
    assert!(opener.open(&next(&mut sealers)).is_ok());
    opener.set_ring(&ring(&[1, 2]));
    assert!(opener.open(&next(&mut sealers)).is_ok(), "the session goes on");
    opener.set_ring(&ring(&[2]));
    assert_eq!(opener.open(&next(&mut sealers)), Err(Refused::UnknownKey), "although its session was known");
    sealers.set_ring(&ring(&[2, 1]));
    assert!(opener.open(&next(&mut sealers)).is_ok());
}

#[test]
fn a_key_that_comes_back_gets_another_session() {
    let mut sealers = Sealers::new("edge", Some(&ring(&[1])), [9; 32]);
    let session = |datagram: &[u8]| datagram[SESSION].to_vec();
    let first = sealers.seal_plain(&[KIND_GOSSIP], None).unwrap();
    sealers.set_ring(&ring(&[2]));
    sealers.set_ring(&ring(&[1]));
    let again = sealers.seal_plain(&[KIND_GOSSIP], None).unwrap();
    assert_ne!(session(&first), session(&again), "the counter begins anew, so the nonce would be used twice");
}

#[test]
fn an_older_agent_without_a_hint_is_opened_as_long_as_there_are_tries() {
    let mut opener = Opener::with_ring("edge", Some(&ring(&[1, 2])));
    let old = |session: u64| Sealer::new("edge", Some(&key(2)), session.to_be_bytes()).seal(Kind::Gossip, b"").unwrap();
    assert!(opener.open(&old(1)).is_ok());
    // A flood of sessions that nobody has uses them up.
    for session in 10..2_010_u64 {
        let strange = Sealer::new("edge", Some(&key(3)), session.to_be_bytes()).seal(Kind::Gossip, b"").unwrap();
        assert_eq!(opener.open(&strange), Err(Refused::UnknownKey));
    }
    assert_eq!(opener.trials, 0);
    assert_eq!(opener.open(&old(2)), Err(Refused::UnknownKey));
    let mut known = Sealer::new("edge", Some(&key(2)), 1_u64.to_be_bytes());
    known.counter = 7;
    assert!(opener.open(&known.seal(Kind::Gossip, b"").unwrap()).is_ok(), "who is known needs no try");
    assert!(opener.open(&from(&[2], 2)).is_ok(), "nor does who gives a hint");
    opener.refill();
    assert!(opener.open(&old(2)).is_ok());
}

#[test]
fn an_older_agent_opens_what_has_a_hint() {
    // It takes the session as it is.
    let datagram = from(&[1, 2], 1);
    let (header, rest) = datagram.split_first_chunk::<HEADER>().unwrap();
    let session = header[SESSION].try_into().unwrap();
    assert!(Group::new("edge", Some(&key(1))).secret(session).open(header, rest).is_ok());
}
