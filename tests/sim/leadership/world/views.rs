//! What is seen of all at once: whose window is open, and what each is told of the others.

use std::time::Duration;

use quorate_proto::Epoch;

use super::{Happening, World};
use crate::leadership::facts::{Fact, Who};
use crate::leadership::node::Host;
use crate::leadership::oracle;

impl World {
    pub(crate) fn is_excused(&self, host: usize) -> bool {
        self.scenario.excuse_windows || self.hosts[host].excused_until > self.real
    }

    /// Who holds a live lease now, `except` left out.
    pub(super) fn open_windows(&self, except: usize) -> Vec<(Epoch, Who)> {
        let mut open = Vec::new();
        for (i, host) in self.hosts.iter().enumerate() {
            let Some(lease) = host.running.as_ref().and_then(|r| r.lease) else { continue };
            if i != except && lease.is_live(Duration::ZERO, host.now(self.real)) && !self.is_excused(i) {
                open.extend(host.who(i).map(|who| (lease.epoch(), who)));
            }
        }
        open
    }

    pub(super) fn look_at_windows(&mut self) {
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

    pub(super) fn look(&mut self) {
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
