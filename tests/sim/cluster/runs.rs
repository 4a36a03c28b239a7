//! The agent's loop and its guardian, as `runtime::agent`, `runtime::runs` and `guardian` do it: journal, check the lease,
//! start, end, journal; stop at the deadline; release for a dead agent when nothing of it runs.

use quorate::cluster::Cluster;
use quorate::runtime::journal::Entered;
use quorate_proto::Epoch;
use quorate_proto::message::Put;

use super::host::{GRACE, InHand, Input, Notice, Purpose, Run, RunNumber, Stopping};
use super::scenario::{MS, SECOND};
use super::world::{Happening, World, address, micros};
use crate::leadership::facts::Fact;

/// How many tasks there are.
const TASKS: usize = 3;
/// How long a stopping agent waits for its successor.
const SUCCESSOR_WAIT: u64 = 2 * SECOND;

impl World {
    pub(super) fn notice(&mut self, host: usize, notice: Notice) {
        let now = self.hosts[host].now(self.real());
        let Some(process) = &mut self.hosts[host].process else { return };
        match notice {
            Notice::Led(lease, waits) => {
                process.lease = Some(lease);
                process.hand_over = false;
                process.waits =
                    waits.into_iter().map(|(t, wait)| (t, now.mono + std::time::Duration::from_micros(wait))).collect();
                self.renew_deadline(host);
                self.start_looking(host);
            }
            Notice::Extended(lease) => {
                process.lease = Some(lease);
                self.renew_deadline(host);
            }
            Notice::Suspended => process.lease = None,
            Notice::Lost => {
                process.lease = None;
                process.hand_over = false;
                let life = process.life;
                self.stop_all(host, life);
                self.check_stop(host);
            }
            Notice::HandOver => {
                process.hand_over = true;
                let (stopping, life) = (process.stopping.is_some(), process.life);
                if stopping {
                    self.stop_all(host, life);
                } else {
                    self.later(host, GRACE, Input::Patience);
                }
                self.check_hand_over(host);
            }
            Notice::Committed(Purpose::Started(run)) => self.spawn(host, run),
            Notice::Unknown(Purpose::Started(run) | Purpose::Ended(run)) | Notice::Committed(Purpose::Ended(run)) => {
                self.over(host, run);
            }
            Notice::Committed(Purpose::Call(call)) => self.done(call),
            Notice::Unknown(Purpose::Call(_)) => self.stats.count("calls of unknown outcome"),
        }
    }

    fn start_looking(&mut self, host: usize) {
        let every = self.scenario.run_every;
        let Some(process) = &mut self.hosts[host].process else { return };
        if !process.looking {
            process.looking = true;
            let first = self.dice.range(0, every);
            self.later(host, first, Input::Look);
        }
    }

    /// The loop looks for a task to run, and whether it may stop.
    pub(super) fn look_for_work(&mut self, host: usize) {
        let next = self.dice.around(self.scenario.run_every);
        let task = self.dice.index(TASKS);
        let margin = self.scenario.profile.timing().lease.start_margin;
        let now = self.hosts[host].now(self.real());
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.lease.is_none() && process.stopping.is_none() {
            process.looking = false;
            return;
        }
        let stopping = process.stopping.is_some();
        self.later(host, if stopping { 50 * MS } else { next }, Input::Look);
        if stopping {
            return self.check_stop(host);
        }
        let Some(process) = &mut self.hosts[host].process else { return };
        let free = !process.hand_over && process.in_hand.values().all(|held| held.task != task);
        let waits = process.waits.get(&task).is_some_and(|until| *until > now.mono);
        let Some(lease) = process.lease.filter(|lease| free && !waits && lease.is_live(margin, now)) else { return };
        self.runs += 1;
        let run = self.runs;
        process.in_hand.insert(run, InHand { task, epoch: lease.epoch() });
        if !self.enter(host, run, false) {
            self.over(host, run);
        }
    }

