//! Large values: contents that are stored before they are proposed, travel by themselves, and are lost when a process ends
//! before they are on disk; and disks that are full.

use std::net::SocketAddr;

use quorate_proto::message::{Put, Value};
use quorate_proto::{BlobHash, Epoch};

use super::{Happening, World, host_of};
use crate::leadership::checkers::hash_of;
use crate::leadership::facts::{self, Fact};
use crate::leadership::node::Input;
use crate::leadership::scenario::MS;

/// About what such contents have.
const LEN: u32 = 100_000;

impl World {
    /// First to the own disk.
    pub(super) fn store_contents(&mut self, host: usize, key: String, value: facts::Value) {
        let Some(life) = self.hosts[host].running.as_ref().map(|r| r.life) else { return };
        let delay = self.dice.range(200, self.scenario.fsync * 3);
        self.after(delay, Happening::Stored { host, life, key, value });
    }

    /// Then, perhaps no longer as the leader, the name is proposed.
    pub(super) fn stored(&mut self, host: usize, life: u32, key: &str, value: facts::Value) {
        if !self.lives_on(host, life) || self.hosts[host].paused || self.waits_for_room(host) {
            return;
        }
        let hash = hash_of(value);
        self.hosts[host].disk.durable.blobs.insert(hash);
        self.input(host, Input::Blob(hash));
        self.stats.count("large values");
        let put = Put { key: key.to_owned(), value: Some(Value::Blob { hash, len: LEN }) };
        self.write(host, &put, value);
    }

    pub(super) fn fetch(&mut self, host: usize, life: u32, hash: BlobHash, from: SocketAddr) {
        self.stats.count("contents asked for");
        let Some(target) = host_of(from).filter(|t| *t < self.hosts.len()) else { return };
        let [first, _] = self.network.arrivals(host, target, self.real, &mut self.dice);
        if let Some(at) = first {
            self.at(at, Happening::Asked { by: host, life, host: target, hash });
        }
    }

    pub(super) fn asked(&mut self, by: usize, life: u32, host: usize, hash: BlobHash) {
        if self.hosts[host].running.is_none() || self.hosts[host].paused {
            return;
        }
        let found = self.hosts[host].disk.durable.blobs.contains(&hash);
        let [first, _] = self.network.arrivals(host, by, self.real, &mut self.dice);
        let from = self.hosts[host].addr;
        if let Some(at) = first {
            // Contents take their time.
            let long = if found { self.dice.around(30 * MS) } else { 0 };
            self.at(at + long, Happening::Answered { host: by, life, by: from, hash, found });
        }
    }

    pub(super) fn answered(&mut self, host: usize, life: u32, by: SocketAddr, hash: BlobHash, found: bool) {
        if !self.lives_on(host, life) {
            return;
        }
        if !found {
            self.stats.count("contents not found");
            return self.input(host, Input::BlobGone(hash, by));
        }
        let delay = self.dice.range(200, self.scenario.fsync * 3);
        self.after(delay, Happening::Kept { host, life, hash });
    }

    /// Durable from now on: a crash before this has lost them.
    pub(super) fn kept(&mut self, host: usize, life: u32, hash: BlobHash) {
        if !self.lives_on(host, life) || self.waits_for_room(host) {
            return;
        }
        self.stats.count("contents received");
        self.hosts[host].disk.durable.blobs.insert(hash);
        self.input(host, Input::Blob(hash));
    }

    pub(super) fn drop_contents(&mut self, host: usize, hash: BlobHash) {
        self.stats.count("contents dropped");
        self.hosts[host].disk.durable.blobs.remove(&hash);
    }

    /// Shows the checkers whether an active leader has what its registers name.
    pub(super) fn look_at_contents(&mut self, host: usize, epoch: Epoch) {
        let node = &self.hosts[host];
        let Some(running) = &node.running else { return };
        let registers = &running.machine.durable().registers;
        let named = registers.iter().filter_map(|(key, (_, value))| Some((key.clone(), value.as_ref()?.blob()?.0)));
        let named: Vec<(String, bool)> =
            named.map(|(key, hash)| (key, node.disk.durable.blobs.contains(&hash))).collect();
        for (key, here) in named {
            self.fact(&Fact::Contents { key: &key, epoch, here });
        }
    }

    /// Whether the disk is full; the process notices when it wants to write.
    pub(super) fn waits_for_room(&mut self, host: usize) -> bool {
        let disk = &mut self.hosts[host].disk;
        if disk.full && !std::mem::replace(&mut disk.told, true) {
            self.stats.count("processes with a full disk");
            self.input(host, Input::DiskFull);
        }
        self.hosts[host].disk.full
    }

    /// There is room again: what has waited is written, in order, and then the process is told.
    pub(crate) fn make_room(&mut self, host: usize) {
        let disk = &mut self.hosts[host].disk;
        if !std::mem::replace(&mut disk.full, false) {
            return;
        }
        let told = std::mem::replace(&mut disk.told, false);
        let waiting: Vec<_> = disk.pending.iter().map(|(ticket, _)| *ticket).collect();
        let Some(life) = self.hosts[host].running.as_ref().map(|r| r.life) else { return };
        let mut done = self.real.max(self.hosts[host].disk.busy_until);
        for ticket in waiting {
            done += self.dice.range(200, self.scenario.fsync);
            self.at(done, Happening::DiskDone { host, life, ticket });
        }
        self.hosts[host].disk.busy_until = done;
        if told {
            self.at(done + 1, Happening::RoomTold { host, life });
        }
    }
}
