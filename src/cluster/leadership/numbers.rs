//! Numbers that no honest member comes to: what a damaged disk, a wrong restore or a defect may send (R5, protocol-safety 10).
//!
//! A message with one is not read any further, so it moves nothing: no epoch, no register, no lease, no wait. It is counted
//! by the kind of number, and people are told which member it is and what to do.
//!
//! Safety does not depend on it: whoever has the key and means harm says plausible numbers.
//!
//! # Not here
//!
//! Gossip's generations and bumps (`membership::renewals`). Clocks of others, which are compared and never believed
//! (`clock_rates`).

use std::net::SocketAddr;
use std::time::Duration;

use quorate_proto::message::{Body, Header, RefuseReason, Round};
use quorate_proto::{Epoch, Seq, Stamp};

use super::acceptor::{Acceptor, Refusal};
use super::{Leadership, Role, Rule};
use crate::cluster::Now;
use crate::cluster::output::Event;

/// Batches of one epoch, transactions of one disk: at a million a second it takes nine years.
const COUNT_MAX: u64 = 1 << 48;
/// No lease is granted for longer.
const LEASE_MAX: Duration = Duration::from_hours(1);
/// People are told of one member no more often.
const TELL: Duration = Duration::from_mins(1);
/// Members of which it is remembered when people were told.
const TOLD_MAX: usize = 1_024;

/// The first number of a message that cannot be: a word for counters. `written`: the last batch of the own leadership.
fn odd_number(
    acceptor: &Acceptor,
    header: &Header,
    body: &Body,
    written: Option<(Epoch, Seq)>,
) -> Option<&'static str> {
    let sound = |epoch: Epoch| acceptor.is_believable(epoch);
    let counts = |seq: Seq| seq.0 < COUNT_MAX;
    let stamped = |stamp: Stamp| sound(stamp.epoch) && counts(stamp.seq);
    if !stamped(header.voters) {
        return Some("voters");
    }
    if header.commits.now < header.commits.started || header.commits.now >= COUNT_MAX {
        return Some("commits");
    }
    let epochs = |epoch| (!sound(epoch)).then_some("epoch");
    let batches = |epoch, seq| epochs(epoch).or_else(|| (!counts(seq)).then_some("batch"));
    match body {
        Body::PreClaim { epoch, .. }
        | Body::PreGrant { epoch, .. }
        | Body::Claim { epoch, .. }
        | Body::Release { epoch, .. }
        | Body::LeaseEnded { epoch, .. }
        | Body::Pull { epoch, .. } => epochs(*epoch),
        Body::Grant { epoch, lease_ms, .. } => epochs(*epoch).or_else(|| long(*lease_ms)),
        Body::Refuse { epoch, promised, .. } => epochs(*epoch).or_else(|| epochs(*promised)),
        Body::Renew { epoch, committed, .. } => batches(*epoch, *committed),
        Body::Write { epoch, seq, .. } | Body::Ack { epoch, seq } => batches(*epoch, *seq),
        Body::Renewed { epoch, lease_ms, applied, .. } => {
            let beyond = written.is_some_and(|(leads, last)| leads == *epoch && *applied > last);
            batches(*epoch, *applied).or_else(|| beyond.then_some("batch")).or_else(|| long(*lease_ms))
        }
        // Nobody stores what is above the epoch that it has promised (R3).
        Body::Values { epoch, registers, .. } => epochs(*epoch).or_else(|| {
            let above = registers.iter().any(|r| r.stamp.epoch > *epoch || !counts(r.stamp.seq));
            above.then_some("stamp")
        }),
        Body::Found { .. } | Body::Formed { .. } | Body::Conflict { .. } | Body::Amnesia { .. } => None,
    }
}

fn long(lease_ms: u32) -> Option<&'static str> {
    (Duration::from_millis(u64::from(lease_ms)) > LEASE_MAX).then_some("lease")
}

impl Leadership {
    /// Whether every number in a message may honestly have been come to; if not, it is counted and told.
    pub(super) fn are_numbers_sound(&mut self, addr: SocketAddr, header: &Header, body: &Body, now: Now) -> bool {
        let written = match &self.role {
            Role::Leading(leading) => Some((leading.epoch, leading.next_seq)),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => None,
        };
        let Some(number) = odd_number(&self.acceptor, header, body, written) else { return true };
        if !self.keeps(Rule::NumbersAreScreened) {
            return true;
        }
        // Whoever asks for it in good faith shall know why nobody grants it.
        if let Body::PreClaim { epoch, round } | Body::Claim { epoch, round, .. } = *body {
            self.refuse_jump(addr, epoch, round);
        }
        let from = header.from.id.clone();
        let told = self.odd.get(&from).is_some_and(|at| now.mono < *at + TELL);
        let text = (!told).then(|| {
            format!(
                "{from} ({addr}) sent a number that cannot be ({number}): the message is ignored; nothing here is at risk. If \
                 it goes on, that agent's data directory is damaged or of another cluster: stop it, move the directory away and \
                 start it with an empty one"
            )
        });
        if !told && (self.odd.len() < TOLD_MAX || self.odd.contains_key(&from)) {
            self.odd.insert(from.clone(), now.mono);
        }
        self.event(Event::Odd { from, number, text });
        false
    }

