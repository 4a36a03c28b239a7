//! Voter sets and the arithmetic of majorities (rules R7, R17, R18).

use std::collections::BTreeSet;

use quorate_proto::message::{Voter, Voters};
use quorate_proto::{Instance, MemberId};

/// One voter set, or two while a change from one to the other is not committed: then both must agree (R18).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Quorum {
    sets: Vec<Vec<Voter>>,
    need: Option<usize>,
}

impl Quorum {
    /// A majority of one set.
    pub(crate) fn majority(voters: &Voters) -> Self {
        Self { sets: vec![voters.0.clone()], need: None }
    }

    /// A majority of the old and of the new set.
    pub(crate) fn joint(old: &Voters, new: &Voters) -> Self {
        Self { sets: vec![old.0.clone(), new.0.clone()], need: None }
    }

    /// Any `need` of one set: mode `alive` (one), and the simulator's mutation "half is enough".
    pub(crate) fn at_least(voters: &Voters, need: usize) -> Self {
        Self { sets: vec![voters.0.clone()], need: Some(need) }
    }

    /// How many of a set of this size are needed.
    pub(crate) fn needed(&self, size: usize) -> usize {
        self.need.unwrap_or(size / 2 + 1)
    }

    /// Whether these members are enough, in every set.
    pub(crate) fn is_met_by(&self, members: &BTreeSet<MemberId>) -> bool {
        self.sets.iter().all(|set| {
            let here = set.iter().filter(|voter| members.contains(&voter.id)).count();
            !set.is_empty() && here >= self.needed(set.len())
        })
    }

    /// Whether this member's vote counts anywhere.
    pub(crate) fn contains(&self, id: &MemberId, instance: Instance) -> bool {
        self.sets.iter().flatten().any(|voter| voter.id == *id && voter.instance == instance)
    }

    /// Every voter of every set, each once, sorted.
    pub(crate) fn voters(&self) -> BTreeSet<&Voter> {
        self.sets.iter().flatten().collect()
    }

    /// The value that at least a quorum reaches: per set the `need`-th largest of `value`, over all sets the least.
    /// `None` when some set has too few members with a value.
    pub(crate) fn reached_by<T: Ord + Copy>(&self, value: impl Fn(&Voter) -> Option<T>) -> Option<T> {
        let mut least: Option<T> = None;
        for set in &self.sets {
            let mut values: Vec<T> = set.iter().filter_map(&value).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            let reached = *values.get(self.needed(set.len()).checked_sub(1)?)?;
            least = Some(least.map_or(reached, |l| l.min(reached)));
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(names: &str) -> Voters {
        Voters(names.chars().map(|c| Voter { id: id(c), instance: Instance([c as u8; 16]) }).collect())
    }

    fn id(c: char) -> MemberId {
        MemberId::new(c.to_string()).unwrap()
    }

    fn met(quorum: &Quorum, names: &str) -> bool {
        quorum.is_met_by(&names.chars().map(id).collect())
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let three = Quorum::majority(&voters("abc"));
        assert!(met(&three, "ab") && !met(&three, "a") && !met(&three, "axyz"));
        let four = Quorum::majority(&voters("abcd"));
        assert!(met(&four, "abd") && !met(&four, "ab"));
        assert!(!met(&Quorum::majority(&voters("")), "a"), "nobody is not a quorum");
    }

    #[test]
    fn a_change_needs_both_sets() {
        let joint = Quorum::joint(&voters("abc"), &voters("abcde"));
        assert!(!met(&joint, "ade"), "majority of the new set only");
        assert!(!met(&joint, "ab"), "majority of the old set only");
        assert!(met(&joint, "abd"));
    }

    #[test]
    fn the_value_reached_is_the_majority_th_largest() {
        let quorum = Quorum::majority(&voters("abcde"));
        let value = |v: &Voter| match v.id.as_str() {
            "a" => Some(9),
            "b" => Some(7),
            "c" => Some(5),
            _ => None,
        };
        assert_eq!(quorum.reached_by(value), Some(5));
        assert_eq!(quorum.reached_by(|v| (v.id.as_str() < "c").then_some(1)), None);
    }
}
