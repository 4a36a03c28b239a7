use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_proto::MemberId;
use quorate_proto::seal::{Fingerprint, KIND_GOSSIP, Key, Opener, Ring, Sealers, Speakers};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;

fn key(byte: u8) -> Key {
    Key::from_bytes(&[byte; 32]).unwrap()
}

fn print(byte: u8) -> Fingerprint {
    Fingerprint::of(&key(byte))
}

fn ring(keys: &[u8]) -> Ring {
    Ring::new(keys.iter().map(|byte| key(*byte))).unwrap()
}

fn agreed(revision: u64, keys: &[u8], removed: &[u8]) -> Agreed {
    Agreed { revision, ring: ring(keys), removed: removed.iter().map(|byte| print(*byte)).collect() }
}

fn id(n: usize) -> MemberId {
    MemberId::new(format!("a{n}")).unwrap()
}

fn told(keys: &[u8]) -> Standing {
    Standing::Told(Report::new(1, &ring(keys)))
}

fn members(all: &[Standing]) -> Standings {
    all.iter().cloned().enumerate().map(|(n, standing)| (id(n), standing)).collect()
}

fn keys_after(now: &Agreed, change: &Change, all: &[Standing], force: bool) -> Option<Vec<Fingerprint>> {
    let outcome = decide(now, change, &members(all), force).unwrap();
    outcome.next.map(|next| next.ring.fingerprints().collect())
}

#[test]
fn the_register_is_read_back_and_never_fits_a_datagram() {
    for keys in [&[1][..], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        let all: Vec<u8> = (20..68).collect();
        let agreed = agreed(7, keys, &all);
        let value = agreed.encode();
        assert_eq!(Agreed::decode(&value), Ok(agreed));
        assert!(value.len() > quorate_proto::seal::PLAIN_MAX && value.len() <= 2_048, "{} bytes", value.len());
    }
    for wrong in [&b"{"[..], b"{}", b"{\"revision\":1,\"keys\":[]}", b"{\"revision\":1,\"keys\":[\"c2VjcmV0\"]}"] {
        let why = Agreed::decode(wrong).unwrap_err();
        assert!(!why.contains("c2VjcmV0"), "{why}");
    }
    assert!(!format!("{:?}", agreed(1, &[0x41], &[])).contains("QUFB"));
}

#[test]
fn a_rotation_goes_through_its_three_steps() {
    let now = agreed(0, &[1], &[]);
    let old = [told(&[1]), told(&[1])];
    assert_eq!(keys_after(&now, &Change::Install(key(2)), &old, false), Some(vec![print(1), print(2)]));
    let now = agreed(1, &[1, 2], &[]);
    let both = [told(&[1, 2]), told(&[1, 2])];
    assert_eq!(keys_after(&now, &Change::Use(print(2)), &both, false), Some(vec![print(2), print(1)]));
    let now = agreed(2, &[2, 1], &[]);
    let new = [told(&[2, 1]), told(&[2, 1])];
    let outcome = decide(&now, &Change::Remove(print(1)), &members(&new), false).unwrap();
    assert_eq!(outcome.next, Some(agreed(3, &[2], &[1])));
    // What is so already is no mistake.
    for (now, change) in [
        (agreed(1, &[1, 2], &[]), Change::Install(key(2))),
        (agreed(2, &[2, 1], &[]), Change::Use(print(2))),
        (agreed(3, &[2], &[1]), Change::Remove(print(1))),
    ] {
        assert_eq!(keys_after(&now, &change, &[], false), None);
    }
}

#[test]
fn a_key_is_used_only_when_everybody_who_is_here_has_it() {
    let now = agreed(1, &[1, 2], &[]);
    let wants = Change::Use(print(2));
    for lacking in [told(&[1]), Standing::Silent("old".to_owned())] {
        let all = [told(&[1, 2]), lacking];
        let why = decide(&now, &wants, &members(&all), false).unwrap_err();
        assert!(why.to_string().contains("a1"), "{why}");
        assert!(keys_after(&now, &wants, &all, true).is_some(), "by force");
    }
    let outcome = decide(&now, &wants, &members(&[told(&[1, 2]), Standing::Away]), false).unwrap();
    assert!(outcome.next.is_some() && outcome.warnings[0].contains("a1 is away"));
}

