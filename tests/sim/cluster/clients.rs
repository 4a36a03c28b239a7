//! Clients of tasks and Terraform states: they ask whoever they believe to lead, and remember what they were told.
//!
//! The leader answers by the rules of `history::object`: one operation on a key at a time, reads only inside the act window
//! and when no write is under way (R11). A call whose answer never comes has an unknown outcome.

use std::collections::BTreeMap;

use quorate::cluster::output::WriteId;

use super::host::{Input, Purpose};
use super::registers;
use super::scenario::MS;
use super::world::{Happening, World};
use crate::history::{self, Answer, Call, Object, Op};
use crate::leadership::facts::Fact;

const KEYS: [&str; 4] = ["task/a", "task/b", "state/a", "state/b"];

/// A call that is under way or over.
#[derive(Debug, Clone)]
struct Ask {
    key: usize,
    op: Op,
    asked: u64,
    answered: Option<(u64, Answer)>,
    /// Known not to have been executed.
    void: bool,
    /// What the leader wrote for it.
    wrote: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clients {
    calls: Vec<Ask>,
    /// What the numbers in registers stand for.
    contents: Vec<Object>,
    /// The last serial each key was seen with.
    serials: [u32; KEYS.len()],
    lengths: [usize; KEYS.len()],
}

impl Clients {
    /// The number that a call wrote; none for deletes and for what was not executed.
    pub(super) fn value_of(&self, call: usize) -> Option<u64> {
        self.calls[call].wrote
    }

    fn content(&self, number: Option<u64>) -> Object {
        number.and_then(|n| self.contents.get(usize::try_from(n).ok()?)).copied().unwrap_or_default()
    }

    /// Every key's history.
    pub(super) fn histories(&self) -> BTreeMap<&'static str, Vec<Call>> {
        let mut all: BTreeMap<&'static str, Vec<Call>> = BTreeMap::new();
        for call in self.calls.iter().filter(|c| !c.void) {
            // What changes nothing, and was not answered, tells nothing.
            if call.answered.is_some() || call.op != Op::Read {
                let seen = Call { op: call.op, asked: call.asked, answered: call.answered };
                all.entry(KEYS[call.key]).or_default().push(seen);
            }
        }
        all
    }
}

impl World {
    pub(super) fn ask(&mut self, client: u8) {
        let next = self.dice.around(self.scenario.ask_every * 3);
        self.after(next, Happening::Ask { client });
        if !self.has_quorum() {
            return; // No majority, so no promise about what is read (protocol-safety 10).
        }
        let key = self.dice.index(KEYS.len());
        // The end of a history is for what is read after the faults.
        if self.clients.lengths[key] + 4 >= history::LONGEST {
            return self.stats.count("histories full");
        }
        let op = self.any_op(client, key);
        // Often whoever says that it leads: perhaps two do.
        let real = self.real();
        let leaders: Vec<usize> = (0..self.hosts.len()).filter(|h| self.hosts[*h].open(real).is_some()).collect();
        let any = self.dice.index(self.hosts.len());
        let host =
            if leaders.is_empty() || self.dice.percent(10) { any } else { leaders[self.dice.index(leaders.len())] };
        let call = self.call(key, op);
        let travel = self.dice.range(100, 2 * MS);
        self.later(host, travel, Input::Call(call));
    }

    pub(super) fn call(&mut self, key: usize, op: Op) -> usize {
        let asked = self.real();
        self.clients.lengths[key] += 1;
        self.clients.calls.push(Ask { key, op, asked, answered: None, void: true, wrote: None });
        self.clients.calls.len() - 1
    }

    fn any_op(&mut self, client: u8, key: usize) -> Op {
        let value = self.clients.calls.len() as u64 + 1;
        let serial = self.clients.serials[key];
        match (key < 2, self.dice.index(10)) {
            (_, 0..=2) => Op::Read,
            (true, 3..=5) => Op::Create(value),
            (true, 6 | 7) => Op::Change(value),
            (true, 8) => Op::Enable(self.dice.percent(50)),
            (true, _) => Op::Delete,
            (false, 3 | 4) => Op::Lock(client),
            (false, 5) => Op::Unlock(client),
            (false, _) => Op::Store { holder: client, serial, value },
        }
    }

