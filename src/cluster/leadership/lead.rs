//! The leader: recovery (R8), the act window (R13 to R15), renewals, quorum writes (R9), hand-over and release (R16).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Process, Put, Round, Voter, Voters};
use quorate_proto::{BootNonce, Epoch, Instance, MemberId, Seq, Stamp};

use super::claim::Rounds;
use super::quorum::Quorum;
use super::{
    After, Leadership, Lease, Peer, RATE_BOUND, Releasing, Role, Rule, Withdrawal, holder_length, is_here, registers,
};
use crate::cluster::Now;
use crate::cluster::output::{Event, WriteId};
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::MemberState;

/// How often a release is sent: it cannot be acknowledged by somebody who may be gone.
const RELEASES: u8 = 3;
/// Released epochs that are remembered.
const RELEASED_MAX: usize = 64;
/// Members whose newest process is remembered; membership bounds them as well.
const PROCESSES_MAX: usize = 1_024;
/// Time over which two clocks are compared before anything is concluded.
const CLOCK_SAMPLE: Duration = Duration::from_mins(1);
/// Settle never grows beyond this (protocol-safety 9).
const SETTLE_MAX: Duration = Duration::from_mins(5);
/// Downs older than this are no flapping.
const FLAP_MEMORY: Duration = Duration::from_mins(10);

/// A batch on its way to a majority.
#[derive(Debug, Clone, Hash)]
struct Pending {
    entries: Vec<Put>,
    acks: BTreeSet<MemberId>,
    id: Option<WriteId>,
    next_send: Duration,
}

/// What the leader knows of one other member.
#[derive(Debug, Clone, Hash)]
struct Follower {
    instance: Instance,
    boot: BootNonce,
    /// Sent time of the newest round it answered, and the D it granted with it.
    answered: Option<(Now, Duration)>,
    heard_at: Duration,
    applied: Seq,
    clock: Option<(Duration, u64)>,
    /// Its clock and ours run at rates that differ by more than the bound.
    clock_differs: bool,
}

#[derive(Debug, Clone, Hash)]
struct HandOver {
    successor: Option<MemberId>,
}

/// See the module.
#[derive(Debug, Clone, Hash)]
pub(super) struct Leading {
    epoch: Epoch,
    quorum: Quorum,
    rounds: Rounds,
    round: Round,
    next_renew: Duration,
    next_retry: Duration,
    unanswered: BTreeSet<MemberId>,
    followers: BTreeMap<MemberId, Follower>,
    pending: BTreeMap<Seq, Pending>,
    next_seq: Seq,
    /// Highest batch up to which all are committed.
    committed: Seq,
    /// Last batch of the recovery; active when it is committed.
    recovery: Seq,
    active: bool,
    /// The clock jumped: no effect may start until the lease is renewed.
    suspended: bool,
    lease: Lease,
    since: Duration,
    /// The two sets of a change that waits until both cover the window: meanwhile it grows no further than both allow.
    next_quorum: Option<Quorum>,
    hand_over: Option<HandOver>,
}

impl Leading {
    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(super) fn is_active(&self) -> bool {
        self.active
    }

    /// What the next batch will be called.
    pub(super) fn next_stamp(&self) -> Stamp {
        Stamp { epoch: self.epoch, seq: self.next_seq.next() }
    }

    /// What is on its way to a majority.
    pub(super) fn pending_puts(&self) -> Vec<&Put> {
        self.pending.values().flat_map(|p| &p.entries).collect()
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        (self.active && !self.suspended).then_some(self.lease)
    }

    pub(super) fn set_quorum(&mut self, quorum: Quorum) {
        self.quorum = quorum;
    }

    pub(super) fn set_next_quorum(&mut self, quorum: Option<Quorum>) {
        self.next_quorum = quorum;
    }

