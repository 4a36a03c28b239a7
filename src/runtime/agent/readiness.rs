//! Whether this agent can serve a change now, check by check: what `/readyz` says.

use super::cycle::Loop;
use crate::cluster::View;
use crate::cluster::leadership::Lease;
use crate::cluster::settings::LeadershipMode;
use crate::runtime::handle::{Check, Health};

fn check(name: &'static str, failure: Option<String>, success: impl Into<String>) -> Check {
    let passed = failure.is_none();
    Check { name, passed, text: failure.unwrap_or_else(|| success.into()) }
}

impl Loop {
    /// The health of this process, with this view of the cluster.
    pub(super) fn health_now(&self, view: &View) -> Health {
        let stopping = if self.stopping.is_some() {
            Some("stopping".to_owned())
        } else {
            self.leaving.is_some().then(|| "leaving the cluster for good".to_owned())
        };
        let founding = (!view.formed).then(|| view.reason.clone());
        let not_ready = self.stopping.is_some().then(|| "stopping".to_owned());
        let checks = vec![
            majority(view, founding.clone()),
            check("leader", self.no_leader(view), leader(view)),
            check("caught-up", self.behind(view), "the registers of the leader are here"),
            check("disk", self.disk_full.clone(), "the disk takes writes"),
            check("stopping", stopping, "not stopping"),
        ];
        Health {
            not_ready: not_ready.or_else(|| self.disk_full.clone()).or_else(|| self.unreadable.clone()).or(founding),
            checks,
        }
    }

    /// Why no leader would take a change of this agent's clients.
    fn no_leader(&self, view: &View) -> Option<String> {
        let Some(leader) = &view.leader else {
            let why = if view.reason.is_empty() { "an election is under way" } else { &view.reason };
            return Some(format!("no leader is known: {why}"));
        };
        if *leader != self.me {
            return None;
        }
        if self.lease.borrow().is_none() {
            return Some("the lease of this leader is away for the moment".to_owned());
        }
        self.hand_over.is_some().then(|| "this leader is handing leadership over".to_owned())
    }

    /// What this agent has not read yet.
    fn behind(&self, view: &View) -> Option<String> {
        let leading = self.lease.borrow().as_ref().map(Lease::epoch);
        if leading.is_some() {
            let reading = "this new leader is still reading what its majority knows of the tasks";
            return (leading != self.recovered).then(|| reading.to_owned());
        }
        let follows = view.leader.is_some() && view.mode == LeadershipMode::Quorum;
        (follows && !view.caught_up).then(|| "this agent is still fetching what the leader's registers hold".to_owned())
    }
}

fn leader(view: &View) -> String {
    view.leader.as_ref().map_or_else(String::new, |leader| format!("{leader} leads with epoch {}", view.epoch))
}

fn majority(view: &View, founding: Option<String>) -> Check {
    let count = format!("{} of {} voters alive, {} needed", view.voters_alive, view.voters, view.needed);
    let few = view.mode == LeadershipMode::Quorum && view.voters_alive < view.needed;
    check("majority", founding.or_else(|| few.then(|| format!("no majority: {count}"))), count)
}
