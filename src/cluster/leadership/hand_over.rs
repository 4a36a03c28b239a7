//! Leadership given away: to a lower id that has settled, on request, or because this agent stops.

use std::time::Duration;

use quorate_proto::MemberId;

use super::{Leadership, Role, is_here};
use crate::cluster::Now;
use crate::cluster::output::Event;
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::MemberState;

/// Settle never grows beyond this (protocol-safety 9).
const SETTLE_MAX: Duration = Duration::from_mins(5);

/// Downs older than this are no flapping.
const FLAP_MEMORY: Duration = Duration::from_mins(10);

#[derive(Debug, Clone, Hash)]
pub(super) struct HandOver {
    successor: Option<MemberId>,
}

impl Leadership {
    /// Hands leadership to a lower id that has been alive for long enough and has caught up.
    pub(super) fn settle(&mut self, now: Now) {
        let Role::Leading(leading) = &self.role else { return };
        if !leading.is_settled() {
            return;
        }
        // Only the lowest: another one would have to hand over again.
        let lowest = self.candidates().into_iter().next().filter(|id| *id < self.me.id);
        let ready = lowest.filter(|id| {
            let Some(peer) = self.peers.get(id) else { return false };
            let since = peer.alive_since.max(leading.since);
            peer.state == MemberState::Alive
                && leading.followers.get(id).is_none_or(|f| !f.clock_differs)
                && now.mono >= since + self.settle_time(id, now)
                && (self.mode == LeadershipMode::Alive
                    || leading.is_caught_up(id, peer.instance, self.timing.grant, now))
        });
        if let Some(id) = ready {
            let why = format!("{id} has the lower id, has been alive for long enough and has caught up");
            self.begin_hand_over(Some(id), &why, now);
        }
    }

    /// `settle`, doubled for each time the member went down lately beyond the first.
    pub(super) fn settle_time(&self, id: &MemberId, now: Now) -> Duration {
        let falls = self.flaps.get(id).map_or(0, |f| f.iter().filter(|at| **at + FLAP_MEMORY > now.mono).count());
        let doublings = u32::try_from(falls.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
        (self.timing.settle * (1 << doublings)).min(SETTLE_MAX.max(self.timing.settle))
    }

    pub(super) fn begin_hand_over(&mut self, successor: Option<MemberId>, why: &str, now: Now) {
        let next = self.candidates().into_iter().find(|id| *id != self.me.id);
        let successor = successor.or(next);
        let Role::Leading(leading) = &mut self.role else { return };
        if leading.hand_over.is_some() {
            return;
        }
        if !leading.active {
            self.lose(why, now);
            return;
        }
        leading.hand_over = Some(HandOver { successor: successor.clone() });
        self.event(Event::HandOver { successor, why: why.to_owned() });
    }

    pub(super) fn finish_hand_over(&mut self, now: Now) {
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(HandOver { successor }) = leading.hand_over.take() else { return };
        let alive = |id: &MemberId| self.peers.get(id).is_some_and(|p| is_here(p.state));
        let successor = successor.filter(alive);
        let epoch = leading.epoch;
        self.lose("it was handed over", now);
        self.lost = None;
        let retired = self.retired;
        if !retired {
            let me = self.me.clone();
            self.withdraw(&me, Some(now.mono + self.timing.settle));
        }
        self.send_release_of(epoch, successor, retired, now);
    }
}
