//! The claimant: asks around (R5), promises to itself (R4), claims, merges what the grants know (R7, R8).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Process, RefuseReason, Register, Round, VOTERS_KEY};
use quorate_proto::{BootNonce, Epoch, Instance, MemberId, Stamp};

use super::registers::{self, Registers};
use super::{After, Leadership, Role, Rule, holder_length, is_here, millis, surely_over};
use crate::cluster::Now;
use crate::cluster::output::Event;
use crate::cluster::settings::LeadershipMode;

/// How many rounds are remembered to recognise their answers.
const ROUNDS_MAX: usize = 64;

/// When which round was sent, newest last.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Rounds(VecDeque<(Round, Now)>);

impl Rounds {
    pub(super) fn sent(&mut self, round: Round, now: Now) {
        if self.0.len() == ROUNDS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((round, now));
    }

    pub(super) fn when(&self, round: Round) -> Option<Now> {
        self.0.iter().rev().find(|(r, _)| *r == round).map(|(_, at)| *at)
    }

    pub(super) fn newest(&self) -> Option<Now> {
        self.0.back().map(|(_, at)| *at)
    }
}

/// Asks whether a majority would grant an epoch. Changes nothing anywhere.
#[derive(Debug, Clone, Hash)]
pub(super) struct PreClaiming {
    pub(super) epoch: Epoch,
    pub(super) round: Round,
    why: String,
    until: Duration,
    next_send: Duration,
    yes: BTreeSet<MemberId>,
    no: BTreeMap<MemberId, Duration>,
    /// Voters that were told of a release which they had not heard.
    pub(super) told: BTreeSet<MemberId>,
}

/// One answer to a claim.
#[derive(Debug, Clone, Hash)]
pub(super) struct Answer {
    /// When the round it answers was sent.
    pub(super) sent: Now,
    /// D as granted.
    pub(super) lease: Duration,
    /// Whether its registers are in `merged`.
    merged: bool,
    /// Its voter set's stamp.
    voters: Stamp,
    pub(super) instance: Instance,
    pub(super) boot: BootNonce,
    addr: SocketAddr,
}

/// Has promised itself an epoch and asks the voters for theirs.
#[derive(Debug, Clone, Hash)]
pub(super) struct Claiming {
    pub(super) epoch: Epoch,
    pub(super) rounds: Rounds,
    pub(super) answers: BTreeMap<MemberId, Answer>,
    pub(super) merged: Registers,
    refused: BTreeMap<MemberId, Duration>,
    /// `None` until the own promise is durable.
    started: Option<Now>,
    next_send: Duration,
}

impl Claiming {
    /// Whether anybody may have heard of it: it is sent when the own promise is durable (R4).
    pub(super) fn is_sent(&self) -> bool {
        self.started.is_some()
    }
}

impl Leadership {
    pub(super) fn poll_claim_timeout(&self) -> Option<(Duration, &'static str)> {
        match &self.role {
            Role::PreClaiming(p) => Some((p.next_send.min(p.until), "repeat pre-claim")),
            Role::Claiming(c) => c.started.map(|_| (c.next_send, "repeat claim")),
            Role::Leading(_) => None,
            Role::Follower => self.earliest_attempt().map(|at| (at, "try to claim")),
        }
    }

    /// When this agent may try, if nothing else happens; `None`: not before something does.
    fn earliest_attempt(&self) -> Option<Duration> {
        if !self.is_formed() || !self.is_voter() || self.retired || self.full.is_some() {
            return None;
        }
        let Some(rank) = self.candidates().iter().position(|id| *id == self.me.id) else {
            return self.withdrawn.get(&self.me.id).and_then(|w| w.until);
        };
        let base = self.acceptor.lease_until().max(self.acceptor.quiet_until()).max(self.backoff_until);
        // Membership is not reachability: if the lowest does not manage, the next one tries after a while.
        let patience = if rank == 0 {
            Duration::ZERO
        } else if self.mode == LeadershipMode::Alive {
            return None;
        } else {
            let since = self.leaderless_since.unwrap_or(base);
            let turn = u32::try_from(rank).unwrap_or(u32::MAX);
            (since + self.timing.grant * 2 * turn).saturating_sub(base)
        };
        let hold = match &self.named_successor {
            Some((id, _)) if *id == self.me.id => return Some(base),
            Some((_, until)) => *until,
            None => Duration::ZERO,
        };
        Some((base + patience).max(hold))
    }

