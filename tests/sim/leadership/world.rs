//! The simulated world: hosts, network, faults and what the agents do with their leases, in one queue of events.
//!
//! After every event the checkers see what happened. The first violation ends the run.

mod agents;
mod contents;
mod processes;
mod views;
mod wires;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Durable;
use quorate::cluster::leadership::Rules;
use quorate::cluster::output::Ticket;
use quorate_proto::message::{Message, Voter};
use quorate_proto::{BlobHash, Epoch, Instance, MemberId, Stamp};

use super::checkers::Checkers;
use super::clock::{HostClock, Real};
use super::dice::Dice;
use super::disk::Disk;
use super::facts::{Fact, Value, Violation, Who};
use super::network::Network;
use super::node::{Contact, Host, Input};
use super::resource::Resources;
use super::scenario::{Advice, MS, Scenario};
use super::stats::Stats;

/// D of an ordinary process.
pub(crate) const GRANT: Duration = Duration::from_millis(1_050);
/// What a leader leaves of its window when it starts something.
const MARGIN: Duration = Duration::from_millis(100);

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Arrives {
        to: usize,
        from: SocketAddr,
        message: Box<Message>,
    },
    Wake {
        host: usize,
        life: u32,
    },
    DiskDone {
        host: usize,
        life: u32,
        ticket: Ticket,
    },
    Work {
        host: usize,
        life: u32,
    },
    RunsStopped {
        host: usize,
        life: u32,
    },
    /// A command sent to the fenced resource arrives.
    Effect {
        token: Epoch,
    },
    Look,
    Start {
        host: usize,
    },
    /// A process that leaves ends, and is started again.
    Stop {
        host: usize,
        life: u32,
        back: Real,
    },
    Resume {
        host: usize,
        pause: u32,
    },
    Heal {
        what: Healing,
    },
    NextFault,
    /// A large value is on the proposer's disk: it is proposed now.
    Stored {
        host: usize,
        life: u32,
        key: String,
        value: Value,
    },
    /// Somebody is asked for contents.
    Asked {
        by: usize,
        life: u32,
        host: usize,
        hash: BlobHash,
    },
    /// The answer to that: contents that are to be stored, or none.
    Answered {
        host: usize,
        life: u32,
        by: SocketAddr,
        hash: BlobHash,
        found: bool,
    },
    /// They are on disk.
    Kept {
        host: usize,
        life: u32,
        hash: BlobHash,
    },
    Room {
        host: usize,
    },
    RoomTold {
        host: usize,
        life: u32,
    },
}

/// A fault that ends by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Healing {
    Links,
    Weather,
    Advice,
}

struct Scheduled {
    at: Real,
    number: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) rules: Rules,
    pub(crate) real: Real,
    pub(crate) dice: Dice,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) advice: Advice,
    pub(crate) stats: Stats,
    pub(crate) resources: Resources,
    checkers: Checkers,
    queue: BinaryHeap<Scheduled>,
    number: u64,
    lives: u32,
    disks: u32,
    values: u64,
    next_pause: u32,
    sent_voters: BTreeSet<Stamp>,
    /// Lost disks, and the stamp of the voter set that each held.
    pub(crate) lost: BTreeMap<Voter, Stamp>,
    /// When a process became an active leader, newest last.
    pub(crate) led: Vec<(Real, Epoch, Who)>,
    pub(crate) stopped_faults: bool,
    trace: bool,
    broken: Option<Violation>,
}

pub(crate) fn member(host: usize) -> MemberId {
    MemberId::new(format!("n{}", host + 1)).unwrap()
}

fn address(host: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(host + 1).unwrap()], 8559))
}

fn host_of(addr: SocketAddr) -> Option<usize> {
    match addr {
        SocketAddr::V4(v4) => usize::from(v4.ip().octets()[3]).checked_sub(1),
        SocketAddr::V6(_) => None,
    }
}

