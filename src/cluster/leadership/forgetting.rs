//! The leader forgets deletions (R22): create and delete without end leaves a bounded store.
//!
//! A deletion is kept so that a member which was away does not bring the old value back. What takes its place is a
//! *horizon*, one stamp for all of them. It lies in the register of the voters:
//!
//! 1. When enough deletions are kept, the leader notes the stamp H of its newest batch, and writes every register that has
//!    a value and a stamp up to H again, under newer stamps, batch by batch. It waits until all of this, and all up to H, is
//!    committed. Now whatever lives has a stamp above H on a majority.
//! 2. It writes `upto = H`. From here on, what lies at or below H in any store is old or deleted: a store takes nothing there any
//!    more, and a claimant that merges stores counts it as deleted ([`super::registers::bury`]).
//! 3. When that is committed, it writes `forgotten = H`: every store that takes this removes what it has up to H, in the same
//!    transaction.
//!
//! # Why no value is lost
//!
//! Let *w* be the newest committed write of a key that lives, and H any horizon that was ever written. When H was written, the newest
//! committed write of that key was a deletion, or above H by step 1. Later ones are above H as well: of the same epoch by their
//! number, of a later epoch by that. A write of an earlier epoch that the recovery (R8) did not meet is never
//! committed. So *w* is above every horizon, and nothing that a horizon does touches it. This holds for a horizon on a single disk too.
//!
//! # Why no deletion comes back
//!
//! Let *d* be a committed deletion, and let a claimant merge a majority. Either a store in it has the key at or above *d*, and the
//! highest stamp wins as always. Or the one that is in both majorities has removed it, by a `forgotten` F at or above *d*. Then a
//! register with `upto = F` was committed before (step 3), so the merge meets it or a newer one; and no newer one is lower, because
//! every later leader has met it too (I4) and leaders only raise it. So whatever is older than *d* is below that horizon: deleted.
//! Step 3 may not come with step 2: a store that has removed what others still have, and whose horizon was on no majority,
//! can be given an older horizon by a leader that never met it.
//!
//! # Agents that know no horizon
//!
//! One that claims would bring old values back. It cannot read a register of voters with a horizon behind them, and whoever
//! cannot read the newest voters among its grants does not win (R7); a majority of grants meets that register once anything
//! is forgotten. As a voter that grants and stores it does no harm. That all voters know horizons is asked before the first
//! one only so that all of them can still lead.
//!
//! # Not here
//!
//! Mode `alive`: without majorities, nothing above holds, and nothing is forgotten.

use std::ops::Bound::{Excluded, Unbounded};

use quorate_proto::message::{Horizon, Put, VOTERS_KEY, Value, encode_voters};
use quorate_proto::{MemberId, Seq, Stamp};

use super::{Leadership, Role, Rule, registers};
use crate::cluster::Now;
use crate::cluster::output::Event;
use crate::cluster::settings::LeadershipMode;

/// Registers that are written again in one batch.
const BATCH_KEYS: usize = 500;

/// How far it has come. Each step waits until what was written for it is committed.
#[derive(Debug, Clone, Hash)]
pub(super) struct Forgetting {
    /// H.
    upto: Stamp,
    stage: Stage,
    /// Everything up to here is committed before the next step.
    after: Seq,
    /// Tombstones when it began.
    keys: usize,
}

#[derive(Debug, Clone, Hash)]
enum Stage {
    /// What lives is written again, up to this key so far.
    Rewrite(String),
    /// The horizon is written.
    Announce,
    /// What lies below it is removed.
    Forget,
    Done,
}

impl Leadership {
    /// The next step, if there is one to make.
    pub(super) fn forget_deleted(&mut self, now: Now) {
        while self.forget_next(now) {}
    }

