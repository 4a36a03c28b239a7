//! Faults: one is drawn from the scenario's weights every now and then, does its harm, and heals by itself.

use quorate_proto::message::{VOTERS_KEY, Value, decode_voters};

use super::clock::{Flow, Real};
use super::network::Weather;
use super::scenario::{Advice, Fault, MS, SECOND};
use super::world::{Happening, Healing, World};

impl World {
    pub(crate) fn next_fault(&mut self) {
        if self.stopped_faults || self.real >= self.scenario.until {
            return;
        }
        let next = self.dice.around(self.scenario.every);
        self.after(next, Happening::NextFault);
        let total: u32 = self.scenario.faults.iter().map(|(_, weight)| weight).sum();
        let mut drawn = u32::try_from(self.dice.range(0, u64::from(total))).unwrap_or(0);
        for (fault, weight) in self.scenario.faults {
            if drawn < *weight {
                self.inject(*fault);
                return;
            }
            drawn -= weight;
        }
    }

    /// The host whose leader is active, or any.
    pub(crate) fn leading_host(&self) -> Option<usize> {
        let leads = |h: &super::node::Host| {
            h.running
                .as_ref()
                .and_then(|r| r.lease)
                .is_some_and(|l| l.is_live(std::time::Duration::ZERO, h.now(self.real)))
        };
        self.hosts.iter().position(leads)
    }

    fn downtime(&mut self) -> Real {
        let mean = [100 * MS, 900 * MS, 3 * SECOND, 10 * SECOND][self.dice.index(4)];
        self.dice.around(mean).min(20 * SECOND)
    }

    pub(crate) fn inject(&mut self, fault: Fault) {
        self.trace(|| format!("fault {fault:?}"));
        if self.harm(fault) {
            self.stats.count(fault.name());
        }
    }

    /// Whether it did anything.
    fn harm(&mut self, fault: Fault) -> bool {
        let any = self.dice.index(self.hosts.len());
        let leader = self.leading_host().unwrap_or(any);
        match fault {
            Fault::Crash => self.crash_for_a_while(any),
            Fault::CrashLeader => self.crash_for_a_while(leader),
            Fault::RestartFollowers => self.restart_followers(),
            Fault::CrashLeaderWithRelease => self.crash_with_release(leader),
            Fault::PowerLoss => {
                for host in 0..self.hosts.len() {
                    self.crash_for_a_while(host);
                }
                true
            }
            Fault::LoseDisk => self.crash_and_lose_disk(any),
            Fault::Partition => self.partition(),
            Fault::IsolateLeader => self.isolate(leader),
            Fault::OneWay => {
                let other = (any + 1 + self.dice.index(self.hosts.len() - 1)) % self.hosts.len();
                self.network.set_cut(any, other, true);
                self.heal_links()
            }
            Fault::Tangle => {
                for from in 0..self.hosts.len() {
                    for to in 0..self.hosts.len() {
                        if from != to && self.dice.percent(35) {
                            self.network.set_cut(from, to, true);
                        }
                    }
                }
                self.heal_links()
            }
            Fault::Storm => {
                self.network.weather = Weather::STORM;
                let length = self.dice.around(3 * SECOND);
                self.after(length, Happening::Heal { what: Healing::Weather });
                true
            }
            Fault::Pause => self.pause_for_a_while(any, Flow::Runs),
            Fault::PauseLeader => self.pause_for_a_while(leader, Flow::Runs),
            Fault::FreezeLeader => self.pause_for_a_while(leader, Flow::Frozen),
            Fault::Suspend => self.pause_for_a_while(leader, Flow::Suspended),
            Fault::SlowDisk => {
                let until = self.real + self.dice.around(1_500 * MS);
                let disk = &mut self.hosts[any].disk;
                disk.busy_until = disk.busy_until.max(until);
                true
            }
            Fault::FullDisk => {
                let host = if self.dice.percent(40) { leader } else { any };
                let length = self.dice.around(4 * SECOND);
                let filled = !std::mem::replace(&mut self.hosts[host].disk.full, true);
                self.after(length, Happening::Room { host });
                filled
            }
            Fault::Drift => self.drift(any),
            Fault::StepDown => {
                let up = self.hosts[leader].is_up();
                if up {
                    self.with(leader, |machine, now| machine.step_down("asked", false, now));
                }
                up
            }
            Fault::Leave => self.leave(any),
            Fault::RemoveVoter => self.remove_voter(any),
            Fault::Advice => {
                self.advice = [Advice::Erratic, Advice::Lying][self.dice.index(2)];
                let length = self.dice.around(4 * SECOND);
                self.after(length, Happening::Heal { what: Healing::Advice });
                true
            }
        }
    }

    fn drift(&mut self, host: usize) -> bool {
        let (rate, real) = (self.any_rate(), self.real);
        self.hosts[host].clock.set_rate(rate, real);
        // Its next deadline comes at another moment now.
        if let Some(running) = &mut self.hosts[host].running {
            running.wake_at = None;
        }
        if self.hosts[host].is_up() {
            self.with(host, |_, _| {});
        }
        true
    }

