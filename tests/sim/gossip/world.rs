//! Agents that only do membership, and what an onlooker sees of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Now;
use quorate::cluster::membership::{Event, Membership, Output, Stats};
use quorate::cluster::settings::Profile;
use quorate::cluster::view::MemberState;
use quorate_proto::identity::Versions;
use quorate_proto::{Generation, Identity, Instance, MemberId};
use rand::RngExt;

use crate::net::{Arrival, Link, Net};

pub(super) const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) fn id(number: usize) -> MemberId {
    MemberId::new(format!("cts-{number:02}")).unwrap()
}

pub(super) fn addr(number: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, u8::try_from(number / 250).unwrap(), u8::try_from(number % 250 + 1).unwrap()], 8559))
}

pub(super) fn identity(number: usize, generation: u64) -> Identity {
    let gossip_addr = addr(number);
    Identity {
        id: id(number),
        instance: Instance([u8::try_from(number).unwrap(); 16]),
        generation: Generation(generation),
        bump: 0,
        gossip_addr,
        api_addr: SocketAddr::new(gossip_addr.ip(), 8558),
        address: String::new(),
        versions: Versions::OURS,
        software: (0, 1, 0),
    }
}

/// One running agent.
pub(super) struct Agent {
    pub(super) membership: Membership,
    pub(super) events: Vec<(Duration, Event)>,
    pub(super) left: bool,
}

/// All agents, by the address at which they run.
pub(super) struct World {
    pub(super) net: Net,
    pub(super) agents: BTreeMap<SocketAddr, Agent>,
    pub(super) seeds: Vec<SocketAddr>,
    /// (when, observer, about) of every down of a member that was running at that moment.
    pub(super) false_downs: Vec<(Duration, SocketAddr, MemberId)>,
    profile: Profile,
    tweak: fn(&mut Membership),
}

impl World {
    /// A world without agents, whose first three addresses are the seeds.
    pub(super) fn new(seed: u64, link: Link) -> Self {
        Self {
            net: Net::new(seed, link),
            agents: BTreeMap::new(),
            seeds: (0..3).map(addr).collect(),
            false_downs: Vec::new(),
            profile: Profile::Lan,
            tweak: |_| {},
        }
    }

    /// A world of `count` agents that have found each other.
    pub(super) fn formed(seed: u64, count: usize, link: Link) -> Self {
        let mut world = Self::new(seed, Link::LAN);
        world.start_all(count);
        world.run_until("all see all", secs(10), World::all_see_all);
        world.net.set_link(link);
        world
    }

    /// The same with something done to every membership before it starts.
    #[cfg(feature = "mutations")]
    pub(super) fn formed_with(seed: u64, count: usize, link: Link, tweak: fn(&mut Membership)) -> Self {
        let mut world = Self { tweak, ..Self::new(seed, Link::LAN) };
        world.start_all(count);
        world.run_until("all see all", secs(30), World::all_see_all);
        world.net.set_link(link);
        world
    }

    #[cfg(feature = "mutations")]
    pub(super) fn with(seed: u64, tweak: fn(&mut Membership)) -> Self {
        Self { tweak, ..Self::new(seed, Link::LAN) }
    }

    pub(super) fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Starts `count` agents within 100 ms.
    pub(super) fn start_all(&mut self, count: usize) {
        for number in 0..count {
            self.start(identity(number, 1_000));
            let wait = Duration::from_micros(self.net.rng().random_range(0..100_000 / count as u64));
            self.run_for(wait);
        }
    }

    /// Starts an agent at the address it advertises.
    pub(super) fn start(&mut self, identity: Identity) {
        let host = identity.gossip_addr;
        let mut membership =
            Membership::new(identity, &self.profile.timing().gossip, self.net.rng().random(), self.now());
        (self.tweak)(&mut membership);
        membership.handle_seeds(self.seeds.clone(), self.now());
        self.net.forget(host);
        self.agents.insert(host, Agent { membership, events: Vec::new(), left: false });
        self.drain(host);
    }

    /// Ends an agent without a word.
    pub(super) fn kill(&mut self, number: usize) {
        self.agents.remove(&addr(number));
        self.net.forget(addr(number));
    }

    /// Does something to one agent now.
    pub(super) fn act(&mut self, host: SocketAddr, action: impl FnOnce(&mut Membership, Now)) {
        let now = self.now();
        action(&mut self.agents.get_mut(&host).unwrap().membership, now);
        self.drain(host);
    }

    pub(super) fn run_for(&mut self, length: Duration) {
        let until = self.net.now() + length;
        while self.step(until) {}
    }

