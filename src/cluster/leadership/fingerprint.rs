//! A copy and a fingerprint of the machine, for the model checker (`tests/model`): only in builds with `mutations`.
//!
//! Two machines with the same fingerprint behave alike for ever: every field that a decision reads is in it. Left out is
//! what only people read, what is always empty between two inputs, and what is compared for equality only.

use std::hash::{Hash, Hasher};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::Leadership;

impl Clone for Leadership {
    /// The copy's randomness starts anew: the model wants the same jitter in every branch.
    fn clone(&self) -> Self {
        Self {
            me: self.me.clone(),
            mode: self.mode,
            timing: self.timing.clone(),
            max_voters: self.max_voters,
            replace_after: self.replace_after,
            rules: self.rules,
            rng: StdRng::from_seed([0; 32]),
            acceptor: self.acceptor.clone(),
            founding: self.founding.clone(),
            role: self.role.clone(),
            peers: self.peers.clone(),
            withdrawn: self.withdrawn.clone(),
            named_successor: self.named_successor.clone(),
            leavers: self.leavers.clone(),
            absent: self.absent.clone(),
            flaps: self.flaps.clone(),
            backoff_until: self.backoff_until,
            leaderless_since: self.leaderless_since,
            known_leader: self.known_leader.clone(),
            last_leader_end: self.last_leader_end,
            released: self.released.clone(),
            heard_release: self.heard_release.clone(),
            went_first: self.went_first,
            last_release: self.last_release.clone(),
            strangers: self.strangers.clone(),
            boots: self.boots.clone(),
            releasing: self.releasing.clone(),
            retired: self.retired,
            last_failure: self.last_failure.clone(),
            pulling: self.pulling.clone(),
            next_round: self.next_round,
            next_ticket: self.next_ticket,
            next_write: self.next_write,
            after: self.after.clone(),
            persisting: self.persisting.clone(),
            outputs: self.outputs.clone(),
            alarms: self.alarms.clone(),
            reason: self.reason.clone(),
            odd: self.odd.clone(),
            ended: self.ended,
            blobs: self.blobs.clone(),
            processes: self.processes.clone(),
            commits: self.commits,
            full: self.full.clone(),
            lost: self.lost,
        }
    }
}

impl Hash for Leadership {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self {
            me,
            acceptor,
            founding,
            role,
            peers,
            withdrawn,
            named_successor,
            leavers,
            absent,
            flaps,
            backoff_until,
            leaderless_since,
            known_leader,
            released,
            heard_release,
            went_first,
            strangers,
            releasing,
            retired,
            pulling,
            next_round,
            after,
            persisting,
            ended,
            blobs,
            full,
            lost,
            // The models leave `Rule::OldCopies` out: nothing reads these.
            processes: _,
            commits: _,
            // The same in every machine of a model.
            mode: _,
            timing: _,
            max_voters: _,
            replace_after: _,
            rules: _,
            // Every copy starts it anew.
            rng: _,
            // Empty: the driver drains it before it looks away.
            outputs: _,
            // Numbers that are handed out and compared with each other only; the order of what waits is in `after`.
            next_ticket: _,
            next_write: _,
            // For people and events; no decision of this machine reads them.
            last_leader_end: _,
            last_release: _,
            boots: _,
            last_failure: _,
            alarms: _,
            odd: _,
            reason: _,
        } = self;
        (me, acceptor, founding, role).hash(state);
        (peers, withdrawn, named_successor, leavers, absent, flaps).hash(state);
        (backoff_until, leaderless_since, known_leader, released, strangers).hash(state);
        (releasing, retired, pulling, next_round, ended).hash(state);
        (blobs, full, lost, heard_release, went_first).hash(state);
        for (after, since) in after.values().zip(persisting.values()) {
            (after, since).hash(state);
        }
    }
}