    fn forget_next(&mut self, now: Now) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        if !leading.active || leading.hand_over.is_some() || self.full.is_some() {
            return false;
        }
        let Some(forgetting) = leading.forgetting.clone() else { return self.begin_to_forget() };
        if leading.committed < forgetting.after {
            return false;
        }
        match forgetting.stage {
            Stage::Rewrite(ref key) => {
                let (entries, key) = self.next_to_rewrite(key, forgetting.upto);
                if entries.is_empty() {
                    return self.go_on(Stage::Announce);
                }
                self.write_batch(&entries, None, now);
                self.go_on(Stage::Rewrite(key))
            }
            Stage::Announce => {
                let keeps_waiting = self.keeps(Rule::HorizonFirst);
                let forgotten = if keeps_waiting { self.acceptor.horizon().forgotten } else { forgetting.upto };
                self.announce(Horizon { upto: forgetting.upto, forgotten }, now) && self.go_on(Stage::Forget)
            }
            Stage::Forget => {
                let horizon = Horizon { upto: forgetting.upto, forgotten: forgetting.upto };
                self.announce(horizon, now) && self.go_on(Stage::Done)
            }
            Stage::Done => {
                if let Role::Leading(leading) = &mut self.role {
                    leading.forgetting = None;
                }
                self.event(Event::Forgot { keys: forgetting.keys });
                false
            }
        }
    }

    /// Whether it is time, and everybody who votes would still be able to lead.
    fn begin_to_forget(&mut self) -> bool {
        let keys = self.acceptor.deleted();
        if keys < self.rules.forget_above() || self.mode == LeadershipMode::Alive || !self.rules.knows_horizon() {
            return false;
        }
        let knows = |id: &MemberId| self.me.id == *id || self.peers.get(id).is_some_and(|peer| peer.has_horizon);
        let begun = self.acceptor.horizon() != Horizon::default();
        if !begun && !self.voters().iter().all(|voter| knows(&voter.id)) {
            return false;
        }
        let stage = if self.keeps(Rule::RewriteFirst) { Stage::Rewrite(String::new()) } else { Stage::Announce };
        if let Role::Leading(leading) = &mut self.role {
            let upto = Stamp { epoch: leading.epoch, seq: leading.next_seq };
            leading.forgetting = Some(Forgetting { upto, stage, after: leading.next_seq, keys });
        }
        true
    }

    /// The next stage begins when everything that is written by now is committed.
    fn go_on(&mut self, stage: Stage) -> bool {
        if let Role::Leading(leading) = &mut self.role
            && let Some(forgetting) = &mut leading.forgetting
        {
            forgetting.stage = stage;
            forgetting.after = leading.next_seq;
        }
        true
    }

    /// What lives behind this key with a stamp up to the horizon, not more than goes into one batch; and the last key of it.
    fn next_to_rewrite(&self, after: &str, upto: Stamp) -> (Vec<Put>, String) {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for (key, (stamp, value)) in self.acceptor.registers().range::<str, _>((Excluded(after), Unbounded)) {
            if *stamp > upto || value.is_none() || key == VOTERS_KEY {
                continue;
            }
            let size = registers::weight(key, value.as_ref());
            if !entries.is_empty() && (bytes + size > self.rules.batch_bytes() || entries.len() == BATCH_KEYS) {
                break;
            }
            bytes += size;
            entries.push(Put { key: key.clone(), value: value.clone() });
        }
        let last = entries.last().map_or_else(|| after.to_owned(), |put| put.key.clone());
        (entries, last)
    }

    /// Writes the voters with a horizon behind them; not while a change of the voters is on its way (R18).
    fn announce(&mut self, horizon: Horizon, now: Now) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        let Some((stamp, voters)) = self.acceptor.voters() else { return false };
        if stamp.epoch != leading.epoch || stamp.seq > leading.committed {
            return false;
        }
        let Ok(value) = encode_voters(voters, horizon) else { return false };
        self.write_batch(&[Put { key: VOTERS_KEY.to_owned(), value: Some(Value::Inline(value)) }], None, now);
        true
    }
}

#[cfg(test)]
mod tests;
