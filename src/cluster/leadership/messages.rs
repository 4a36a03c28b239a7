//! Every message in, each to its machine; and the voter's answers.

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::Epoch;
use quorate_proto::message::{Body, Header, Message, Process, Put, RefuseReason, Register, Round};
use quorate_proto::{Seq, Stamp};

use super::acceptor::Refusal;
use super::blobs::HeldValues;
use super::{After, Leadership, Pulling, Role, Rule, Stranger, millis, registers};
use crate::cluster::Now;
use crate::cluster::output::Event;
use crate::cluster::settings::LeadershipMode;

/// An answer to a pull may be large: it is waited for so many times longer than a usual one.
const PULL_RETRIES: u32 = 4;
/// No refusal is waited for longer than so many grants of the own length: other agents' may be longer.
const WAIT_MAX: u32 = 8;

impl Leadership {
    /// A control message from `addr`, unsealed and decoded. Never trusted beyond that.
    pub fn handle_message(&mut self, addr: SocketAddr, message: Message, now: Now) {
        let Message { header, body } = message;
        if header.from.id == self.me.id {
            self.handle_namesake(addr, &header, &body, now);
            return;
        }
        if !self.is_of_our_cluster(addr, &header, &body, now) {
            return;
        }
        if !self.are_numbers_sound(addr, &header, &body, now) {
            return;
        }
        if !self.is_no_amnesiac(addr, &header, &body, now) {
            return;
        }
        // The last words of a process that has had a successor say nothing about that one.
        if !self.processes.is_past(&header.from) {
            self.note_process(&header.from);
            self.note_stranger(addr, &header.from, now);
        }
        self.dispatch(addr, &header, body, now);
        self.advance(now);
    }

    /// Founding messages come from anybody of that name; all others from members of the founded cluster.
    fn is_of_our_cluster(&mut self, addr: SocketAddr, header: &Header, body: &Body, now: Now) -> bool {
        match (header.cluster, self.acceptor.durable.cluster) {
            (Some(theirs), Some(ours)) if theirs != ours => {
                let text = format!(
                    "{} ({addr}) belongs to another cluster of the same name ({theirs}, ours is {ours}): \
                     nothing is exchanged; rename one, or wipe the data directories of the wrong one",
                    header.from.id
                );
                self.alarm(&format!("cluster:{}", header.from.id), text);
                false
            }
            (Some(_), None) if !matches!(body, Body::Found { .. } | Body::Formed { .. } | Body::Conflict { .. }) => {
                self.ask_to_join(addr, now);
                false
            }
            (None, _) => matches!(body, Body::Found { .. } | Body::Formed { .. } | Body::Conflict { .. }),
            (Some(_), _) => true,
        }
    }

    /// Another process with our name: another instance is a conflict, another boot of ours is our past or a clone.
    fn handle_namesake(&mut self, addr: SocketAddr, header: &Header, body: &Body, now: Now) {
        if header.from.instance == self.me.instance {
            return;
        }
        let counts = |instance| self.voters().iter().any(|v| v.id == self.me.id && v.instance == instance);
        if !counts(self.me.instance) {
            // Perhaps our own past, before the disk was lost: the leader tells us if it lives. One that answers what we
            // sent does live, and it says so itself: the leader may not hear it any more, since gossip has one address
            // a name.
            if matches!(body, Body::Conflict { instance, .. } if *instance == header.from.instance) {
                self.stop_for_voter(now);
            }
            return;
        }
        let text = format!(
            "two agents call themselves {}: this one, the voter (instance {}), and one at {addr} (instance {}), which is \
             told to stop",
            self.me.id, self.me.instance, header.from.instance
        );
        self.alarm("conflict", text);
        self.send(addr, Body::Conflict { id: self.me.id.clone(), instance: self.me.instance });
    }

    /// Told to stop: another agent of our name counts, and is alive.
    fn stop_for_voter(&mut self, now: Now) {
        self.lose("another agent of the same name is the voter", now);
        let text = format!("another agent called {} is the voter: give this one its own id", self.me.id);
        self.event(Event::Fatal { text });
    }

