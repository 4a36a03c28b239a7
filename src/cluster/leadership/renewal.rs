//! The act window: renewed by rounds that a majority answers, over when they stop (R13 to R15).

use std::time::Duration;

use quorate_proto::message::{Body, Process, Round};

use super::claim::Rounds;
use super::quorum::Quorum;
use super::{Leadership, Lease, Role, Rule, holder_length};
use crate::cluster::Now;
use crate::cluster::output::Event;
use crate::cluster::settings::LeadershipMode;

/// What one voter's grant is worth now. Ordered by what is left of it, on whichever clock advanced further (R14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    left: Duration,
    pub(super) lease: Lease,
}

impl Window {
    pub(super) fn new(lease: Lease, now: Now) -> Self {
        Self { left: lease.left(now), lease }
    }
}

impl PartialOrd for Window {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Window {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.left.cmp(&other.left)
    }
}

impl Leadership {
    /// R10: when the window is over, so is the leadership.
    pub(super) fn watch_window(&mut self, now: Now) {
        if let Role::Leading(leading) = &self.role
            && !leading.lease.is_live(Duration::ZERO, now)
        {
            self.lose("a majority of the voters did not renew its lease in time", now);
        }
    }

    pub(super) fn renew(&mut self, now: Now) {
        let Role::Leading(leading) = &self.role else { return };
        let (first, again) = (now.mono >= leading.next_renew, now.mono >= leading.next_retry);
        if !first && (!again || leading.unanswered.is_empty()) {
            return;
        }
        if self.mode == LeadershipMode::Alive {
            let quorum = self.quorum();
            if let Role::Leading(leading) = &mut self.role {
                leading.quorum = quorum;
            }
        }
        let everyone = self.everyone();
        let round = if first { self.next_round() } else { Round(0) };
        let (renew, retry) = (self.timing.renew, self.timing.retry);
        let Role::Leading(leading) = &mut self.role else { return };
        if first {
            leading.round = round;
            leading.rounds.sent(round, now);
            // Voters may grant less than this agent would: R = D / 4 of what is granted.
            leading.next_renew = now.mono + renew.min(leading.lease.length() / 4);
            // Only voters are asked again: a learner's answer is of no use to the lease.
            leading.unanswered = leading.quorum.voters().iter().map(|v| v.id.clone()).collect();
            leading.unanswered.remove(&self.me.id);
        }
        leading.next_retry = now.mono + retry;
        let body = Body::Renew { epoch: leading.epoch, round: leading.round, committed: leading.committed };
        let unanswered = leading.unanswered.clone();
        // The own promise stands: the own lease as grantor runs with each round.
        self.acceptor.extend(self.timing.grant, now.mono);
        for (id, addr) in everyone {
            if first || unanswered.contains(&id) {
                self.send(addr, body.clone());
            }
        }
        self.extend_window(now);
    }

    pub(super) fn handle_renewed(&mut self, from: &Process, body: &Body, now: Now) {
        let Body::Renewed { epoch, round, lease_ms, clock_ms, applied } = *body else { return };
        self.note_follower(from, now);
        let (counts_from_sending, retry) = (self.rules.keep(Rule::CountFromSending), self.timing.retry);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch {
            return;
        }
        let Some(mut sent) = leading.rounds.when(round) else { return };
        if !counts_from_sending {
            sent = now;
        }
        // An answer that was long under way, or waited for a paused process, says nothing about clocks.
        let late = round != leading.round || now.since(sent) > retry;
        if round == leading.round {
            leading.unanswered.remove(&from.id);
        }
        if let Some(follower) = leading.followers.get_mut(&from.id) {
            if follower.answered.is_none_or(|(had, _)| had.mono < sent.mono) {
                follower.answered = Some((sent, Duration::from_millis(u64::from(lease_ms))));
            }
            follower.applied = follower.applied.max(applied);
        }
        if !late {
            self.compare_clocks(from, clock_ms, now);
        }
        self.extend_window(now);
    }

    /// R13: the window ends at the majority-th latest of the answered rounds, the own vote counted.
    pub(super) fn extend_window(&mut self, now: Now) {
        let Role::Leading(leading) = &self.role else { return };
        // A joiner that stops answering must not cost the leadership: the change waits no longer than half a window.
        let patient = leading.lease.left(now) * 2 > leading.lease.length();
        let quorum = leading.next_quorum.as_ref().filter(|_| patient).unwrap_or(&leading.quorum);
        let Some(Window { left, lease }) = self.window_of(quorum, now) else { return };
        let Role::Leading(leading) = &mut self.role else { return };
        if left <= leading.lease.left(now) || !leading.lease.is_live(Duration::ZERO, now) {
            return;
        }
        leading.lease = lease;
        leading.suspended = false;
        if leading.active {
            self.event(Event::LeaseExtended(lease));
        }
    }

    /// What the answers so far are worth to this quorum.
    pub(super) fn window_of(&self, quorum: &Quorum, now: Now) -> Option<Window> {
        let Role::Leading(leading) = &self.role else { return None };
        let own = leading.rounds.newest().map(|sent| (sent, self.timing.grant));
        quorum.reached_by(|voter| {
            let answered = if voter.id == self.me.id {
                own
            } else {
                leading.followers.get(&voter.id).filter(|f| f.instance == voter.instance).and_then(|f| f.answered)
            };
            answered.map(|(sent, d)| Window::new(Lease::new(leading.epoch, sent, holder_length(d, self.rules)), now))
        })
    }

    /// Whether this quorum has granted all of the window in hand. A voter set may only change to one that has: a
    /// majority of the new set that shares no grantor with the window could elect another leader inside it (I6).
    pub(super) fn is_window_covered_by(&self, quorum: &Quorum, now: Now) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        self.window_of(quorum, now).is_some_and(|window| window.left >= leading.lease.left(now))
    }

    /// Forgets every answer counted so far and asks again at once.
    pub(super) fn suspend_lease(&mut self, now: Now) {
        let Role::Leading(leading) = &mut self.role else { return };
        leading.suspended = true;
        leading.rounds = Rounds::default();
        leading.next_renew = now.mono;
        for follower in leading.followers.values_mut() {
            follower.answered = None;
        }
        if leading.active {
            let epoch = leading.epoch;
            self.event(Event::LeaseSuspended { epoch });
        }
    }
}
