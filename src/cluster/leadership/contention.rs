//! Two claims of one epoch: the higher id gives its claim up (protocol-safety 12).
//!
//! Two claimants that have each promised themselves one epoch cannot grant it to each other. When no majority is left
//! without one of them, nobody wins, and each promise would have to run out. So the higher id gives its claim up as soon
//! as it hears of the lower one's: it releases its own lease, stores that, and grants the next epoch at once. The lower id
//! claims that epoch without a pause.
//!
//! # Proof obligation
//!
//! A claim that was given up is never acted on ([`Rule::GivenUpIsOver`]). Giving up frees the leases that other voters
//! granted for the claim, so a leadership won by it could overlap with the next one (I6). It holds because the claim
//! lives in [`Role::Claiming`] only, which is dropped in the same step; grants that arrive later find no claim. A crash
//! brings nothing back: another process has another boot nonce, and grants name the process (R1).
//!
//! # Not here
//!
//! Two leaders that meet in mode `alive` (`messages`).

use quorate_proto::message::{Process, RefuseReason};
use quorate_proto::{Epoch, MemberId};

use super::{Leadership, Role, Rule};
use crate::cluster::Now;
use crate::cluster::output::Event;

impl Leadership {
    /// A voter with a lower id claims `epoch`: this agent's own claim, if it has one of no higher epoch, is over.
    pub(super) fn give_way_to(&mut self, rival: &MemberId, epoch: Epoch, now: Now) {
        let Role::Claiming(claiming) = &self.role else { return };
        let (given_up, sent) = (claiming.epoch, claiming.is_sent());
        if *rival >= self.me.id || epoch < given_up {
            return;
        }
        if self.rules.keep(Rule::GivenUpIsOver) {
            self.role = Role::Follower;
        }
        let me = self.me.clone();
        let changes = self.acceptor.give_up(given_up, &me);
        self.persist(changes, vec![self.promised()], now);
        self.drop_claim(given_up, sent, now);
        self.hold_back_for(rival.clone(), now);
        let why = format!("{rival} claims it too and has the lower id: this agent gave its claim up");
        self.event(Event::ClaimGivenUp { epoch: given_up, why });
    }

    /// A lower id asks for an epoch that would be granted: this agent does not compete with it, once for each epoch. One
    /// whose questions arrive and whom no answer reaches cannot hold others back with it.
    pub(super) fn let_go_first(&mut self, rival: &MemberId, epoch: Epoch, now: Now) {
        let competes = match &self.role {
            Role::PreClaiming(asking) => asking.epoch <= epoch,
            Role::Follower => true,
            Role::Claiming(_) | Role::Leading(_) => false,
        };
        if *rival < self.me.id && competes && self.went_first < epoch {
            self.went_first = epoch;
            self.role = Role::Follower;
            self.hold_back_for(rival.clone(), now);
        }
    }

    /// The other claimant of the epoch that this agent claims answers. True: that was the end of this claim.
    pub(super) fn settle_contention(
        &mut self,
        from: &Process,
        (epoch, promised): (Epoch, Epoch),
        holder: Option<&MemberId>,
        (reason, remaining): (RefuseReason, std::time::Duration),
        now: Now,
    ) -> bool {
        let both = matches!(&self.role, Role::Claiming(c) if c.epoch == epoch)
            && reason == RefuseReason::Promised
            && promised == epoch
            && holder == Some(&from.id);
        if !both {
            return false;
        }
        if from.id < self.me.id {
            self.give_way_to(&from.id, epoch, now);
            return true;
        }
        if !remaining.is_zero() {
            return false; // It has not given way: it may have won.
        }
        let why = format!("{} has claimed it too and gave way: the next epoch is claimed at once", from.id);
        self.fail(&why, std::time::Duration::ZERO, now);
        self.backoff_until = now.mono;
        true
    }
}
