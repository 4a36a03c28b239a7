//! The voter: promises, grants, leases as their grantor, stored registers (rules R1 to R3, R12).
//!
//! Decides on requests and keeps the durable state. It changes its copy of the durable state at once and answers
//! with the [`Change`]s to store; whoever calls it holds back every reply that depends on them until they are on disk.

use std::time::Duration;

use quorate_proto::message::{Horizon, Process, Put, RefuseReason, Register, VOTERS_KEY, Value, Voters};
use quorate_proto::{BlobHash, Epoch, Seq, Stamp};

use super::registers::{self, Registers};
use super::rules::{Rule, Rules};
use crate::cluster::durable::{Change, Durable, Promise};

/// Epochs further above the newest promise than this are not believed (R5): at one claim a second it takes 136 years.
const JUMP_MAX: u64 = 1 << 32;
/// What was only heard of raises the next own claim by no more than this above the newest promise: the others believe it.
const HEARSAY_MAX: u64 = 1 << 20;
/// No epoch may come near the end of the number (protocol-safety 10).
const EPOCH_MAX: u64 = 1 << 63;

/// A refusal: nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: RefuseReason,
    /// What is left of the lease or quiet period that stands in the way.
    pub(crate) remaining: Duration,
}

/// See the module.
#[derive(Debug, Clone, Hash)]
pub(crate) struct Acceptor {
    pub(crate) durable: Durable,
    /// D as configured here.
    grant: Duration,
    rules: Rules,
    /// The register of the voters, decoded once.
    voters: Option<(Stamp, Voters)>,
    /// What that register says of deletions (R22).
    horizon: Horizon,
    /// Everything up to here is removed.
    removed: Stamp,
    /// How many registers are tombstones.
    deleted: usize,
    /// End, on the monotonic clock, of the lease granted to the holder of `durable.promised`.
    lease_until: Duration,
    /// Whose lease was ended before its time: what was under way for it then grants it nothing more.
    ended: Option<(Epoch, Process)>,
    /// R12: until then nobody but the recorded holder's very process is granted anything.
    quiet_until: Duration,
    /// Promises recorded by this process, and how many of them are on disk.
    promises: u64,
    durable_promises: u64,
    /// Batches of the promised epoch applied without a gap.
    applied: Seq,
    /// Applied batches after a gap.
    applied_beyond: std::collections::BTreeSet<Seq>,
    /// Highest epoch heard of in any message.
    heard: Epoch,
    /// Contents whose name was replaced in a register.
    replaced: Vec<BlobHash>,
}

