//! The driver of one agent as `runtime::core` is: inputs in, outputs obeyed in order, notices to the agent's loop.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::durable::Change;
use quorate::cluster::output::{Event, Ticket};
use quorate::cluster::{Cluster, Now, Output};
use quorate::runtime::journal;
use quorate_proto::identity::Versions;
use quorate_proto::message::{Body, Message, Put, Renewal, VOTERS_KEY, Value, Voter};
use quorate_proto::seal::{KIND_CONTROL, KIND_RENEWAL, PLAIN_MAX};
use quorate_proto::{BootNonce, Epoch, Generation, Identity, Stamp, codec};

use super::host::{Guardian, Input, Notice, Process, Purpose, SOCKET};
use super::registers;
use super::scenario::{MS, SECOND};
use super::world::{Happening, World, address, host_of, micros};
use crate::leadership::clock::Flow;
use crate::leadership::facts::{Fact, Who};

/// How often names are resolved anew.
const SEEDS_EVERY: u64 = 5 * SECOND;

impl World {
    pub(super) fn start(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.lives += 1;
        let (life, real) = (self.lives, self.real());
        let mut nonce = [0; 16];
        nonce[..4].copy_from_slice(&life.to_be_bytes());
        nonce[15] = 2;
        let machine = &mut self.hosts[host];
        let wall = i64::try_from(real / MS + 1_000_000).unwrap() + machine.wall_offset;
        // As the store does at open: never below what is on disk.
        let generation = Generation(machine.generation.0 + 1).max(Generation(u64::try_from(wall).unwrap_or(1)));
        machine.generation = generation;
        machine.returns = true;
        let identity = Identity {
            id: machine.id.clone(),
            instance: machine.disk.durable.instance,
            generation,
            bump: 0,
            gossip_addr: machine.addr,
            api_addr: SocketAddr::new(machine.addr.ip(), 8558),
            address: String::new(),
            versions: Versions::OURS,
            software: (0, 1, 0),
        };
        let durable = machine.disk.open();
        let (disk, promised) = (machine.disk.number, durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch));
        let now = machine.now(real);
        let seeds = (0..self.scenario.founders).map(|i| format!("n{}:8559", i + 1)).collect();
        let settings = self.scenario.settings(seeds);
        let seed = self.dice.seed32();
        let cluster = Cluster::new(settings, durable, identity, BootNonce(nonce), self.rules, seed, now);
        self.hosts[host].process = Some(Process {
            cluster,
            life,
            window: None,
            lease: None,
            leads: None,
            writes: BTreeMap::new(),
            held: VecDeque::new(),
            held_datagrams: 0,
            wake_at: None,
            fatal: false,
            last_notice: real,
            in_hand: BTreeMap::new(),
            waits: BTreeMap::new(),
            hand_over: false,
            stopping: None,
            looking: false,
            seen_view: 0,
        });
        let guardian = Guardian {
            life,
            deadline: Duration::ZERO,
            watching: false,
            runs: BTreeMap::new(),
            agent_dead: false,
            words: None,
            told_of_death: false,
        };
        self.hosts[host].guardians.retain(|g| !g.runs.is_empty());
        self.hosts[host].guardians.push(guardian);
        self.trace(|| format!("n{} starts as process {life}, generation {generation}", host + 1));
        self.stats.count("starts");
        self.fact(&Fact::OnDisk { disk, promised });
        self.take(host, Input::Seeds);
    }

    /// SIGKILL of the agent: what it had not stored is lost, or not; the guardian sees it.
    pub(super) fn kill(&mut self, host: usize) -> bool {
        let Some(process) = self.hosts[host].process.take() else { return false };
        self.trace(|| format!("n{} is killed", host + 1));
        let pending = self.hosts[host].disk.pending.len();
        let kept = self.hosts[host].disk.crash(&mut self.dice);
        self.stats.add("un-synced writes lost", u64::from(!kept && pending > 0));
        if kept {
            self.stats.count("un-synced writes kept");
            self.read_disk(host);
        }
        let addr = self.hosts[host].addr;
        self.net.forget(addr);
        let still = self.hosts[host].still;
        self.hosts[host].paused = still;
        self.forget_calls(&process.writes);
        self.agent_died(host, process.life);
        true
    }

    /// The machine has no power: everything on it is gone.
    pub(super) fn power_off(&mut self, host: usize) -> bool {
        let real = self.real();
        let runs: Vec<u64> = self.hosts[host].guardians.drain(..).flat_map(|g| g.runs.into_keys()).collect();
        for run in runs {
            self.overlaps.end(run);
        }
        let killed = self.kill(host);
        let machine = &mut self.hosts[host];
        (machine.paused, machine.still, machine.pause) = (false, false, 0);
        machine.clock.set_flow(Flow::Runs, real);
        killed
    }

    pub(super) fn input(&mut self, host: usize, input: Input) {
        let machine = &mut self.hosts[host];
        let Some(process) = &mut machine.process else { return };
        if process.fatal {
            return;
        }
        if !machine.paused {
            return self.take(host, input);
        }
        if matches!(input, Input::Datagram(..)) {
            if process.held_datagrams >= SOCKET {
                self.stats.count("socket overruns");
                return;
            }
            process.held_datagrams += 1;
        }
        process.held.push_back(input);
    }

    /// The agent does what the input asks for.
    pub(super) fn take(&mut self, host: usize, input: Input) {
        match input {
            Input::Datagram(from, bytes) => self.with(host, |cluster, now| datagram(cluster, from, &bytes, now)),
            Input::Frame(from, bytes) => self.with(host, |cluster, now| {
                cluster.handle_control(from, &bytes, now).unwrap();
            }),
            Input::Persisted(ticket) => self.with(host, |cluster, now| cluster.handle_persisted(ticket, now)),
            Input::Generation(generation) => self.with(host, |cluster, now| {
                cluster.handle_generation(generation, now);
            }),
            Input::Seeds => {
                let founders = self.scenario.founders;
                let seeds = (0..founders).map(|i| (format!("n{}:8559", i + 1), vec![address(i)])).collect();
                self.with(host, |cluster, now| cluster.handle_seeds(seeds, now));
                self.later(host, SEEDS_EVERY, Input::Seeds);
            }
            Input::Notice(notice) => self.notice(host, notice),
            Input::RunEnded(run) => self.run_ended(host, run),
            Input::Look => self.look_for_work(host),
            Input::Patience => self.patience(host),
            Input::Call(call) => self.answer(host, call),
        }
    }

    /// Schedules an input for the process that runs there now.
    pub(super) fn later(&mut self, host: usize, delay: u64, input: Input) {
        if let Some(process) = &self.hosts[host].process {
            let life = process.life;
            self.after(delay, Happening::Input { host, life, input });
        }
    }

    pub(super) fn wake(&mut self, host: usize) {
        let real = self.real();
        if !self.hosts[host].is_up() {
            return;
        }
        let now = self.hosts[host].now(real);
        let Some(process) = &mut self.hosts[host].process else { return };
        process.wake_at = None;
        let life = process.life;
        if process.cluster.poll_timeout().is_none_or(|(at, _)| at > now.mono) {
            self.schedule_wake(host);
            return;
        }
        self.with(host, Cluster::handle_timeout);
        let Some(process) = &self.hosts[host].process else { return };
        match process.cluster.poll_timeout() {
            Some((at, reason)) if at <= now.mono => self.fact(&Fact::Spins { life, reason }),
            Some(_) | None => self.fact(&Fact::Sleeps { life }),
        }
    }

    pub(super) fn schedule_wake(&mut self, host: usize) {
        let real = self.real();
        let machine = &mut self.hosts[host];
        let Some(process) = &mut machine.process else { return };
        let at = process.cluster.poll_timeout().map(|(mono, _)| machine.clock.real_at(mono, real));
        // An earlier wake-up does no harm: it looks, and asks again.
        if process.wake_at.is_none_or(|had| had < real || at.is_some_and(|at| at < had)) {
            process.wake_at = at;
            let addr = machine.addr;
            self.net.wake(addr, at.map(Duration::from_micros));
        }
    }

    /// Calls the core of a host and does what it asks for.
    pub(super) fn with(&mut self, host: usize, call: impl FnOnce(&mut Cluster, Now)) {
        let now = self.hosts[host].now(self.real());
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.fatal {
            return;
        }
        let life = process.life;
        call(&mut process.cluster, now);
        loop {
            let Some(process) = &mut self.hosts[host].process else { return };
            let Some(output) = process.cluster.poll_output() else { break };
            self.fact(&Fact::Output { life });
            self.obey(host, output);
        }
        let Some(process) = &mut self.hosts[host].process else { return };
        let epoch = process.cluster.view().epoch;
        if let Some(generation) = process.cluster.adopt() {
            self.stats.count("generations adopted");
            let delay = self.dice.range(200, self.scenario.fsync);
            self.after(delay, Happening::GenerationDone { host, life, generation });
        }
        self.fact(&Fact::Knows { life, epoch });
        self.renew_last_words(host);
        let Some(process) = &self.hosts[host].process else { return };
        if process.cluster.has_left() {
            self.stats.count("goodbyes");
            self.kill(host);
            let back = self.dice.around(1_500 * MS);
            self.after(back, Happening::Start { host });
            return;
        }
        self.schedule_wake(host);
    }

    fn renew_last_words(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(process) = &mut machine.process else { return };
        let index = process.cluster.view().index;
        if process.seen_view != index {
            process.seen_view = index;
            let words = process.cluster.last_words();
            let life = process.life;
            if let Some(guardian) = machine.guardians.iter_mut().find(|g| g.life == life) {
                guardian.words = words;
            }
        }
    }

    fn obey(&mut self, host: usize, output: Output) {
        let Some(who) = self.hosts[host].who(host) else { return };
        match output {
            Output::Transmit { to, plain } => self.transmit(host, who, to, plain),
            Output::Persist { ticket, changes } => self.persist(host, who, ticket, changes),
            Output::Event(event) => self.event(host, who, &event),
            // No value here is large: `leadership` has the scenarios of those.
            Output::Fetch { .. } | Output::DropBlob { .. } => {}
        }
    }

    fn transmit(&mut self, host: usize, who: Who, to: SocketAddr, plain: Vec<u8>) {
        if plain[0] == KIND_RENEWAL {
            let renewal: Renewal = codec::decode_datagram(&plain[1..]).unwrap();
            self.trace(|| format!("n{} -> {to}: {renewal:?}", host + 1));
            self.stats.count("short renewals");
            if self.has_quorum() {
                self.leads(host, who, renewal.epoch);
            }
        } else if plain[0] == KIND_CONTROL {
            let message: Message = codec::decode_frame(&plain[1..]).unwrap();
            self.trace(|| format!("n{} -> {to}: {:?}", host + 1, message.body));
            if self.has_quorum() {
                self.seen(host, who, &message);
            }
            let data = matches!(message.body, Body::Write { .. } | Body::Values { .. });
            if data && !self.stopped_faults && self.dice.percent(self.scenario.write_loss) {
                return;
            }
        }
        if self.corrupt > 0 && self.dice.percent(self.corrupt) {
            // The seal refuses it.
            self.stats.count("corrupted messages");
            return;
        }
        let Some(target) = host_of(to).filter(|t| *t < self.hosts.len()) else { return };
        if plain.len() > PLAIN_MAX {
            self.stats.count("frames");
            let delay = self.dice.range(MS, 15 * MS);
            self.after(delay, Happening::Frame { from: host, to: target, bytes: plain[1..].to_vec() });
            return;
        }
        self.net.send(address(host), to, plain);
    }

    /// What the checkers see of a message that leaves.
    fn seen(&mut self, host: usize, who: Who, message: &Message) {
        match &message.body {
            Body::Write { epoch, seq, entries } => {
                let stamp = Stamp { epoch: *epoch, seq: *seq };
                for Put { key, value } in entries {
                    self.fact(&Fact::Stamped { key, stamp, value: value.as_ref() });
                    if key == VOTERS_KEY && self.sent_voters.insert(stamp) {
                        self.voters_sent(stamp, value.as_ref().and_then(Value::inline).unwrap_or_default());
                    }
                }
                self.leads(host, who, *epoch);
            }
            Body::Renew { epoch, .. } => self.leads(host, who, *epoch),
            Body::Grant { epoch, .. } | Body::Ack { epoch, .. } => {
                self.fact(&Fact::Answered { disk: who.disk, epoch: *epoch });
            }
            _ => {}
        }
    }

    fn voters_sent(&mut self, stamp: Stamp, value: &[u8]) {
        let Ok(voters) = codec::decode_frame(value) else { return };
        let mut on_disk = self.lost.clone();
        on_disk.extend(self.hosts.iter().filter_map(|h| {
            let (stamp, _) = registers::voters(&h.disk.durable)?;
            Some((Voter { id: h.id.clone(), instance: h.disk.durable.instance }, stamp))
        }));
        self.trace(|| format!("voters {stamp}: {voters:?}"));
        self.stats.count("voter sets");
        self.fact(&Fact::VotersSent { stamp, voters: &voters, on_disk: &on_disk });
    }

    fn leads(&mut self, host: usize, who: Who, epoch: Epoch) {
        self.fact(&Fact::Leads { epoch, who });
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.leads == Some(epoch) {
            return;
        }
        process.leads = Some(epoch);
        // A majority has granted: whoever acted under an older epoch may not act any more.
        let mut open = self.open_windows(host);
        if !self.is_excused(host) {
            open.push((epoch, who));
        }
        self.fact(&Fact::Windows { open: &open });
    }

    fn persist(&mut self, host: usize, who: Who, ticket: Ticket, changes: Vec<Change>) {
        let delay = self.dice.range(200, self.scenario.fsync);
        let real = self.real();
        let disk = &mut self.hosts[host].disk;
        let done = real.max(disk.busy_until) + delay;
        disk.busy_until = done;
        disk.pending.push_back((ticket, changes));
        self.at(done, Happening::DiskDone { host, life: who.life, ticket });
    }

    pub(super) fn disk_done(&mut self, host: usize, life: u32, ticket: Ticket) {
        if !self.lives_on(host, life) {
            return;
        }
        let completed = self.hosts[host].disk.complete();
        assert_eq!(completed, Some(ticket), "the simulated disk completes in order");
        self.read_disk(host);
        self.input(host, Input::Persisted(ticket));
    }

    pub(super) fn read_disk(&mut self, host: usize) {
        let disk = &self.hosts[host].disk;
        let promised = disk.durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let (number, cluster) = (disk.number, disk.durable.cluster);
        self.fact(&Fact::OnDisk { disk: number, promised });
        if let Some(cluster) = cluster {
            self.fact(&Fact::Formed { cluster });
        }
    }

    fn event(&mut self, host: usize, who: Who, event: &Event) {
        self.trace(|| format!("n{} {event:?}", host + 1));
        let real = self.real();
        let now = self.hosts[host].now(real);
        let notice = match event {
            &Event::LeaseGained(lease) => {
                self.stats.count("leaders");
                self.led.push((real, lease.epoch(), who));
                self.check_lease(lease.left(now));
                let Some(process) = &mut self.hosts[host].process else { return };
                process.window = Some(lease);
                process.seen_view = 0;
                let registers = process.cluster.registers().clone();
                let released = process.cluster.released().clone();
                if self.has_quorum() {
                    self.fact(&Fact::Leads { epoch: lease.epoch(), who });
                    self.fact(&Fact::Active { epoch: lease.epoch(), registers: &registers });
                }
                let journal = registers::journal(&registers);
                let found = self.journal.found(lease.epoch(), &registers::newest_runs(&journal));
                if self.has_quorum() {
                    self.judge(found);
                }
                let waits: Vec<(usize, u64)> = journal::unfinished(&journal, &released, lease.epoch())
                    .into_iter()
                    .filter_map(|u| Some((registers::task_of(&u.task)?, micros(u.wait))))
                    .collect();
                self.stats.add("waits for unfinished runs", waits.len() as u64);
                Notice::Led(lease, waits)
            }
            &Event::LeaseExtended(lease) => {
                if let Some(process) = &mut self.hosts[host].process {
                    process.window = Some(lease);
                }
                self.check_lease(lease.left(now));
                Notice::Extended(lease)
            }
            Event::LeaseSuspended { .. } => {
                self.stats.count("leases suspended");
                if let Some(process) = &mut self.hosts[host].process {
                    process.window = None;
                }
                Notice::Suspended
            }
            Event::LeaseLost { .. } => {
                self.stats.count("leases lost");
                if let Some(process) = &mut self.hosts[host].process {
                    process.window = None;
                }
                Notice::Lost
            }
            Event::HandOver { .. } => {
                self.stats.count("hand-overs");
                Notice::HandOver
            }
            Event::Committed(id) => {
                let write = self.hosts[host].process.as_mut().and_then(|p| p.writes.remove(id));
                let Some((key, purpose)) = write else { return };
                self.committed(host, &key, &purpose);
                Notice::Committed(purpose)
            }
            Event::Unknown(id) => {
                self.stats.count("writes unknown");
                let write = self.hosts[host].process.as_mut().and_then(|p| p.writes.remove(id));
                let Some((_, purpose)) = write else { return };
                Notice::Unknown(purpose)
            }
            Event::Fatal { .. } => return self.fatal(host, who),
            Event::MemberDown { .. } => return self.stats.count("members down"),
            Event::ClaimGivenUp { epoch, .. } => {
                self.fact(&Fact::GivesUp { epoch: *epoch, who });
                return self.stats.count("claims given up");
            }
            Event::ClaimFailed { .. } => return self.stats.count("claims failed"),
            Event::IdentityRenewed { .. } => return self.stats.count("identities renewed"),
            Event::ProcessEnded { .. } => return self.stats.count("deaths heard"),
            _ => return,
        };
        self.pass_on(host, notice);
    }

    /// To the agent's loop: a moment later, in order.
    fn pass_on(&mut self, host: usize, notice: Notice) {
        let (real, delay) = (self.real(), self.dice.range(0, MS));
        let Some(process) = &mut self.hosts[host].process else { return };
        let at = (real + delay).max(process.last_notice);
        process.last_notice = at;
        let life = process.life;
        self.at(at, Happening::Input { host, life, input: Input::Notice(notice) });
    }

    fn check_lease(&mut self, left: Duration) {
        let longest = self.scenario.grant();
        self.fact(&Fact::Lease { left: micros(left), longest });
    }

    /// What it must do is stop: the driver obeys at once, and somebody starts it again.
    fn fatal(&mut self, host: usize, who: Who) {
        self.stats.count("processes told to stop");
        self.fact(&Fact::Fatal { life: who.life });
        while self.hosts[host].process.as_mut().is_some_and(|p| p.cluster.poll_output().is_some()) {
            self.fact(&Fact::Output { life: who.life });
        }
        // It waits for its guardian, which has nothing to release then.
        if let Some(guardian) = self.hosts[host].guardians.iter_mut().find(|g| g.life == who.life) {
            guardian.words = None;
        }
        self.kill(host);
        let back = self.dice.range(SECOND, 3 * SECOND);
        self.after(back, Happening::Start { host });
    }

    fn committed(&mut self, host: usize, key: &str, purpose: &Purpose) {
        self.stats.count("writes acknowledged");
        match purpose {
            Purpose::Started(run) => {
                let held = self.hosts[host].process.as_ref().and_then(|p| p.in_hand.get(run).copied());
                if let Some(held) = held {
                    self.journal.acknowledged(held.task, held.epoch, *run);
                }
            }
            Purpose::Ended(_) => {}
            Purpose::Call(call) => {
                if let Some(value) = self.clients.value_of(*call)
                    && self.has_quorum()
                {
                    self.fact(&Fact::Acknowledged { key, value });
                }
            }
        }
    }
}

fn datagram(cluster: &mut Cluster, from: SocketAddr, plain: &[u8], now: Now) {
    match plain[0] {
        KIND_CONTROL => cluster.handle_control(from, &plain[1..], now).unwrap(),
        // A voter that was started again since, or has promised a later epoch, drops it.
        KIND_RENEWAL => drop(cluster.handle_renewal(from, &plain[1..], now)),
        _ => {
            let _ = cluster.handle_gossip(from, &plain[1..], now);
        }
    }
}
