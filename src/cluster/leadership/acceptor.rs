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
mod tests;
