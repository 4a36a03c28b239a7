use foca::{Header, Message, State};
use proptest::prelude::*;
use quorate_proto::{Generation, Identity, Instance, MemberId};

use super::packet_filter::Parsed;
use super::testing::identity;
use super::*;
use crate::cluster::settings::Profile;
use crate::cluster::view::MemberState;

const fn at(ms: u64) -> Now {
    Now { mono: Duration::from_millis(ms), boot: Duration::from_millis(ms) }
}

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// Agent `a` with the company that is named.
fn agent(company: &[&str]) -> Membership {
    let mut agent = Membership::new(identity("a", 10), &Profile::Lan.timing().gossip, [1; 32], at(0));
    for name in company {
        hear(&mut agent, name, Message::Gossip, &[], at(0));
    }
    agent
}

fn record(name: &str, state: State) -> foca::Member<Peer> {
    foca::Member::new(Peer::new(identity(name, 10)), 0, state)
}

fn datagram(to: &Peer, from: Identity, message: Message<Peer>, records: &[foca::Member<Peer>]) -> Vec<u8> {
    let header = Header { src: Peer::new(from), src_incarnation: 0, dst: to.clone(), message };
    let mut payload = Vec::new();
    Codec::put_header(&header, &mut payload).unwrap();
    if !matches!(header.message, Message::Announce | Message::TurnUndead) {
        payload.extend_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    }
    for record in records {
        Codec::put_member(record, &mut payload).unwrap();
    }
    payload
}

fn hear(agent: &mut Membership, from: &str, message: Message<Peer>, records: &[foca::Member<Peer>], now: Now) {
    let from = identity(from, 10);
    let addr = from.gossip_addr;
    let payload = datagram(&agent.swim.identity().clone(), from, message, records);
    agent.handle_datagram(addr, &payload, now);
}

fn drain(agent: &mut Membership) -> Vec<Output> {
    std::iter::from_fn(|| agent.poll_output()).collect()
}

fn events(outputs: &[Output]) -> Vec<&Event> {
    outputs.iter().filter_map(|output| if let Output::Event(event) = output { Some(event) } else { None }).collect()
}

/// Fires every deadline on time until `until`.
fn run(agent: &mut Membership, until: Now) -> Vec<Output> {
    let mut outputs = drain(agent);
    while let Some((at, _)) = agent.poll_timeout().filter(|(at, _)| *at <= until.mono) {
        agent.handle_timeout(Now { mono: at, boot: at });
        outputs.extend(drain(agent));
    }
    outputs
}

fn state(agent: &Membership, name: &str) -> Option<MemberState> {
    agent.member(&id(name)).map(|member| member.state)
}

#[test]
fn the_machine_may_live_on_a_thread_of_its_own() {
    fn is_send<T: Send>() {}
    is_send::<Membership>();
}

#[test]
fn a_silent_member_is_suspected_then_down() {
    let mut agent = agent(&["b"]);
    let outputs = run(&mut agent, at(2_000));
    let (suspect, down) = (Event::Suspect { id: id("b") }, Event::Down { id: id("b") });
    assert_eq!(events(&outputs), [&Event::Up { id: id("b"), restarted: false }, &suspect, &down]);
    assert_eq!(agent.stats().members, [1, 0, 1, 0]);
}

#[test]
fn an_agent_that_is_late_itself_accuses_nobody() {
    let mut agent = agent(&["b"]);
    run(&mut agent, at(260));
    agent.handle_timeout(at(5_000));
    agent.handle_timeout(at(5_080));
    assert_eq!(agent.stats().suspicions, 0);
    assert!(events(&drain(&mut agent)).iter().any(|event| matches!(event, Event::Late { .. })));
    assert!(agent.stats().late_max > Duration::from_secs(4));
    assert_eq!(agent.stats().health, 1, "and probes more slowly");
    run(&mut agent, at(6_000));
    assert!(agent.stats().suspicions > 0, "afterwards it does its work");
}

#[test]
fn a_suspect_has_all_of_its_time_also_when_the_accuser_sleeps() {
    let mut agent = agent(&["b", "c"]);
    run(&mut agent, at(1_100));
    let suspicions = agent.timers.suspicions();
    assert!(!suspicions.is_empty());
    let due = agent.poll_timeout().unwrap().0;
    let slept = due + Duration::from_secs(3);
    agent.handle_timeout(Now { mono: slept, boot: slept });
    assert_eq!(agent.timers.suspicions()[0], suspicions[0] + Duration::from_secs(3));
    assert!(state(&agent, "b") != Some(MemberState::Down) && state(&agent, "c") != Some(MemberState::Down));
}

