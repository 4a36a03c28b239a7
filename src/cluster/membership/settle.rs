//! What is done around every call into foca: lateness before it, effects and changed members after it.

use std::net::SocketAddr;
use std::time::Duration;

use foca::{State, Timer};

use super::effects::Note;
use super::peer::Peer;
use super::renewals::INCARNATION_LIMIT;
use super::rules::Rule;
use super::timers::Chore;
use super::{Event, Membership, Output, Phase, scale};

impl Membership {
    pub(super) fn measure_lateness(&mut self, now: Duration) {
        let late = self.timers.next().map_or(Duration::ZERO, |(at, _)| now.saturating_sub(at));
        self.stats.late_last = late;
        self.stats.late_max = self.stats.late_max.max(late);
        if late > self.timing.probe_rtt && self.phase == Phase::Active && self.rules.keep(Rule::Lateness) {
            self.timers.postpone_verdicts(late, now.saturating_sub(late));
            self.health.handle_lateness(late);
            self.outputs.push_back(Output::Event(Event::Late { by: late }));
        }
    }

    pub(super) fn fire(&mut self, timer: Timer<Peer>, now: Duration) {
        if let Timer::ChangeSuspectToDown { member_id, incarnation, .. } = &timer {
            let stands = self.swim.iter_members().any(|member| {
                member.state() == State::Suspect && member.incarnation() == *incarnation && member.id() == member_id
            });
            if !stands && self.rules.keep(Rule::StaleTimer) {
                self.stats.stale_timers += 1;
                return;
            }
        }
        let result = self.swim.handle_timer(timer, &mut self.effects);
        self.settle(result, now);
    }

    /// Carries out what a call into foca asked for, whether it failed or not, and looks at what became of the members.
    pub(super) fn settle(&mut self, result: Result<(), foca::Error>, now: Duration) {
        if let Err(error) = result {
            self.stats.count_foca(&error);
        }
        for note in std::mem::take(&mut self.effects.notes) {
            self.handle_note(note, now);
        }
        for (timer, after) in std::mem::take(&mut self.effects.timers) {
            let is_probe = matches!(timer, Timer::ProbeRandomMember(_) | Timer::SendIndirectProbe { .. });
            let after = if is_probe { self.health.stretch(after) } else { after };
            self.timers.submit(timer, after, now);
        }
        for (to, payload) in std::mem::take(&mut self.effects.sends) {
            self.transmit(to, payload);
        }
        self.compare_tables(now);
        self.stats.backlog = self.swim.updates_backlog();
        self.stats.health = self.health.score();
    }

    pub(super) fn transmit(&mut self, to: SocketAddr, payload: Vec<u8>) {
        self.stats.packets_out += 1;
        self.stats.bytes_out += payload.len() as u64;
        self.outputs.push_back(Output::Transmit { to, payload });
    }

    pub(super) fn handle_note(&mut self, note: Note, now: Duration) {
        match note {
            Note::Active => self.become_active(now),
            Note::Idle => self.become_alone(now),
            Note::Defunct => self.become_defunct(now),
            Note::Pinged => self.health.handle_probe(now),
            Note::ProbeFailed(peer) => {
                self.stats.suspicions += 1;
                self.health.handle_failure();
                self.accused.insert(peer.key());
            }
            Note::Sent(incarnation) => {
                if incarnation > self.incarnation {
                    self.stats.refutations += 1;
                    self.health.handle_refutation();
                }
                self.incarnation = incarnation;
                if incarnation >= INCARNATION_LIMIT && !self.timers.is_set(Chore::Renew) {
                    self.timers.set(Chore::Renew, now);
                }
            }
        }
    }

    pub(super) fn compare_tables(&mut self, now: Duration) {
        let mut events = Vec::new();
        self.table.observe_self(self.swim.identity(), self.incarnation);
        for member in self.swim.iter_membership_state() {
            self.table.observe(member, now, &mut events);
        }
        self.table.retain(self.swim.iter_membership_state());
        self.outputs.extend(events.into_iter().map(Output::Event));
        self.stats.members = self.table.counts();
        if self.stats.members[1] == 0 {
            self.accused.clear();
        } else if self.phase == Phase::Active && !self.timers.is_set(Chore::Buddy) {
            self.timers.set(Chore::Buddy, now);
        }
        self.rescale();
    }

    /// R10: the budget and the patience of a cluster depend on its size.
    pub(super) fn rescale(&mut self) {
        let members = self.swim.num_members() + 1;
        if members != self.scaled_for {
            self.scaled_for = members;
            if let Err(error) = self.swim.set_config(scale::config(&self.timing, members, &self.rules)) {
                self.stats.count_foca(&error);
            }
        }
    }
}