    pub(super) fn advance_claim(&mut self, now: Now) {
        match &mut self.role {
            Role::Follower => {
                if self.earliest_attempt().is_some_and(|at| at <= now.mono) {
                    self.begin_claim(now);
                }
            }
            Role::PreClaiming(p) => {
                if now.mono >= p.until {
                    self.fail("a majority of the voters did not answer", Duration::ZERO, now);
                } else if now.mono >= p.next_send {
                    p.next_send = now.mono + self.timing.retry;
                    self.send_pre_claim();
                }
            }
            Role::Claiming(c) => {
                let Some(started) = c.started else { return };
                if now.since(started) >= holder_length(self.timing.grant, self.rules) {
                    let why = if self.claim_lacks().is_empty() {
                        "a majority of the voters did not grant it in time"
                    } else {
                        "large values of other voters did not arrive in time"
                    };
                    self.fail(why, Duration::ZERO, now);
                } else if now.mono >= c.next_send {
                    self.send_claim(now);
                }
            }
            Role::Leading(_) => {}
        }
    }

    /// The text that tells an operator why a new leader was needed.
    fn why_claim(&self) -> String {
        if self.named_successor.as_ref().is_some_and(|(id, _)| *id == self.me.id) {
            return "leadership was handed to it".to_owned();
        }
        let Some(last) = self.acceptor.holder().filter(|p| p.id != self.me.id) else {
            return "no agent leads and it is the lowest id alive".to_owned();
        };
        match self.peers.get(&last.id).map(|p| p.state) {
            Some(state) if is_here(state) && self.withdrawn.contains_key(&last.id) => {
                format!("{} gave leadership up and this is the lowest id alive", last.id)
            }
            Some(state) => format!("the leader {} is {} and its lease is over", last.id, state.as_str()),
            None => format!("the leader {} is gone and its lease is over", last.id),
        }
    }

    fn begin_claim(&mut self, now: Now) {
        let epoch = self.acceptor.highest().next();
        let me = self.me.clone();
        if let Err(refusal) = self.acceptor.would_promise(epoch, &me, now.mono) {
            self.backoff_until = now.mono + refusal.remaining.max(self.timing.retry);
            if refusal.reason == RefuseReason::Jump {
                let text = format!(
                    "this data directory has promised epoch {}, and none above it may be claimed: it is damaged or not of this \
                     cluster; move it away and start with an empty one",
                    self.acceptor.promised()
                );
                self.alarm("epoch", text);
            }
            return;
        }
        let why = self.why_claim();
        let quorum = self.quorum();
        let yes = BTreeSet::from([me.id.clone()]);
        if quorum.is_met_by(&yes) || !self.rules.keep(Rule::PreClaimFirst) {
            self.event(Event::Claiming { epoch, why });
            self.claim(epoch, now);
            return;
        }
        let round = self.next_round();
        let until = now.mono + self.timing.retry * 4;
        let next_send = now.mono + self.timing.retry;
        let (no, told) = (BTreeMap::new(), BTreeSet::new());
        self.role = Role::PreClaiming(PreClaiming { epoch, round, why, until, next_send, yes, no, told });
        self.send_pre_claim();
    }

    fn send_pre_claim(&mut self) {
        let Role::PreClaiming(p) = &self.role else { return };
        let (epoch, round, yes) = (p.epoch, p.round, p.yes.clone());
        for (id, addr) in self.voter_addrs(&self.quorum()) {
            if !yes.contains(&id) {
                self.send(addr, Body::PreClaim { epoch, round });
            }
        }
    }

    pub(super) fn handle_pre_grant(&mut self, from: &Process, epoch: Epoch, round: Round, now: Now) {
        let quorum = self.quorum();
        let Role::PreClaiming(p) = &mut self.role else { return };
        if p.epoch != epoch || p.round != round || !quorum.contains(&from.id, from.instance) {
            return;
        }
        p.yes.insert(from.id.clone());
        if quorum.is_met_by(&p.yes) {
            let why = std::mem::take(&mut p.why);
            self.event(Event::Claiming { epoch, why });
            self.claim(epoch, now);
        }
    }