    /// Runs until a condition holds, and says how long that took.
    pub(super) fn run_until(&mut self, what: &str, limit: Duration, reached: impl Fn(&Self) -> bool) -> Duration {
        let start = self.net.now();
        while !reached(self) {
            assert!(self.net.now() < start + limit, "{what}: not within {limit:?}\n{}", self.describe());
            self.run_for(ms(5));
        }
        self.net.now().saturating_sub(start)
    }

    pub(super) fn agent(&self, number: usize) -> &Agent {
        &self.agents[&addr(number)]
    }

    pub(super) fn stats(&self, number: usize) -> &Stats {
        self.agent(number).membership.stats()
    }

    /// Everybody who runs sees everybody who runs as alive or suspect, and nobody else.
    pub(super) fn all_see_all(&self) -> bool {
        self.agents.values().all(|agent| self.sees_all(agent))
    }

    pub(super) fn sees_all(&self, agent: &Agent) -> bool {
        let present = agent.membership.members().filter(|member| is_present(member.state));
        let mut seen: Vec<_> = present.map(|member| member.identity.clone()).collect();
        let mut running: Vec<_> =
            self.agents.values().filter_map(|agent| agent.membership.identity().cloned()).collect();
        seen.sort();
        running.sort();
        seen == running
    }

    /// How an agent sees another.
    pub(super) fn state(&self, observer: usize, about: usize) -> Option<MemberState> {
        self.agent(observer).membership.member(&id(about)).map(|member| member.state)
    }

    /// Whether all running agents but the one it is about see a member so.
    pub(super) fn all_say(&self, about: usize, state: MemberState) -> bool {
        self.agents
            .iter()
            .filter(|(host, _)| **host != addr(about))
            .all(|(_, agent)| agent.membership.member(&id(about)).is_some_and(|member| member.state == state))
    }

    /// All events of one kind at all agents.
    pub(super) fn count(&self, matching: impl Fn(&Event) -> bool) -> usize {
        self.agents.values().flat_map(|agent| &agent.events).filter(|(_, event)| matching(event)).count()
    }

    pub(super) fn forget_events(&mut self) {
        self.agents.values_mut().for_each(|agent| agent.events.clear());
    }

    pub(super) fn total(&self, number: impl Fn(&Stats) -> u64) -> u64 {
        self.agents.values().map(|agent| number(agent.membership.stats())).sum()
    }

    pub(super) fn now(&self) -> Now {
        Now { mono: self.net.now(), boot: self.net.now() }
    }

    fn describe(&self) -> String {
        let line = |(host, agent): (&SocketAddr, &Agent)| {
            let members: Vec<_> = agent
                .membership
                .members()
                .map(|m| {
                    format!("{}@{}.{} {}", m.identity.id, m.identity.generation, m.identity.bump, m.state.as_str())
                })
                .collect();
            format!("{host}: {} | {:?}", members.join(", "), agent.membership.poll_timeout())
        };
        self.agents.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn step(&mut self, until: Duration) -> bool {
        let Some(arrival) = self.net.next(until) else { return false };
        let now = self.now();
        let host = match &arrival {
            Arrival::Datagram { to, .. } => *to,
            Arrival::Wake { host } => *host,
        };
        if let Some(agent) = self.agents.get_mut(&host) {
            match arrival {
                Arrival::Datagram { from, bytes, .. } => {
                    let _ = agent.membership.handle_datagram(from, &bytes, now);
                }
                Arrival::Wake { .. } => agent.membership.handle_timeout(now),
            }
            self.drain(host);
        }
        true
    }

    fn drain(&mut self, host: SocketAddr) {
        let now = self.now();
        let mut downs = Vec::new();
        let agent = self.agents.get_mut(&host).unwrap();
        while let Some(output) = agent.membership.poll_output() {
            assert!(!agent.left, "nothing follows a leave: {output:?}");
            match output {
                Output::Transmit { to, payload } => {
                    assert!(payload.len() <= quorate::cluster::membership::PACKET_MAX);
                    self.net.send(host, to, payload);
                }
                Output::AdoptGeneration(generation) => agent.membership.handle_generation(generation, now),
                Output::Left => agent.left = true,
                Output::Event(event) => {
                    if let Event::Down { id } = &event {
                        downs.push(id.clone());
                    }
                    agent.events.push((now.mono, event));
                }
            }
        }
        let wrong = downs.into_iter().filter(|id| self.runs(id)).map(|id| (now.mono, host, id));
        self.false_downs.extend(wrong.collect::<Vec<_>>());
        let agent = &self.agents[&host];
        self.net.wake(host, agent.membership.poll_timeout().map(|(at, _)| at));
    }

    fn runs(&self, id: &MemberId) -> bool {
        self.agents.values().any(|agent| agent.membership.identity().is_some_and(|own| own.id == *id))
    }
}

pub(super) fn is_present(state: MemberState) -> bool {
    matches!(state, MemberState::Alive | MemberState::Suspect)
}
