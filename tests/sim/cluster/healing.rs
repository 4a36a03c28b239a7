//! After the faults: within a bounded time exactly one leads, all agree, and what was acknowledged is there.

use std::time::Duration;

use quorate::cluster::settings::LeadershipMode;

use super::registers;
use super::scenario::{MS, SECOND};
use super::world::World;
use crate::leadership::clock::Real;
use crate::leadership::facts::Violation;

/// How often is looked, and how long all must be well in a row.
const STEP: Real = 250 * MS;
const CALM: Real = 500 * MS;
/// Settle doubles with every flap, up to this (protocol-safety 9).
const SETTLE_MAX: Real = 300 * SECOND;

impl World {
    /// Runs until all is well; how long it took.
    pub(super) fn run_until_healed(&mut self, within: Real, lowest: bool) -> Result<Real, Violation> {
        let began = self.real();
        let end = began + within + if lowest { SETTLE_MAX + SETTLE_MAX / 50 } else { 0 };
        let mut well_since = None;
        let mut wrong = String::new();
        while self.real() < end {
            self.run_until(self.real() + STEP)?;
            match self.what_is_wrong(lowest) {
                None => {
                    let since = *well_since.get_or_insert(self.real());
                    if self.real() >= since + CALM {
                        return Ok(since - began);
                    }
                }
                Some(text) => {
                    well_since = None;
                    wrong = text;
                }
            }
        }
        Err(Violation { invariant: "healing", text: wrong, at: self.real() })
    }

    pub(super) fn only_leader(&self) -> Option<usize> {
        let real = self.real();
        let open: Vec<usize> = (0..self.hosts.len()).filter(|h| self.hosts[*h].open(real).is_some()).collect();
        if let [leader] = open[..] { Some(leader) } else { None }
    }

    fn what_is_wrong(&self, lowest: bool) -> Option<String> {
        if let Some(down) = self.hosts.iter().position(|h| !h.is_up()) {
            return Some(format!("n{} is not up", down + 1));
        }
        let Some(leader) = self.only_leader() else { return Some(format!("not one leader; {}", self.reasons())) };
        let id = &self.hosts[leader].id;
        for host in &self.hosts {
            let Some(process) = &host.process else { continue };
            let view = process.cluster.view();
            if view.leader.as_ref() != Some(id) {
                return Some(format!("{} believes that {:?} leads, not {id}", host.id, view.leader));
            }
            let alive = view.members.iter().filter(|m| m.state == quorate::cluster::view::MemberState::Alive).count();
            if alive != self.hosts.len() {
                return Some(format!("{} sees {alive} of {} alive", host.id, self.hosts.len()));
            }
        }
        if self.scenario.mode == LeadershipMode::Alive {
            return (leader != 0 && lowest).then(|| format!("{id} leads, n1 is the lowest alive"));
        }
        let process = self.hosts[leader].process.as_ref()?;
        let stored = process.cluster.durable();
        let (_, voters) = registers::voters(stored)?;
        let here = |v: &quorate_proto::message::Voter| {
            self.hosts.iter().any(|h| h.id == v.id && h.disk.durable.instance == v.instance)
        };
        if let Some(gone) = voters.0.iter().find(|v| !here(v)) {
            return Some(format!("{} {} is a voter, but its disk is lost", gone.id, gone.instance));
        }
        let size = self.hosts.len().min(5);
        let odd = if size.is_multiple_of(2) { size - 1 } else { size };
        if voters.0.len() < odd {
            return Some(format!("{} voters of {odd} that could be", voters.0.len()));
        }
        if lowest && voters.0.iter().map(|v| &v.id).min() != Some(id) {
            return Some(format!("{id} leads, a lower voter does not"));
        }
        let above = process.window?.epoch().next();
        self.checkers.data().lacks(above, &stored.registers).err().map(|(_, text)| text)
    }

    fn reasons(&self) -> String {
        let real = self.real();
        let tell = |h: &super::host::Host| {
            let reason = h.process.as_ref().map_or("not running", |p| p.cluster.view().reason.as_str());
            let left = h.open(real).map_or(Duration::ZERO, |lease| lease.left(h.now(real)));
            format!("{}: {reason} ({left:?})", h.id)
        };
        self.hosts.iter().map(tell).collect::<Vec<_>>().join("; ")
    }

    /// Nothing can be expected: too many disks of the newest voter set are lost.
    pub(super) fn is_stuck_by_lost_disks(&self) -> bool {
        let stored = self.hosts.iter().map(|h| h.process.as_ref().map_or(&h.disk.durable, |p| p.cluster.durable()));
        let Some((_, voters)) = stored.filter_map(registers::voters).max_by_key(|(stamp, _)| *stamp) else {
            return !self.lost.is_empty();
        };
        voters.0.iter().filter(|v| self.lost.contains_key(v)).count() * 2 >= voters.0.len()
    }
}