    /// R4: promises to itself; the claim leaves when that is on disk.
    pub(super) fn claim(&mut self, epoch: Epoch, now: Now) {
        let me = self.me.clone();
        match self.acceptor.promise(epoch, &me, self.timing.grant, now.mono) {
            Ok((_, changes)) => {
                let mut merged = self.acceptor.registers().clone();
                registers::bury(&mut merged, self.rules);
                self.role = Role::Claiming(Claiming {
                    epoch,
                    rounds: Rounds::default(),
                    answers: BTreeMap::new(),
                    merged,
                    refused: BTreeMap::new(),
                    started: None,
                    next_send: now.mono,
                });
                self.persist(changes, vec![self.promised(), After::Claim(epoch)], now);
            }
            Err(refusal) => self.fail("this agent has promised otherwise meanwhile", refusal.remaining, now),
        }
    }

    pub(super) fn send_claim_first(&mut self, epoch: Epoch, now: Now) {
        let voters = self.acceptor.voters_stamp();
        let Role::Claiming(c) = &mut self.role else { return };
        if c.epoch != epoch || c.started.is_some() {
            return;
        }
        c.started = Some(now);
        // The own vote counts from now; so must the own lease as its grantor.
        self.acceptor.extend(self.timing.grant, now.mono);
        let addr = SocketAddr::from(([0, 0, 0, 0], 0));
        let own = Answer {
            sent: now,
            lease: self.timing.grant,
            merged: true,
            voters,
            instance: self.me.instance,
            boot: self.me.boot,
            addr,
        };
        c.answers.insert(self.me.id.clone(), own);
        self.send_claim(now);
        self.check_won(now);
    }