    /// A voter's name with another instance. When the voter is heard *after* the stranger was first, both live, and the
    /// one that does not count is told. Otherwise it is the voter itself after it lost its disk: a learner.
    fn note_stranger(&mut self, addr: SocketAddr, from: &Process, now: Now) {
        if self.mode == LeadershipMode::Alive || !matches!(self.role, Role::Leading(_)) {
            return;
        }
        let Some(voter) = self.voters().iter().find(|v| v.id == from.id).cloned() else { return };
        if voter.instance == from.instance {
            // Not at once: packets of the voter's life before it lost its disk may still be on their way.
            let long = self.timing.grant * 3;
            if let Some(stranger) = self.strangers.get_mut(&from.id)
                && now.mono >= stranger.since + long
            {
                stranger.both_live = true;
            }
            return;
        }
        let known = self.strangers.get(&from.id).is_some_and(|s| s.instance == from.instance);
        if !known {
            let stranger = Stranger { instance: from.instance, since: now.mono, both_live: false };
            self.strangers.insert(from.id.clone(), stranger);
        }
        if self.strangers.get(&from.id).is_some_and(|s| s.both_live) {
            let text = format!(
                "two agents call themselves {}: instance {} is the voter, instance {} at {addr} is told to stop",
                from.id, voter.instance, from.instance
            );
            self.alarm(&format!("conflict:{}", from.id), text);
            self.send(addr, Body::Conflict { id: voter.id, instance: voter.instance });
        }
    }

    fn dispatch(&mut self, addr: SocketAddr, header: &Header, body: Body, now: Now) {
        let from = &header.from;
        match body {
            Body::PreClaim { epoch, round } => self.handle_pre_claim(addr, header, epoch, round, now),
            Body::PreGrant { epoch, round } => self.handle_pre_grant(from, epoch, round, now),
            Body::Claim { epoch, lease_ms, round } => {
                self.handle_claim(addr, header, epoch, Duration::from_millis(u64::from(lease_ms)), round, now);
            }
            Body::Grant { epoch, round, lease_ms, index } => {
                let lease = Duration::from_millis(u64::from(lease_ms));
                self.handle_grant(addr, from, header.voters, epoch, round, lease, index, now);
            }
            Body::Refuse { epoch, promised, holder, remaining_ms, reason, .. } => {
                // To ask again too early does no harm; to believe any number would.
                let remaining = Duration::from_millis(u64::from(remaining_ms)).min(self.timing.grant * WAIT_MAX);
                self.acceptor.hear(promised);
                let waits = matches!(reason, RefuseReason::LeaseRuns | RefuseReason::Quiet);
                let passed_on = waits && self.pass_release_on(addr, from, promised);
                let epochs = (epoch, promised);
                if !passed_on && !self.settle_contention(from, epochs, holder.as_ref(), (reason, remaining), now) {
                    self.handle_refuse(from, epoch, promised, remaining, reason, now);
                }
            }
            Body::Renew { epoch, round, committed } => self.handle_renew(addr, from, epoch, round, committed, now),
            Body::Renewed { .. } => self.handle_renewed(from, &body, now),
            Body::Write { epoch, seq, entries } => self.handle_write(addr, from, epoch, seq, &entries, now),
            Body::Ack { epoch, seq } => self.handle_ack(from, epoch, seq, now),
            Body::Release { epoch, holder, successor, leaving } => {
                self.handle_release(epoch, &holder, successor, leaving, now);
            }
            Body::LeaseEnded { epoch, holder, dead } => self.handle_lease_ended(epoch, &holder, dead, now),
            Body::Pull { epoch, round, have } => self.handle_pull(addr, from, epoch, round, &have),
            Body::Values { epoch, round, registers, complete } => {
                self.handle_values(addr, from, epoch, round, registers, complete, now);
            }
            Body::Found { name, expect, seeds, accepted, acceptances } => {
                let found = super::founding::Found { name, expect, seeds, accepted, acceptances };
                self.handle_found(addr, from, found, now);
            }
            Body::Formed { proposal } => self.handle_formed(header.cluster, proposal, now),
            Body::Conflict { id, instance } => {
                if id == self.me.id && instance != self.me.instance {
                    self.stop_for_voter(now);
                }
            }
            Body::Amnesia { instance, boot, known } => self.handle_amnesia(from, instance, boot, known, now),
        }
    }

    // The voter.

    /// Whether a claim of this sender is worth considering: it is a voter here, or knows a newer voter set (R7).
    fn may_claim(&self, header: &Header) -> bool {
        self.mode == LeadershipMode::Alive
            || header.voters > self.acceptor.voters_stamp()
            || self.voters().iter().any(|v| v.id == header.from.id && v.instance == header.from.instance)
    }

    fn handle_pre_claim(&mut self, addr: SocketAddr, header: &Header, epoch: Epoch, round: Round, now: Now) {
        let verdict = self.judge(header, epoch, now);
        match verdict {
            Ok(()) => {
                self.let_go_first(&header.from.id, epoch, now);
                self.send(addr, Body::PreGrant { epoch, round });
            }
            Err(refusal) => self.refuse(addr, epoch, round, refusal),
        }
    }

