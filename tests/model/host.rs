//! One agent of a model: the production machine, its disk, its clock, its driver and its guardian.
//!
//! A step is a pure function of the agent and one input. So it is computed once for each pair and remembered
//! (`memo`): the states of the model share agents.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quorate::cluster::durable::Change;
use quorate::cluster::leadership::{Leadership, Output, Peer};
use quorate::cluster::output::{Event, Ticket, WriteId};
use quorate::cluster::view::MemberState;
use quorate::cluster::{Durable, Now};
use quorate_proto::message::{
    Body, Commits, Entry, Header, Message, Process, VOTERS_KEY, Value, Voter, Voters, decode_voters,
};
use quorate_proto::{BootNonce, ClusterId, Epoch, Generation, Seq, Stamp, codec};

use crate::config::{Clocks, Config, FAST, SLOW, address, agent_at, instance, member, seed_name};
use crate::guard::{Guard, fence};
use crate::input::{Envelope, Fact, Input, Step, hash64};

/// The key that leaders write in models of data.
pub(crate) const KEY: &str = "k";

/// A write of the driver.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) enum Write {
    Value(u8),
    RunStarts { epoch: Epoch },
    RunEnds { epoch: Epoch },
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) id: usize,
    pub(crate) machine: Leadership,
    pub(crate) disk: Durable,
    pub(crate) pending: VecDeque<(Ticket, Vec<Change>)>,
    /// Both clocks, in milliseconds.
    pub(crate) clock: u64,
    step: u64,
    pub(crate) steps: u8,
    pub(crate) instance: u8,
    boot: u8,
    sees: u8,
    instances: Vec<u8>,
    /// Has not looked at its timers since its clock advanced.
    pub(crate) asleep: bool,
    /// The highest epoch it answered for, whatever its disk says (I2).
    answered: Epoch,
    /// Whom it granted a lease, and until when on its clock (R1).
    granted: Option<(Process, u64)>,
    pub(crate) writes: BTreeMap<WriteId, Write>,
    pub(crate) active: Option<Epoch>,
    pub(crate) handing_over: bool,
    pub(crate) ended: bool,
    /// The epoch whose window is open at this moment.
    pub(crate) open: Option<Epoch>,
    /// No run of the task starts before this (W).
    pub(crate) wait_until: u64,
    pub(crate) guards: Vec<Guard>,
    pub(crate) hash: u64,
}

/// What a step says, while it is made.
pub(crate) struct Outcome {
    pub(crate) sent: Vec<Arc<Envelope>>,
    pub(crate) facts: Vec<Fact>,
}

impl Host {
    pub(crate) fn start(config: &Config, id: usize, fast: bool) -> Step {
        let mut durable = Durable::fresh(member(id), instance(id, 0));
        if config.voters > 0 {
            let voter = |agent| Voter { id: member(agent), instance: instance(agent, 0) };
            let voters = Voters((0..config.voters).map(voter).collect());
            let stamp = Stamp { epoch: Epoch(0), seq: Seq(1) };
            durable.cluster = Some(ClusterId([7; 16]));
            // A learner knows nothing yet.
            if id < config.voters {
                durable
                    .registers
                    .insert(VOTERS_KEY.to_owned(), (stamp, codec::encode(&voters).ok().map(Value::Inline)));
            }
        }
        let instances = vec![0; config.agents];
        let machine = boot(config, &durable, id, 0, 0);
        let mut host = Self {
            id,
            machine,
            disk: durable,
            pending: VecDeque::new(),
            clock: 0,
            step: match config.clocks {
                Clocks::Free { .. } => config.grant_ms(),
                Clocks::Bound { .. } if fast => FAST,
                Clocks::Bound { .. } => SLOW,
            },
            steps: 0,
            instance: 0,
            boot: 0,
            sees: config.sees[id],
            instances,
            asleep: false,
            answered: Epoch(0),
            granted: None,
            writes: BTreeMap::new(),
            active: None,
            handing_over: false,
            ended: false,
            open: None,
            wait_until: 0,
            guards: vec![Guard::new(0)],
            hash: 0,
        };
        let mut outcome = Outcome { sent: Vec::new(), facts: Vec::new() };
        host.begin(config);
        host.finish(config, &mut outcome);
        Step { host: Arc::new(host), sent: outcome.sent, facts: outcome.facts }
    }

