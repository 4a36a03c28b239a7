//! The leader: recovery (R8), the act window (R13 to R15), renewals, quorum writes (R9), hand-over and release (R16).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Process, Put, Round, Voter, Voters};
use quorate_proto::{BootNonce, Epoch, Instance, MemberId, Seq, Stamp};

use super::claim::Rounds;
use super::forgetting::Forgetting;
use super::hand_over::HandOver;
use super::quorum::Quorum;
use super::renewal::Window;
use super::{After, Leadership, Lease, Peer, Role, Rule, holder_length, registers};
use crate::cluster::Now;
use crate::cluster::output::{Event, WriteId};
use crate::cluster::view::MemberState;

/// A batch on its way to a majority.
#[derive(Debug, Clone, Hash)]
pub(super) struct Pending {
    pub(super) entries: Vec<Put>,
    pub(super) acks: BTreeSet<MemberId>,
    id: Option<WriteId>,
    next_send: Duration,
}

/// What the leader knows of one other member.
#[derive(Debug, Clone, Hash)]
pub(super) struct Follower {
    pub(super) instance: Instance,
    pub(super) boot: BootNonce,
    /// Sent time of the newest round it answered, and the D it granted with it.
    pub(super) answered: Option<(Now, Duration)>,
    pub(super) heard_at: Duration,
    pub(super) applied: Seq,
    pub(super) clock: Option<(Duration, u64)>,
    /// Its clock and ours run at rates that differ by more than the bound.
    pub(super) clock_differs: bool,
}

/// See the module.
#[derive(Debug, Clone, Hash)]
pub(super) struct Leading {
    pub(super) epoch: Epoch,
    pub(super) quorum: Quorum,
    pub(super) rounds: Rounds,
    pub(super) round: Round,
    pub(super) next_renew: Duration,
    pub(super) next_retry: Duration,
    pub(super) unanswered: BTreeSet<MemberId>,
    pub(super) followers: BTreeMap<MemberId, Follower>,
    pub(super) pending: BTreeMap<Seq, Pending>,
    pub(super) next_seq: Seq,
    /// Highest batch up to which all are committed.
    pub(super) committed: Seq,
    /// Last batch of the recovery; active when it is committed.
    pub(super) recovery: Seq,
    pub(super) active: bool,
    /// The clock jumped: no effect may start until the lease is renewed.
    pub(super) suspended: bool,
    pub(super) lease: Lease,
    pub(super) since: Duration,
    /// The two sets of a change that waits until both cover the window: meanwhile it grows no further than both allow.
    pub(super) next_quorum: Option<Quorum>,
    pub(super) hand_over: Option<HandOver>,
    /// Deletions on their way to be forgotten.
    pub(super) forgetting: Option<Forgetting>,
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
            registers::batches(&claiming.merged, rules.batch_bytes())
        } else {
            registers::batches(self.acceptor.registers(), rules.batch_bytes())
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
            forgetting: None,
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
    pub(super) fn everyone(&self) -> Vec<(MemberId, SocketAddr)> {
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
        self.forget_deleted(now);
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
    pub(super) fn note_follower(&mut self, from: &Process, now: Now) {
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

    /// The voter set of the leadership in force, for changes of it.
    pub(super) fn leading_voters(&self) -> Option<Voters> {
        matches!(self.role, Role::Leading(_))
            .then(|| self.acceptor.voters().map(|(_, voters)| voters.clone()))
            .flatten()
    }
}