    /// Writes to the journal; false: nothing was written.
    fn enter(&mut self, host: usize, run: RunNumber, finished: bool) -> bool {
        let now = self.hosts[host].now(self.real());
        let agent = self.hosts[host].id.clone();
        let Some(process) = &mut self.hosts[host].process else { return false };
        let Some(held) = process.in_hand.get(&run).copied() else { return false };
        if process.cluster.lease(now).is_none_or(|lease| lease.epoch() != held.epoch) {
            return false;
        }
        let mut id = [0; 16];
        id[..8].copy_from_slice(&run.to_be_bytes());
        let entered = Entered { epoch: held.epoch, run: id, agent, grace_ms: GRACE / MS, finished, interrupted: false };
        let entry = entered.entry(&format!("t{}", held.task)).unwrap();
        let purpose = if finished { Purpose::Ended(run) } else { Purpose::Started(run) };
        let key = entry.key.clone();
        let Some(write) = process.cluster.propose(&[Put::from(&entry)], now) else { return false };
        process.writes.insert(write, (key, purpose));
        self.with(host, |_, _| {});
        true
    }

    /// The journal has it: the lease is checked once more, by the agent and by the guardian, and the run begins.
    fn spawn(&mut self, host: usize, run: RunNumber) {
        let real = self.real();
        let now = self.hosts[host].now(real);
        let margin = self.scenario.profile.timing().lease.start_margin;
        let Some(who) = self.hosts[host].who(host) else { return };
        let machine = &mut self.hosts[host];
        let Some(process) = &mut machine.process else { return };
        let Some(held) = process.in_hand.get(&run).copied() else { return };
        let lease = process.lease.filter(|l| l.epoch() == held.epoch && l.is_live(margin, now));
        let guardian = machine.guardians.iter_mut().find(|g| g.life == who.life);
        let (Some(lease), Some(guardian)) = (lease, guardian.filter(|g| g.deadline > now.boot)) else {
            self.stats.count("starts refused");
            if !self.enter(host, run, true) {
                self.over(host, run);
            }
            return;
        };
        guardian.runs.insert(run, Run { epoch: held.epoch, stopped: false });
        self.stats.count("runs");
        let excused = self.is_excused(host);
        let live = lease.is_live(std::time::Duration::ZERO, now);
        if self.has_quorum() {
            self.fact(&Fact::Effect { epoch: held.epoch, who, live, excused });
            let hosts = &self.hosts;
            let pardon = |h: usize| hosts[h].still || hosts[h].runs_excused_until > real;
            let begun = self.overlaps.begin(run, held.task, held.epoch, who, pardon);
            self.judge(begun);
            self.effect(held.epoch);
        }
        let length = if self.dice.percent(15) { 3 * SECOND } else { 150 * MS };
        let ends = self.dice.around(length);
        self.after(ends, Happening::RunEnds { host, run });
    }

    /// Something on its way to the fenced resource outside.
    fn effect(&mut self, token: Epoch) {
        let delay = if self.dice.percent(10) { 2 * SECOND } else { 10 * MS };
        let arrival = self.dice.range(0, delay);
        self.after(arrival, Happening::Effect { token });
    }

    /// The child is gone.
    pub(super) fn run_ends(&mut self, host: usize, run: RunNumber) {
        if self.hosts[host].still {
            return self.after(10 * MS, Happening::RunEnds { host, run });
        }
        let Some(at) = self.hosts[host].guardians.iter().position(|g| g.runs.contains_key(&run)) else { return };
        let guardian = &mut self.hosts[host].guardians[at];
        let ended = guardian.runs.remove(&run);
        let life = guardian.life;
        self.overlaps.end(run);
        if let Some(ended) = ended.filter(|_| self.has_quorum()) {
            self.effect(ended.epoch);
        }
        if self.lives_on(host, life) {
            let delay = self.dice.range(0, MS);
            self.after(delay, Happening::Input { host, life, input: Input::RunEnded(run) });
        }
        self.release_for_the_dead(host, life);
    }

    pub(super) fn run_ended(&mut self, host: usize, run: RunNumber) {
        if !self.enter(host, run, true) {
            self.over(host, run);
        }
    }

    /// The loop is done with a run.
    fn over(&mut self, host: usize, run: RunNumber) {
        let Some(process) = &mut self.hosts[host].process else { return };
        process.in_hand.remove(&run);
        self.check_hand_over(host);
        self.check_stop(host);
    }

    fn check_hand_over(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.hand_over && process.in_hand.is_empty() {
            process.hand_over = false;
            self.with(host, Cluster::runs_stopped);
        }
    }

    pub(super) fn patience(&mut self, host: usize) {
        let Some(process) = &self.hosts[host].process else { return };
        if process.hand_over {
            let life = process.life;
            self.stop_all(host, life);
        }
    }