    /// `None`: it cannot happen, or nothing changes.
    pub(crate) fn step(&self, input: &Input, config: &Config) -> Option<Step> {
        if self.ended && !matches!(input, Input::Crash | Input::LoseDisk | Input::Pass { .. }) {
            return None;
        }
        let mut host = self.clone();
        let mut outcome = Outcome { sent: Vec::new(), facts: Vec::new() };
        host.apply(input, config, &mut outcome);
        host.finish(config, &mut outcome);
        let idle = host.hash == self.hash && outcome.sent.is_empty() && outcome.facts.is_empty();
        (!idle).then(|| Step { host: Arc::new(host), sent: outcome.sent, facts: outcome.facts })
    }

    pub(crate) fn now(&self) -> Now {
        let now = Duration::from_millis(self.clock);
        Now { mono: now, boot: now }
    }

    fn begin(&mut self, config: &Config) {
        let seeds = (0..config.seeds).map(|agent| (seed_name(agent), vec![address(agent)])).collect();
        let now = self.now();
        self.advise();
        self.machine.handle_seeds(seeds, address(self.id), now);
    }

    fn advise(&mut self) {
        let peer = |agent: usize| {
            let state = if self.sees >> agent & 1 == 1 { MemberState::Alive } else { MemberState::Down };
            let instance = instance(agent, self.instances[agent]);
            let (addr, generation) = (address(agent), Generation(0));
            (member(agent), Peer { instance, addr, generation, state, alive_since: Duration::ZERO, has_horizon: true })
        };
        let peers = (0..self.instances.len()).filter(|agent| *agent != self.id).map(peer).collect();
        let now = self.now();
        self.machine.handle_members(peers, now);
    }

    fn apply(&mut self, input: &Input, config: &Config, outcome: &mut Outcome) {
        let now = self.now();
        match input {
            Input::Message(envelope) => {
                if let Body::Release { holder, .. } | Body::LeaseEnded { holder, .. } = &envelope.message.body
                    && self.granted.as_ref().is_some_and(|(to, _)| to == holder)
                {
                    self.granted = None;
                }
                let before = self.machine.durable().promised.as_ref().map(|p| p.epoch);
                self.machine.handle_message(envelope.from, envelope.message.clone(), now);
                let follows = matches!(envelope.message.body, Body::Write { .. } | Body::Values { .. });
                if follows && self.machine.durable().promised.as_ref().map(|p| p.epoch) > before {
                    self.granted = None; // A majority has granted the newer epoch already (R3).
                }
            }
            Input::Persisted => self.persisted(outcome),
            Input::Pass { wakes } => {
                self.clock += self.step;
                self.steps += 1;
                self.asleep = true;
                let now = self.clock;
                for guard in &mut self.guards {
                    guard.pass(now, config.slip);
                }
                if *wakes && !self.ended {
                    self.wake();
                }
            }
            Input::Wake => self.wake(),
            Input::Crash => self.crash(config, outcome),
            Input::LoseDisk => {
                self.instance += 1;
                self.instances[self.id] = self.instance;
                self.disk = Durable::fresh(member(self.id), instance(self.id, self.instance));
                (self.answered, self.granted) = (Epoch(0), None);
                self.crash(config, outcome);
            }
            Input::Advise { sees, instances } => {
                self.sees = *sees;
                self.instances.clone_from(instances);
                self.advise();
            }
            Input::Propose(value) => self.propose(*value, outcome),
            Input::StepDown => self.machine.step_down("asked to", false, now),
            Input::RunsStopped => {
                self.handing_over = false;
                self.machine.runs_stopped(now);
                outcome.facts.push(Fact::HandedOver);
            }
            Input::Remove(agent) => {
                let refused = self.machine.remove_voter(&member(*agent), now);
                assert_ne!(refused, Err("this agent does not lead"));
            }
            Input::StartRun | Input::RunEnds | Input::RunDies(_) | Input::TellOfDeath(_) | Input::SendRelease(_) => {
                self.run_input(input, config, outcome);
            }
        }
    }

    fn wake(&mut self) {
        self.asleep = false;
        let now = self.now();
        self.machine.handle_timeout(now);
    }

