//! Who leads as far as this agent knows, and why nobody does: for events, `status` and the logs.

use quorate_proto::message::Voter;

use super::{Leadership, Role, is_here};
use crate::cluster::Now;
use crate::cluster::output::Event;

impl Leadership {
    /// Tells about a change of the leader as known here.
    pub(super) fn follow_leader(&mut self, now: Now) {
        let leader = match &self.role {
            Role::Leading(leading) => leading.is_active().then(|| self.me.id.clone()),
            Role::Follower | Role::PreClaiming(_) | Role::Claiming(_) => {
                let held = self.acceptor.lease_until() > now.mono;
                let holder = self.acceptor.holder().filter(|_| held).map(|p| p.id.clone());
                holder.filter(|id| *id != self.me.id)
            }
        };
        if leader == self.known_leader {
            return;
        }
        let gap = leader.as_ref().and(self.last_leader_end).map(|end| now.mono.saturating_sub(end));
        if leader.is_none() {
            self.last_leader_end = Some(now.mono);
        }
        if self.last_release.as_ref().is_some_and(|(holder, _)| Some(holder) == leader.as_ref()) {
            self.last_release = None; // It leads again: how it ended before is no news when it ends next.
        }
        if leader.is_some() {
            // Somebody took over: whoever gave up for that is a candidate again if this one falls, and nobody waits for a
            // successor that has come. When leadership goes back is a matter of `settle`.
            self.withdrawn.retain(|_, w| w.until.is_none());
            self.named_successor = None;
        }
        self.known_leader.clone_from(&leader);
        self.event(Event::LeaderChanged { leader, epoch: self.acceptor.highest(), gap });
    }

    pub(super) fn explain(&mut self, now: Now) {
        self.reason = if let Some(text) = self.founding.reason() {
            text
        } else if self.known_leader.is_some() {
            String::new()
        } else {
            self.explain_no_leader(now)
        };
    }

    pub(super) fn explain_no_leader(&self, now: Now) -> String {
        let voters = self.voters();
        let here = |v: &&Voter| v.id == self.me.id || self.peers.get(&v.id).is_some_and(|p| is_here(p.state));
        let alive: Vec<&Voter> = voters.iter().filter(here).collect();
        let needed = self.quorum().needed(voters.len());
        if alive.len() < needed {
            let missing: Vec<&str> = voters.iter().filter(|v| !here(v)).map(|v| v.id.as_str()).collect();
            return format!(
                "no quorum: {} of {} voters are here, {needed} are needed; missing: {}",
                alive.len(),
                voters.len(),
                missing.join(", ")
            );
        }
        if let Some(why) = &self.full {
            return why.clone();
        }
        if self.acceptor.quiet_until() > now.mono {
            return "waiting until leases granted before the restart are surely over".to_owned();
        }
        match &self.role {
            Role::PreClaiming(_) | Role::Claiming(_) => "this agent asks the voters for an epoch".to_owned(),
            Role::Leading(_) => "this agent won an epoch and recovers the agreed state".to_owned(),
            Role::Follower => match self.first_in_line() {
                Some(id) if id == self.me.id => "this agent is next in line".to_owned(),
                Some(id) => format!("waiting for {id}, the lowest id alive, to claim"),
                None => "no voter is alive".to_owned(),
            },
        }
    }
}