    /// The leader's part.
    pub(super) fn answer(&mut self, host: usize, call: usize) {
        let real = self.real();
        let now = self.hosts[host].now(real);
        let asked = &self.clients.calls[call];
        let (key, op) = (KEYS[asked.key], asked.op);
        let Some(process) = &mut self.hosts[host].process else { return };
        let busy = process.writes.values().any(|(k, _)| k == key);
        let Some(lease) = process.cluster.lease(now).filter(|_| !busy) else { return self.unheard(call) };
        let epoch = lease.epoch();
        let number = registers::number(&process.cluster, key);
        let object = self.clients.content(number);
        let (answer, after) = op.apply(object);
        if let Some(value) = number {
            self.fact(&Fact::Served { key, value, epoch });
        }
        if after == object {
            // A machine that stood still may believe in a window that is over: it promises nothing.
            if self.hosts[host].excused_until > real {
                return self.unheard(call);
            }
            self.clients.calls[call].void = false;
            return self.reply(call, answer);
        }
        let written = (after != Object::default()).then_some(self.clients.contents.len() as u64);
        self.clients.contents.push(after);
        let entry = registers::entry(key, written.map(|n| n.to_le_bytes().to_vec()));
        let Some(process) = &mut self.hosts[host].process else { return };
        let Some(write) = process.cluster.propose(&[entry], now) else { return self.unheard(call) };
        process.writes.insert(write, (key.to_owned(), Purpose::Call(call)));
        let stamp = registers::stamp(&process.cluster, key);
        let asked = &mut self.clients.calls[call];
        asked.void = false;
        // What may be deleted is not owed to anybody: for that there are the histories.
        asked.wrote = written.filter(|_| key.starts_with("state/"));
        if let (Some(value), Some(stamp)) = (asked.wrote, stamp) {
            self.fact(&Fact::Proposed { value, stamp });
        }
        self.stats.count("calls that write");
        self.with(host, |_, _| {});
    }

    fn unheard(&mut self, call: usize) {
        self.clients.lengths[self.clients.calls[call].key] -= 1;
        self.stats.count("calls turned away");
    }

    /// A write was acknowledged.
    pub(super) fn done(&mut self, call: usize) {
        self.reply(call, Answer::Done);
    }

    fn reply(&mut self, call: usize, answer: Answer) {
        if self.dice.percent(2) {
            return self.stats.count("answers lost");
        }
        let at = self.real() + self.dice.range(50, 1_500);
        let asked = &mut self.clients.calls[call];
        asked.answered = Some((at, answer));
        if let (Answer::Is(object), key) = (answer, asked.key) {
            self.clients.serials[key] = object.serial;
        }
        self.stats.count("calls answered");
    }

    /// The process that had these calls in hand is gone: their outcome is unknown.
    pub(super) fn forget_calls(&mut self, writes: &BTreeMap<WriteId, (String, Purpose)>) {
        let calls = writes.values().filter(|(_, purpose)| matches!(purpose, Purpose::Call(_))).count();
        self.stats.add("calls of unknown outcome", calls as u64);
    }

    /// Asks for every key at the end, at the one leader.
    pub(super) fn read_all(&mut self, leader: usize) {
        if !self.has_quorum() {
            return;
        }
        for key in 0..KEYS.len() {
            let call = self.call(key, Op::Read);
            self.answer(leader, call);
        }
    }

    /// Whether all that clients were told can be explained.
    pub(super) fn check_histories(&mut self) {
        let histories = self.clients.histories();
        for (key, calls) in histories {
            self.stats.count("histories");
            let result = history::check(&calls);
            self.judge(result.map_err(|text| ("linearizable", format!("{key}: {text}"))));
        }
    }
}