#[test]
fn a_key_is_removed_only_when_nobody_who_is_here_seals_with_it() {
    let now = agreed(2, &[2, 1], &[]);
    let wants = Change::Remove(print(1));
    let why = decide(&now, &wants, &members(&[told(&[2, 1]), told(&[1, 2])]), false).unwrap_err();
    assert!(why.to_string().contains("a1 still seals"), "{why}");
    assert_eq!(decide(&now, &Change::Remove(print(2)), &members(&[]), true), Err(Refusal::Primary(print(2))));
    assert_eq!(
        decide(&now, &Change::Remove(print(3)), &members(&[]), true),
        Err(Refusal::Unknown(print(3).to_string()))
    );
    let outcome = decide(&now, &wants, &members(&[told(&[2, 1]), Standing::Away]), false).unwrap();
    assert!(outcome.warnings[0].contains("a1 is away") && outcome.warnings[0].contains("encrypt_file"));
}

#[test]
fn a_ring_has_room_for_eight() {
    let now = agreed(1, &[1, 2, 3, 4, 5, 6, 7, 8], &[]);
    assert_eq!(decide(&now, &Change::Install(key(9)), &members(&[]), true), Err(Refusal::Full));
}

#[test]
fn a_key_is_found_by_the_beginning_of_its_fingerprint() {
    let ring = ring(&[1, 2]);
    let text = print(2).to_string();
    assert_eq!(find(&ring, &text), Ok(print(2)));
    assert_eq!(find(&ring, &format!(" {} ", text[..6].to_uppercase())), Ok(print(2)));
    assert_eq!(find(&ring, &text[..3]), Err(Refusal::Unknown(text[..3].to_owned())));
    assert!(matches!(find(&ring, "zzzz"), Err(Refusal::Unknown(_))));
}

#[test]
fn an_agent_begins_with_its_configuration_until_something_is_agreed() {
    let (mut own, notes) = Own::new(ring(&[1, 2]), None);
    assert_eq!((own.ring(), notes), (&ring(&[1, 2]), vec![]));
    assert!(own.apply(agreed(1, &[1, 3], &[])));
    assert_eq!(own.ring(), &ring(&[1, 3]));
    assert!(!own.apply(agreed(1, &[1, 3], &[])), "nothing new");
    assert_eq!(own.report().revision, 1);
}

#[test]
fn what_was_agreed_counts_more_than_the_configuration() {
    let (own, notes) = Own::new(ring(&[1]), Some(agreed(3, &[2], &[1])));
    assert_eq!((own.ring(), notes), (&ring(&[2]), vec![Configured::Removed(print(1))]));
    let (own, notes) = Own::new(ring(&[1]), Some(agreed(2, &[2, 1], &[])));
    assert_eq!((own.ring(), notes), (&ring(&[2, 1]), vec![Configured::NotPrimary(print(1))]));
    // It missed a rotation and the operator gave it the new key beside the old one.
    let (mut own, notes) = Own::new(ring(&[2, 1]), Some(agreed(1, &[1], &[])));
    assert_eq!((own.ring(), notes), (&ring(&[1, 2]), vec![Configured::Added(print(2))]));
    assert!(!own.apply(agreed(1, &[1], &[])), "what it knew already takes nothing away");
    assert!(own.apply(agreed(3, &[2], &[1])));
    assert_eq!(own.ring(), &ring(&[2]));
}

#[test]
fn a_file_with_nothing_but_new_keys_counts_until_something_else_is_agreed() {
    let (mut own, notes) = Own::new(ring(&[7]), Some(agreed(5, &[2, 1], &[])));
    assert_eq!((own.ring(), notes), (&ring(&[7]), vec![Configured::Instead(print(7))]));
    assert!(!own.apply(agreed(5, &[2, 1], &[])), "the register as it was brings nothing back");
    assert_eq!(own.ring(), &ring(&[7]));
    // The next change begins with it.
    let base = own.base(Some(agreed(5, &[2, 1], &[])));
    assert_eq!(base, agreed(5, &[7], &[2, 1]));
    let next = decide(&base, &Change::Install(key(8)), &members(&[]), false).unwrap().next.unwrap();
    assert_eq!((next.revision, next.ring.clone()), (6, ring(&[7, 8])));
    assert!(own.apply(next.clone()));
    assert_eq!(own.base(Some(next.clone())), next);
    assert_eq!(Own::new(ring(&[3]), None).0.base(None), Agreed::first(ring(&[3])));
}

