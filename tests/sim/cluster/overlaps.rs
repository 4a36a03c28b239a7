//! I9: of one task, two runs are never alive at once; and I8 for the journal: its epoch never falls.

use std::collections::BTreeMap;

use quorate_proto::Epoch;

use super::host::RunNumber;
use crate::leadership::facts::Who;

/// What is broken, and what it says.
pub(super) type Broken = (&'static str, String);

/// Runs that are alive, as a resource outside would see them.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    alive: BTreeMap<RunNumber, (usize, Epoch, Who)>,
    /// That had to be excused: their machine stood still.
    pub(super) excused: u64,
}

impl Overlaps {
    /// A run begins. `excused`: of this host no promise holds at the moment.
    pub(super) fn begin(
        &mut self,
        run: RunNumber,
        task: usize,
        epoch: Epoch,
        who: Who,
        excused: impl Fn(usize) -> bool,
    ) -> Result<(), Broken> {
        let mut result = Ok(());
        for (other, (_, under, by)) in self.alive.iter().filter(|(_, (t, ..))| *t == task) {
            if excused(who.host) || excused(by.host) {
                self.excused += 1;
            } else {
                let text = format!(
                    "run {run} of task {task} by {who} under {epoch} begins while run {other} by {by} under {under} lives"
                );
                result = Err(("I9", text));
            }
        }
        self.alive.insert(run, (task, epoch, who));
        result
    }

    pub(super) fn end(&mut self, run: RunNumber) {
        self.alive.remove(&run);
    }
}

/// What the journal of each task was acknowledged to hold.
#[derive(Debug, Default)]
pub(super) struct Journal(BTreeMap<usize, BTreeMap<Epoch, RunNumber>>);

impl Journal {
    /// The start of this run was acknowledged.
    pub(super) fn acknowledged(&mut self, task: usize, epoch: Epoch, run: RunNumber) {
        let newest = self.0.entry(task).or_default().entry(epoch).or_default();
        *newest = (*newest).max(run);
    }

    /// A leader of `epoch` becomes active, and finds this in its journal.
    pub(super) fn found(&self, epoch: Epoch, journal: &BTreeMap<usize, (Epoch, RunNumber)>) -> Result<(), Broken> {
        for (task, entered) in &self.0 {
            let Some((under, run)) = entered.range(..epoch).next_back() else { continue };
            let found = journal.get(task).copied().unwrap_or_default();
            if found < (*under, *run) {
                let text = format!(
                    "the leader of epoch {epoch} finds {found:?} in the journal of task {task}, \
                     but the start of run {run} under {under} was acknowledged"
                );
                return Err(("I8", text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Who = Who { host: 0, disk: 1, life: 1 };
    const B: Who = Who { host: 1, disk: 2, life: 2 };

    #[test]
    fn two_runs_of_one_task_are_found() {
        let mut fine = Overlaps::default();
        assert_eq!(fine.begin(1, 0, Epoch(1), A, |_| false), Ok(()));
        assert_eq!(fine.begin(2, 1, Epoch(1), A, |_| false), Ok(()));
        fine.end(1);
        assert_eq!(fine.begin(3, 0, Epoch(2), B, |_| false), Ok(()));
        assert_eq!(fine.begin(4, 0, Epoch(2), A, |_| false).unwrap_err().0, "I9");
    }

    #[test]
    fn one_on_a_machine_that_stood_still_is_counted() {
        let mut overlaps = Overlaps::default();
        assert_eq!(overlaps.begin(1, 0, Epoch(1), A, |_| false), Ok(()));
        assert_eq!(overlaps.begin(2, 0, Epoch(2), B, |host| host == 0), Ok(()));
        assert_eq!(overlaps.excused, 1);
    }

    #[test]
    fn a_journal_that_forgets_a_run_is_found() {
        let mut journal = Journal::default();
        journal.acknowledged(0, Epoch(1), 5);
        let has = |run| BTreeMap::from([(0, (Epoch(1), run))]);
        assert_eq!(journal.found(Epoch(2), &has(5)), Ok(()));
        assert_eq!(journal.found(Epoch(2), &has(4)).unwrap_err().0, "I8");
        assert_eq!(journal.found(Epoch(2), &BTreeMap::new()).unwrap_err().0, "I8");
        assert_eq!(journal.found(Epoch(1), &BTreeMap::new()), Ok(()), "its own epoch is not before it");
    }
}
