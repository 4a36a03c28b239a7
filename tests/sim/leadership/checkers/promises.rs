//! I2: what a voter has promised durably never decreases, and what it has answered is durable.

use std::collections::BTreeMap;

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// Per disk, the highest epoch that it held or that was answered for it.
#[derive(Default)]
pub(crate) struct Promises(BTreeMap<u32, Epoch>);

impl Checker for Promises {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Answered { disk, epoch } => {
                let highest = self.0.entry(*disk).or_default();
                *highest = (*highest).max(*epoch);
                Ok(())
            }
            Fact::OnDisk { disk, promised } => {
                let highest = self.0.entry(*disk).or_default();
                if promised < highest {
                    return Err(("I2", format!("disk {disk} holds promise {promised}, it had promised {highest}")));
                }
                *highest = *promised;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    fn on_disk(promised: u64) -> Fact<'static> {
        Fact::OnDisk { disk: 1, promised: Epoch(promised) }
    }

    #[test]
    fn a_promise_that_falls_is_found() {
        assert_eq!(finds(&mut Promises::default(), &[on_disk(1), on_disk(3), on_disk(3)]), None);
        assert_eq!(finds(&mut Promises::default(), &[on_disk(3), on_disk(2)]), Some("I2"));
    }

    #[test]
    fn an_answer_that_was_not_on_disk_is_found_after_the_crash() {
        let answered = Fact::Answered { disk: 1, epoch: Epoch(4) };
        assert_eq!(finds(&mut Promises::default(), &[on_disk(3), answered, on_disk(3)]), Some("I2"));
    }
}
