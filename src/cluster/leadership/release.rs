//! The end of a lease before its time: what a holder that no longer acts, or its guardian, tells the others (R16).
//!
//! Two statements end a lease. *Lease ended*: the holder does not act any more, its runs may still be ending. *Release*:
//! nothing of its runs is left either. Both free the grantors' leases; only a release ends the wait for unfinished runs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Message, Process};
use quorate_proto::{Epoch, MemberId};

use super::{Leadership, Role};
use crate::cluster::Now;
use crate::cluster::output::Event;

/// How often a release is sent: it cannot be acknowledged by somebody who may be gone.
const RELEASES: u8 = 3;
/// Released epochs that are remembered.
const RELEASED_MAX: usize = 64;

/// How a leadership ended, for people: its process is gone.
const PROCESS_ENDED: &str = "its process has ended";

/// Who released which epoch: nothing of theirs runs any more under it. The agent belongs to it, because a claim that came
/// to nothing is released as well, while the runs of whoever won the same epoch live on.
pub type Released = BTreeSet<(Epoch, MemberId)>;

/// What a guardian may send for its dead agent (protocol-safety 7).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LastWords {
    /// As soon as the agent is dead: it does not act any more.
    pub lease_ended: Message,
    /// When nothing of its runs is left.
    pub release: Message,
    /// Everybody it goes to.
    pub to: Vec<SocketAddr>,
}

/// What is repeated a few times.
#[derive(Debug, Clone, Hash)]
pub(super) struct Releasing {
    body: Body,
    pub(super) next: Duration,
    left: u8,
}

impl Leadership {
    /// What a guardian may send for this process once it is dead. `None` unless this agent leads.
    pub fn last_words(&self) -> Option<LastWords> {
        let Role::Leading(leading) = &self.role else { return None };
        let (epoch, holder) = (leading.epoch(), self.me.clone());
        let message = |body| Message { header: self.header(), body };
        Some(LastWords {
            lease_ended: message(Body::LeaseEnded { epoch, holder: holder.clone(), dead: true }),
            release: message(Body::Release { epoch, holder, successor: None, leaving: true }),
            to: self.reachable(),
        })
    }

    /// Gives the lease up for good, while runs may still be ending: this process never leads again. The others need not
    /// wait for the lease. `runs_ended` follows when nothing runs.
    pub fn end_lease(&mut self, why: &str, now: Now) {
        self.retired = true;
        match &self.role {
            Role::Leading(leading) => {
                let (epoch, holder) = (leading.epoch(), self.me.clone());
                self.lose(why, now);
                self.acceptor.release(epoch, &holder, now.mono);
                self.withdraw(&holder, None);
                self.begin_releasing(Body::LeaseEnded { epoch, holder, dead: false }, now);
            }
            Role::PreClaiming(_) | Role::Claiming(_) => self.fail(why, Duration::ZERO, now),
            Role::Follower => {}
        }
        self.advance(now);
    }

    pub(super) fn send_release_of(&mut self, epoch: Epoch, successor: Option<MemberId>, leaving: bool, now: Now) {
        let holder = self.me.clone();
        self.note_released(epoch, &holder.id);
        self.acceptor.release(epoch, &holder, now.mono);
        if leaving {
            self.withdraw(&holder, None);
        }
        self.begin_releasing(Body::Release { epoch, holder, successor, leaving }, now);
    }

    /// Nothing was done under a claim: the leases granted for it need not stand in another's way. Of one that was not sent
    /// nobody knows. To tell of it would speak of a promise that is not durable yet: after a crash another process could
    /// win the same epoch, and its runs would be taken for ended.
    pub(super) fn drop_claim(&mut self, epoch: Epoch, sent: bool, now: Now) {
        if sent {
            self.send_release_of(epoch, None, false, now);
        } else {
            let me = self.me.clone();
            self.acceptor.release(epoch, &me, now.mono);
        }
    }

    fn begin_releasing(&mut self, body: Body, now: Now) {
        self.releasing = Some(Releasing { body, next: now.mono, left: RELEASES });
        self.repeat_release(now);
    }

    /// Remembers that nothing of this agent runs any more under this epoch; the newest few are enough. Epoch 0 was never
    /// anybody's. Returns whether that is news.
    fn note_released(&mut self, epoch: Epoch, holder: &MemberId) -> bool {
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

    /// Somebody else's release: its lease is over, nothing of it runs, and perhaps it names who follows.
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
        let how = match (leaving, &successor) {
            (true, None) => PROCESS_ENDED,
            (true, Some(_)) => "it was stopped and handed over",
            (false, _) => "it handed over",
        };
        if leaving && !self.processes.is_past(holder) {
            self.withdraw(holder, None);
        }
        let body = Body::Release { epoch, holder: holder.clone(), successor: successor.clone(), leaving };
        if !self.end_lease_of(epoch, holder, body, how, now) {
            return;
        }
        if let Some(successor) = successor {
            if !leaving {
                self.withdraw(holder, Some(now.mono + self.timing.settle));
            }
            if successor == self.me.id {
                self.backoff_until = now.mono;
            }
            self.hold_back_for(successor, now);
        }
    }

    /// Somebody else's lease is over, its runs may still be ending: whoever leads next waits for them.
    pub(super) fn handle_lease_ended(&mut self, epoch: Epoch, holder: &Process, dead: bool, now: Now) {
        if holder.id != self.me.id {
            let body = Body::LeaseEnded { epoch, holder: holder.clone(), dead };
            let how = if dead { PROCESS_ENDED } else { "it gave its lease up" };
            if !self.processes.is_past(holder) {
                self.withdraw(holder, None);
            }
            self.end_lease_of(epoch, holder, body, how, now);
        }
    }

    /// Whether that ended the lease granted here.
    fn end_lease_of(&mut self, epoch: Epoch, holder: &Process, said: Body, how: &'static str, now: Now) -> bool {
        if !self.acceptor.release(epoch, holder, now.mono) {
            return false;
        }
        self.heard_release = Some(said);
        self.last_release = Some((holder.id.clone(), how));
        let known = !self.processes.is_past(holder);
        if how == PROCESS_ENDED && known && self.boots.get(&holder.id).is_none_or(|boot| *boot == holder.boot) {
            self.event(Event::ProcessEnded { id: holder.id.clone() });
        }
        true
    }

    /// A voter refuses because it has not heard the release that this agent knows: it is told, once in a pre-claim, and
    /// asked again at once. Datagrams of one guardian do not reach everybody at the same moment.
    pub(super) fn pass_release_on(&mut self, addr: SocketAddr, from: &Process, promised: Epoch) -> bool {
        let known = match &self.heard_release {
            Some(body @ (Body::Release { epoch, .. } | Body::LeaseEnded { epoch, .. })) if *epoch == promised => {
                body.clone()
            }
            Some(_) | None => return false,
        };
        let Role::PreClaiming(asking) = &mut self.role else { return false };
        if !asking.told.insert(from.id.clone()) {
            return false;
        }
        let (epoch, round) = (asking.epoch, asking.round);
        self.send(addr, known);
        self.send(addr, Body::PreClaim { epoch, round });
        true
    }
}
