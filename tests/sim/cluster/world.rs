//! The simulated world: machines on a network, clients and a resource outside, in one order of virtual time.
//!
//! Datagrams and wake-ups are `net`'s; everything else waits in one queue. After every event the checkers have seen
//! what happened, and the first violation ends the run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Durable;
use quorate::cluster::leadership::Rules;
use quorate::cluster::output::Ticket;
use quorate::cluster::settings::LeadershipMode;
use quorate_proto::message::Voter;
use quorate_proto::{Epoch, Generation, Instance, MemberId, Stamp};

use super::clients::Clients;
use super::gaps::{Gaps, Sight};
use super::host::{Host, Input, RunNumber};
use super::overlaps::{Broken, Journal, Overlaps};
use super::registers;
use super::scenario::{MS, SECOND, Scenario};
use crate::leadership::checkers::Checkers;
use crate::leadership::clock::{HostClock, Real};
use crate::leadership::dice::Dice;
use crate::leadership::disk::Disk;
use crate::leadership::facts::{Fact, Violation, Who};
use crate::leadership::resource::Resources;
use crate::leadership::stats::Stats;
use crate::net::{Arrival, Link, Net};

/// How often liveness is looked at.
const LOOK: Real = 100 * MS;

/// Something that will happen, besides datagrams and wake-ups.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// Reaches a process of this life.
    Input {
        host: usize,
        life: u32,
        input: Input,
    },
    /// A frame of a control connection arrives, if the way is still there.
    Frame {
        from: usize,
        to: usize,
        bytes: Vec<u8>,
    },
    DiskDone {
        host: usize,
        life: u32,
        ticket: Ticket,
    },
    GenerationDone {
        host: usize,
        life: u32,
        generation: Generation,
    },
    /// A child process ends by itself, or because it was told to.
    RunEnds {
        host: usize,
        run: RunNumber,
    },
    /// A guardian looks at its deadline.
    Deadline {
        host: usize,
        life: u32,
    },
    Effect {
        token: Epoch,
    },
    Ask {
        client: u8,
    },
    Look,
    Start {
        host: usize,
    },
    /// A process that was told to stop is gone.
    Gone {
        host: usize,
        life: u32,
        back: Real,
    },
    Resume {
        host: usize,
        pause: u32,
    },
    HealLinks,
    HealWeather,
    NextFault,
}

struct Scheduled(Real, u64, Happening);

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// See the module.
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) rules: Rules,
    pub(super) net: Net,
    pub(super) dice: Dice,
    pub(super) hosts: Vec<Host>,
    pub(super) clients: Clients,
    pub(super) resources: Resources,
    pub(super) overlaps: Overlaps,
    pub(super) journal: Journal,
    pub(super) gaps: Gaps,
    pub(super) stats: Stats,
    pub(super) checkers: Checkers,
    queue: BinaryHeap<Reverse<Scheduled>>,
    number: u64,
    pub(super) lives: u32,
    disks: u32,
    pub(super) runs: RunNumber,
    pauses: u32,
    pub(super) corrupt: u32,
    pub(super) cuts: BTreeSet<(usize, usize)>,
    pub(super) sent_voters: BTreeSet<Stamp>,
    pub(super) lost: BTreeMap<Voter, Stamp>,
    /// When a process began to lead, newest last.
    pub(super) led: Vec<(Real, Epoch, Who)>,
    pub(super) stopped_faults: bool,
    pub(super) tracing: bool,
    broken: Option<Violation>,
}

pub(super) fn member(host: usize) -> MemberId {
    MemberId::new(format!("n{}", host + 1)).unwrap()
}

pub(super) fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(host + 1).unwrap()], 8559))
}

pub(super) fn host_of(addr: SocketAddr) -> Option<usize> {
    match addr {
        SocketAddr::V4(v4) => usize::from(v4.ip().octets()[3]).checked_sub(1),
        SocketAddr::V6(_) => None,
    }
}