    fn judge(&self, header: &Header, epoch: Epoch, now: Now) -> Result<(), Refusal> {
        if self.full.is_some() {
            return Err(Refusal { reason: RefuseReason::Disk, remaining: Duration::ZERO });
        }
        if !self.may_claim(header) {
            return Err(Refusal { reason: RefuseReason::NotAVoter, remaining: Duration::ZERO });
        }
        self.acceptor.would_promise(epoch, &header.from, now.mono)
    }

    fn handle_claim(
        &mut self,
        addr: SocketAddr,
        header: &Header,
        epoch: Epoch,
        asked: Duration,
        round: Round,
        now: Now,
    ) {
        if self.may_claim(header) {
            self.give_way_to(&header.from.id, epoch, now);
        }
        if let Err(refusal) = self.judge(header, epoch, now) {
            self.refuse(addr, epoch, round, refusal);
            return;
        }
        let claimant = header.from.clone();
        match self.acceptor.promise(epoch, &claimant, asked, now.mono) {
            Ok((_, changes)) => {
                self.yield_to(epoch, now);
                let after = vec![self.promised(), After::Grant { to: addr, claimant, epoch, round, asked }];
                self.persist(changes, after, now);
            }
            Err(refusal) => self.refuse(addr, epoch, round, refusal),
        }
    }

    /// The promise is durable: the grant may leave, and the lease counts from now (R12).
    pub(super) fn grant(
        &mut self,
        to: SocketAddr,
        claimant: &Process,
        epoch: Epoch,
        round: Round,
        asked: Duration,
        now: Now,
    ) {
        if !self.acceptor.is_bound_to(epoch, claimant) {
            return; // A newer promise came meanwhile.
        }
        let lease_ms = millis(self.acceptor.extend(asked, now.mono));
        let index = registers::index_hash(self.acceptor.registers());
        self.send(to, Body::Grant { epoch, round, lease_ms, index });
        self.event(Event::GrantGiven { epoch, to: claimant.id.clone() });
    }

    pub(super) fn refuse(&mut self, to: SocketAddr, epoch: Epoch, round: Round, refusal: Refusal) {
        let body = Body::Refuse {
            epoch,
            round,
            promised: self.acceptor.promised(),
            holder: self.acceptor.holder().map(|p| p.id.clone()),
            remaining_ms: millis(refusal.remaining),
            reason: refusal.reason,
        };
        self.send(to, body);
    }