    fn crash_for_a_while(&mut self, host: usize) -> bool {
        let crashed = self.crash(host);
        if crashed {
            let back = self.downtime();
            self.after(back, Happening::Start { host });
        }
        crashed
    }

    fn crash_with_release(&mut self, host: usize) -> bool {
        let words = self.hosts[host].running.as_ref().and_then(|r| r.machine.last_words());
        if !self.crash_for_a_while(host) {
            return false;
        }
        let Some(words) = words else { return false };
        // Runs may still be ending: then the release would come later, and nothing here waits for it.
        let message = if self.dice.percent(50) { words.lease_ended } else { words.release };
        for to in words.to {
            self.post(host, to, message.clone());
        }
        true
    }

    /// Only while a majority of every voter set in use keeps its disks.
    fn crash_and_lose_disk(&mut self, host: usize) -> bool {
        let founding = self.hosts.iter().all(|h| h.disk.durable.cluster.is_none());
        let instance = self.hosts[host].disk.durable.instance;
        let tolerable = if founding || self.scenario.from == 0 {
            // One loss while the cluster is founded (protocol-safety 8).
            self.lost.is_empty()
        } else {
            self.hosts.iter().all(|h| {
                let set = h.running.as_ref().map_or(&h.disk.durable, |r| r.machine.durable());
                let Some((_, Some(Value::Inline(value)))) = set.registers.get(VOTERS_KEY) else { return true };
                let Ok((voters, _)) = decode_voters(value) else { return true };
                let gone = voters.0.iter().filter(|v| self.lost.contains_key(v) || v.instance == instance);
                gone.count() <= (voters.0.len() - 1) / 2
            })
        };
        if !tolerable || !self.crash_for_a_while(host) {
            return false;
        }
        self.lose_disk(host);
        true
    }

    fn partition(&mut self) -> bool {
        let sides: Vec<bool> = self.hosts.iter().map(|_| self.dice.percent(50)).collect();
        for (from, one) in sides.iter().enumerate() {
            for (to, other) in sides.iter().enumerate() {
                if one != other {
                    self.network.set_cut(from, to, true);
                }
            }
        }
        self.heal_links()
    }

    fn isolate(&mut self, host: usize) -> bool {
        let (inward, outward) = [(true, true), (true, false), (false, true)][self.dice.index(3)];
        for other in (0..self.hosts.len()).filter(|o| *o != host) {
            self.network.set_cut(other, host, inward);
            self.network.set_cut(host, other, outward);
        }
        self.heal_links()
    }

    fn restart_followers(&mut self) -> bool {
        let Some(leader) = self.leading_host() else { return false };
        for other in (0..self.hosts.len()).filter(|o| *o != leader) {
            self.network.set_cut(other, leader, true);
            self.network.set_cut(leader, other, true);
            if self.crash(other) {
                let back = self.dice.range(10 * MS, 300 * MS);
                self.after(back, Happening::Start { host: other });
            }
        }
        self.heal_links()
    }

    fn heal_links(&mut self) -> bool {
        let length = self.dice.around(3 * SECOND);
        self.after(length, Happening::Heal { what: Healing::Links });
        true
    }

    fn pause_for_a_while(&mut self, host: usize, flow: Flow) -> bool {
        let mean = [300 * MS, SECOND, 3 * SECOND][self.dice.index(3)];
        let length = self.dice.around(mean);
        self.pause(host, flow, length)
    }

    fn leave(&mut self, host: usize) -> bool {
        if !self.hosts[host].is_up() {
            return false;
        }
        self.with(host, |machine, now| machine.step_down("leaving", true, now));
        // It is gone a little later, wherever it is with that, and is started again.
        let gone = self.dice.around(800 * MS);
        let Some(life) = self.hosts[host].running.as_ref().map(|r| r.life) else { return true };
        let back = self.downtime();
        self.after(gone, Happening::Stop { host, life, back });
        true
    }

    fn remove_voter(&mut self, host: usize) -> bool {
        let Some(leader) = self.leading_host().filter(|l| *l != host && self.hosts[*l].is_up()) else { return false };
        // Not below two, so that the run goes on to be interesting.
        let voters = self.hosts[leader].running.as_ref().map_or(0, |r| r.machine.voters().len());
        let id = self.hosts[host].id.clone();
        let mut accepted = false;
        if voters > 2 {
            self.with(leader, |machine, now| accepted = machine.remove_voter(&id, now).is_ok());
        }
        // Whoever asked to be removed goes, and may come back later.
        let life = self.hosts[host].running.as_ref().map(|r| r.life);
        if let (true, Some(life)) = (accepted, life) {
            let gone = self.dice.around(SECOND);
            let back = self.downtime();
            self.after(gone, Happening::Stop { host, life, back });
        }
        accepted
    }

    pub(crate) fn heal(&mut self, what: Healing) {
        match what {
            Healing::Links => self.network.heal(),
            Healing::Weather => self.network.weather = Weather::USUAL,
            Healing::Advice => self.advice = self.scenario.advice,
        }
        self.trace(|| format!("healed: {what:?}"));
    }
}