    fn persisted(&mut self, outcome: &mut Outcome) {
        let Some((ticket, changes)) = self.pending.pop_front() else { return };
        let before = self.disk.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let before_fence = fence(&self.disk);
        for change in changes {
            change.apply(&mut self.disk);
        }
        if fence(&self.disk) < before_fence {
            outcome.facts.push(Fact::Broken("I8"));
        }
        if let Some(cluster) = self.disk.cluster {
            outcome.facts.push(Fact::Formed(cluster));
        }
        if self.disk.promised.as_ref().map_or(Epoch(0), |p| p.epoch) < before {
            outcome.facts.push(Fact::Broken("I2"));
        }
        let now = self.now();
        self.machine.handle_persisted(ticket, now);
    }

    /// Every prefix of the un-synced writes may have reached the disk: the behaviours in which the crash comes after
    /// `Persisted` cover that, since what is sent then may be lost.
    fn crash(&mut self, config: &Config, outcome: &mut Outcome) {
        if self.disk.promised.as_ref().map_or(Epoch(0), |p| p.epoch) < self.answered {
            outcome.facts.push(Fact::Broken("I2"));
        }
        self.pending.clear();
        self.writes.clear();
        self.boot += 1;
        (self.active, self.handing_over, self.ended, self.asleep) = (None, false, false, false);
        let clock = self.clock;
        for guard in &mut self.guards {
            guard.agent_died(clock);
        }
        self.guards.retain(Guard::matters);
        self.guards.push(Guard::new(self.boot));
        self.machine = boot(config, &self.disk, self.id, self.boot, self.clock);
        self.begin(config);
    }

    fn propose(&mut self, value: u8, outcome: &mut Outcome) {
        let now = self.now();
        let Some(id) = self.machine.propose(&[Entry { key: KEY.to_owned(), value: Some(vec![value]) }], now) else {
            return;
        };
        self.writes.insert(id, Write::Value(value));
        if let Some((stamp, _)) = self.machine.durable().registers.get(KEY) {
            outcome.facts.push(Fact::Proposed { value, stamp: *stamp });
        }
    }

    /// Drains the machine in order, as a driver must.
    pub(crate) fn finish(&mut self, config: &Config, outcome: &mut Outcome) {
        loop {
            while let Some(output) = self.machine.poll_output() {
                match output {
                    Output::Send { to, message } => self.send(config, to, message, outcome),
                    Output::Persist { ticket, changes } => {
                        self.note_own_promise(&changes, outcome);
                        self.pending.push_back((ticket, changes));
                    }
                    Output::Event(event) => self.event(config, &event, outcome),
                    // No value of a model is large.
                    Output::Fetch { .. } | Output::DropBlob { .. } => {}
                }
            }
            if !config.instant_disk || self.pending.is_empty() {
                break;
            }
            self.persisted(outcome);
        }
        self.writes_settled();
        self.open = self.machine.lease(self.now()).map(|lease| lease.epoch());
        if config.runs {
            self.renew_last_words();
        }
        self.hash = self.fingerprint();
    }

    fn note_own_promise(&self, changes: &[Change], outcome: &mut Outcome) {
        for change in changes {
            if let Change::Promise(promise) = change
                && promise.holder == *self.machine.process()
            {
                outcome.facts.push(Fact::Promised { epoch: promise.epoch });
            }
        }
    }

    pub(crate) fn transmit(&self, config: &Config, to: SocketAddr, message: Message, outcome: &mut Vec<Arc<Envelope>>) {
        let Some(to) = agent_at(to).filter(|to| *to < config.agents && *to != self.id) else { return };
        if !(config.carries)(&message.body) {
            return;
        }
        let from = address(self.id);
        let hash = hash64(&(from, to, &message));
        if !outcome.iter().any(|sent| sent.hash == hash) {
            outcome.push(Arc::new(Envelope { from, to, message, hash }));
        }
    }