pub(super) fn micros(d: Duration) -> Real {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

/// A usual network: a little is lost, a little comes twice.
pub(super) fn usual(scenario: &Scenario) -> Link {
    let rtt = scenario.profile.timing().gossip.probe_rtt;
    Link { loss: 0.002, delay: Duration::from_micros(150), jitter: rtt / 30, duplicate: 0.01 }
}

impl World {
    pub(super) fn new(scenario: Scenario, rules: Rules, seed: u64, tracing: bool) -> Self {
        let link = if scenario.faults.is_empty() { Link::LAN } else { usual(&scenario) };
        let mut world = Self {
            rules,
            net: Net::new(seed, link).untraced(),
            dice: Dice::new(seed),
            hosts: Vec::new(),
            clients: Clients::default(),
            resources: Resources::default(),
            overlaps: Overlaps::default(),
            journal: Journal::default(),
            gaps: Gaps::default(),
            stats: Stats::default(),
            checkers: Checkers::default(),
            queue: BinaryHeap::new(),
            number: 0,
            lives: 0,
            disks: 0,
            runs: 0,
            pauses: 0,
            corrupt: 0,
            cuts: BTreeSet::new(),
            sent_voters: BTreeSet::new(),
            lost: BTreeMap::new(),
            led: Vec::new(),
            stopped_faults: false,
            tracing,
            broken: None,
            scenario,
        };
        for host in 0..world.scenario.agents {
            world.add_host(host);
        }
        world.at(0, Happening::Look);
        for client in 0..3 {
            world.at(SECOND / 2, Happening::Ask { client });
        }
        if !world.scenario.faults.is_empty() {
            let first = world.scenario.from + world.dice.around(world.scenario.every);
            world.at(first, Happening::NextFault);
        }
        world
    }

    fn add_host(&mut self, host: usize) {
        let rate = self.any_rate();
        let origin = Duration::from_millis(self.dice.range(0, 5_000_000));
        let disk = self.new_disk(host);
        self.hosts.push(Host {
            id: member(host),
            addr: address(host),
            clock: HostClock::new(rate, origin),
            wall_offset: 0,
            disk,
            generation: Generation(0),
            process: None,
            guardians: Vec::new(),
            paused: false,
            still: false,
            pause: 0,
            excused_until: 0,
            runs_excused_until: 0,
            returns: true,
        });
        let late = if host < self.scenario.founders { 0 } else { self.scenario.from };
        let at = late + self.dice.range(0, 200 * MS);
        self.at(at, Happening::Start { host });
    }

    pub(super) fn any_rate(&mut self) -> f64 {
        1.0 + self.scenario.drift * self.dice.signed_unit()
    }

    pub(super) fn new_disk(&mut self, host: usize) -> Disk {
        self.disks += 1;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.disks.to_be_bytes());
        bytes[15] = 1;
        Disk::new(self.disks, Durable::fresh(member(host), Instance(bytes)))
    }

    pub(super) fn real(&self) -> Real {
        micros(self.net.now())
    }

    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
        if self.tracing {
            println!("{:>11.6} {}", self.net.now().as_secs_f64(), text());
        }
    }

    pub(super) fn at(&mut self, at: Real, what: Happening) {
        self.number += 1;
        self.queue.push(Reverse(Scheduled(at.max(self.real()), self.number, what)));
    }

    pub(super) fn after(&mut self, delay: Real, what: Happening) {
        self.at(self.real() + delay, what);
    }

    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        if self.broken.is_none()
            && let Err(violation) = self.checkers.check(fact, self.real())
        {
            self.broken = Some(violation);
        }
    }

    /// What one of our own checkers says.
    pub(super) fn judge(&mut self, result: Result<(), Broken>) {
        if let (Err((invariant, text)), None) = (result, &self.broken) {
            self.broken = Some(Violation { invariant, text, at: self.real() });
        }
    }

    /// Runs until `end`, or to the first violation.
    pub(super) fn run_until(&mut self, end: Real) -> Result<(), Violation> {
        loop {
            let next = self.queue.peek().map_or(end, |Reverse(Scheduled(at, ..))| (*at).min(end));
            if let Some(arrival) = self.net.next(Duration::from_micros(next)) {
                self.arrive(arrival);
            } else if self.queue.peek().is_some_and(|Reverse(Scheduled(at, ..))| *at <= end) {
                let Some(Reverse(Scheduled(_, _, what))) = self.queue.pop() else { return Ok(()) };
                self.happen(what);
            } else {
                return Ok(());
            }
            self.stats.count("events");
            if self.broken.is_none() && self.has_quorum() {
                self.look_at_windows();
            }
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Datagram { from, to, bytes } => {
                if let Some(host) = host_of(to) {
                    self.input(host, Input::Datagram(from, bytes));
                }
            }
            Arrival::Wake { host } => {
                if let Some(host) = host_of(host) {
                    self.wake(host);
                }
            }
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Input { host, life, input } => {
                if self.lives_on(host, life) {
                    self.input(host, input);
                }
            }
            Happening::Frame { from, to, bytes } => {
                let open = !self.cuts.contains(&(from, to)) && !self.cuts.contains(&(to, from));
                if open {
                    self.input(to, Input::Frame(address(from), bytes));
                }
            }
            Happening::DiskDone { host, life, ticket } => self.disk_done(host, life, ticket),
            Happening::GenerationDone { host, life, generation } => {
                if self.lives_on(host, life) {
                    self.hosts[host].generation = generation;
                    self.input(host, Input::Generation(generation));
                }
            }
            Happening::RunEnds { host, run } => self.run_ends(host, run),
            Happening::Deadline { host, life } => self.deadline(host, life),
            Happening::Effect { token } => {
                if self.resources.fenced(token) {
                    self.fact(&Fact::Accepted { token });
                }
            }
            Happening::Ask { client } => self.ask(client),
            Happening::Look => self.look(),
            Happening::Start { host } => self.start(host),
            Happening::Gone { host, life, back } => {
                if self.lives_on(host, life) {
                    self.kill(host);
                    self.after(back, Happening::Start { host });
                }
            }
            Happening::Resume { host, pause } => self.resume(host, pause),
            Happening::HealLinks => {
                self.cuts.clear();
                self.net.heal();
            }
            Happening::HealWeather => {
                self.corrupt = 0;
                let link = usual(&self.scenario);
                self.net.set_link(link);
            }
            Happening::NextFault => self.next_fault(),
        }
    }

    pub(super) fn lives_on(&self, host: usize, life: u32) -> bool {
        self.hosts[host].process.as_ref().is_some_and(|p| p.life == life)
    }

    pub(super) fn next_pause(&mut self) -> u32 {
        self.pauses += 1;
        self.pauses
    }

    /// Without a majority there is no promise of I1, I3 to I6 and I9 (protocol-safety 10).
    pub(super) fn has_quorum(&self) -> bool {
        self.scenario.mode == LeadershipMode::Quorum
    }

    pub(super) fn is_excused(&self, host: usize) -> bool {
        self.scenario.excuse_windows || self.hosts[host].excused_until > self.real()
    }

    pub(super) fn open_windows(&self, except: usize) -> Vec<(Epoch, Who)> {
        let open = |(i, host): (usize, &Host)| {
            let lease = host.open(self.real())?;
            (i != except && !self.is_excused(i)).then_some((lease.epoch(), host.who(i)?))
        };
        self.hosts.iter().enumerate().filter_map(open).collect()
    }

    fn look_at_windows(&mut self) {
        let real = self.real();
        if self.hosts.iter().filter(|h| h.open(real).is_some()).count() < 2 {
            return;
        }
        self.stats.count("moments of overlap");
        let open = self.open_windows(usize::MAX);
        self.fact(&Fact::Windows { open: &open });
    }

    /// Whether somebody leads who could, and for how long not.
    fn look(&mut self) {
        self.after(LOOK, Happening::Look);
        let real = self.real();
        let bits =
            |set: &dyn Fn(usize) -> bool| (0..self.hosts.len()).filter(|i| set(*i)).fold(0_u8, |all, i| all | (1 << i));
        let led = self.hosts.iter().any(|h| h.open(real).is_some() && h.is_up());
        let newest =
            self.hosts.iter().filter_map(|h| registers::voters(&h.disk.durable)).max_by_key(|(stamp, _)| *stamp);
        let Some((_, voters)) = newest else { return };
        let is_voter = |i: usize| {
            voters.0.iter().any(|v| v.id == self.hosts[i].id && v.instance == self.hosts[i].disk.durable.instance)
        };
        let calm = self.corrupt == 0;
        let well = |i: usize| calm && self.hosts[i].is_up() && self.hosts[i].disk.busy_until < real + 50 * MS;
        let reach: Vec<u8> = (0..self.hosts.len())
            .map(|i| bits(&|j| !self.cuts.contains(&(i, j)) && !self.cuts.contains(&(j, i))))
            .collect();
        let lives: Vec<u32> = self.hosts.iter().map(|h| h.process.as_ref().map_or(0, |p| p.life)).collect();
        // A voter whose disk is lost is counted, though it is nobody's any more.
        let (voting, well) = (bits(&is_voter), bits(&well));
        let size = u32::try_from(voters.0.len()).unwrap();
        let enough = (voting & well).count_ones() * 2 > size;
        let sight = Sight { led: led || !enough, voters: voting, well, reach: &reach, lives: &lives };
        let gap = self.gaps.look(sight, real);
        let bound = self.longest_gap();
        if gap > bound && self.has_quorum() {
            let text = format!("nobody leads for {gap} us, though a majority could");
            self.judge(Err(("liveness", text)));
        }
    }

    /// What a majority that is well may take at most: detection, quiet periods, what others grant and hold back, and a
    /// few collisions.
    fn longest_gap(&self) -> Real {
        let timing = self.scenario.profile.timing();
        let detection = timing.gossip.probe_period * 2 + timing.gossip.suspect_to_down;
        micros(detection * 4 + timing.lease.grant * 6) + 2 * SECOND
    }
}