impl World {
    pub(crate) fn new(scenario: Scenario, rules: Rules, seed: u64, trace: bool) -> Self {
        let mut world = Self {
            rules,
            real: 0,
            dice: Dice::new(seed),
            hosts: Vec::new(),
            network: Network::new(scenario.agents),
            advice: scenario.advice,
            stats: Stats::default(),
            resources: Resources::default(),
            checkers: Checkers::default(),
            queue: BinaryHeap::new(),
            number: 0,
            lives: 0,
            disks: 0,
            values: 0,
            next_pause: 0,
            sent_voters: BTreeSet::new(),
            lost: BTreeMap::new(),
            led: Vec::new(),
            stopped_faults: false,
            trace,
            broken: None,
            scenario,
        };
        for host in 0..world.scenario.agents {
            let rate = world.any_rate();
            let origin = Duration::from_millis(world.dice.range(0, 5_000_000));
            let disk = world.new_disk(host);
            world.hosts.push(Host {
                id: member(host),
                addr: address(host),
                clock: HostClock::new(rate, origin),
                excused_until: 0,
                disk,
                running: None,
                paused: false,
                pause: 0,
                contacts: vec![Contact::default(); world.scenario.agents],
            });
            let late = world.scenario.late.filter(|(first, _)| host >= *first).map_or(0, |(_, after)| after);
            let at = late + world.dice.range(0, 1_500 * MS);
            world.at(at, Happening::Start { host });
        }
        world.at(0, Happening::Look);
        if !world.scenario.faults.is_empty() {
            let first = world.scenario.from + world.dice.around(world.scenario.every);
            world.at(first, Happening::NextFault);
        }
        world
    }

    pub(crate) fn any_rate(&mut self) -> f64 {
        let unit = self.dice.signed_unit();
        1.0 + self.scenario.drift * if self.scenario.extreme_drift { unit.signum() } else { unit }
    }

    fn new_disk(&mut self, host: usize) -> Disk {
        self.disks += 1;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&self.disks.to_be_bytes());
        bytes[15] = 1;
        Disk::new(self.disks, Durable::fresh(member(host), Instance(bytes)))
    }

    pub(crate) fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            let at = Duration::from_micros(self.real).as_secs_f64();
            println!("{at:>11.6} {}", text());
        }
    }

    pub(crate) fn at(&mut self, at: Real, what: Happening) {
        self.number += 1;
        self.queue.push(Scheduled { at, number: self.number, what });
    }

    pub(crate) fn after(&mut self, delay: Real, what: Happening) {
        self.at(self.real + delay, what);
    }

    /// Runs until `end`, or to the first violation.
    pub(crate) fn run_until(&mut self, end: Real) -> Result<(), Violation> {
        while let Some(next) = self.queue.peek() {
            if next.at > end {
                break;
            }
            let Some(Scheduled { at, what, .. }) = self.queue.pop() else { break };
            self.real = self.real.max(at);
            self.happen(what);
            if self.broken.is_none() {
                self.look_at_windows();
            }
            if let Some(violation) = self.broken.take() {
                return Err(violation);
            }
        }
        self.real = self.real.max(end);
        Ok(())
    }

    pub(crate) fn fact(&mut self, fact: &Fact<'_>) {
        if self.broken.is_none()
            && let Err(violation) = self.checkers.check(fact, self.real)
        {
            self.broken = Some(violation);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrives { to, from, message } => self.input(to, Input::Message(from, message)),
            Happening::Wake { host, life } => self.wake(host, life),
            Happening::DiskDone { host, life, ticket } => self.disk_done(host, life, ticket),
            Happening::Work { host, life } => self.work(host, life),
            Happening::RunsStopped { host, life } => {
                if self.lives_on(host, life) {
                    self.input(host, Input::RunsStopped);
                }
            }
            Happening::Effect { token } => {
                if self.resources.fenced(token) {
                    self.fact(&Fact::Accepted { token });
                }
            }
            Happening::Look => self.look(),
            Happening::Start { host } => self.start(host),
            Happening::Stop { host, life, back } => {
                if self.lives_on(host, life) && self.crash(host) {
                    self.after(back, Happening::Start { host });
                }
            }
            Happening::Resume { host, pause } => self.resume(host, pause),
            Happening::Heal { what } => self.heal(what),
            Happening::NextFault => self.next_fault(),
            Happening::Stored { host, life, key, value } => self.stored(host, life, &key, value),
            Happening::Asked { by, life, host, hash } => self.asked(by, life, host, hash),
            Happening::Answered { host, life, by, hash, found } => self.answered(host, life, by, hash, found),
            Happening::Kept { host, life, hash } => self.kept(host, life, hash),
            Happening::Room { host } => self.make_room(host),
            Happening::RoomTold { host, life } => {
                if self.lives_on(host, life) {
                    self.input(host, Input::DiskOk);
                }
            }
        }
    }

    fn lives_on(&self, host: usize, life: u32) -> bool {
        self.hosts[host].running.as_ref().is_some_and(|r| r.life == life)
    }
}