#[test]
fn a_suspect_is_told_at_once_and_again_every_buddy_period() {
    let mut agent = agent(&["b", "c"]);
    drain(&mut agent);
    hear(&mut agent, "c", Message::Gossip, &[record("b", State::Suspect)], at(10));
    let outputs = run(&mut agent, at(205));
    let told = outputs.iter().filter(|output| match output {
        Output::Transmit { to, payload } => {
            let b = Codec::new(Peer::new(identity("b", 10)));
            let parsed = Parsed::read(&b, payload).unwrap();
            let gossip = parsed.header.message == Message::Gossip && parsed.records.len() == 1;
            *to == identity("b", 10).gossip_addr && gossip && parsed.records[0].member == record("b", State::Suspect)
        }
        _ => false,
    });
    assert!(told.count() >= 2);
    assert_eq!(state(&agent, "b"), Some(MemberState::Suspect));
}

#[test]
fn probing_that_stopped_is_started_again() {
    let mut agent = agent(&["b"]);
    run(&mut agent, at(300));
    agent.timers.drop_probes();
    for step in 0..20_u64 {
        hear(&mut agent, "b", Message::Gossip, &[], at(300 + step * 100));
        run(&mut agent, at(300 + step * 100));
    }
    assert_eq!(agent.stats().rebuilds, 1);
    assert_eq!(state(&agent, "b"), Some(MemberState::Suspect), "it was probed again");
}

#[test]
fn a_full_table_takes_nobody_in_unless_somebody_is_gone() {
    let mut agent = agent(&["b", "z"]);
    let strangers: Vec<_> = (0..1_100).map(|n| foca::Member::alive(Peer::new(identity(&format!("s{n}"), 1)))).collect();
    for some in strangers.chunks(10) {
        hear(&mut agent, "b", Message::Gossip, some, at(1));
    }
    assert_eq!(agent.members().count(), MEMBERS_MAX);
    assert!(agent.stats().errors["table_full"] > 0);
    hear(&mut agent, "late", Message::Gossip, &[], at(2));
    assert_eq!(state(&agent, "late"), None);
    agent.handle_gone(&id("z"), Generation(10), at(3));
    hear(&mut agent, "late", Message::Gossip, &[], at(4));
    assert_eq!((state(&agent, "late"), state(&agent, "z")), (Some(MemberState::Alive), None));
    assert_eq!(agent.members().count(), MEMBERS_MAX);
}

#[test]
fn what_others_say_under_our_name_does_not_change_what_we_are() {
    let mut agent = agent(&["b"]);
    drain(&mut agent);
    let other = Identity { instance: Instance([9; 16]), ..identity("a", 50) };
    let ours_before = foca::Member::alive(Peer::new(identity("a", 9)));
    let records = [foca::Member::alive(Peer::new(other.clone())), ours_before];
    hear(&mut agent, "b", Message::Gossip, &records, at(20_000));
    assert!(events(&drain(&mut agent)).is_empty(), "hearsay");
    assert_eq!(state(&agent, "a"), Some(MemberState::Alive));
    assert_eq!(agent.members().count(), 2);
    let addr = other.gossip_addr;
    let payload = datagram(&agent.swim.identity().clone(), other, Message::Ping(1), &[]);
    agent.handle_datagram(addr, &payload, at(40_000));
    assert!(events(&drain(&mut agent)).iter().any(|event| matches!(event, Event::Conflict { .. })));
}

#[test]
fn a_newer_generation_is_asked_for_once_and_used_only_when_durable() {
    let mut agent = agent(&["b"]);
    drain(&mut agent);
    let remembered = agent.swim.identity().at(Generation(500), 0);
    let b = identity("b", 10);
    for step in 0..5 {
        let payload = datagram(&remembered, b.clone(), Message::Announce, &[]);
        agent.handle_datagram(b.gossip_addr, &payload, at(100 + step));
    }
    let asked = drain(&mut agent).into_iter().filter(|output| *output == Output::AdoptGeneration(Generation(501)));
    assert_eq!(asked.count(), 1);
    assert_eq!(agent.identity().unwrap().generation, Generation(10));
    agent.handle_generation(Generation(501), at(200));
    assert_eq!(agent.identity().unwrap().generation, Generation(501));
    agent.handle_generation(Generation(400), at(201));
    assert_eq!(agent.identity().unwrap().generation, Generation(501), "it never falls");
}