    fn send_claim(&mut self, now: Now) {
        let round = self.next_round();
        let lease_ms = millis(self.timing.grant);
        let targets = self.voter_addrs(&self.electorate());
        let Role::Claiming(c) = &mut self.role else { return };
        c.next_send = now.mono + self.timing.retry;
        c.rounds.sent(round, now);
        let (epoch, answers) = (c.epoch, c.answers.clone());
        let behind = answers.values().any(|answer| !answer.merged);
        let have = if behind { registers::index(&c.merged) } else { Vec::new() };
        for (id, addr) in targets {
            match answers.get(&id) {
                None => self.send(addr, Body::Claim { epoch, lease_ms, round }),
                Some(answer) if !answer.merged => {
                    self.send(answer.addr, Body::Pull { epoch, round, have: have.clone() });
                }
                Some(_) => {}
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one message, taken apart once")]
    pub(super) fn handle_grant(
        &mut self,
        addr: SocketAddr,
        from: &Process,
        voters: Stamp,
        epoch: Epoch,
        round: Round,
        lease: Duration,
        index: [u8; 16],
        now: Now,
    ) {
        let counts_from_sending = self.rules.keep(Rule::CountFromSending);
        let over_quorum = self.rules.keep(Rule::MergeOverQuorum);
        let Role::Claiming(c) = &mut self.role else { return };
        let Some(mut sent) = c.rounds.when(round).filter(|_| c.epoch == epoch) else { return };
        if !counts_from_sending {
            sent = now;
        }
        let equal = registers::index_hash(&c.merged) == index || !over_quorum;
        let before = c.answers.get(&from.id).filter(|a| a.instance == from.instance);
        let merged = equal || before.is_some_and(|a| a.merged);
        let news = before.is_none();
        c.answers.insert(
            from.id.clone(),
            Answer { sent, lease, merged, voters, instance: from.instance, boot: from.boot, addr },
        );
        let have = if merged { Vec::new() } else { registers::index(&c.merged) };
        if news {
            self.event(Event::Granted { epoch, by: from.id.clone() });
        }
        if !merged {
            let round = self.next_round();
            self.send(addr, Body::Pull { epoch, round, have });
        }
        self.check_won(now);
    }

    /// A granting voter's registers (R8: merge by highest stamp per key).
    pub(super) fn handle_claim_values(
        &mut self,
        from: &Process,
        epoch: Epoch,
        values: Vec<Register>,
        complete: bool,
        now: Now,
    ) {
        let (round, rules) = (self.next_round(), self.rules);
        let Role::Claiming(c) = &mut self.role else { return };
        if c.epoch != epoch {
            return;
        }
        registers::merge(&mut c.merged, values);
        registers::bury(&mut c.merged, rules);
        if let Some(answer) = c.answers.get_mut(&from.id)
            && answer.instance == from.instance
        {
            answer.merged |= complete;
            if !answer.merged {
                let (addr, have) = (answer.addr, registers::index(&c.merged));
                self.send(addr, Body::Pull { epoch, round, have });
            }
        }
        self.check_won(now);
    }

    /// R7: a majority, counted by distinct voter with the instance named in the highest-stamped voter set seen.
    pub(super) fn check_won(&mut self, now: Now) {
        let missing = self.claim_lacks();
        let unmet = !missing.is_empty();
        if let (true, Role::Claiming(c)) = (unmet, &self.role) {
            let from: Vec<SocketAddr> =
                c.answers.iter().filter(|(id, _)| **id != self.me.id).map(|(_, a)| a.addr).collect();
            self.want(missing, &from, now);
        }
        let mode = self.mode;
        let own = self.acceptor.voters().cloned();
        let highest_set = self.rules.keep(Rule::HighestVoterSet);
        let Role::Claiming(c) = &self.role else { return };
        let quorum = match mode {
            LeadershipMode::Alive => self.quorum(),
            LeadershipMode::Quorum => {
                let newest = || registers::voters(&c.merged, self.rules).map(|(stamp, voters, _)| (stamp, voters));
                let known = if highest_set { newest() } else { own };
                let Some((stamp, voters)) = known else { return };
                // Somebody knows a newer set; its values are on their way. One that has sent all it has knows none.
                if highest_set && c.answers.values().any(|a| a.voters > stamp && !a.merged) {
                    return;
                }
                self.majority(&voters)
            }
        };
        let newest = c.merged.get(VOTERS_KEY).map_or(Stamp::default(), |(stamp, _)| *stamp);
        let counts = |(id, a): &(&MemberId, &Answer)| {
            a.merged && (a.voters <= newest || !highest_set) && quorum.contains(id, a.instance)
        };
        let merged: BTreeSet<MemberId> = c.answers.iter().filter(counts).map(|(id, _)| id.clone()).collect();
        if !quorum.is_met_by(&merged) || unmet {
            return; // Contents come before leadership (R8): what it serves and writes back is whole.
        }
        if !quorum.contains(&self.me.id, self.me.instance) {
            self.fail("this agent is no voter any more", self.timing.grant, now);
            return;
        }
        self.become_leader(&quorum, now);
    }

    pub(super) fn handle_claim_refused(
        &mut self,
        from: &Process,
        epoch: Epoch,
        promised: Epoch,
        remaining: Duration,
        reason: RefuseReason,
        now: Now,
    ) {
        let quorum = self.quorum();
        let refusals = match &mut self.role {
            Role::PreClaiming(p) if p.epoch == epoch => &mut p.no,
            Role::Claiming(c) if c.epoch == epoch => &mut c.refused,
            Role::PreClaiming(_) | Role::Claiming(_) | Role::Follower | Role::Leading(_) => return,
        };
        refusals.insert(from.id.clone(), remaining);
        let refused = refusals.clone();
        let others: BTreeSet<MemberId> =
            quorum.voters().iter().filter(|v| !refused.contains_key(&v.id)).map(|v| v.id.clone()).collect();
        let overtaken = promised > epoch;
        if overtaken || !quorum.is_met_by(&others) {
            let wait = refused.values().min().copied().unwrap_or_default();
            let why = match reason {
                RefuseReason::Promised => "a voter has promised a newer epoch",
                RefuseReason::LeaseRuns => "a lease granted to another agent still runs",
                RefuseReason::Quiet => "a voter restarted and waits until old leases are surely over",
                RefuseReason::NotAVoter => "this agent is not in the voters' set",
                RefuseReason::Jump => {
                    "the epoch that this data directory knows is too far ahead to be believed: the others are not that far; \
                     if it stays so, move the data directory away and start with an empty one"
                }
                RefuseReason::Disk => "a voter cannot write to its disk",
            };
            self.fail(why, wait, now);
        }
    }

    /// Back to following; the next attempt after `wait` and a random moment.
    pub(super) fn fail(&mut self, why: &str, wait: Duration, now: Now) {
        let epoch = match &self.role {
            Role::PreClaiming(p) => p.epoch,
            Role::Claiming(c) => c.epoch,
            Role::Follower | Role::Leading(_) => self.acceptor.highest(),
        };
        let claimed = matches!(self.role, Role::Claiming(_));
        let sent = matches!(&self.role, Role::Claiming(claiming) if claiming.is_sent());
        self.role = Role::Follower;
        self.backoff_until = now.mono + surely_over(wait) + self.jitter();
        if claimed {
            self.drop_claim(epoch, sent, now);
        }
        if claimed || self.last_failure != why {
            why.clone_into(&mut self.last_failure);
            self.event(Event::ClaimFailed { epoch, why: why.to_owned() });
        }
    }
}
