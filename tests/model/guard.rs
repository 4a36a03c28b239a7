//! Runs: the driver's journal of one task, and the guardian that outlives the agent (protocol-safety 7).
//!
//! The journal is production's (`runtime::journal`), and so are the lease, the release and the last words. The few
//! moves between them are the driver's: written here as `runtime` makes them, since those need a real process.

use std::net::SocketAddr;
use std::time::Duration;

use quorate::cluster::Durable;
use quorate::cluster::leadership::Lease;
use quorate::runtime::journal::{Entered, unfinished};
use quorate_proto::message::Message;
use quorate_proto::{Epoch, codec};

use crate::config::{Config, GRACE_MS, Slip, member};
use crate::host::{Host, Outcome, Write};
use crate::input::{Fact, Input};

/// The one task of the model.
const TASK: &str = "t";

/// The guardian of one process of an agent.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Guard {
    boot: u8,
    pub(crate) agent_lives: bool,
    /// On the host's clock.
    deadline: Option<u64>,
    pub(crate) run: Option<Run>,
    /// To be sent when nothing of it runs, or as soon as the agent is dead.
    pub(crate) release: Option<Message>,
    pub(crate) lease_ended: Option<Message>,
    to: Vec<SocketAddr>,
}

/// A living run.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Run {
    pub(crate) epoch: Epoch,
    /// It was interrupted and is killed then.
    pub(crate) kill_at: Option<u64>,
}

/// The token that the task's journal entry on this disk holds: it never falls (I8).
pub(crate) fn fence(disk: &Durable) -> Option<Epoch> {
    let (_, value) = disk.registers.get(&format!("run/{TASK}"))?;
    Some(codec::decode_frame::<Entered>(value.as_ref()?.inline()?).ok()?.epoch)
}

impl Guard {
    pub(crate) fn new(boot: u8) -> Self {
        Self { boot, agent_lives: true, deadline: None, run: None, release: None, lease_ended: None, to: Vec::new() }
    }

    /// Whether anything can still come of it.
    pub(crate) fn matters(&self) -> bool {
        self.run.is_some() || self.release.is_some()
    }

    fn interrupt(&mut self, at: u64) {
        if let Some(run) = &mut self.run {
            run.kill_at = Some(run.kill_at.map_or(at + GRACE_MS, |kill| kill.min(at + GRACE_MS)));
        }
    }

    pub(crate) fn agent_died(&mut self, clock: u64) {
        if self.agent_lives {
            self.agent_lives = false;
            self.interrupt(clock);
        }
    }

    /// The deadline interrupts; the kill ends, at the step after it: reaping takes less than one.
    pub(crate) fn pass(&mut self, clock: u64, slip: Slip) {
        if let Some(deadline) = self.deadline
            && deadline <= clock
            && slip != Slip::NoDeadline
        {
            self.interrupt(deadline);
        }
        if self.run.as_ref().is_some_and(|run| run.kill_at.is_some_and(|kill| kill < clock)) {
            self.run = None;
        }
    }
}

impl Host {
    pub(crate) fn guard(&mut self) -> &mut Guard {
        self.guards.last_mut().unwrap()
    }

    pub(crate) fn runs_alive(&self) -> usize {
        self.guards.iter().filter(|guard| guard.run.is_some()).count()
    }

    pub(crate) fn may_start(&self) -> bool {
        let starting = self.writes.values().any(|write| matches!(write, Write::RunStarts { .. }));
        let busy = self.guards.last().is_some_and(|guard| guard.run.is_some());
        self.active.is_some()
            && self.open.is_some()
            && !self.handing_over
            && !busy
            && !starting
            && self.clock >= self.wait_until
    }

    pub(crate) fn may_finish_hand_over(&self, slip: Slip) -> bool {
        let starting = self.writes.values().any(|write| matches!(write, Write::RunStarts { .. }));
        let alive = self.guards.last().is_some_and(|guard| guard.run.is_some());
        self.handing_over && (slip == Slip::HandOverAlive || !alive && !starting)
    }

