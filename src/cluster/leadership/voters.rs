//! Changes of the voter set: one at a time, state first (rules R17 to R21, protocol-safety 8 "Later").

use std::collections::BTreeSet;

use quorate_proto::message::{Horizon, Put, VOTERS_KEY, Value, Voter, Voters, encode_voters};
use quorate_proto::{MemberId, Seq};

use super::quorum::Quorum;
use super::{Leadership, Role, Rule};
use crate::cluster::Now;
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::MemberState;

impl Leadership {
    /// A voter wants to leave for good: removed before it goes (protocol-safety 8). Leader only; the last voter stays.
    /// Done when `voters` lacks it; forgotten when leadership ends before, so the asker looks and asks again.
    pub fn remove_voter(&mut self, id: &MemberId, now: Now) -> Result<(), &'static str> {
        let Some(voters) = self.leading_voters() else { return Err("this agent does not lead") };
        if !voters.0.iter().any(|v| v.id == *id) {
            return Ok(());
        }
        if voters.0.len() == 1 {
            return Err("the last voter cannot leave: stop it instead");
        }
        let Role::Leading(leading) = &self.role else { return Err("this agent does not lead") };
        let boot = leading.boot_of(id);
        self.leavers.insert(id.clone(), boot);
        self.advance(now);
        Ok(())
    }

    /// The next single step towards the set that the members at hand deserve, if everything before it is committed.
    pub(super) fn change_voters(&mut self, now: Now) {
        if self.mode == LeadershipMode::Alive {
            return;
        }
        let Role::Leading(leading) = &self.role else { return };
        if !leading.is_settled() && self.keeps(Rule::OneVoterAtATime) {
            return;
        }
        if let Role::Leading(leading) = &mut self.role {
            leading.set_next_quorum(None);
        }
        let Some(old) = self.leading_voters() else { return };
        let Some(new) = self.wanted_voters(&old, now) else { return };
        // R19: every register on a majority of the new set as well, and the joiner has promised this epoch (it answers
        // renewals of it, and has applied all that is committed).
        let ready: BTreeSet<MemberId> =
            new.0.iter().filter(|v| v.id == self.me.id || self.is_ready(v, now)).map(|v| v.id.clone()).collect();
        if self.keeps(Rule::StateFirst) && !self.majority(&new).is_met_by(&ready) {
            return;
        }
        let joint = Quorum::joint(&old, &new);
        if self.keeps(Rule::WindowFirst) && !self.is_window_covered_by(&joint, now) {
            if let Role::Leading(leading) = &mut self.role {
                leading.set_next_quorum(Some(joint));
            }
            return; // The next renewals make up for it.
        }
        let Ok(value) = encode_voters(&new, self.acceptor.horizon()) else { return };
        if let Role::Leading(leading) = &mut self.role {
            leading.set_quorum(joint);
        }
        self.write_batch(&[Put { key: VOTERS_KEY.to_owned(), value: Some(Value::Inline(value)) }], None, now);
    }

    /// R18: the change is committed by both majorities; from now on the new set alone decides.
    pub(super) fn handle_committed_change(&mut self, _seq: Seq) {
        let quorum = match (&self.role, self.mode) {
            (Role::Leading(leading), LeadershipMode::Quorum) if leading.has_nothing_pending() => self.quorum(),
            _ => return,
        };
        if let Role::Leading(leading) = &mut self.role {
            leading.set_quorum(quorum);
        }
    }

    fn is_ready(&self, voter: &Voter, now: Now) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        leading.is_caught_up(&voter.id, voter.instance, self.timing.grant, now)
    }

    fn wanted_voters(&self, old: &Voters, now: Now) -> Option<Voters> {
        let with = |voter: Voter| {
            let mut all = old.0.clone();
            all.push(voter);
            all.sort();
            Voters(all)
        };
        let without = |id: &MemberId| Voters(old.0.iter().filter(|v| v.id != *id).cloned().collect());
        // A known id with a new instance: its disk was lost. The old instance is gone for ever.
        for voter in &old.0 {
            let Some(peer) = self.peers.get(&voter.id) else { continue };
            let Role::Leading(leading) = &self.role else { return None };
            let replaced = peer.state == MemberState::Alive && peer.instance != voter.instance;
            if replaced && old.0.len() > 1 && !leading.hears(voter, self.timing.grant * 2, now) {
                return Some(without(&voter.id));
            }
        }
        if let Some(leaver) = old.0.iter().find(|v| self.leavers.contains_key(&v.id) && old.0.len() > 1) {
            return Some(without(&leaver.id));
        }
        let learners = self.learners_ready(old, now);
        let dead = old.0.iter().find(|v| v.id != self.me.id && self.is_dead(v, now));
        if let (Some(dead), true) = (dead, old.0.len() > self.target_size(old, &learners)) {
            return Some(without(&dead.id));
        }
        let room = self.target_size(old, &learners) + usize::from(dead.is_some());
        learners.into_iter().next().filter(|_| old.0.len() < room).map(with)
    }

    /// Sets rest at odd sizes: grow only when two learners are ready, or to mend an even set.
    fn target_size(&self, old: &Voters, learners: &[Voter]) -> usize {
        let size = old.0.len();
        let reach = (size + learners.len()).min(self.max_voters);
        let odd = if reach.is_multiple_of(2) { reach - 1 } else { reach };
        odd.max(if size % 2 == 1 { size } else { size - 1 })
    }

    fn learners_ready(&self, old: &Voters, now: Now) -> Vec<Voter> {
        let stable = self.timing.settle;
        // Behind a horizon, one that knows none could never lead (R22).
        let any = self.acceptor.horizon() == Horizon::default();
        self.peers
            .iter()
            .filter(|(id, p)| {
                p.state == MemberState::Alive && !self.withdrawn.contains_key(id) && !self.leavers.contains_key(id)
            })
            .filter(|(_, p)| now.mono >= p.alive_since + stable && (any || p.has_horizon))
            .map(|(id, p)| Voter { id: id.clone(), instance: p.instance })
            .filter(|v| !old.0.iter().any(|o| o.id == v.id) && self.is_ready(v, now))
            .collect()
    }

    /// Since when which voters are not here, whether they were ever seen by this process or not.
    pub(super) fn note_absent(&mut self, now: Now) {
        let absent = |v: &Voter| (!self.sees(&v.id)).then(|| v.id.clone());
        let absent: BTreeSet<MemberId> = self.voters().iter().filter_map(absent).collect();
        self.absent.retain(|id, _| absent.contains(id));
        for id in absent {
            self.absent.entry(id).or_insert(now.mono);
        }
    }

    fn is_dead(&self, voter: &Voter, now: Now) -> bool {
        self.absent.get(&voter.id).is_some_and(|since| now.mono >= *since + self.replace_after)
    }
}