    // SIGTERM.

    pub(super) fn begin_stop(&mut self, host: usize) {
        let Some(process) = &mut self.hosts[host].process else { return };
        if process.stopping.is_some() {
            return;
        }
        process.stopping = Some(Stopping { until: None, said_goodbye: false });
        let (hand_over, life) = (process.hand_over, process.life);
        if hand_over {
            self.stop_all(host, life);
        }
        self.with(host, |cluster, now| cluster.step_down("this agent stops", true, now));
        self.start_looking(host);
    }

    fn check_stop(&mut self, host: usize) {
        let real = self.real();
        let machine = &mut self.hosts[host];
        let Some(process) = &mut machine.process else { return };
        let Some(stopping) = &mut process.stopping else { return };
        if stopping.said_goodbye || process.lease.is_some() || !process.in_hand.is_empty() {
            return;
        }
        let until = *stopping.until.get_or_insert(real + SUCCESSOR_WAIT);
        let succeeded = process.cluster.view().leader.as_ref().is_some_and(|leader| *leader != machine.id);
        if succeeded || real >= until {
            stopping.said_goodbye = true;
            self.with(host, Cluster::leave);
        }
    }

    // The guardian.

    fn renew_deadline(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        let Some(process) = &machine.process else { return };
        let (Some(lease), life) = (process.lease, process.life) else { return };
        let Some(guardian) = machine.guardians.iter_mut().find(|g| g.life == life) else { return };
        guardian.deadline = lease.ends_boot();
        if !guardian.watching {
            guardian.watching = true;
            self.after(0, Happening::Deadline { host, life });
        }
    }

    pub(super) fn deadline(&mut self, host: usize, life: u32) {
        let real = self.real();
        let machine = &mut self.hosts[host];
        let now = machine.now(real);
        let Some(guardian) = machine.guardians.iter_mut().find(|g| g.life == life) else { return };
        if machine.still {
            return self.after(5 * MS, Happening::Deadline { host, life });
        }
        if now.boot < guardian.deadline {
            // Both clocks run alike now: a little early, and looked at again.
            let left = micros(guardian.deadline.saturating_sub(now.boot));
            return self.after(left + 500, Happening::Deadline { host, life });
        }
        guardian.watching = false;
        if !guardian.runs.is_empty() {
            self.stats.count("deadlines enforced");
            self.stop_all(host, life);
        }
    }

    /// SIGINT to all, SIGKILL after the grace.
    fn stop_all(&mut self, host: usize, life: u32) {
        let Some(guardian) = self.hosts[host].guardians.iter_mut().find(|g| g.life == life) else { return };
        let mut told = Vec::new();
        for (run, state) in guardian.runs.iter_mut().filter(|(_, state)| !state.stopped) {
            state.stopped = true;
            told.push(*run);
        }
        for run in told {
            self.stats.count("runs stopped");
            let stubborn = self.dice.percent(30);
            let ends = if stubborn { GRACE + 20 * MS } else { self.dice.range(0, GRACE) };
            self.after(ends, Happening::RunEnds { host, run });
        }
    }

    /// The guardian's pipe is closed.
    pub(super) fn agent_died(&mut self, host: usize, life: u32) {
        let Some(guardian) = self.hosts[host].guardians.iter_mut().find(|g| g.life == life) else { return };
        guardian.agent_dead = true;
        self.stop_all(host, life);
        self.release_for_the_dead(host, life);
    }

    fn release_for_the_dead(&mut self, host: usize, life: u32) {
        let Some(guardian) = self.hosts[host].guardians.iter_mut().find(|g| g.life == life) else { return };
        if !guardian.agent_dead {
            return;
        }
        if !guardian.runs.is_empty() {
            if !std::mem::replace(&mut guardian.told_of_death, true)
                && let Some(words) = guardian.words.clone()
            {
                self.stats.count("deaths told");
                for to in words.to {
                    self.net.send(address(host), to, words.lease_ended.clone());
                }
            }
            return;
        }
        let words = guardian.words.take();
        self.hosts[host].guardians.retain(|g| g.life != life);
        let Some(words) = words else { return };
        self.stats.count("releases for the dead");
        for to in words.to {
            self.net.send(address(host), to, words.release.clone());
        }
    }
}