    pub(crate) fn lead(&mut self, config: &Config, lease: &Lease) {
        let journal = self.machine.durable().registers.iter();
        let journal =
            journal.filter_map(|(key, (_, value))| Some((key.clone(), value.as_ref()?.inline()?.to_vec()))).collect();
        let mut released = self.machine.released().clone();
        if config.slip == Slip::AnyRelease {
            let agents = 0..config.agents;
            let all = self.machine.released().iter().flat_map(|(epoch, _)| agents.clone().map(|a| (*epoch, member(a))));
            released.extend(all);
        }
        let waits = unfinished(&journal, &released, lease.epoch());
        let wait = waits.iter().map(|u| u.wait).max().unwrap_or_default();
        let wait = if config.slip == Slip::NoWait { Duration::ZERO } else { wait };
        self.wait_until = self.clock + u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap();
        self.extend(lease);
    }

    pub(crate) fn extend(&mut self, lease: &Lease) {
        let deadline = u64::try_from(lease.ends_boot().as_millis()).unwrap();
        self.guard().deadline = Some(deadline);
    }

    pub(crate) fn interrupt(&mut self) {
        let clock = self.clock;
        self.guard().interrupt(clock);
    }

    pub(crate) fn renew_last_words(&mut self) {
        let words = self.machine.last_words();
        let guard = self.guard();
        let (release, lease_ended, to) =
            words.map_or((None, None, Vec::new()), |words| (Some(words.release), Some(words.lease_ended), words.to));
        (guard.release, guard.lease_ended, guard.to) = (release, lease_ended, to);
    }

    fn enter(&mut self, epoch: Epoch, finished: bool) -> bool {
        let run = [u8::try_from(epoch.0).unwrap(); 16];
        let entered = Entered { epoch, run, agent: member(self.id), grace_ms: GRACE_MS, finished, interrupted: false };
        let entries: Vec<_> = entered.entry(TASK).into_iter().collect();
        let now = self.now();
        let id = self.machine.propose(&entries, now);
        if let Some(id) = id {
            self.writes.insert(id, if finished { Write::RunEnds { epoch } } else { Write::RunStarts { epoch } });
        }
        id.is_some()
    }

    fn spawn(&mut self, epoch: Epoch) {
        self.guard().run = Some(Run { epoch, kill_at: None });
    }

    /// The entry is on a majority: the run starts if the lease still is what it was (R15).
    pub(crate) fn entered(&mut self, config: &Config, write: Write, outcome: &mut Outcome) {
        let (Write::RunStarts { epoch } | Write::RunEnds { epoch }) = write else { return };
        outcome.facts.push(Fact::Entered);
        if !matches!(write, Write::RunStarts { .. }) || config.slip == Slip::JournalLater {
            return;
        }
        let live = self.machine.lease(self.now()).is_some_and(|lease| lease.epoch() == epoch);
        if live || config.slip == Slip::NoCheck {
            self.spawn(epoch);
        }
    }

    pub(crate) fn run_input(&mut self, input: &Input, config: &Config, outcome: &mut Outcome) {
        match input {
            Input::StartRun => {
                let Some(epoch) = self.open else { return };
                if self.enter(epoch, false) && config.slip == Slip::JournalLater {
                    self.spawn(epoch);
                }
            }
            Input::RunEnds => {
                let Some(run) = self.guard().run.take() else { return };
                if self.active == Some(run.epoch) {
                    self.enter(run.epoch, true);
                }
            }
            Input::RunDies(guard) => self.guards[*guard].run = None,
            Input::TellOfDeath(guard) => {
                let Some(message) = self.guards[*guard].lease_ended.take() else { return };
                for to in self.guards[*guard].to.clone() {
                    self.transmit(config, to, message.clone(), &mut outcome.sent);
                }
            }
            Input::SendRelease(guard) => {
                let Some(message) = self.guards[*guard].release.take() else { return };
                for to in self.guards[*guard].to.clone() {
                    self.transmit(config, to, message.clone(), &mut outcome.sent);
                }
                // A datagram to the agent that runs here now is no use to it: its own lease has another boot nonce.
                let last = self.guards.len() - 1;
                let mut number = 0;
                self.guards.retain(|guard| {
                    number += 1;
                    guard.matters() || number == last + 1
                });
            }
            _ => {}
        }
    }
}
