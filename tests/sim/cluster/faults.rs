//! Faults: one is drawn from the scenario's weights every now and then, does its harm, and heals by itself.

use quorate::cluster::Cluster;

use super::host::{GRACE, Input};
use super::registers;
use super::scenario::{Fault, SECOND};
use super::world::{Happening, World, address, usual};
use crate::leadership::clock::{Flow, Real};
use crate::net::Link;

impl World {
    pub(super) fn next_fault(&mut self) {
        if self.stopped_faults || self.real() >= self.scenario.until {
            return;
        }
        let next = self.dice.around(self.scenario.every);
        self.after(next, Happening::NextFault);
        let total: u32 = self.scenario.faults.iter().map(|(_, weight)| weight).sum();
        let mut drawn = u32::try_from(self.dice.range(0, u64::from(total))).unwrap_or(0);
        for (fault, weight) in self.scenario.faults {
            if drawn < *weight {
                self.trace(|| format!("fault {fault:?}"));
                if self.harm(*fault) {
                    self.stats.count(fault.name());
                }
                return;
            }
            drawn -= weight;
        }
    }

    /// How long things last, in a unit that fits the timing of the run.
    fn some_time(&mut self) -> Real {
        let grant = self.scenario.grant();
        let mean = [grant / 6, grant, grant * 3][self.dice.index(3)];
        self.dice.around(mean).min(grant * 8)
    }

    /// Whether it did anything.
    fn harm(&mut self, fault: Fault) -> bool {
        let any = self.dice.index(self.hosts.len());
        let real = self.real();
        let leader = (0..self.hosts.len()).find(|h| self.hosts[*h].open(real).is_some()).unwrap_or(any);
        match fault {
            Fault::Kill => self.kill_for_a_while(any),
            Fault::KillLeader => self.kill_for_a_while(leader),
            Fault::MassRestart => (0..self.hosts.len()).filter(|h| self.kill_for_a_while(*h)).count() > 0,
            Fault::PowerLoss => self.power_off_for_a_while(any),
            Fault::ColdStart => (0..self.hosts.len()).filter(|h| self.power_off_for_a_while(*h)).count() > 0,
            Fault::LoseDisk => self.lose_disk(any),
            Fault::Partition => {
                let sides: Vec<bool> = self.hosts.iter().map(|_| self.dice.percent(50)).collect();
                self.cut_where(|from, to| sides[from] != sides[to])
            }
            Fault::IsolateLeader => {
                let (inward, outward) = [(true, true), (true, false), (false, true)][self.dice.index(3)];
                self.cut_where(|from, to| (from == leader && outward) || (to == leader && inward))
            }
            Fault::OneWay => {
                let other = (any + 1 + self.dice.index(self.hosts.len() - 1)) % self.hosts.len();
                self.cut_where(|from, to| (from, to) == (any, other))
            }
            Fault::Tangle => {
                let size = self.hosts.len();
                let cut: Vec<bool> = (0..size * size).map(|_| self.dice.percent(35)).collect();
                self.cut_where(|from, to| cut[from * size + to])
            }
            Fault::Storm => {
                let rtt = self.scenario.profile.timing().gossip.probe_rtt;
                let link = Link { loss: 0.2, delay: rtt / 10, jitter: rtt * 6, duplicate: 0.15 };
                self.net.set_link(link);
                self.corrupt = 5;
                let length = self.some_time();
                self.after(length, Happening::HealWeather);
                true
            }
            Fault::Stop => self.pause(any, Flow::Runs),
            Fault::StopLeader => self.pause(leader, Flow::Runs),
            Fault::Freeze => self.pause(leader, Flow::Frozen),
            Fault::Suspend => self.pause(leader, Flow::Suspended),
            Fault::SlowDisk => {
                let until = real + self.some_time();
                let disk = &mut self.hosts[any].disk;
                disk.busy_until = disk.busy_until.max(until);
                true
            }
            Fault::Drift => {
                let rate = self.any_rate();
                self.hosts[any].clock.set_rate(rate, real);
                self.look_at_clock(any);
                true
            }
            Fault::WallJump => self.jump(any),
            Fault::StepDown => {
                let up = self.hosts[leader].is_up();
                self.input_if_up(leader, |cluster, now| cluster.step_down("asked", false, now));
                up
            }
            Fault::Leave => {
                let up = self.hosts[any].is_up();
                if up {
                    self.begin_stop(any);
                    self.and_kill_later(any);
                }
                up
            }
            Fault::RemoveVoter => self.remove_voter(any, leader),
        }
    }

    fn input_if_up(&mut self, host: usize, call: impl FnOnce(&mut Cluster, quorate::cluster::Now)) {
        if self.hosts[host].is_up() {
            self.with(host, call);
        }
    }

    /// Whoever was told to stop and does not is killed.
    fn and_kill_later(&mut self, host: usize) {
        let Some(life) = self.hosts[host].process.as_ref().map(|p| p.life) else { return };
        let gone = 4 * SECOND + self.some_time();
        let back = self.some_time();
        self.after(gone, Happening::Gone { host, life, back });
    }

    fn kill_for_a_while(&mut self, host: usize) -> bool {
        if self.hosts[host].still || !self.kill(host) {
            return false;
        }
        let back = self.some_time();
        self.after(back, Happening::Start { host });
        true
    }

    fn power_off_for_a_while(&mut self, host: usize) -> bool {
        if !self.power_off(host) {
            return false;
        }
        let back = self.some_time();
        self.after(back, Happening::Start { host });
        true
    }