    fn refuse_jump(&mut self, addr: SocketAddr, epoch: Epoch, round: Round) {
        self.refuse(addr, epoch, round, Refusal { reason: RefuseReason::Jump, remaining: Duration::ZERO });
    }
}

#[cfg(test)]
mod tests {
    use quorate_proto::message::{Commits, Process, Register};
    use quorate_proto::{BootNonce, Instance, MemberId};

    use super::*;
    use crate::cluster::durable::{Durable, Promise};
    use crate::cluster::leadership::Rules;

    fn process(name: &str) -> Process {
        Process { id: MemberId::new(name).unwrap(), instance: Instance([1; 16]), boot: BootNonce([1; 16]) }
    }

    fn judge(change: impl Fn(&mut Header), body: &Body) -> Option<&'static str> {
        let mut durable = Durable::fresh(MemberId::new("me").unwrap(), Instance([9; 16]));
        durable.promised = Some(Promise { epoch: Epoch(9), holder: process("a"), lease: Duration::ZERO });
        let acceptor = Acceptor::new(durable, Duration::from_secs(1), Rules::default(), Duration::ZERO);
        let commits = Commits { started: 3, now: 4 };
        let mut header = Header { cluster: None, from: process("a"), voters: Stamp::default(), commits };
        change(&mut header);
        odd_number(&acceptor, &header, body, Some((Epoch(9), Seq(5))))
    }

    const FAR: u64 = u64::MAX - 1;

    #[test]
    fn every_number_from_the_far_future_is_refused_by_its_name() {
        let (round, far, nine) = (Round(FAR), Epoch(FAR), Epoch(9));
        let renewed = |epoch, applied, lease_ms| Body::Renewed { epoch, round, lease_ms, clock_ms: FAR, applied };
        let register = |epoch, seq| {
            let stamp = Stamp { epoch, seq };
            let registers = vec![Register { key: "k".to_owned(), stamp, value: None }];
            Body::Values { epoch: nine, round, registers, complete: true }
        };
        let refuse = Body::Refuse {
            epoch: nine,
            round,
            promised: far,
            holder: None,
            remaining_ms: u32::MAX,
            reason: RefuseReason::Promised,
        };
        let cases = [
            (Body::PreClaim { epoch: far, round }, "epoch"),
            (Body::Claim { epoch: far, lease_ms: 1, round }, "epoch"),
            (Body::Grant { epoch: far, round, lease_ms: 1, index: [0; 16] }, "epoch"),
            (Body::Grant { epoch: nine, round, lease_ms: u32::MAX, index: [0; 16] }, "lease"),
            (refuse, "epoch"),
            (Body::Renew { epoch: nine, round, committed: Seq(FAR) }, "batch"),
            (renewed(nine, Seq(6), 1), "batch"),
            (renewed(nine, Seq(5), u32::MAX), "lease"),
            (Body::Write { epoch: nine, seq: Seq(FAR), entries: Vec::new() }, "batch"),
            (Body::Ack { epoch: far, seq: Seq(1) }, "epoch"),
            (Body::Pull { epoch: far, round, have: Vec::new() }, "epoch"),
            (register(Epoch(10), Seq(1)), "stamp"),
            (register(nine, Seq(FAR)), "stamp"),
        ];
        for (body, number) in cases {
            assert_eq!(judge(|_| {}, &body), Some(number), "{body:?}");
        }
        for sound in [renewed(nine, Seq(5), 1_000), register(nine, Seq(3)), Body::PreClaim { epoch: Epoch(10), round }]
        {
            assert_eq!(judge(|_| {}, &sound), None, "{sound:?}");
        }
    }

    #[test]
    fn the_numbers_of_a_header_are_looked_at() {
        let body = Body::PreClaim { epoch: Epoch(10), round: Round(1) };
        assert_eq!(judge(|header| header.voters.epoch = Epoch(FAR), &body), Some("voters"));
        assert_eq!(judge(|header| header.voters.seq = Seq(FAR), &body), Some("voters"));
        assert_eq!(judge(|header| header.commits.now = FAR, &body), Some("commits"));
        assert_eq!(judge(|header| header.commits.now = 2, &body), Some("commits"));
    }
}