    fn send(&mut self, config: &Config, to: SocketAddr, message: Message, outcome: &mut Outcome) {
        let me = self.machine.process();
        // Without `Rule::OldCopies` nobody reads the count; without it equal messages are equal.
        let message = Message { header: Header { commits: Commits::default(), ..message.header }, ..message };
        match &message.body {
            Body::Write { epoch, seq, entries } => {
                let stamp = Stamp { epoch: *epoch, seq: *seq };
                let leads = Fact::Leads { epoch: *epoch, instance: me.instance, boot: self.boot };
                let stamped = Fact::Stamped { stamp, content: hash64(entries) };
                outcome.facts.extend([leads, stamped]);
                let voters = entries.iter().find(|e| e.key == VOTERS_KEY).and_then(|e| e.value.as_ref()?.inline());
                if let Some((voters, _)) = voters.and_then(|bytes| decode_voters(bytes).ok()) {
                    outcome.facts.push(Fact::VotersSent { stamp, voters });
                }
                self.answered = self.answered.max(*epoch);
            }
            Body::Renew { epoch, .. } => {
                outcome.facts.push(Fact::Leads { epoch: *epoch, instance: me.instance, boot: self.boot });
            }
            Body::Grant { epoch, lease_ms, .. } => {
                self.answered = self.answered.max(*epoch);
                let holder = self.machine.durable().promised.as_ref().map(|p| p.holder.clone());
                if let Some(holder) = holder {
                    let runs = self.granted.as_ref().is_some_and(|(to, until)| *to != holder && *until > self.clock);
                    if runs {
                        outcome.facts.push(Fact::Broken("R1"));
                    }
                    self.granted = Some((holder, self.clock + u64::from(*lease_ms)));
                }
            }
            Body::Renewed { lease_ms, .. } => {
                let until = self.clock + u64::from(*lease_ms);
                if let Some(promise) = &self.machine.durable().promised {
                    self.granted = Some((promise.holder.clone(), until));
                }
            }
            Body::Claim { epoch, .. } | Body::Ack { epoch, .. } => self.answered = self.answered.max(*epoch),
            _ => {}
        }
        self.transmit(config, to, message, &mut outcome.sent);
    }

    fn event(&mut self, config: &Config, event: &Event, outcome: &mut Outcome) {
        match event {
            Event::LeaseGained(lease) => {
                let epoch = lease.epoch();
                self.active = Some(epoch);
                let value =
                    self.machine.durable().registers.get(KEY).and_then(|(_, v)| v.as_ref()?.inline()?.first().copied());
                let instance = self.machine.process().instance;
                outcome.facts.push(Fact::Leads { epoch, instance, boot: self.boot });
                outcome.facts.push(Fact::Active { epoch, value });
                if config.runs {
                    self.lead(config, lease);
                }
            }
            Event::LeaseExtended(lease) => self.extend(lease),
            Event::LeaseLost { .. } => {
                self.active = None;
                self.handing_over = false;
                self.interrupt();
            }
            Event::HandOver { .. } => self.handing_over = true,
            Event::Committed(id) => match self.writes.remove(id) {
                Some(Write::Value(value)) => outcome.facts.push(Fact::Acknowledged { value }),
                Some(write) => self.entered(config, write, outcome),
                None => {}
            },
            Event::Unknown(id) => {
                self.writes.remove(id);
            }
            Event::Fatal { .. } => {
                self.ended = true;
                self.active = None;
            }
            _ => {}
        }
    }

    /// Writes whose leadership is over are forgotten by the driver.
    fn writes_settled(&mut self) {
        if self.active.is_none() {
            self.writes.clear();
        }
    }

    fn fingerprint(&self) -> u64 {
        let changes: Vec<&Vec<Change>> = self.pending.iter().map(|(_, changes)| changes).collect();
        let writes: Vec<&Write> = self.writes.values().collect();
        let driver = (writes, self.active, self.handing_over, self.ended, self.asleep, self.wait_until, &self.guards);
        let ghosts = (self.answered, &self.granted);
        let place = (self.id, self.clock, self.step, self.instance, self.boot, self.sees, &self.instances);
        hash64(&(&self.machine, &self.disk, changes, place, driver, ghosts))
    }
}

/// A process starts from what the disk holds.
fn boot(config: &Config, disk: &Durable, id: usize, number: u8, clock: u64) -> Leadership {
    let mut nonce = [0; 16];
    (nonce[0], nonce[1], nonce[2]) = (number, u8::try_from(id).unwrap(), 2);
    // Rounds begin at a random number: another one for each process.
    let seed = [number; 32];
    let now = Duration::from_millis(clock);
    Leadership::new(
        &config.settings(),
        disk.clone(),
        BootNonce(nonce),
        config.rules,
        seed,
        Now { mono: now, boot: now },
    )
}