    /// Only while a majority of every voter set in use keeps its disks.
    fn lose_disk(&mut self, host: usize) -> bool {
        let instance = self.hosts[host].disk.durable.instance;
        let tolerable = self.hosts.iter().all(|h| {
            let stored = h.process.as_ref().map_or(&h.disk.durable, |p| p.cluster.durable());
            let Some((_, voters)) = registers::voters(stored) else { return false };
            let gone = voters.0.iter().filter(|v| self.lost.contains_key(v) || v.instance == instance);
            gone.count() <= (voters.0.len() - 1) / 2
        });
        if !tolerable || !self.power_off_for_a_while(host) {
            return false;
        }
        let durable = &self.hosts[host].disk.durable;
        let stamp = registers::voters(durable).map_or(quorate_proto::Stamp::default(), |(stamp, _)| stamp);
        let voter = quorate_proto::message::Voter { id: durable.id.clone(), instance: durable.instance };
        self.lost.insert(voter, stamp);
        self.hosts[host].disk = self.new_disk(host);
        self.hosts[host].generation = quorate_proto::Generation(0);
        true
    }

    fn cut_where(&mut self, cut: impl Fn(usize, usize) -> bool) -> bool {
        let mut any = false;
        for from in 0..self.hosts.len() {
            for to in (0..self.hosts.len()).filter(|to| *to != from) {
                if cut(from, to) {
                    any = true;
                    self.cuts.insert((from, to));
                    self.net.cut(address(from), address(to));
                }
            }
        }
        let length = self.some_time();
        self.after(length, Happening::HealLinks);
        any
    }

    fn pause(&mut self, host: usize, flow: Flow) -> bool {
        if self.hosts[host].paused || self.hosts[host].process.is_none() {
            return false;
        }
        let length = self.some_time();
        self.trace(|| format!("n{} stands still for {length} us ({flow:?})", host + 1));
        let (pause, real, grant) = (self.next_pause(), self.real(), self.scenario.grant());
        let machine = &mut self.hosts[host];
        machine.paused = true;
        machine.pause = pause;
        if flow != Flow::Runs {
            machine.still = true;
            machine.clock.set_flow(flow, real);
            machine.runs_excused_until = real + length + grant + GRACE + SECOND;
        }
        if flow == Flow::Frozen {
            machine.excused_until = real + length + 2 * grant;
        }
        self.after(length, Happening::Resume { host, pause });
        true
    }

    pub(super) fn resume(&mut self, host: usize, pause: u32) {
        let real = self.real();
        if !self.hosts[host].paused || self.hosts[host].pause != pause {
            return;
        }
        self.trace(|| format!("n{} goes on", host + 1));
        let machine = &mut self.hosts[host];
        let was_still = machine.still;
        (machine.paused, machine.still) = (false, false);
        machine.clock.set_flow(Flow::Runs, real);
        // The driver sees that the wall clock went on, if it did: a frozen machine is told the time, or not at once.
        if was_still && self.dice.percent(50) {
            self.with(host, Cluster::distrust_clock);
        }
        if self.dice.percent(50) {
            self.with(host, Cluster::handle_timeout);
        }
        loop {
            let Some(process) = &mut self.hosts[host].process else { return };
            let Some(input) = process.held.pop_front() else { break };
            process.held_datagrams -= usize::from(matches!(input, Input::Datagram(..)));
            self.take(host, input);
        }
        self.look_at_clock(host);
        self.with(host, Cluster::handle_timeout);
    }

    /// The next deadline comes at another moment now.
    pub(super) fn look_at_clock(&mut self, host: usize) {
        if let Some(process) = &mut self.hosts[host].process {
            process.wake_at = None;
        }
        if self.hosts[host].is_up() {
            self.schedule_wake(host);
        }
    }

    fn jump(&mut self, host: usize) -> bool {
        let by = i64::try_from(self.dice.range(0, 7_200_000)).unwrap() - 3_600_000;
        self.hosts[host].wall_offset += by;
        let up = self.hosts[host].is_up();
        // Only a jump forward looks like a machine that stood still.
        if up && by > 500 {
            self.with(host, Cluster::distrust_clock);
        }
        up
    }

    fn remove_voter(&mut self, host: usize, leader: usize) -> bool {
        if host == leader || !self.hosts[leader].is_up() {
            return false;
        }
        let id = self.hosts[host].id.clone();
        let voters = self.hosts[leader].process.as_ref().map_or(0, |p| p.cluster.view().voters);
        let mut accepted = false;
        if voters > 2 {
            self.with(leader, |cluster, now| accepted = cluster.remove_voter(&id, now).is_ok());
        }
        if accepted && self.hosts[host].is_up() {
            self.begin_stop(host);
            self.and_kill_later(host);
        }
        accepted
    }

    /// Everything that is broken is repaired.
    pub(super) fn end_faults(&mut self) {
        self.stopped_faults = true;
        self.cuts.clear();
        self.net.heal();
        self.corrupt = 0;
        let link = usual(&self.scenario);
        self.net.set_link(Link { loss: 0.0, ..link });
        for host in 0..self.hosts.len() {
            let pause = self.hosts[host].pause;
            if self.hosts[host].paused {
                self.resume(host, pause);
            }
            if self.hosts[host].process.is_none() {
                self.start(host);
            }
        }
    }
}