    pub(super) fn has_nothing_pending(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether exactly this voter was heard within that time.
    pub(super) fn hears(&self, voter: &Voter, within: Duration, now: Now) -> bool {
        let heard = |f: &Follower| f.instance == voter.instance && now.mono < f.heard_at + within;
        self.followers.get(&voter.id).is_some_and(heard)
    }

    /// The process of this member that was heard last.
    pub(super) fn boot_of(&self, id: &MemberId) -> Option<BootNonce> {
        self.followers.get(id).map(|f| f.boot)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.active && self.pending.is_empty() && self.hand_over.is_none()
    }

    /// Whether this member answers now and has everything that is committed.
    pub(super) fn is_caught_up(&self, id: &MemberId, instance: Instance, within: Duration, now: Now) -> bool {
        self.followers
            .get(id)
            .is_some_and(|f| f.instance == instance && now.mono < f.heard_at + within && f.applied >= self.committed)
    }
}

impl Leadership {
    pub(super) fn poll_lead_timeout(&self) -> Option<(Duration, &'static str)> {
        let Role::Leading(leading) = &self.role else { return None };
        let retry = (!leading.unanswered.is_empty()).then_some((leading.next_retry, "repeat renewal"));
        let write = leading.pending.values().map(|p| p.next_send).min().map(|at| (at, "repeat write"));
        [Some((leading.next_renew, "renew the lease")), Some((leading.lease.ends_mono(), "lease ends")), retry, write]
            .into_iter()
            .flatten()
            .min()
    }

    /// A majority has granted: recover, then act.
    pub(super) fn become_leader(&mut self, quorum: &Quorum, now: Now) {
        let Role::Claiming(claiming) = std::mem::replace(&mut self.role, Role::Follower) else { return };
        let (epoch, rules, answers) = (claiming.epoch, self.rules, &claiming.answers);
        let reached = quorum.reached_by(|voter| {
            let answer = answers.get(&voter.id).filter(|a| a.instance == voter.instance)?;
            Some(Window::new(Lease::new(epoch, answer.sent, holder_length(answer.lease, rules)), now))
        });
        let Some(Window { lease, .. }) = reached else { return };
        if !lease.is_live(Duration::ZERO, now) {
            self.role = Role::Claiming(claiming);
            self.fail("the grants came after the lease was over", Duration::ZERO, now);
            return;
        }
        let batches = if self.rules.keep(Rule::MergeOverQuorum) {
            registers::batches(&claiming.merged)
        } else {
            registers::batches(self.acceptor.registers())
        };
        let followers = claiming.answers.iter().filter(|(id, _)| **id != self.me.id).map(|(id, answer)| {
            let follower = Follower {
                instance: answer.instance,
                boot: answer.boot,
                answered: Some((answer.sent, answer.lease)),
                heard_at: now.mono,
                applied: Seq(0),
                clock: None,
                clock_differs: false,
            };
            (id.clone(), follower)
        });
        let mut rounds = claiming.rounds;
        rounds.sent(Round(0), claiming.answers.get(&self.me.id).map_or(now, |a| a.sent));
        self.role = Role::Leading(Box::new(Leading {
            epoch: claiming.epoch,
            quorum: quorum.clone(),
            followers: followers.collect(),
            rounds,
            round: Round(0),
            next_renew: now.mono,
            next_retry: now.mono,
            unanswered: BTreeSet::new(),
            pending: BTreeMap::new(),
            next_seq: Seq(0),
            committed: Seq(0),
            recovery: Seq(batches.len() as u64),
            active: false,
            suspended: false,
            lease,
            since: now.mono,
            next_quorum: None,
            hand_over: None,
        }));
        for entries in batches {
            self.write_batch(&entries, None, now);
        }
        if !self.rules.keep(Rule::WriteBack) {
            self.activate();
        }
    }

    /// Phase 2: own disk and everybody else's; acknowledged when a majority has it.
    pub(super) fn write_batch(&mut self, entries: &[Put], id: Option<WriteId>, now: Now) {
        let me = self.me.clone();
        let Role::Leading(leading) = &mut self.role else { return };
        let (epoch, seq) = (leading.epoch, leading.next_seq.next());
        leading.next_seq = seq;
        let pending =
            Pending { entries: entries.to_vec(), acks: BTreeSet::new(), id, next_send: now.mono + self.timing.retry };
        leading.pending.insert(seq, pending);
        match self.acceptor.write(epoch, seq, entries, &me) {
            Ok(changes) => self.persist(changes, vec![After::OwnAck { epoch, seq }], now),
            Err(_) => return self.lose("this agent has promised a newer epoch to another", now),
        }
        for (_, addr) in self.everyone() {
            self.send(addr, Body::Write { epoch, seq, entries: entries.to_vec() });
        }
    }

    /// Voters and learners: who gets writes and renewals.
    fn everyone(&self) -> Vec<(MemberId, SocketAddr)> {
        let here = |(id, peer): &(&MemberId, &Peer)| **id != self.me.id && peer.state != MemberState::Left;
        self.peers.iter().filter(here).map(|(id, peer)| (id.clone(), peer.addr)).collect()
    }