    fn handle_renew(&mut self, addr: SocketAddr, from: &Process, epoch: Epoch, round: Round, committed: Seq, now: Now) {
        if self.mode == LeadershipMode::Alive && self.contend(addr, from, epoch, now) {
            return;
        }
        self.acceptor.hear(epoch);
        let stale = epoch < self.acceptor.promised();
        if self.acceptor.is_bound_to(epoch, from) {
            let lease_ms = millis(self.acceptor.extend(self.timing.grant, now.mono));
            let clock_ms = u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX);
            let applied = self.acceptor.applied();
            self.send(addr, Body::Renewed { epoch, round, lease_ms, clock_ms, applied });
            if applied < committed {
                self.pull_from_leader(addr, from, epoch, committed, now);
            }
        } else if stale {
            self.refuse(addr, epoch, round, Refusal { reason: RefuseReason::Promised, remaining: Duration::ZERO });
        } else if self.acceptor.holder() != Some(from) || epoch > self.acceptor.promised() {
            self.pull_from_leader(addr, from, epoch, committed, now);
        }
    }

    /// Catch-up: what the leader has committed and this member lacks (also how a voter that missed a claim joins it).
    pub(super) fn pull_from_leader(
        &mut self,
        addr: SocketAddr,
        from: &Process,
        epoch: Epoch,
        committed: Seq,
        now: Now,
    ) {
        let asked = |p: &Pulling| p.epoch == epoch && now.mono < p.at + self.timing.retry * PULL_RETRIES;
        if self.pulling.as_ref().is_some_and(asked) || self.blobs.holds_values_of(epoch) || self.full.is_some() {
            return;
        }
        let round = self.next_round();
        self.pulling = Some(Pulling { from: from.clone(), epoch, round, upto: committed, at: now.mono });
        let have = registers::index(self.acceptor.registers());
        self.send(addr, Body::Pull { epoch, round, have });
    }

    fn handle_pull(&mut self, addr: SocketAddr, from: &Process, epoch: Epoch, round: Round, have: &[[u8; 12]]) {
        let leads = matches!(&self.role, Role::Leading(l) if l.is_active() && l.epoch() == epoch);
        if !leads && !self.acceptor.is_bound_to(epoch, from) {
            return;
        }
        let (registers, complete) = registers::differing(self.acceptor.registers(), have);
        self.send(addr, Body::Values { epoch, round, registers, complete });
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message, taken apart once")]
    fn handle_values(
        &mut self,
        addr: SocketAddr,
        from: &Process,
        epoch: Epoch,
        round: Round,
        registers: Vec<Register>,
        complete: bool,
        now: Now,
    ) {
        if matches!(&self.role, Role::Claiming(c) if c.epoch == epoch) {
            self.handle_claim_values(from, epoch, registers, complete, now);
            return;
        }
        // Any other values are the late answer to a claim: they come from a voter, not from a leader.
        let asked = |p: &mut Pulling| p.epoch == epoch && p.round == round && p.from == *from;
        let Some(Pulling { upto, .. }) = self.pulling.take_if(asked) else { return };
        if self.full.is_none() {
            self.take_values(HeldValues { addr, from: from.clone(), epoch, upto, complete, registers }, now);
        }
    }

    pub(super) fn handle_write(
        &mut self,
        addr: SocketAddr,
        from: &Process,
        epoch: Epoch,
        seq: Seq,
        entries: &[Put],
        now: Now,
    ) {
        if self.mode == LeadershipMode::Alive && self.contend(addr, from, epoch, now) {
            return;
        }
        self.acceptor.hear(epoch);
        if self.full.is_some() {
            return; // Neither taken nor refused: the leader repeats it, or this member catches up.
        }
        let missing = self.lacks(Stamp { epoch, seq }, entries);
        if epoch >= self.acceptor.promised() && !missing.is_empty() {
            self.hold_write(addr, from, (epoch, seq), entries, missing, now);
            return;
        }
        match self.acceptor.write(epoch, seq, entries, from) {
            Ok(changes) => {
                self.yield_to(epoch, now);
                self.persist(changes, vec![self.promised(), After::Ack { to: addr, epoch, seq }], now);
            }
            Err(refusal) => self.refuse(addr, epoch, Round(0), refusal),
        }
    }

    fn handle_refuse(
        &mut self,
        from: &Process,
        epoch: Epoch,
        promised: Epoch,
        remaining: Duration,
        reason: RefuseReason,
        now: Now,
    ) {
        match &self.role {
            Role::Leading(leading) if leading.epoch() == epoch && promised > epoch => {
                self.lose(&format!("{} has promised the newer epoch {promised}", from.id), now);
            }
            Role::Leading(_) => {}
            Role::PreClaiming(_) | Role::Claiming(_) | Role::Follower => {
                self.handle_claim_refused(from, epoch, promised, remaining, reason, now);
            }
        }
    }

    /// This agent has just promised `epoch` to somebody else: whatever it claims or leads below that is over (R10).
    pub(super) fn yield_to(&mut self, epoch: Epoch, now: Now) {
        let below = match &self.role {
            Role::Leading(l) => l.epoch() < epoch,
            // An equal one was won by another.
            Role::Claiming(c) => c.epoch <= epoch,
            Role::PreClaiming(_) => true,
            Role::Follower => false,
        };
        if !below {
            return;
        }
        let why = format!("this agent has promised epoch {epoch} to another");
        if matches!(self.role, Role::Leading(_)) {
            self.lose(&why, now);
        } else {
            self.role = Role::Follower;
            self.event(Event::ClaimFailed { epoch, why });
        }
    }

    /// Mode `alive`, two leaders met: the lower id stays and must have the higher epoch. True: do not follow `from`.
    fn contend(&mut self, addr: SocketAddr, from: &Process, epoch: Epoch, now: Now) -> bool {
        let lower = self.me.id < from.id;
        let Role::Leading(leading) = &self.role else { return false };
        let mine = leading.epoch();
        if lower {
            if epoch >= mine {
                self.acceptor.hear(epoch);
                self.lose(&format!("{} led under epoch {epoch} meanwhile: a higher one is needed", from.id), now);
                self.backoff_until = now.mono;
            } else {
                let refusal = Refusal { reason: RefuseReason::Promised, remaining: Duration::ZERO };
                self.refuse(addr, epoch, Round(0), refusal);
            }
            return true;
        }
        if epoch < mine {
            // The lower id leads under an older epoch: it hears of ours and claims a higher one.
            let refusal = Refusal { reason: RefuseReason::Promised, remaining: Duration::ZERO };
            self.refuse(addr, epoch, Round(0), refusal);
        }
        self.lose(&format!("{} is alive and has the lower id", from.id), now);
        let me = self.me.clone();
        self.acceptor.release(mine, &me, now.mono);
        true
    }

    pub(super) fn keeps(&self, rule: Rule) -> bool {
        self.rules.keep(rule)
    }
}
