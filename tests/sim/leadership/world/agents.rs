//! What agents do: their events, and what they do with a lease in hand.

use std::collections::BTreeSet;
use std::time::Duration;

use quorate::cluster::leadership::registers::Registers;
use quorate::cluster::output::Event;
use quorate_proto::Epoch;
use quorate_proto::message::{Entry, Put};

use super::{GRANT, Happening, MARGIN, World};
use crate::leadership::checkers::value_of;
use crate::leadership::facts::{Fact, Value, Who};
use crate::leadership::scenario::{MS, SECOND};

impl World {
    pub(super) fn event(&mut self, host: usize, who: Who, event: &Event) {
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
                self.look_at_contents(host, lease.epoch());
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
            Event::Odd { .. } => self.stats.count("odd numbers refused"),
            Event::Forgot { .. } => self.stats.count("deletions forgotten"),
            Event::Claiming { .. } => self.stats.count("claims"),
            Event::ClaimGivenUp { epoch, .. } => {
                self.stats.count("claims given up");
                self.fact(&Fact::GivesUp { epoch: *epoch, who });
            }
            Event::ClaimFailed { .. } => self.stats.count("claims failed"),
            Event::Formed { .. } => self.stats.count("formed"),
            Event::Alarm { .. } => self.stats.count("alarms"),
            _ => {}
        }
    }

    pub(super) fn check_lease(&mut self, left: Duration) {
        let longest = GRANT * if self.scenario.mixed_grants { 2 } else { 1 };
        let micros = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        self.fact(&Fact::Lease { left: micros(left), longest: micros(longest) });
    }

    /// A leader with a lease in hand acts upon it.
    pub(super) fn work(&mut self, host: usize, life: u32) {
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
            _ => {
                self.look_at_contents(host, epoch);
                self.serve(host, epoch);
            }
        }
    }

    pub(crate) fn propose(&mut self, host: usize) {
        let key = format!("k{}", self.dice.index(self.scenario.keys));
        self.values += 1;
        let value = self.values;
        if self.scenario.deletes > 0 && self.dice.percent(self.scenario.deletes) {
            return self.write(host, &Entry::new(key, None), value);
        }
        if self.scenario.large > 0 && self.dice.percent(self.scenario.large) {
            return self.store_contents(host, key, value);
        }
        self.write(host, &Entry::new(key, Some(value.to_le_bytes().to_vec())), value);
    }

    pub(super) fn write<P>(&mut self, host: usize, entry: &P, value: Value)
    where
        for<'a> Put: From<&'a P>,
    {
        let Put { key, value: contents } = Put::from(entry);
        let mut id = None;
        let now = self.hosts[host].now(self.real);
        let mut stamp = None;
        if let Some(running) = &mut self.hosts[host].running {
            id = running.machine.propose(std::slice::from_ref(entry), now);
            stamp = running.machine.durable().registers.get(&key).map(|(stamp, _)| *stamp);
            if let Some(id) = id {
                running.writes.insert(id, (key.clone(), value));
            }
        }
        if let (Some(_), Some(stamp)) = (id, stamp) {
            self.stats.count("writes");
            if contents.is_some() {
                self.fact(&Fact::Proposed { value, stamp });
            } else {
                self.stats.count("deletions");
                self.fact(&Fact::Deleted { key: &key, value, stamp });
            }
        }
        self.with(host, |_, _| {});
    }

    /// Reads everything that is agreed out to somebody: values with a write of this leader under way are not.
    pub(super) fn serve(&mut self, host: usize, epoch: Epoch) {
        let Some(running) = &self.hosts[host].running else { return };
        let pending: BTreeSet<&String> = running.writes.values().map(|(key, _)| key).collect();
        let served: Vec<(String, u64)> = running
            .machine
            .durable()
            .registers
            .iter()
            .filter(|(key, _)| !pending.contains(key))
            .filter_map(|(key, (_, value))| Some((key.clone(), value_of(value.as_ref())?)))
            .collect();
        for (key, value) in served {
            self.fact(&Fact::Served { key: &key, value, epoch });
        }
    }
}
