//! After the faults: within a bounded time there is one leader, the lowest voter, with all that was agreed, and
//! everybody knows it.

use std::time::Duration;

use quorate::cluster::leadership::Leadership;

use quorate_proto::message::{VOTERS_KEY, Value, decode_voters};

use super::clock::{Flow, Real};
use super::facts::Violation;
use super::network::Weather;
use super::scenario::{Advice, SECOND};
use super::world::World;

/// Settle doubles with each fall of a member, up to five minutes (protocol-safety 9), and is waited for one lower id
/// after the other.
const BOUND: Real = 700 * SECOND;
/// How long it has to stay so.
const CALM: Real = 2 * SECOND;
const STEP: Real = SECOND / 2;

impl World {
    /// Ends all faults.
    pub(crate) fn end_faults(&mut self) {
        self.stopped_faults = true;
        self.network.heal();
        self.network.weather = Weather::FINE;
        self.advice = Advice::Accurate;
        let real = self.real;
        for host in 0..self.hosts.len() {
            self.make_room(host);
            let rate = 1.0 + 0.0009 * self.dice.signed_unit();
            let node = &mut self.hosts[host];
            let was_paused = node.paused;
            if was_paused {
                let pause = node.pause;
                self.after(0, super::world::Happening::Resume { host, pause });
            }
            let node = &mut self.hosts[host];
            node.clock.set_rate(rate, real);
            if !was_paused {
                node.clock.set_flow(Flow::Runs, real);
            }
            if let Some(running) = &mut node.running {
                running.wake_at = None;
            }
            if self.hosts[host].running.is_some() {
                self.with(host, |_, _| {});
            } else {
                self.start(host);
            }
        }
    }

    /// Runs until all is well; how long it took.
    pub(crate) fn run_until_healed(&mut self) -> Result<Real, Violation> {
        let (began, end) = (self.real, self.real + BOUND);
        let mut well_since = None;
        let mut wrong = String::new();
        while self.real < end {
            self.run_until(self.real + STEP)?;
            match self.what_is_wrong() {
                None => {
                    let since = *well_since.get_or_insert(self.real);
                    if self.real >= since + CALM {
                        return Ok(since - began);
                    }
                }
                Some(text) => {
                    well_since = None;
                    wrong = text;
                }
            }
        }
        Err(Violation { invariant: "healing", text: wrong, at: self.real })
    }

    fn what_is_wrong(&self) -> Option<String> {
        let Some(down) = self.hosts.iter().position(|h| !h.is_up()) else { return self.what_is_wrong_with_leader() };
        Some(format!("n{} is not up", down + 1))
    }

    fn what_is_wrong_with_leader(&self) -> Option<String> {
        let live = |i: &usize| {
            let lease = self.hosts[*i].running.as_ref().and_then(|r| r.lease);
            lease.is_some_and(|l| l.is_live(Duration::ZERO, self.hosts[*i].now(self.real)))
        };
        let leaders: Vec<usize> = (0..self.hosts.len()).filter(live).collect();
        let [leader] = leaders[..] else {
            let tell = |m: &Leadership| format!("{}: {} (voters {:?})", m.process().id, m.reason(), m.voters());
            let reasons: Vec<String> = self.machines().map(tell).collect();
            return Some(format!("{} leaders; {}", leaders.len(), reasons.join("; ")));
        };
        let machine = &self.hosts[leader].running.as_ref()?.machine;
        let voters = machine.voters();
        let counts = |v: &&quorate_proto::message::Voter| {
            self.hosts.iter().any(|h| h.id == v.id && h.disk.durable.instance == v.instance)
        };
        let lowest = voters.iter().filter(counts).map(|v| &v.id).min()?;
        if *lowest != self.hosts[leader].id {
            return Some(format!("{} leads, {lowest} is the lowest voter", self.hosts[leader].id));
        }
        if let Some(lost) = voters.iter().find(|v| self.lost.contains_key(v)) {
            return Some(format!("{} {} is a voter, but its disk is lost", lost.id, lost.instance));
        }
        let size = self.hosts.len().min(self.scenario.max_voters);
        let odd = if size.is_multiple_of(2) { size - 1 } else { size };
        if voters.len() < odd {
            return Some(format!("{} voters of {odd} that could be", voters.len()));
        }
        if let Some(behind) = self.machines().find(|m| m.durable().registers != machine.durable().registers) {
            return Some(format!("{} has not all that {} has", behind.process().id, machine.process().id));
        }
        let lacks = |h: &&super::node::Host| h.disk.lacks_contents();
        if let Some(host) = self.hosts.iter().find(lacks) {
            return Some(format!("{} has not all contents that its registers name", host.id));
        }
        if let Some(other) = self.machines().find(|m| m.leader() != Some(&self.hosts[leader].id)) {
            return Some(format!("{} believes that {:?} leads", other.process().id, other.leader()));
        }
        self.agreed_data_is_with(leader).err()
    }

    fn machines(&self) -> impl Iterator<Item = &Leadership> {
        self.hosts.iter().filter_map(|h| h.running.as_ref()).map(|r| &r.machine)
    }

    /// Whether nothing can be expected of the cluster, because too many disks were lost: one of a founder before the
    /// founding was over (F5), or those of a majority of the newest voter set. The faults avoid that, but a disk may be
    /// lost in the second before a change that counts on it.
    pub(crate) fn is_stuck_by_lost_disks(&self) -> bool {
        let newest = self
            .hosts
            .iter()
            .map(|h| h.running.as_ref().map_or(&h.disk.durable, |r| r.machine.durable()))
            .filter_map(|durable| durable.registers.get(VOTERS_KEY))
            .max_by_key(|(stamp, _)| *stamp);
        let Some((_, Some(Value::Inline(value)))) = newest else { return !self.lost.is_empty() };
        let Ok((voters, _)) = decode_voters(value) else { return false };
        let lost = voters.0.iter().filter(|v| self.lost.contains_key(v)).count();
        lost * 2 >= voters.0.len()
    }
}