    pub(super) fn handle_own_ack(&mut self, epoch: Epoch, seq: Seq, now: Now) {
        let me = self.me.clone();
        self.count_ack(&me, epoch, seq, now);
    }

    pub(super) fn handle_ack(&mut self, from: &Process, epoch: Epoch, seq: Seq, now: Now) {
        self.note_follower(from, now);
        self.count_ack(from, epoch, seq, now);
    }

    fn count_ack(&mut self, from: &Process, epoch: Epoch, seq: Seq, now: Now) {
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.epoch != epoch {
            return;
        }
        if let Some(follower) = leading.followers.get_mut(&from.id)
            && follower.applied.next() == seq
        {
            follower.applied = seq;
        }
        if !leading.quorum.contains(&from.id, from.instance) {
            return;
        }
        let Some(pending) = leading.pending.get_mut(&seq) else { return };
        pending.acks.insert(from.id.clone());
        if !leading.quorum.is_met_by(&pending.acks) {
            return;
        }
        let id = pending.id;
        leading.pending.remove(&seq);
        leading.committed = leading.pending.keys().next().map_or(leading.next_seq, |first| Seq(first.0 - 1));
        let recovered = !leading.active && leading.committed >= leading.recovery;
        self.handle_committed_change(seq);
        if let Some(id) = id {
            self.event(Event::Committed(id));
        }
        // A majority has the write, even if it took longer than the window; but nobody becomes active after it.
        self.watch_window(now);
        if recovered {
            self.activate();
        }
    }

    fn activate(&mut self) {
        let Role::Leading(leading) = &mut self.role else { return };
        leading.active = true;
        let lease = leading.lease;
        self.event(Event::LeaseGained(lease));
    }

    pub(super) fn advance_leading(&mut self, now: Now) {
        self.watch_window(now);
        self.renew(now);
        self.repeat_writes(now);
        self.settle(now);
        self.change_voters(now);
    }

    /// R10: when the window is over, so is the leadership.
    pub(super) fn watch_window(&mut self, now: Now) {
        if let Role::Leading(leading) = &self.role
            && !leading.lease.is_live(Duration::ZERO, now)
        {
            self.lose("a majority of the voters did not renew its lease in time", now);
        }
    }

