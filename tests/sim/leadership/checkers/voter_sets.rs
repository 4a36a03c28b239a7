//! I10: any two quorums that may decide in neighbouring voter sets intersect, and a set is left only when it is
//! committed: on the disks of a majority of its predecessor and of itself (R18).

use std::collections::{BTreeMap, BTreeSet};

use quorate_proto::Stamp;
use quorate_proto::message::{Voter, Voters};

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// Every voter set that any leader has sent, by stamp.
#[derive(Default)]
pub(crate) struct VoterSets(BTreeMap<Stamp, Voters>);

fn majority(size: usize) -> usize {
    size / 2 + 1
}

fn quorums_intersect(one: &Voters, other: &Voters) -> bool {
    let all: BTreeSet<&Voter> = one.0.iter().chain(&other.0).collect();
    all.len() < majority(one.0.len()) + majority(other.0.len())
}

fn holds(set: &Voters, stamp: Stamp, on_disk: &BTreeMap<Voter, Stamp>) -> bool {
    let having = set.0.iter().filter(|voter| on_disk.get(voter).is_some_and(|had| *had >= stamp)).count();
    having >= majority(set.0.len())
}

impl Checker for VoterSets {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::VotersSent { stamp, voters, on_disk } = fact else { return Ok(()) };
        let before = self.0.range(..*stamp).next_back().map(|(s, v)| (*s, v.clone()));
        self.0.insert(*stamp, (*voters).clone());
        let Some((old_stamp, old)) = before else { return Ok(()) };
        if !quorums_intersect(&old, voters) {
            let text = format!("quorums of {old:?} ({old_stamp}) and of {voters:?} ({stamp}) need not intersect");
            return Err(("I10", text));
        }
        // A change by one and the same leader: what it leaves must have been committed.
        if old_stamp.epoch == stamp.epoch && old != **voters && !holds(&old, old_stamp, on_disk) {
            return Err(("I10", format!("{stamp} changes the voters before {old_stamp} was committed")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use quorate_proto::{Epoch, Instance, MemberId, Seq};

    fn voters(names: &str) -> Voters {
        let voter = |c: char| Voter { id: MemberId::new(c.to_string()).unwrap(), instance: Instance([0; 16]) };
        Voters(names.chars().map(voter).collect())
    }

    fn stamp(epoch: u64, seq: u64) -> Stamp {
        Stamp { epoch: Epoch(epoch), seq: Seq(seq) }
    }

    #[test]
    fn two_voters_at_once_are_found() {
        let (three, four, five) = (voters("abc"), voters("abcd"), voters("abcde"));
        let on_disk: BTreeMap<Voter, Stamp> = three.0.iter().map(|v| (v.clone(), stamp(1, 1))).collect();
        let sent = |stamp, voters| Fact::VotersSent { stamp, voters, on_disk: &on_disk };
        let one = [sent(stamp(1, 1), &three), sent(stamp(1, 2), &four)];
        assert_eq!(finds(&mut VoterSets::default(), &one), None);
        let two = [sent(stamp(1, 1), &three), sent(stamp(1, 2), &five)];
        assert_eq!(finds(&mut VoterSets::default(), &two), Some("I10"));
        let hasty = [sent(stamp(1, 1), &three), sent(stamp(1, 2), &four), sent(stamp(1, 3), &five)];
        assert_eq!(finds(&mut VoterSets::default(), &hasty), Some("I10"));
    }
}
