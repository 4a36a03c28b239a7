//! Everything at once, at random: afterwards all must agree, and nothing may have come back worse than it was.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate::cluster::membership::Membership;
use quorate_proto::{Generation, MemberId};
use rand::RngExt;

use super::world::{World, addr, identity, ms, secs};
use crate::net::Link;

/// What may be seen of a member only grows.
type Seen = BTreeMap<(usize, MemberId), (Generation, u32)>;

struct Chaos {
    world: World,
    count: usize,
    generation: u64,
    running: Vec<bool>,
    faults: BTreeMap<&'static str, u32>,
    seen: Seen,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let count = 3 + usize::try_from(seed % 5).unwrap();
        let world = World::formed(seed, count, Link::LAN);
        Self { world, count, generation: 2_000, running: vec![true; count], faults: BTreeMap::new(), seen: Seen::new() }
    }

    fn one_fault(&mut self) {
        let number = self.world.net.rng().random_range(0..self.count);
        let kind = self.world.net.rng().random_range(0..9);
        let name = match (kind, self.running[number]) {
            (0, true) => {
                self.world.kill(number);
                self.running[number] = false;
                "kill"
            }
            (1, true) => {
                self.world.act(addr(number), Membership::leave);
                self.world.run_for(ms(201));
                self.world.kill(number);
                self.running[number] = false;
                "leave"
            }
            (2, true) => {
                self.world.kill(number);
                self.start(number);
                "quick restart"
            }
            (3..=6, false) => {
                self.start(number);
                "start"
            }
            (3, true) => {
                let length = ms(self.world.net.rng().random_range(100..6_000));
                self.world.net.pause(addr(number), length);
                "pause"
            }
            (4, true) => {
                let border = self.world.net.rng().random_range(1..self.count);
                let (here, there): (Vec<_>, Vec<_>) =
                    ((0..border).map(addr).collect(), (border..self.count).map(addr).collect());
                self.world.net.part(&here, &there);
                "partition"
            }
            (5, true) => {
                let other = (number + 1) % self.count;
                self.world.net.cut(addr(number), addr(other));
                "one-way cut"
            }
            (6, true) => {
                let loss = self.world.net.rng().random_range(0.0..0.5);
                self.world.net.set_link(Link { duplicate: 0.1, jitter: ms(20), ..Link::LAN.losing(loss) });
                "loss"
            }
            _ => {
                self.world.net.heal();
                "heal"
            }
        };
        *self.faults.entry(name).or_default() += 1;
    }

    /// Now and then with a generation that is behind, as after an old copy of the disk.
    fn start(&mut self, number: usize) {
        self.generation += 1;
        let behind = self.world.net.rng().random_bool(0.2);
        let generation = if behind { 500 } else { self.generation };
        self.world.start(identity(number, generation));
        self.running[number] = true;
        self.seen.retain(|(observer, _), _| *observer != number);
    }

    fn watch(&mut self) {
        for number in (0..self.count).filter(|number| self.running[*number]) {
            for member in self.world.agent(number).membership.members() {
                let now = (member.identity.generation, member.identity.bump);
                let before = self.seen.insert((number, member.identity.id.clone()), now).unwrap_or_default();
                assert!(now >= before, "agent {number} sees {} fall from {before:?}", member.identity.id);
            }
        }
    }
}

#[test]
fn after_any_faults_all_see_all_again() {
    let mut faults: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in (0..60).chain([740]) {
        let mut chaos = Chaos::new(seed);
        for _ in 0..25 {
            chaos.one_fault();
            let wait = Duration::from_millis(chaos.world.net.rng().random_range(10..4_000));
            for _ in 0..10 {
                chaos.world.run_for(wait / 10);
                chaos.watch();
            }
        }
        chaos.world.net.heal();
        chaos.world.net.set_link(Link::LAN);
        for number in 0..chaos.count {
            if !chaos.running[number] {
                chaos.start(number);
            }
        }
        // The longest pause, the longest renewal back-off, and a round of announcing to the missing.
        let limit = secs(6) + secs(5) + ms(3_300) + secs(2);
        chaos.world.run_until(&format!("all see all (seed {seed})"), limit, World::all_see_all);
        chaos.world.run_for(secs(10));
        assert!(chaos.world.all_see_all(), "seed {seed}: and it stays so");
        for (name, count) in chaos.faults {
            *faults.entry(name).or_default() += count;
        }
    }
    assert!(faults.len() == 9 && faults.values().all(|count| *count > 10), "every fault happened: {faults:?}");
}