#[test]
fn a_number_that_leaves_none_to_follow_is_not_believed() {
    let mut agent = agent(&["b"]);
    drain(&mut agent);
    let b = identity("b", 10);
    for (generation, bump) in [((1 << 48) - 1, 0), (10, u32::MAX)] {
        let remembered = agent.swim.identity().at(Generation(generation), bump);
        agent.handle_datagram(b.gossip_addr, &datagram(&remembered, b.clone(), Message::Announce, &[]), at(100));
    }
    assert!(drain(&mut agent).iter().all(|output| !matches!(output, Output::AdoptGeneration(_))));
    run(&mut agent, at(300));
    assert_eq!((agent.identity().unwrap().generation, agent.identity().unwrap().bump), (Generation(10), 0));
}

#[test]
fn a_bump_that_others_remember_is_passed() {
    let mut agent = agent(&["b"]);
    let (b, remembered) = (identity("b", 10), agent.swim.identity().at(Generation(10), 7));
    agent.handle_datagram(b.gossip_addr, &datagram(&remembered, b.clone(), Message::Announce, &[]), at(100));
    run(&mut agent, at(300));
    assert_eq!(agent.identity().unwrap().bump, 8);
}

#[test]
fn an_agent_that_refuted_very_often_takes_a_new_bump() {
    let mut agent = agent(&["b"]);
    let suspect = foca::Member::new(agent.swim.identity().clone(), 65_000, State::Suspect);
    hear(&mut agent, "b", Message::Gossip, &[suspect], at(1));
    run(&mut agent, at(2));
    let own = agent.member(&id("a")).unwrap();
    assert_eq!((own.identity.bump, own.incarnation), (1, 0));
}

#[test]
fn the_gone_are_forgotten_after_a_day() {
    let mut agent = agent(&["b"]);
    run(&mut agent, at(2_000));
    assert_eq!(state(&agent, "b"), Some(MemberState::Down));
    let hours = |n: u64| at(n * 3_600_000);
    agent.handle_timeout(hours(23));
    agent.handle_timeout(hours(24));
    assert_eq!(state(&agent, "b"), Some(MemberState::Down));
    agent.handle_timeout(hours(25));
    assert_eq!(state(&agent, "b"), None);
}

#[test]
fn a_leave_heard_of_after_the_down_is_still_a_leave() {
    let mut agent = agent(&["b", "c"]);
    agent.handle_gone(&id("b"), Generation(10), at(1));
    drain(&mut agent);
    let left = foca::Member::new(Peer::new(identity("b", 10)), codec::LEFT, State::Down);
    hear(&mut agent, "c", Message::Gossip, std::slice::from_ref(&left), at(2));
    hear(&mut agent, "c", Message::Gossip, &[left], at(3));
    assert_eq!(events(&drain(&mut agent)), [&Event::Left { id: id("b") }]);
    assert_eq!(state(&agent, "b"), Some(MemberState::Left));
}

#[test]
fn what_is_not_a_packet_is_counted_and_nothing_else() {
    let mut agent = agent(&["b"]);
    drain(&mut agent);
    let from = identity("b", 10).gossip_addr;
    for junk in [&[][..], &[0xff; 50], &[0; 1_161], &[6, 0]] {
        agent.handle_datagram(from, junk, at(1));
    }
    assert_eq!(agent.stats().errors["decode"], 3);
    assert_eq!(agent.stats().errors["too_big"], 1);
    assert_eq!(drain(&mut agent), []);
}

#[test]
fn broadcasts_of_a_later_version_are_let_pass() {
    let mut agent = agent(&["b"]);
    let b = identity("b", 10);
    let mut payload = datagram(&agent.swim.identity().clone(), b.clone(), Message::Gossip, &[]);
    payload.extend_from_slice(&[0, 3, 1, 2, 3]);
    agent.handle_datagram(b.gossip_addr, &payload, at(1));
    assert!(agent.stats().errors.is_empty(), "{:?}", agent.stats().errors);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _accepted = fuzz_datagram(&bytes);
    }

    #[test]
    fn no_damaged_packet_panics(flips in prop::collection::vec((any::<usize>(), any::<u8>()), 0..6), kind in 0..6_usize) {
        let third = Peer::new(identity("c", 10));
        let to = Peer::new(Identity { id: id("fuzz-1"), instance: Instance([1; 16]), ..identity("a", 1_000) });
        let messages = [
            Message::Ping(1),
            Message::PingReq { target: third.clone(), probe_number: 1 },
            Message::ForwardedAck { origin: third.clone(), probe_number: 1 },
            Message::Feed,
            Message::Gossip,
            Message::TurnUndead,
        ];
        let message = messages[kind].clone();
        let records = [foca::Member::alive(third), foca::Member::new(to.clone(), 3, State::Suspect)];
        let records = if message == Message::TurnUndead { &[][..] } else { &records };
        let mut bytes = datagram(&to, identity("b", 10), message, records);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let _accepted = fuzz_datagram(&bytes);
    }
}
