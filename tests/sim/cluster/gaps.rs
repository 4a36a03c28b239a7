//! Liveness: how long nobody leads while the same majority of voters is up, in sight of each other, and undisturbed.

use crate::leadership::clock::Real;

/// See the module. Sets of hosts are bits.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    since: Real,
    core: u8,
    lives: Vec<u32>,
    /// The longest so far.
    pub(super) longest: Real,
}

/// One look at the world.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) led: bool,
    /// Hosts that are voters, and those that are well.
    pub(super) voters: u8,
    pub(super) well: u8,
    /// Whom each host reaches in both directions, itself included.
    pub(super) reach: &'a [u8],
    /// Which process runs on each.
    pub(super) lives: &'a [u32],
}

impl Gaps {
    /// The gap until now; zero when somebody leads or nobody could.
    pub(super) fn look(&mut self, sight: Sight<'_>, now: Real) -> Real {
        let same = |i: usize| self.lives.get(i) == sight.lives.get(i);
        let went_on = (0..sight.lives.len()).filter(|i| same(*i)).fold(0_u8, |all, i| all | (1 << i));
        let core = if sight.led { 0 } else { largest(sight, self.core & went_on) };
        if core == 0 {
            let fresh = if sight.led { 0 } else { largest(sight, u8::MAX) };
            (self.since, self.core) = (now, fresh);
        } else {
            self.core = core;
        }
        self.lives.clear();
        self.lives.extend_from_slice(sight.lives);
        let gap = now - self.since;
        self.longest = self.longest.max(gap);
        gap
    }
}

/// The largest majority of voters within `among` that is well and sees itself; empty if there is none.
fn largest(sight: Sight<'_>, among: u8) -> u8 {
    let from = among & sight.voters & sight.well;
    let whole = |set: &u8| {
        let inside = *set & from == *set && set.count_ones() * 2 > sight.voters.count_ones();
        inside && (0..sight.reach.len()).filter(|i| set & (1 << i) != 0).all(|i| sight.reach[i] & set == *set)
    };
    (1..=from).filter(whole).max_by_key(|set| set.count_ones()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [u8; 3] = [7, 7, 7];

    fn sight<'a>(led: bool, well: u8, reach: &'a [u8], lives: &'a [u32]) -> Sight<'a> {
        Sight { led, voters: 7, well, reach, lives }
    }

    #[test]
    fn a_gap_with_a_majority_that_could_lead_is_measured() {
        let mut gaps = Gaps::default();
        let lives = [1, 2, 3];
        assert_eq!(gaps.look(sight(true, 7, &ALL, &lives), 10), 0);
        assert_eq!(gaps.look(sight(false, 7, &ALL, &lives), 20), 0);
        assert_eq!(gaps.look(sight(false, 6, &ALL, &lives), 90), 70, "two of three go on");
        assert_eq!(gaps.look(sight(false, 2, &ALL, &lives), 95), 0, "one of three cannot");
        assert_eq!(gaps.longest, 70);
    }

    #[test]
    fn what_restarts_or_is_cut_off_does_not_count() {
        let mut gaps = Gaps::default();
        gaps.look(sight(false, 3, &ALL, &[1, 2, 3]), 10);
        assert_eq!(gaps.look(sight(false, 3, &ALL, &[1, 4, 3]), 50), 0, "another process");
        assert_eq!(gaps.look(sight(false, 3, &[1, 2, 4], &[1, 4, 3]), 60), 0, "out of sight");
    }
}