// A cluster that changes its key again and again while datagrams are lost and members are away.

const AGENTS: usize = 4;

struct Agent {
    own: Own,
    sealers: Sealers,
    opener: Opener,
    speakers: Speakers,
    /// Changes of the register that it has seen.
    seen: usize,
    away: bool,
    starts: u8,
}

impl Agent {
    fn new(n: usize, starts: u8, own: Own, seen: usize) -> Self {
        let mut seed = [starts; 32];
        seed[0] = u8::try_from(n).unwrap();
        let sealers = Sealers::new("edge", Some(own.ring()), seed);
        let opener = Opener::with_ring("edge", Some(own.ring()));
        Self { own, sealers, opener, speakers: Speakers::default(), seen, away: false, starts }
    }

    fn take(&mut self, agreed: Agreed) {
        if self.own.apply(agreed) {
            self.sealers.set_ring(self.own.ring());
            self.opener.set_ring(self.own.ring());
        }
    }
}

fn addr(n: usize) -> SocketAddr {
    ([10, 0, 0, u8::try_from(n).unwrap()], 8559).into()
}

struct World {
    rng: StdRng,
    agents: Vec<Agent>,
    /// The values of the register, one after the other.
    register: Vec<Agreed>,
    /// For each pair: datagrams in a row that did not open, losses not counted.
    unheard: BTreeMap<(usize, usize), u32>,
    worst: u32,
    next_key: u8,
    changes: [u32; 3],
}

impl World {
    fn new(seed: u64) -> Self {
        let own = || Own::new(ring(&[1]), None).0;
        let agents = (0..AGENTS).map(|n| Agent::new(n, 0, own(), 0)).collect();
        let register = vec![agreed(0, &[1], &[])];
        let (unheard, rng) = (BTreeMap::new(), StdRng::seed_from_u64(seed));
        Self { rng, agents, register, unheard, worst: 0, next_key: 2, changes: [0; 3] }
    }

    fn standings(&self) -> Standings {
        let standing = |agent: &Agent| if agent.away { Standing::Away } else { Standing::Told(agent.own.report()) };
        self.agents.iter().enumerate().map(|(n, agent)| (id(n), standing(agent))).collect()
    }

    /// One datagram of one agent to another; both are here.
    fn send(&mut self, from: usize, to: usize) {
        let by = {
            let agent = &mut self.agents[from];
            agent.speakers.choose(addr(to), agent.own.ring())
        };
        let datagram = self.agents[from].sealers.seal_plain(&[KIND_GOSSIP], Some(by)).unwrap();
        if self.rng.random_bool(0.3) {
            return;
        }
        let receiver = &mut self.agents[to];
        let count = self.unheard.entry((from, to)).or_default();
        if let Ok(opened) = receiver.opener.open(&datagram) {
            receiver.speakers.heard(addr(from), opened.by.unwrap());
            *count = 0;
        } else {
            *count += 1;
            self.worst = self.worst.max(*count);
        }
    }

    fn step(&mut self, may_remove: bool) {
        let (from, to) = (self.rng.random_range(0..AGENTS), self.rng.random_range(0..AGENTS));
        let here = |world: &Self, n: usize| !world.agents[n].away;
        if from != to && here(self, from) && here(self, to) {
            self.send(from, to);
        }
        match self.rng.random_range(0..400) {
            // A change of the register reaches an agent.
            0..20 if here(self, from) && self.agents[from].seen + 1 < self.register.len() => {
                self.agents[from].seen += 1;
                let value = self.register[self.agents[from].seen].clone();
                self.agents[from].take(value);
            }
            20..24 if self.agents.iter().all(|agent| !agent.away) => self.agents[from].away = true,
            24..30 if self.agents[from].away => self.come_back(from),
            30..36 => self.change(may_remove),
            _ => {}
        }
    }