    fn renew(&mut self, now: Now) {
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
    fn extend_window(&mut self, now: Now) {
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
    fn window_of(&self, quorum: &Quorum, now: Now) -> Option<Window> {
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

    fn repeat_writes(&mut self, now: Now) {
        let everyone = self.everyone();
        let retry = self.timing.retry;
        let Role::Leading(leading) = &mut self.role else { return };
        let epoch = leading.epoch;
        let mut again = Vec::new();
        for (seq, pending) in &mut leading.pending {
            if now.mono >= pending.next_send {
                pending.next_send = now.mono + retry;
                let missing = everyone.iter().filter(|(id, _)| !pending.acks.contains(id));
                again.extend(missing.map(|(_, addr)| (*addr, *seq, pending.entries.clone())));
            }
        }
        for (addr, seq, entries) in again {
            self.send(addr, Body::Write { epoch, seq, entries });
        }
    }

    /// Keeps what is known of a member; a new process or instance starts from nothing.
    fn note_follower(&mut self, from: &Process, now: Now) {
        let Role::Leading(leading) = &mut self.role else { return };
        let known = leading.followers.get_mut(&from.id);
        match known {
            Some(f) if f.instance == from.instance && f.boot == from.boot => f.heard_at = now.mono,
            Some(_) | None => {
                let fresh = Follower {
                    instance: from.instance,
                    boot: from.boot,
                    answered: None,
                    heard_at: now.mono,
                    applied: Seq(0),
                    clock: None,
                    clock_differs: false,
                };
                leading.followers.insert(from.id.clone(), fresh);
            }
        }
    }

    /// Compares how fast a follower's clock and ours run (protocol-safety 10).
    fn compare_clocks(&mut self, from: &Process, theirs: u64, now: Now) {
        let rtt = self.timing.retry;
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(&from.id) else { return };
        let Some((ours_then, theirs_then)) = follower.clock else {
            follower.clock = Some((now.mono, theirs));
            return;
        };
        let ours = now.mono.saturating_sub(ours_then);
        if ours < CLOCK_SAMPLE {
            return;
        }
        follower.clock = Some((now.mono, theirs));
        let theirs = Duration::from_millis(theirs.saturating_sub(theirs_then));
        let off = ours.abs_diff(theirs).saturating_sub(rtt * 2).as_secs_f64() / ours.as_secs_f64();
        follower.clock_differs = off > RATE_BOUND;
        let key = format!("clock:{}", from.id);
        if off > RATE_BOUND / 2.0 {
            let text = format!(
                "the clocks of {} and {} run at rates that differ by {:.1} %: leases are safe up to {:.0} %",
                self.me.id,
                from.id,
                off * 100.0,
                RATE_BOUND * 100.0
            );
            self.alarm(&key, text);
        } else {
            self.alarms.remove(&key);
        }
        if self.is_own_clock_suspect() {
            self.begin_hand_over(None, "clock rates differ by more than leases tolerate", now);
        }
    }

    /// Of two clocks that differ nobody can say which one is wrong, but one that differs from those of most voters is:
    /// the suspect does not lead (protocol-safety 10). A wrong clock of a follower is no reason to give up.
    fn is_own_clock_suspect(&self) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        let voters = self.voters();
        let differs = |v: &&Voter| leading.followers.get(&v.id).is_some_and(|f| f.clock_differs);
        voters.iter().filter(differs).count() * 2 > voters.len()
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

    // Ends.

    /// Stops leading at once (R10). Leases granted to this agent run out by themselves.
    pub(super) fn lose(&mut self, why: &str, now: Now) {
        let Role::Leading(leading) = std::mem::replace(&mut self.role, Role::Follower) else { return };
        for id in leading.pending.values().filter_map(|p| p.id) {
            self.event(Event::Unknown(id));
        }
        // Whoever wants to be removed asks the next leader: an old request must not meet a process that came back.
        self.leavers.clear();
        self.backoff_until = now.mono + self.jitter();
        if leading.active {
            self.lost = Some(leading.epoch);
            self.event(Event::LeaseLost { epoch: leading.epoch, why: why.to_owned() });
        } else {
            self.event(Event::ClaimFailed { epoch: leading.epoch, why: why.to_owned() });
        }
    }

    /// Hands leadership to a lower id that has been alive for long enough and has caught up.
    fn settle(&mut self, now: Now) {
        let Role::Leading(leading) = &self.role else { return };
        if !leading.is_settled() {
            return;
        }
        // Only the lowest: another one would have to hand over again.
        let lowest = self.candidates().into_iter().next().filter(|id| *id < self.me.id);
        let ready = lowest.filter(|id| {
            let Some(peer) = self.peers.get(id) else { return false };
            let since = peer.alive_since.max(leading.since);
            peer.state == MemberState::Alive
                && leading.followers.get(id).is_none_or(|f| !f.clock_differs)
                && now.mono >= since + self.settle_time(id, now)
                && (self.mode == LeadershipMode::Alive
                    || leading.is_caught_up(id, peer.instance, self.timing.grant, now))
        });
        if let Some(id) = ready {
            let why = format!("{id} has the lower id, has been alive for long enough and has caught up");
            self.begin_hand_over(Some(id), &why, now);
        }
    }

    /// `settle`, doubled for each time the member went down lately beyond the first.
    fn settle_time(&self, id: &MemberId, now: Now) -> Duration {
        let falls = self.flaps.get(id).map_or(0, |f| f.iter().filter(|at| **at + FLAP_MEMORY > now.mono).count());
        let doublings = u32::try_from(falls.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        (self.timing.settle * (1 << doublings)).min(SETTLE_MAX.max(self.timing.settle))
    }

    pub(super) fn begin_hand_over(&mut self, successor: Option<MemberId>, why: &str, now: Now) {
        let next = self.candidates().into_iter().find(|id| *id != self.me.id);
        let successor = successor.or(next);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.hand_over.is_some() {
            return;
        }
        if !leading.active {
            self.lose(why, now);
            return;
        }
        leading.hand_over = Some(HandOver { successor: successor.clone() });
        self.event(Event::HandOver { successor, why: why.to_owned() });
    }

    pub(super) fn finish_hand_over(&mut self, now: Now) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(HandOver { successor }) = leading.hand_over.take() else { return };
        let alive = |id: &MemberId| self.peers.get(id).is_some_and(|p| is_here(p.state));
        let successor = successor.filter(alive);
        let epoch = leading.epoch;
        self.lose("it was handed over", now);
        self.lost = None;
        let retired = self.retired;
        if !retired {
            let until = Some(now.mono + self.timing.settle);
            self.withdrawn.insert(self.me.id.clone(), Withdrawal { boot: self.me.boot, until });
        }
        self.send_release_of(epoch, successor, retired, now);
    }

    pub(super) fn send_release_of(&mut self, epoch: Epoch, successor: Option<MemberId>, leaving: bool, now: Now) {
        let holder = self.me.clone();
        self.note_released(epoch, &holder.id);
        self.acceptor.release(epoch, &holder, now.mono);
        if leaving {
            self.withdrawn.insert(holder.id.clone(), Withdrawal { boot: holder.boot, until: None });
        }
        let body = Body::Release { epoch, holder, successor, leaving };
        self.releasing = Some(Releasing { body, next: now.mono, left: RELEASES });
        self.repeat_release(now);
    }

    /// Remembers that nothing of this agent runs any more under this epoch; the newest few are enough. Epoch 0 was never
    /// anybody's.
    /// Returns whether that is news.
    pub(super) fn note_released(&mut self, epoch: Epoch, holder: &MemberId) -> bool {
        if epoch == Epoch(0) {
            return false;
        }
        let is_new = self.released.insert((epoch, holder.clone()));
        if self.released.len() > RELEASED_MAX {
            self.released.pop_first();
        }
        is_new
    }

    pub(super) fn repeat_release(&mut self, now: Now) {
        let Some(releasing) = &mut self.releasing else { return };
        if now.mono < releasing.next {
            return;
        }
        releasing.left -= 1;
        releasing.next = now.mono + self.timing.retry;
        let body = releasing.body.clone();
        if releasing.left == 0 {
            self.releasing = None;
        }
        for addr in self.reachable() {
            self.send(addr, body.clone());
        }
    }

    /// Somebody else's release: its lease is over, and perhaps it names who follows.
    pub(super) fn handle_release(
        &mut self,
        epoch: Epoch,
        holder: &Process,
        successor: Option<MemberId>,
        leaving: bool,
        now: Now,
    ) {
        if holder.id == self.me.id {
            return;
        }
        let leads = matches!(&self.role, Role::Leading(leading) if leading.is_active());
        if self.note_released(epoch, &holder.id) && leads {
            self.event(Event::Released { epoch, by: holder.id.clone() });
        }
        let first = self.acceptor.release(epoch, holder, now.mono);
        if leaving {
            self.withdrawn.insert(holder.id.clone(), Withdrawal { boot: holder.boot, until: None });
        }
        if !first {
            return;
        }
        let died = leaving && successor.is_none();
        let how = match (died, leaving) {
            (true, _) => "its process has ended",
            (false, true) => "it was stopped and handed over",
            (false, false) => "it handed over",
        };
        self.last_release = Some((holder.id.clone(), how));
        if died && self.boots.get(&holder.id).is_none_or(|boot| *boot == holder.boot) {
            self.event(Event::ProcessEnded { id: holder.id.clone() });
        }
        if let Some(successor) = successor {
            if !leaving {
                let until = Some(now.mono + self.timing.settle);
                self.withdrawn.insert(holder.id.clone(), Withdrawal { boot: holder.boot, until });
            }
            if successor == self.me.id {
                self.backoff_until = now.mono;
            }
            self.named_successor = Some((successor, now.mono + self.timing.renew + self.timing.retry * 4));
        }
    }

    /// A message from a process: one that gave up as another process is a candidate again.
    pub(super) fn note_process(&mut self, from: &Process) {
        if self.boots.get(&from.id) != Some(&from.boot) && self.boots.len() < PROCESSES_MAX {
            self.boots.insert(from.id.clone(), from.boot);
        }
        if self.withdrawn.get(&from.id).is_some_and(|w| w.boot != from.boot) {
            self.withdrawn.remove(&from.id);
        }
        // A removal that was asked for is about the process that leaves: what comes back is a learner like any other.
        if self.leavers.get(&from.id).is_some_and(|leaver| *leaver != Some(from.boot)) {
            self.leavers.remove(&from.id);
        }
    }

    /// The voter set of the leadership in force, for changes of it.
    pub(super) fn leading_voters(&self) -> Option<Voters> {
        matches!(self.role, Role::Leading(_))
            .then(|| self.acceptor.voters().map(|(_, voters)| voters.clone()))
            .flatten()
    }
}

/// What one voter's grant is worth now. Ordered by what is left of it, on whichever clock advanced further (R14).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    left: Duration,
    lease: Lease,
}

impl Window {
    fn new(lease: Lease, now: Now) -> Self {
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