impl Acceptor {
    pub(crate) fn new(durable: Durable, grant: Duration, rules: Rules, now: Duration) -> Self {
        let epoch = durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch);
        let recorded = durable.promised.as_ref().map_or(Duration::ZERO, |p| p.lease);
        let quiet = if rules.keep(Rule::QuietPeriod) { recorded } else { Duration::ZERO };
        let mut acceptor = Self {
            durable,
            voters: None,
            horizon: Horizon::default(),
            removed: Stamp::default(),
            deleted: 0,
            grant,
            rules,
            lease_until: Duration::ZERO,
            ended: None,
            quiet_until: now + quiet,
            promises: 0,
            durable_promises: 0,
            applied: Seq(0),
            applied_beyond: std::collections::BTreeSet::new(),
            heard: epoch,
            replaced: Vec::new(),
        };
        acceptor.read_voters();
        acceptor.count_deleted();
        acceptor
    }

    /// Epoch of the newest promise.
    pub(crate) fn promised(&self) -> Epoch {
        self.durable.promised.as_ref().map_or(Epoch(0), |p| p.epoch)
    }

    /// Holder of the newest promise.
    pub(crate) fn holder(&self) -> Option<&Process> {
        self.durable.promised.as_ref().map(|p| &p.holder)
    }

    /// Highest epoch promised or heard of.
    pub(crate) fn highest(&self) -> Epoch {
        self.heard.max(self.promised())
    }

    /// Takes note of an epoch in a message, unless it is beyond belief.
    pub(crate) fn hear(&mut self, epoch: Epoch) {
        if self.is_believable(epoch) {
            let most = Epoch(self.promised().0.saturating_add(HEARSAY_MAX));
            self.heard = self.heard.max(epoch.min(most));
        }
    }

    /// Stamp of the voter set stored here.
    pub(crate) fn voters_stamp(&self) -> Stamp {
        self.voters.as_ref().map_or(Stamp::default(), |(stamp, _)| *stamp)
    }

    /// The voter set stored here.
    pub(crate) fn voters(&self) -> Option<&(Stamp, Voters)> {
        self.voters.as_ref()
    }

    /// Changes the copy of the durable state. Every change of a register comes by here or by `note`.
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            change.clone().apply(&mut self.durable);
        }
        self.note(changes);
        self.count_deleted();
    }

    /// Contents whose name was replaced since this was asked last.
    pub(crate) fn take_replaced(&mut self) -> Vec<BlobHash> {
        std::mem::take(&mut self.replaced)
    }

    fn note(&mut self, changes: &[Change]) {
        let is_voters = |c: &Change| matches!(c, Change::Register { key, .. } if key == VOTERS_KEY);
        if changes.iter().any(is_voters) {
            self.read_voters();
        }
    }

    fn read_voters(&mut self) {
        let read = registers::voters(&self.durable.registers, self.rules);
        self.horizon = read.as_ref().map_or(Horizon::default(), |(_, _, horizon)| *horizon);
        self.voters = read.map(|(stamp, voters, _)| (stamp, voters));
    }

    fn count_deleted(&mut self) {
        self.deleted = self.durable.registers.values().filter(|(_, value)| value.is_none()).count();
    }

    /// What the register of the voters says of deletions (R22).
    pub(crate) fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// How many registers are tombstones.
    pub(crate) fn deleted(&self) -> usize {
        self.deleted
    }

    /// Puts one register where it belongs, if it is newer than what is there and above the horizon.
    fn take(&mut self, key: &str, stamp: Stamp, value: Option<&Value>, always: bool) -> Option<Change> {
        let had = self.durable.registers.get(key);
        let buried = stamp <= self.horizon.upto
            && key != VOTERS_KEY
            && self.rules.knows_horizon()
            && self.rules.keep(Rule::BelowIsDeleted);
        if !always && (buried || had.is_some_and(|(had, _)| *had >= stamp)) {
            return None;
        }
        let old = self.durable.registers.insert(key.to_owned(), (stamp, value.cloned()));
        let was_deleted = matches!(old, Some((_, None)));
        self.deleted = (self.deleted + usize::from(value.is_none())).saturating_sub(usize::from(was_deleted));
        self.replaced.extend(old.and_then(|(_, old)| old?.blob()).map(|(hash, _)| hash));
        Some(Change::Register { key: key.to_owned(), stamp, value: value.cloned() })
    }

    /// R22: removes whatever the register of the voters says is forgotten; in the transaction that takes that register.
    fn forget(&mut self, changes: &mut Vec<Change>) {
        let upto = self.horizon.forgotten;
        if upto <= self.removed || !self.rules.knows_horizon() {
            return;
        }
        self.removed = upto;
        let replaced = &mut self.replaced;
        self.durable.registers.retain(|key, (stamp, value)| {
            let stays = *stamp > upto || key == VOTERS_KEY;
            if !stays {
                replaced.extend(value.as_ref().and_then(Value::blob).map(|(hash, _)| hash));
                changes.push(Change::Forget { key: key.clone() });
            }
            stays
        });
        self.count_deleted();
    }

    pub(crate) fn registers(&self) -> &Registers {
        &self.durable.registers
    }

    /// End of the lease granted here, if it still runs.
    pub(crate) fn lease_until(&self) -> Duration {
        self.lease_until
    }

    /// End of the quiet period.
    pub(crate) fn quiet_until(&self) -> Duration {
        self.quiet_until
    }

    /// Highest batch of the promised epoch applied without a gap.
    pub(crate) fn applied(&self) -> Seq {
        self.applied
    }

    /// Whether a member may honestly have come to this epoch. A new data directory that is no voter's knows nothing to
    /// compare it with: it follows whoever leads the cluster that it joins.
    pub(crate) fn is_believable(&self, epoch: Epoch) -> bool {
        let is_new = self.durable.promised.is_none() && self.voters.is_none();
        epoch.0 < EPOCH_MAX && (is_new || epoch.0 <= self.promised().0.saturating_add(JUMP_MAX))
    }

    /// R1 and R12: would `epoch` be promised to `claimant` now? Changes nothing.
    pub(crate) fn would_promise(&self, epoch: Epoch, claimant: &Process, now: Duration) -> Result<(), Refusal> {
        let refuse = |reason, until: Duration| Err(Refusal { reason, remaining: until.saturating_sub(now) });
        if !self.is_believable(epoch) {
            return refuse(RefuseReason::Jump, now);
        }
        let same = self.holder().is_some_and(|holder| self.is_same(holder, claimant));
        let again = self.rules.keep(Rule::OneClaimantPerEpoch);
        let newer = epoch > self.promised() || (epoch == self.promised() && (same || !again));
        if !newer {
            return refuse(RefuseReason::Promised, now.max(self.lease_until));
        }
        if !same && self.lease_until > now {
            return refuse(RefuseReason::LeaseRuns, self.lease_until);
        }
        if !same && self.quiet_until > now {
            return refuse(RefuseReason::Quiet, self.quiet_until);
        }
        Ok(())
    }

    /// R1: promises and lets the lease run. The change must be durable before anybody is told (R2).
    pub(crate) fn promise(
        &mut self,
        epoch: Epoch,
        claimant: &Process,
        asked: Duration,
        now: Duration,
    ) -> Result<(Duration, Vec<Change>), Refusal> {
        self.would_promise(epoch, claimant, now)?;
        if self.is_ended() && self.promised() == epoch && self.holder() == Some(claimant) {
            return Ok((Duration::ZERO, Vec::new()));
        }
        let lease = self.grant.min(asked);
        // A claim that comes late may ask for less than a renewal has granted meanwhile: that stands.
        self.lease_until = self.lease_until.max(now + lease);
        if self.promised() == epoch && self.holder() == Some(claimant) {
            return Ok((lease, Vec::new()));
        }
        Ok((lease, vec![self.record(epoch, claimant, lease)]))
    }

    fn is_same(&self, one: &Process, other: &Process) -> bool {
        let boot = one.boot == other.boot || !self.rules.keep(Rule::BootNonce);
        one.id == other.id && one.instance == other.instance && boot
    }

    fn record(&mut self, epoch: Epoch, holder: &Process, lease: Duration) -> Change {
        let promise = Promise { epoch, holder: holder.clone(), lease };
        self.durable.promised = Some(promise.clone());
        self.promises += 1;
        self.heard = self.heard.max(epoch);
        self.applied = Seq(0);
        self.applied_beyond.clear();
        Change::Promise(promise)
    }

    /// Number of the newest promise, for `handle_durable`.
    pub(crate) fn promise_number(&self) -> u64 {
        self.promises
    }

    /// The promises up to this number are on disk.
    pub(crate) fn handle_durable(&mut self, number: u64) {
        self.durable_promises = self.durable_promises.max(number);
    }

    /// Whether the promise of exactly this epoch to exactly this process stands and is on disk.
    pub(crate) fn is_bound_to(&self, epoch: Epoch, holder: &Process) -> bool {
        let durable = self.durable_promises == self.promises || !self.rules.keep(Rule::PromiseIsDurable);
        durable && self.promised() == epoch && self.holder() == Some(holder)
    }

    /// R12: the lease counts from sending the grant or renewal. Returns D: never more than what is recorded, because
    /// that is what would be waited for after a restart.
    pub(crate) fn extend(&mut self, asked: Duration, now: Duration) -> Duration {
        if self.is_ended() {
            return Duration::ZERO;
        }
        let recorded = self.durable.promised.as_ref().map_or(Duration::ZERO, |p| p.lease);
        let lease = self.grant.min(asked).min(recorded);
        self.lease_until = self.lease_until.max(now + lease);
        lease
    }

    /// Whether the holder of the newest promise has said that it does not act any more.
    fn is_ended(&self) -> bool {
        let newest = self.durable.promised.as_ref();
        self.ended
            .as_ref()
            .is_some_and(|(epoch, holder)| newest.is_some_and(|p| p.epoch == *epoch && p.holder == *holder))
    }

    /// The own claim of this epoch is given up: nothing need wait for the lease that went with it, not even after a
    /// restart. Never anybody else's promise.
    pub(crate) fn give_up(&mut self, epoch: Epoch, me: &Process) -> Vec<Change> {
        let ours = self.promised() == epoch && self.holder() == Some(me);
        if ours { vec![self.record(epoch, me, Duration::ZERO)] } else { Vec::new() }
    }

    /// The holder no longer acts: its lease is over (R16). Says whether it was the lease granted here.
    pub(crate) fn release(&mut self, epoch: Epoch, holder: &Process, now: Duration) -> bool {
        let ours = self.promised() == epoch && self.holder() == Some(holder);
        if ours {
            self.ended = Some((epoch, holder.clone()));
            self.lease_until = self.lease_until.min(now);
            self.quiet_until = self.quiet_until.min(now);
        }
        ours
    }

    /// R3: accepts a batch from the holder of the promised epoch, or of a newer one (which is then also promised).
    pub(crate) fn write(
        &mut self,
        epoch: Epoch,
        seq: Seq,
        entries: &[Put],
        leader: &Process,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = self.follow(epoch, leader)?;
        let stamp = Stamp { epoch, seq };
        for Put { key, value } in entries {
            changes.extend(self.take(key, stamp, value.as_ref(), !self.rules.keep(Rule::StaleEpochIsRefused)));
        }
        self.note(&changes);
        self.forget(&mut changes);
        Ok(changes)
    }

    /// Takes over registers from the leader of `epoch` (catch-up). Stamps are kept.
    pub(crate) fn catch_up(
        &mut self,
        epoch: Epoch,
        incoming: Vec<Register>,
        leader: &Process,
    ) -> Result<Vec<Change>, Refusal> {
        let mut changes = self.follow(epoch, leader)?;
        for Register { key, stamp, value } in incoming {
            changes.extend(self.take(&key, stamp, value.as_ref(), false));
        }
        self.note(&changes);
        self.forget(&mut changes);
        Ok(changes)
    }

    /// R3: an older epoch is refused, a newer one is promised. So is an equal one that was promised to somebody else:
    /// only the winner of an epoch writes, so that other claimant has lost it, and this voter would be stuck with it.
    fn follow(&mut self, epoch: Epoch, leader: &Process) -> Result<Vec<Change>, Refusal> {
        let refuse = |reason| Err(Refusal { reason, remaining: Duration::ZERO });
        if !self.is_believable(epoch) {
            return refuse(RefuseReason::Jump);
        }
        if epoch == self.promised() && self.holder() == Some(leader) {
            return Ok(Vec::new());
        }
        if epoch >= self.promised() {
            return Ok(vec![self.record(epoch, leader, self.grant)]);
        }
        if self.rules.keep(Rule::StaleEpochIsRefused) { refuse(RefuseReason::Promised) } else { Ok(Vec::new()) }
    }

    /// A batch of the promised epoch is on disk.
    pub(crate) fn handle_applied(&mut self, epoch: Epoch, seq: Seq) {
        if epoch == self.promised() {
            self.applied_beyond.insert(seq);
            self.close_gaps();
        }
    }

    /// Everything up to this batch of the promised epoch is on disk.
    pub(crate) fn handle_caught_up(&mut self, epoch: Epoch, upto: Seq) {
        if epoch == self.promised() {
            self.applied = self.applied.max(upto);
            self.close_gaps();
        }
    }

    fn close_gaps(&mut self) {
        while self.applied_beyond.remove(&self.applied.next()) {
            self.applied = self.applied.next();
        }
        self.applied_beyond = self.applied_beyond.split_off(&self.applied.next());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_proto::{BootNonce, Instance, MemberId};

    const D: Duration = Duration::from_secs(1);

    fn process(name: &str, boot: u8) -> Process {
        Process { id: MemberId::new(name).unwrap(), instance: Instance([1; 16]), boot: BootNonce([boot; 16]) }
    }

    fn acceptor(promised: Option<Promise>) -> Acceptor {
        let mut durable = Durable::fresh(MemberId::new("me").unwrap(), Instance([9; 16]));
        durable.promised = promised;
        Acceptor::new(durable, D, Rules::default(), Duration::ZERO)
    }

    #[test]
    fn an_epoch_is_promised_to_one_process_only() {
        let (a, b) = (process("a", 1), process("b", 1));
        let mut voter = acceptor(None);
        assert_eq!(voter.promise(Epoch(1), &a, D, D).unwrap().1.len(), 1);
        assert!(voter.promise(Epoch(1), &a, D, D).unwrap().1.is_empty(), "the same process asks again");
        let later = D * 10;
        assert_eq!(voter.promise(Epoch(1), &b, D, later).unwrap_err().reason, RefuseReason::Promised);
        assert_eq!(voter.promise(Epoch(1), &process("a", 2), D, later).unwrap_err().reason, RefuseReason::Promised);
    }

    #[test]
    fn a_running_lease_refuses_others_until_it_ends() {
        let mut voter = acceptor(None);
        voter.promise(Epoch(1), &process("a", 1), D, D).unwrap();
        let refusal = voter.promise(Epoch(2), &process("b", 1), D, D + D / 2).unwrap_err();
        assert_eq!((refusal.reason, refusal.remaining), (RefuseReason::LeaseRuns, D / 2));
        assert!(voter.promise(Epoch(2), &process("b", 1), D, D * 2).is_ok());
    }

    #[test]
    fn after_a_restart_the_recorded_lease_is_waited_for() {
        let promise = Promise { epoch: Epoch(4), holder: process("a", 1), lease: D * 3 };
        let voter = acceptor(Some(promise));
        let other = process("a", 2);
        assert_eq!(voter.would_promise(Epoch(5), &other, D).unwrap_err().reason, RefuseReason::Quiet);
        assert!(voter.would_promise(Epoch(5), &process("a", 1), D).is_ok(), "the recorded process itself");
        assert!(voter.would_promise(Epoch(5), &other, D * 3).is_ok());
    }

    #[test]
    fn a_renewal_is_never_longer_than_what_a_restart_waits_for() {
        let a = process("a", 1);
        let mut voter = acceptor(None);
        voter.promise(Epoch(1), &a, D / 2, D).unwrap();
        assert_eq!(voter.extend(D, D), D / 2);
    }

    #[test]
    fn a_late_claim_does_not_shorten_a_renewed_lease() {
        let a = process("a", 1);
        let mut voter = acceptor(None);
        // Promised by way of a write, with this voter's own length; then the claim arrives, which asks for less.
        voter.write(Epoch(1), Seq(1), &[], &a).unwrap();
        voter.extend(D, D);
        voter.promise(Epoch(1), &a, D / 4, D).unwrap();
        assert_eq!(voter.lease_until(), D * 2);
    }

    #[test]
    fn a_lease_that_was_ended_is_not_extended_by_what_was_under_way() {
        let (a, b) = (process("a", 1), process("b", 1));
        let mut voter = acceptor(None);
        voter.promise(Epoch(1), &a, D, D).unwrap();
        assert!(voter.release(Epoch(1), &a, D));
        assert_eq!(voter.extend(D, D), Duration::ZERO, "a renewal that came late");
        assert_eq!(voter.promise(Epoch(1), &a, D, D).unwrap(), (Duration::ZERO, Vec::new()), "a claim that came late");
        assert!(voter.would_promise(Epoch(2), &b, D).is_ok());
        voter.promise(Epoch(2), &b, D, D).unwrap();
        assert_eq!(voter.extend(D, D), D, "another lease");
    }

    #[test]
    fn a_stale_write_is_refused_and_a_newer_one_is_a_promise() {
        let (a, b) = (process("a", 1), process("b", 1));
        let mut voter = acceptor(None);
        voter.promise(Epoch(3), &a, D, D).unwrap();
        assert!(voter.write(Epoch(2), Seq(1), &[], &b).is_err());
        assert!(matches!(voter.write(Epoch(4), Seq(1), &[], &b).unwrap()[..], [Change::Promise(_)]));
        assert!(voter.write(Epoch(3), Seq(9), &[], &a).is_err());
    }

    #[test]
    fn a_write_of_the_winner_ends_a_promise_of_the_same_epoch_to_another() {
        let (a, b) = (process("a", 1), process("b", 1));
        let mut voter = acceptor(None);
        voter.promise(Epoch(3), &a, D, D).unwrap();
        voter.handle_durable(voter.promise_number());
        assert!(voter.is_bound_to(Epoch(3), &a));
        assert!(matches!(voter.write(Epoch(3), Seq(1), &[], &b).unwrap()[..], [Change::Promise(_)]));
        assert!(!voter.is_bound_to(Epoch(3), &b), "not before it is on disk");
        voter.handle_durable(voter.promise_number());
        assert!(voter.is_bound_to(Epoch(3), &b));
    }

    #[test]
    fn applied_counts_without_gaps() {
        let a = process("a", 1);
        let mut voter = acceptor(None);
        voter.promise(Epoch(1), &a, D, D).unwrap();
        voter.handle_applied(Epoch(1), Seq(2));
        assert_eq!(voter.applied(), Seq(0));
        voter.handle_applied(Epoch(1), Seq(1));
        assert_eq!(voter.applied(), Seq(2));
        voter.handle_caught_up(Epoch(1), Seq(5));
        voter.handle_applied(Epoch(1), Seq(6));
        assert_eq!(voter.applied(), Seq(6));
    }

    #[test]
    fn a_rogue_epoch_is_not_believed() {
        let promise = Promise { epoch: Epoch(7), holder: process("a", 1), lease: Duration::ZERO };
        let mut voter = acceptor(Some(promise));
        for rogue in [u64::MAX, u64::MAX - 1, EPOCH_MAX, 8 + JUMP_MAX] {
            voter.hear(Epoch(rogue));
            assert_eq!(voter.highest(), Epoch(7), "{rogue}");
            let refusal = voter.would_promise(Epoch(rogue), &process("a", 1), D).unwrap_err();
            assert_eq!(refusal.reason, RefuseReason::Jump, "{rogue}");
            assert!(voter.write(Epoch(rogue), Seq(1), &[], &process("a", 1)).is_err(), "{rogue}");
        }
        assert!(voter.would_promise(Epoch(7 + JUMP_MAX), &process("a", 1), D).is_ok());
    }

    #[test]
    fn hearsay_moves_the_next_claim_only_so_far_that_the_others_believe_it() {
        let promise = Promise { epoch: Epoch(7), holder: process("a", 1), lease: Duration::ZERO };
        let mut voter = acceptor(Some(promise));
        for _ in 0..100 {
            voter.hear(Epoch(voter.highest().0 + JUMP_MAX / 2));
        }
        assert_eq!(voter.highest(), Epoch(7 + HEARSAY_MAX));
    }

    #[test]
    fn a_new_data_directory_joins_a_cluster_of_any_age() {
        let mut learner = acceptor(None);
        assert!(learner.write(Epoch(1 << 40), Seq(1), &[], &process("a", 1)).is_ok());
        assert!(learner.write(Epoch(1 << 62), Seq(1), &[], &process("a", 1)).is_err(), "from now on it knows");
        assert!(acceptor(None).write(Epoch(EPOCH_MAX), Seq(1), &[], &process("a", 1)).is_err());
    }

    #[test]
    fn the_highest_numbers_neither_wrap_nor_panic() {
        let a = process("a", 1);
        let promise = Promise { epoch: Epoch(u64::MAX), holder: a.clone(), lease: Duration::ZERO };
        let mut voter = acceptor(Some(promise));
        assert_eq!(voter.highest().next(), Epoch(u64::MAX));
        assert_eq!(voter.would_promise(voter.highest().next(), &a, D).unwrap_err().reason, RefuseReason::Jump);
        voter.handle_caught_up(Epoch(u64::MAX), Seq(u64::MAX));
        voter.handle_applied(Epoch(u64::MAX), Seq(u64::MAX));
        assert_eq!(voter.applied(), Seq(u64::MAX));
    }
}
