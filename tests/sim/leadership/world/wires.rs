//! Messages and disks: what processes send and store, and what of it the checkers see.

use std::net::SocketAddr;

use quorate::cluster::durable::Change;
use quorate::cluster::output::Ticket;
use quorate_proto::message::{Body, Message, Put, VOTERS_KEY, Value, Voter, decode_voters};
use quorate_proto::{Epoch, Stamp};

use super::{Happening, World, host_of};
use crate::leadership::facts::{Fact, Who};
use crate::leadership::hostile;
use crate::leadership::node::Input;

impl World {
    pub(super) fn send(&mut self, host: usize, who: Who, to: SocketAddr, message: Message) {
        self.trace(|| format!("n{} -> {to}: {:?}", host + 1, message.body));
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
            Body::Conflict { .. } => self.stats.count("conflicts told"),
            Body::Amnesia { .. } => self.stats.count("old copies told"),
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
        let mut message = message;
        let hostile = self.scenario.hostile > 0 && host + 1 == self.hosts.len() && !self.stopped_faults;
        if hostile && self.dice.percent(self.scenario.hostile) {
            hostile::exaggerate(&mut message, &mut self.dice);
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

    pub(super) fn leads(&mut self, host: usize, who: Who, epoch: Epoch) {
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

    pub(super) fn voters_sent(&mut self, stamp: Stamp, value: &[u8]) {
        let Ok((voters, _)) = decode_voters(value) else { return };
        let mut on_disk = self.lost.clone();
        on_disk.extend(self.hosts.iter().filter_map(|h| {
            let stamp = h.disk.durable.registers.get(VOTERS_KEY)?.0;
            Some((Voter { id: h.id.clone(), instance: h.disk.durable.instance }, stamp))
        }));
        self.trace(|| format!("voters {stamp}: {voters:?}"));
        self.stats.count("voter sets");
        self.fact(&Fact::VotersSent { stamp, voters: &voters, on_disk: &on_disk });
    }

    pub(super) fn persist(&mut self, host: usize, who: Who, ticket: Ticket, changes: Vec<Change>) {
        self.trace(|| format!("n{} stores {ticket:?} {changes:?}", host + 1));
        let delay = self.dice.range(200, self.scenario.fsync);
        let disk = &mut self.hosts[host].disk;
        let done = self.real.max(disk.busy_until) + delay;
        disk.busy_until = done;
        disk.pending.push_back((ticket, changes));
        self.at(done, Happening::DiskDone { host, life: who.life, ticket });
    }

    pub(super) fn disk_done(&mut self, host: usize, life: u32, ticket: Ticket) {
        if !self.lives_on(host, life) {
            return;
        }
        if self.waits_for_room(host) || self.hosts[host].disk.pending.front().is_none_or(|(next, _)| *next != ticket) {
            return; // It is scheduled again when there is room.
        }
        self.hosts[host].disk.complete();
        self.read_disk(host);
        self.input(host, Input::Persisted(ticket));
    }

    /// Tells the checkers what is on a disk.
    pub(super) fn read_disk(&mut self, host: usize) {
        let disk = &self.hosts[host].disk;
        let promised = disk.durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let (number, cluster) = (disk.number, disk.durable.cluster);
        self.fact(&Fact::OnDisk { disk: number, promised });
        if let Some(cluster) = cluster {
            self.fact(&Fact::Formed { cluster });
        }
    }
}
