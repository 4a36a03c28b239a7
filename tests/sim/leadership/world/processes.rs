//! Processes: started, paused, crashed, woken, and given their inputs.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use quorate::cluster::leadership::{Leadership, Output, Rules};
use quorate_proto::message::{VOTERS_KEY, Voter};
use quorate_proto::{BootNonce, Epoch, Stamp};

use super::{GRANT, Happening, World, address};
use crate::leadership::clock::{Flow, Real};
use crate::leadership::facts::Fact;
use crate::leadership::node::{Contact, Input, Running};
use crate::leadership::scenario::SECOND;

impl World {
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
        let durable = self.hosts[host].disk.open();
        let promised = durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let now = self.hosts[host].now(self.real);
        let seed = self.dice.seed32();
        let machine = Leadership::new(&settings, durable, BootNonce(nonce), self.rules_of(host), seed, now);
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

    fn rules_of(&self, host: usize) -> Rules {
        let rules = if self.scenario.small { self.rules.small() } else { self.rules };
        if host < self.scenario.older { rules.older() } else { rules }
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
        self.hosts[host].clock.set_flow(Flow::Runs, real);
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

    pub(crate) fn pause(&mut self, host: usize, flow: Flow, length: Real) -> bool {
        if self.hosts[host].paused || self.hosts[host].running.is_none() {
            return false;
        }
        self.trace(|| format!("n{} pauses for {length} us ({flow:?})", host + 1));
        self.next_pause += 1;
        let (pause, real) = (self.next_pause, self.real);
        let node = &mut self.hosts[host];
        node.paused = true;
        node.pause = pause;
        if flow != Flow::Runs {
            node.clock.set_flow(flow, real);
        }
        if flow == Flow::Frozen {
            node.excused_until = real + length + 3 * SECOND;
        }
        self.after(length, Happening::Resume { host, pause });
        true
    }

    pub(super) fn resume(&mut self, host: usize, pause: u32) {
        if !self.hosts[host].paused || self.hosts[host].pause != pause {
            return;
        }
        self.trace(|| format!("n{} goes on", host + 1));
        let real = self.real;
        self.hosts[host].paused = false;
        self.hosts[host].clock.set_flow(Flow::Runs, real);
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
    pub(super) fn poke(&mut self, host: usize) {
        self.with(host, Leadership::handle_timeout);
    }

    pub(super) fn input(&mut self, host: usize, input: Input) {
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
            Input::Blob(hash) => machine.handle_blob(hash, now),
            Input::BlobGone(hash, from) => machine.handle_blob_failed(hash, from, true, now),
            Input::DiskFull => machine.handle_disk_full("the disk is full", now),
            Input::DiskOk => machine.handle_disk_ok(now),
        });
    }

    pub(super) fn wake(&mut self, host: usize, life: u32) {
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

    pub(super) fn schedule_wake(&mut self, host: usize) {
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

    pub(super) fn obey(&mut self, host: usize, output: Output) {
        let Some(who) = self.hosts[host].who(host) else { return };
        match output {
            Output::Send { to, message } => self.send(host, who, to, message),
            Output::Persist { ticket, changes } => self.persist(host, who, ticket, changes),
            Output::Fetch { hash, from, .. } => self.fetch(host, who.life, hash, from),
            Output::DropBlob { hash } => self.drop_contents(host, hash),
            Output::Event(event) => self.event(host, who, &event),
        }
    }
}