    /// It was cut off, or starts again from what it has stored, with the first key in its configuration.
    fn come_back(&mut self, n: usize) {
        self.agents[n].away = false;
        if self.rng.random_bool(0.5) {
            let (seen, starts) = (self.agents[n].seen, self.agents[n].starts + 1);
            let stored = (seen > 0).then(|| self.register[seen].clone());
            self.agents[n] = Agent::new(n, starts, Own::new(ring(&[1]), stored).0, seen);
        }
    }

    fn change(&mut self, may_remove: bool) {
        let now = self.register.last().unwrap().clone();
        let any = {
            let all: Vec<_> = now.ring.fingerprints().collect();
            all[self.rng.random_range(0..all.len())]
        };
        let kind = self.rng.random_range(0..3_usize);
        let change = match kind {
            0 => Change::Install(key(self.next_key)),
            1 => Change::Use(any),
            _ if may_remove => Change::Remove(any),
            _ => return,
        };
        let Ok(Outcome { next: Some(next), .. }) = decide(&now, &change, &self.standings(), false) else { return };
        if kind == 0 {
            self.next_key += 1;
        }
        self.changes[kind] += 1;
        self.register.push(next);
    }
}

#[test]
fn in_no_moment_of_a_rotation_two_agents_cannot_talk() {
    let mut changes = [0; 3];
    for seed in 0..60 {
        let mut world = World::new(seed);
        // Keys are removed only while everybody is here and up to date: who misses that is a stranger afterwards, as is meant.
        for _ in 0..6_000 {
            let last = world.register.len() - 1;
            let all_here = world.agents.iter().all(|agent| !agent.away && agent.seen == last);
            world.step(all_here);
            if all_here && !world.register.last().unwrap().removed.is_empty() && world.register.len() - 1 > last {
                // Nobody leaves before having seen a removal.
                while world.agents.iter().any(|agent| agent.seen < world.register.len() - 1) {
                    for n in 0..AGENTS {
                        if world.rng.random_bool(0.1) && world.agents[n].seen + 1 < world.register.len() {
                            world.agents[n].seen += 1;
                            let value = world.register[world.agents[n].seen].clone();
                            world.agents[n].take(value);
                        }
                        world.send(n, (n + 1) % AGENTS);
                        world.send((n + 1) % AGENTS, n);
                    }
                }
            }
        }
        // Seven of eight datagrams go by the key that the other speaks. Only to somebody who restarts or comes back without
        // having spoken may more in a row be lost, until it speaks.
        assert!(world.worst <= 24, "seed {seed}: {} datagrams in a row did not open", world.worst);
        for (n, count) in changes.iter_mut().zip(world.changes) {
            *n += count;
        }
    }
    assert!(changes.iter().all(|count| *count > 50), "{changes:?}: installed, used, removed");
}

#[test]
fn who_missed_the_removal_is_a_stranger_until_it_has_a_key_of_the_ring() {
    let mut world = World::new(1);
    world.agents[0].away = true;
    for value in [agreed(1, &[1, 2], &[]), agreed(2, &[2, 1], &[]), agreed(3, &[2], &[1])] {
        world.register.push(value.clone());
        for n in 1..AGENTS {
            world.agents[n].take(value.clone());
        }
    }
    world.agents[0].away = false;
    for _ in 0..200 {
        world.send(0, 1);
        world.send(1, 0);
    }
    let stuck = |world: &World, pair| world.unheard.get(&pair).copied().unwrap_or_default() > 50;
    assert!(stuck(&world, (0, 1)) && stuck(&world, (1, 0)));
    // The operator puts the current key in its file; what it stored is of before the rotation.
    world.agents[0] = Agent::new(0, 9, Own::new(ring(&[2]), Some(agreed(0, &[1], &[]))).0, 0);
    for _ in 0..20 {
        world.send(0, 1);
        world.send(1, 0);
    }
    assert!(world.unheard[&(0, 1)] == 0 || world.unheard[&(1, 0)] == 0);
    for _ in 0..50 {
        world.send(0, 1);
        world.send(1, 0);
    }
    assert!(world.unheard[&(0, 1)] < 8 && world.unheard[&(1, 0)] < 8, "{:?}", world.unheard);
}
