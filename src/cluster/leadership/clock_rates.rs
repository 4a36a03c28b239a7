//! How fast the clocks of leader and followers run against each other (protocol-safety 10).

use std::time::Duration;

use quorate_proto::message::{Process, Voter};

use super::{Leadership, RATE_BOUND, Role};
use crate::cluster::Now;

/// Time over which two clocks are compared before anything is concluded.
const CLOCK_SAMPLE: Duration = Duration::from_mins(1);

impl Leadership {
    /// Compares how fast a follower's clock and ours run (protocol-safety 10).
    pub(super) fn compare_clocks(&mut self, from: &Process, theirs: u64, now: Now) {
        let rtt = self.timing.retry;
        let Role::Leading(leading) = &mut self.role else { return };
        let Some(follower) = leading.followers.get_mut(&from.id) else { return };
        let Some((ours_then, theirs_then)) = follower.clock else {
            follower.clock = Some((now.mono, theirs));
            return;
        };
        let ours = now.mono.saturating_sub(ours_then);
        if ours < CLOCK_SAMPLE {
            return;
        }
        follower.clock = Some((now.mono, theirs));
        let theirs = Duration::from_millis(theirs.saturating_sub(theirs_then));
        let off = ours.abs_diff(theirs).saturating_sub(rtt * 2).as_secs_f64() / ours.as_secs_f64();
        follower.clock_differs = off > RATE_BOUND;
        let key = format!("clock:{}", from.id);
        if off > RATE_BOUND / 2.0 {
            let text = format!(
                "the clocks of {} and {} run at rates that differ by {:.1} %: leases are safe up to {:.0} %",
                self.me.id,
                from.id,
                off * 100.0,
                RATE_BOUND * 100.0
            );
            self.alarm(&key, text);
        } else {
            self.alarms.remove(&key);
        }
        if self.is_own_clock_suspect() {
            self.begin_hand_over(None, "clock rates differ by more than leases tolerate", now);
        }
    }

    /// Of two clocks that differ nobody can say which one is wrong, but one that differs from those of most voters is:
    /// the suspect does not lead (protocol-safety 10). A wrong clock of a follower is no reason to give up.
    pub(super) fn is_own_clock_suspect(&self) -> bool {
        let Role::Leading(leading) = &self.role else { return false };
        let voters = self.voters();
        let differs = |v: &&Voter| leading.followers.get(&v.id).is_some_and(|f| f.clock_differs);
        voters.iter().filter(differs).count() * 2 > voters.len()
    }
}
