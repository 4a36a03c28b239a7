//! The simulated world: hosts, network, faults and what the agents do with their leases, in one queue of events.
//!
//! After every event the checkers see what happened. The first violation ends the run.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Durable;
use quorate::cluster::durable::Change;
use quorate::cluster::leadership::registers::Registers;
use quorate::cluster::leadership::{Leadership, Output, Rules};
use quorate::cluster::output::{Event, Ticket};
use quorate_proto::message::{Body, Entry, Message, VOTERS_KEY, Voter, Voters};
use quorate_proto::{BootNonce, Epoch, Instance, MemberId, Stamp};

use super::checkers::Checkers;
use super::clock::{HostClock, Real};
use super::dice::Dice;
use super::disk::Disk;
use super::facts::{Fact, Violation, Who};
use super::network::Network;
use super::node::{Contact, Host, Input, Running};
use super::oracle;
use super::resource::Resources;
use super::scenario::{Advice, MS, SECOND, Scenario};
use super::stats::Stats;

/// D of an ordinary process.
pub(crate) const GRANT: Duration = Duration::from_millis(1_050);
/// What a leader leaves of its window when it starts something.
const MARGIN: Duration = Duration::from_millis(100);
/// Keys that leaders write.
const KEYS: usize = 5;

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
        }
    }

    fn lives_on(&self, host: usize, life: u32) -> bool {
        self.hosts[host].running.as_ref().is_some_and(|r| r.life == life)
    }

    // Processes.

    pub(crate) fn start(&mut self, host: usize) {
        if self.hosts[host].running.is_some() {
            return;
        }
        self.lives += 1;
        let life = self.lives;
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&life.to_be_bytes());
        nonce[15] = 2;
        let seeds: BTreeMap<String, Vec<SocketAddr>> =
            (0..self.scenario.seeds).map(|i| (format!("n{}:8559", i + 1), vec![address(i)])).collect();
        let grant = match (self.scenario.mixed_grants, self.dice.index(3)) {
            (true, 0) => GRANT / 2,
            (true, 1) => GRANT * 2,
            _ => GRANT,
        };
        let settings = self.scenario.settings(seeds.keys().cloned().collect(), grant);
        let durable = self.hosts[host].disk.durable.clone();
        let promised = durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let now = self.hosts[host].now(self.real);
        let seed = self.dice.seed32();
        let machine = Leadership::new(&settings, durable, BootNonce(nonce), self.rules, seed, now);
        self.hosts[host].contacts.fill(Contact::default());
        self.hosts[host].running = Some(Running {
            machine,
            life,
            lease: None,
            leads: None,
            writes: BTreeMap::new(),
            wake_at: None,
            held: VecDeque::new(),
            peers: BTreeMap::new(),
            fatal: false,
        });
        self.trace(|| format!("n{} starts as process {life}", host + 1));
        self.fact(&Fact::OnDisk { disk: self.hosts[host].disk.number, promised });
        self.with(host, |machine, now| machine.handle_seeds(seeds, address(host), now));
    }

    /// Ends the process; what it had not stored is lost, or not.
    pub(crate) fn crash(&mut self, host: usize) -> bool {
        if self.hosts[host].running.take().is_none() {
            return false;
        }
        self.trace(|| format!("n{} crashes", host + 1));
        if self.hosts[host].disk.crash(&mut self.dice) {
            self.stats.count("writes kept by a crash");
            self.read_disk(host);
        }
        self.hosts[host].paused = false;
        self.hosts[host].pause = 0;
        let real = self.real;
        self.hosts[host].clock.set_flow(super::clock::Flow::Runs, real);
        true
    }

    /// The directory is gone: another instance from now on.
    pub(crate) fn lose_disk(&mut self, host: usize) {
        let durable = &self.hosts[host].disk.durable;
        let stamp = durable.registers.get(VOTERS_KEY).map_or(Stamp::default(), |(stamp, _)| *stamp);
        self.lost.insert(Voter { id: durable.id.clone(), instance: durable.instance }, stamp);
        self.hosts[host].disk = self.new_disk(host);
        self.trace(|| format!("n{} has a new disk", host + 1));
    }

    pub(crate) fn pause(&mut self, host: usize, flow: super::clock::Flow, length: Real) -> bool {
        if self.hosts[host].paused || self.hosts[host].running.is_none() {
            return false;
        }
        self.trace(|| format!("n{} pauses for {length} us ({flow:?})", host + 1));
        self.next_pause += 1;
        let (pause, real) = (self.next_pause, self.real);
        let node = &mut self.hosts[host];
        node.paused = true;
        node.pause = pause;
        if flow != super::clock::Flow::Runs {
            node.clock.set_flow(flow, real);
        }
        if flow == super::clock::Flow::Frozen {
            node.excused_until = real + length + 3 * SECOND;
        }
        self.after(length, Happening::Resume { host, pause });
        true
    }

    fn resume(&mut self, host: usize, pause: u32) {
        if !self.hosts[host].paused || self.hosts[host].pause != pause {
            return;
        }
        self.trace(|| format!("n{} goes on", host + 1));
        let real = self.real;
        self.hosts[host].paused = false;
        self.hosts[host].clock.set_flow(super::clock::Flow::Runs, real);
        let Some(life) = self.hosts[host].running.as_ref().map(|r| r.life) else { return };
        // First whatever was in hand, then the timers or the queue, in either order.
        if self.dice.percent(50) {
            self.work(host, life);
        }
        let timers_first = self.dice.percent(50);
        if timers_first {
            self.poke(host);
        }
        loop {
            let Some(running) = &mut self.hosts[host].running else { return };
            let Some(input) = running.held.pop_front() else { break };
            self.input(host, input);
        }
        self.poke(host);
    }

    /// The process looks at its timers, due or not.
    fn poke(&mut self, host: usize) {
        self.with(host, Leadership::handle_timeout);
    }

    fn input(&mut self, host: usize, input: Input) {
        let node = &mut self.hosts[host];
        let Some(running) = &mut node.running else { return };
        if running.fatal {
            return;
        }
        if node.paused {
            // A real socket's queue is bounded too.
            if running.held.len() < 400 || !matches!(input, Input::Message(..)) {
                running.held.push_back(input);
            }
            return;
        }
        self.with(host, |machine, now| match input {
            Input::Message(from, message) => machine.handle_message(from, *message, now),
            Input::Persisted(ticket) => machine.handle_persisted(ticket, now),
            Input::RunsStopped => machine.runs_stopped(now),
        });
    }

    fn wake(&mut self, host: usize, life: u32) {
        if !self.lives_on(host, life) || self.hosts[host].paused {
            return;
        }
        let now = self.hosts[host].now(self.real);
        let Some(running) = &mut self.hosts[host].running else { return };
        if running.wake_at.is_none_or(|at| at > self.real) || running.fatal {
            return; // Scheduled before a later one replaced it.
        }
        running.wake_at = None;
        let due = running.machine.poll_timeout().filter(|(at, _)| *at <= now.mono);
        if due.is_none() {
            self.schedule_wake(host);
            return;
        }
        self.with(host, Leadership::handle_timeout);
        let Some(running) = &self.hosts[host].running else { return };
        let next = running.machine.poll_timeout();
        match next {
            Some((at, reason)) if at <= now.mono => self.fact(&Fact::Spins { life, reason }),
            Some(_) | None => self.fact(&Fact::Sleeps { life }),
        }
    }

    fn schedule_wake(&mut self, host: usize) {
        let node = &mut self.hosts[host];
        let Some(running) = &mut node.running else { return };
        let Some((deadline, _)) = running.machine.poll_timeout() else { return };
        let at = node.clock.real_at(deadline, self.real);
        if running.wake_at.is_none_or(|had| at < had || had < self.real) {
            running.wake_at = Some(at);
            let life = running.life;
            self.at(at, Happening::Wake { host, life });
        }
    }

    /// Calls the machine of a host and does what it asks for.
    pub(crate) fn with(&mut self, host: usize, call: impl FnOnce(&mut Leadership, quorate::cluster::Now)) {
        let now = self.hosts[host].now(self.real);
        let Some(running) = &mut self.hosts[host].running else { return };
        if running.fatal {
            return;
        }
        let life = running.life;
        call(&mut running.machine, now);
        loop {
            let Some(running) = &mut self.hosts[host].running else { return };
            let Some(output) = running.machine.poll_output() else { break };
            self.fact(&Fact::Output { life });
            self.obey(host, output);
        }
        let Some(running) = &self.hosts[host].running else { return };
        let epoch = running.machine.epoch();
        self.fact(&Fact::Knows { life, epoch });
        self.schedule_wake(host);
    }

    fn obey(&mut self, host: usize, output: Output) {
        let Some(who) = self.hosts[host].who(host) else { return };
        match output {
            Output::Send { to, message } => self.send(host, who, to, message),
            Output::Persist { ticket, changes } => self.persist(host, who, ticket, changes),
            Output::Event(event) => self.event(host, who, &event),
        }
    }

    // Messages.

    fn send(&mut self, host: usize, who: Who, to: SocketAddr, message: Message) {
        self.trace(|| format!("n{} -> {to}: {:?}", host + 1, message.body));
        match &message.body {
            Body::Write { epoch, seq, entries } => {
                let stamp = Stamp { epoch: *epoch, seq: *seq };
                for Entry { key, value } in entries {
                    self.fact(&Fact::Stamped { key, stamp, value: value.as_deref() });
                    if key == VOTERS_KEY && self.sent_voters.insert(stamp) {
                        self.voters_sent(stamp, value.as_deref().unwrap_or_default());
                    }
                }
                self.leads(host, who, *epoch);
            }
            Body::Conflict { .. } => self.stats.count("conflicts told"),
            Body::Renew { epoch, .. } => self.leads(host, who, *epoch),
            Body::Grant { epoch, .. } | Body::Ack { epoch, .. } => {
                self.fact(&Fact::Answered { disk: who.disk, epoch: *epoch });
            }
            _ => {}
        }
        self.stats.count("messages");
        self.post(host, to, message);
    }

    pub(crate) fn post(&mut self, host: usize, to: SocketAddr, message: Message) {
        let Some(target) = host_of(to).filter(|t| *t < self.hosts.len()) else { return };
        let loss = match &message.body {
            Body::Write { .. } => self.scenario.write_loss,
            Body::Values { .. } => self.scenario.values_loss,
            _ => 0,
        };
        if loss > 0 && !self.stopped_faults && self.dice.percent(loss) {
            return;
        }
        let arrivals = self.network.arrivals(host, target, self.real, &mut self.dice);
        let from = self.hosts[host].addr;
        let [first, second] = arrivals;
        if let Some(at) = second {
            self.at(at, Happening::Arrives { to: target, from, message: Box::new(message.clone()) });
        }
        if let Some(at) = first {
            self.at(at, Happening::Arrives { to: target, from, message: Box::new(message) });
        }
    }

    fn leads(&mut self, host: usize, who: Who, epoch: Epoch) {
        self.fact(&Fact::Leads { epoch, who });
        let Some(running) = &mut self.hosts[host].running else { return };
        if running.leads == Some(epoch) {
            return;
        }
        running.leads = Some(epoch);
        self.stats.count("elections");
        // A majority has granted: whoever acted under an older epoch may not act any more.
        let mut open = self.open_windows(host);
        if !self.is_excused(host) {
            open.push((epoch, who));
        }
        self.fact(&Fact::Windows { open: &open });
    }

    fn voters_sent(&mut self, stamp: Stamp, value: &[u8]) {
        let Ok(voters) = quorate_proto::codec::decode_frame::<Voters>(value) else { return };
        let mut on_disk = self.lost.clone();
        on_disk.extend(self.hosts.iter().filter_map(|h| {
            let stamp = h.disk.durable.registers.get(VOTERS_KEY)?.0;
            Some((Voter { id: h.id.clone(), instance: h.disk.durable.instance }, stamp))
        }));
        self.trace(|| format!("voters {stamp}: {voters:?}"));
        self.stats.count("voter sets");
        self.fact(&Fact::VotersSent { stamp, voters: &voters, on_disk: &on_disk });
    }

    // Disks.

    fn persist(&mut self, host: usize, who: Who, ticket: Ticket, changes: Vec<Change>) {
        self.trace(|| format!("n{} stores {ticket:?} {changes:?}", host + 1));
        let delay = self.dice.range(200, self.scenario.fsync);
        let disk = &mut self.hosts[host].disk;
        let done = self.real.max(disk.busy_until) + delay;
        disk.busy_until = done;
        disk.pending.push_back((ticket, changes));
        self.at(done, Happening::DiskDone { host, life: who.life, ticket });
    }

    fn disk_done(&mut self, host: usize, life: u32, ticket: Ticket) {
        if !self.lives_on(host, life) {
            return;
        }
        let completed = self.hosts[host].disk.complete();
        assert_eq!(completed, Some(ticket), "the simulated disk completes in order");
        self.read_disk(host);
        self.input(host, Input::Persisted(ticket));
    }

    /// Tells the checkers what is on a disk.
    fn read_disk(&mut self, host: usize) {
        let disk = &self.hosts[host].disk;
        let promised = disk.durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let (number, cluster) = (disk.number, disk.durable.cluster);
        self.fact(&Fact::OnDisk { disk: number, promised });
        if let Some(cluster) = cluster {
            self.fact(&Fact::Formed { cluster });
        }
    }

    // What agents do.

    fn event(&mut self, host: usize, who: Who, event: &Event) {
        self.trace(|| format!("n{} {event:?}", host + 1));
        let now = self.hosts[host].now(self.real);
        match event {
            Event::LeaseGained(lease) => {
                let lease = *lease;
                self.stats.count("leaders");
                self.led.push((self.real, lease.epoch(), who));
                self.fact(&Fact::Leads { epoch: lease.epoch(), who });
                let Some(running) = &mut self.hosts[host].running else { return };
                running.lease = Some(lease);
                let registers: Registers = running.machine.durable().registers.clone();
                self.check_lease(lease.left(now));
                self.fact(&Fact::Active { epoch: lease.epoch(), registers: &registers });
                self.serve(host, lease.epoch());
                let first = self.dice.range(0, self.scenario.work_every);
                self.after(first, Happening::Work { host, life: who.life });
            }
            Event::LeaseExtended(lease) => {
                let lease = *lease;
                if let Some(running) = &mut self.hosts[host].running {
                    running.lease = Some(lease);
                }
                self.check_lease(lease.left(now));
            }
            Event::LeaseLost { .. } => {
                self.stats.count("leases lost");
                if let Some(running) = &mut self.hosts[host].running {
                    running.lease = None;
                }
            }
            Event::HandOver { .. } => {
                self.stats.count("hand-overs");
                let mean = if self.dice.percent(10) { 2 * SECOND } else { 50 * MS };
                let delay = self.dice.around(mean);
                self.after(delay, Happening::RunsStopped { host, life: who.life });
            }
            Event::Committed(id) => {
                let write = self.hosts[host].running.as_mut().and_then(|r| r.writes.remove(id));
                if let Some((key, value)) = write {
                    self.stats.count("writes acknowledged");
                    self.fact(&Fact::Acknowledged { key: &key, value });
                }
            }
            Event::Unknown(id) => {
                self.stats.count("writes unknown");
                if let Some(running) = &mut self.hosts[host].running {
                    running.writes.remove(id);
                }
            }
            Event::Fatal { .. } => {
                self.stats.count("processes told to stop");
                self.fact(&Fact::Fatal { life: who.life });
                // The driver obeys a little later.
                let restart = self.dice.range(SECOND, 3 * SECOND);
                while self.hosts[host].running.as_mut().is_some_and(|r| r.machine.poll_output().is_some()) {
                    self.fact(&Fact::Output { life: who.life });
                }
                self.crash(host);
                self.after(restart, Happening::Start { host });
            }
            Event::Claiming { .. } => self.stats.count("claims"),
            Event::ClaimFailed { .. } => self.stats.count("claims failed"),
            Event::Formed { .. } => self.stats.count("formed"),
            Event::Alarm { .. } => self.stats.count("alarms"),
            _ => {}
        }
    }

    fn check_lease(&mut self, left: Duration) {
        let longest = GRANT * if self.scenario.mixed_grants { 2 } else { 1 };
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.fact(&Fact::Lease { left: micros(left), longest: micros(longest) });
    }

    /// A leader with a lease in hand acts upon it.
    fn work(&mut self, host: usize, life: u32) {
        if !self.lives_on(host, life) || self.hosts[host].paused {
            if self.lives_on(host, life) {
                self.after(20 * MS, Happening::Work { host, life });
            }
            return;
        }
        let now = self.hosts[host].now(self.real);
        let Some(who) = self.hosts[host].who(host) else { return };
        let Some(lease) = self.hosts[host].running.as_ref().and_then(|r| r.lease) else { return };
        let next = self.dice.around(self.scenario.work_every);
        self.after(next, Happening::Work { host, life });
        if !lease.is_live(MARGIN.min(GRANT / 3), now) {
            return;
        }
        let epoch = lease.epoch();
        match self.dice.index(4) {
            0 | 1 => self.propose(host),
            2 => {
                let excused = self.is_excused(host) || self.scenario.excuse_windows;
                self.stats.count("effects");
                self.fact(&Fact::Effect { epoch, who, live: lease.is_live(Duration::ZERO, now), excused });
                if self.resources.unfenced(epoch, self.real) {
                    self.stats.count("unfenced effects overtaken");
                }
                let delay = if self.dice.percent(10) { 3 * SECOND } else { 10 * MS };
                let arrival = self.dice.range(0, delay);
                self.after(arrival, Happening::Effect { token: epoch });
            }
            _ => self.serve(host, epoch),
        }
    }

    pub(crate) fn propose(&mut self, host: usize) {
        let key = format!("k{}", self.dice.index(KEYS));
        self.values += 1;
        let value = self.values;
        let entry = Entry { key: key.clone(), value: Some(value.to_le_bytes().to_vec()) };
        let mut id = None;
        let now = self.hosts[host].now(self.real);
        let mut stamp = None;
        if let Some(running) = &mut self.hosts[host].running {
            id = running.machine.propose(vec![entry], now);
            stamp = running.machine.durable().registers.get(&key).map(|(stamp, _)| *stamp);
            if let Some(id) = id {
                running.writes.insert(id, (key.clone(), value));
            }
        }
        if let (Some(_), Some(stamp)) = (id, stamp) {
            self.stats.count("writes");
            self.fact(&Fact::Proposed { value, stamp });
        }
        self.with(host, |_, _| {});
    }

    /// Reads everything that is agreed out to somebody: values with a write of this leader under way are not.
    fn serve(&mut self, host: usize, epoch: Epoch) {
        let Some(running) = &self.hosts[host].running else { return };
        let pending: BTreeSet<&String> = running.writes.values().map(|(key, _)| key).collect();
        let served: Vec<(String, u64)> = running
            .machine
            .durable()
            .registers
            .iter()
            .filter(|(key, _)| !pending.contains(key))
            .filter_map(|(key, (_, value))| Some((key.clone(), super::checkers::value_of(value.as_ref())?)))
            .collect();
        for (key, value) in served {
            self.fact(&Fact::Served { key: &key, value, epoch });
        }
    }

    // Windows.

    pub(crate) fn is_excused(&self, host: usize) -> bool {
        self.scenario.excuse_windows || self.hosts[host].excused_until > self.real
    }

    /// Who holds a live lease now, `except` left out.
    fn open_windows(&self, except: usize) -> Vec<(Epoch, Who)> {
        let mut open = Vec::new();
        for (i, host) in self.hosts.iter().enumerate() {
            let Some(lease) = host.running.as_ref().and_then(|r| r.lease) else { continue };
            if i != except && lease.is_live(Duration::ZERO, host.now(self.real)) && !self.is_excused(i) {
                open.extend(host.who(i).map(|who| (lease.epoch(), who)));
            }
        }
        open
    }

    fn look_at_windows(&mut self) {
        let live = |(_, h): &(usize, &Host)| {
            let lease = h.running.as_ref().and_then(|r| r.lease);
            lease.is_some_and(|lease| lease.is_live(Duration::ZERO, h.now(self.real)))
        };
        let holders = self.hosts.iter().enumerate().filter(live).count();
        if holders < 2 {
            return;
        }
        self.stats.count("moments of overlap");
        let open = self.open_windows(usize::MAX);
        self.fact(&Fact::Windows { open: &open });
    }

    // Advice.

    fn look(&mut self) {
        self.after(oracle::PERIOD, Happening::Look);
        for me in 0..self.hosts.len() {
            if !self.hosts[me].is_up() {
                continue;
            }
            let local = self.hosts[me].now(self.real).mono;
            for other in 0..self.hosts.len() {
                if other == me {
                    continue;
                }
                let reachable =
                    self.hosts[other].is_up() && !self.network.is_cut(me, other) && !self.network.is_cut(other, me);
                let mut contact = self.hosts[me].contacts[other];
                oracle::look(&mut contact, &self.hosts[other], reachable, self.real, local);
                self.hosts[me].contacts[other] = contact;
            }
            let Some(running) = &self.hosts[me].running else { continue };
            let before = running.peers.clone();
            let peers = oracle::advise(me, &self.hosts, self.advice, &before, self.real, &mut self.dice);
            if peers == before {
                continue;
            }
            if let Some(running) = &mut self.hosts[me].running {
                running.peers.clone_from(&peers);
            }
            self.with(me, |machine, now| machine.handle_members(peers, now));
        }
    }

    /// What has been agreed and must be with whoever leads now.
    pub(crate) fn agreed_data_is_with(&self, host: usize) -> Result<(), String> {
        let Some(running) = &self.hosts[host].running else { return Err("nobody is there".to_owned()) };
        let machine = &running.machine;
        let above = machine.epoch().next();
        self.checkers.data().lacks(above, &machine.durable().registers).map_err(|(_, text)| text)
    }
}
