//! No timer storm: a process that was woken at its deadline does not ask for a past one again and again.

use std::collections::BTreeMap;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// So often in a row is not yet a storm.
const PATIENCE: u32 = 8;

/// How often in a row, per process.
#[derive(Default)]
pub(crate) struct Timers(BTreeMap<u32, u32>);

impl Checker for Timers {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Sleeps { life } => {
                self.0.remove(life);
                Ok(())
            }
            Fact::Spins { life, reason } => {
                let spins = self.0.entry(*life).or_default();
                *spins += 1;
                if *spins > PATIENCE {
                    return Err(("timers", format!("process {life} wants to be woken without end to {reason:?}")));
                }
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

    #[test]
    fn a_storm_is_found() {
        let spin = Fact::Spins { life: 1, reason: "a reason" };
        let mut history = vec![spin.clone(); PATIENCE as usize];
        assert_eq!(finds(&mut Timers::default(), &history), None);
        history.push(Fact::Sleeps { life: 1 });
        history.push(spin.clone());
        assert_eq!(finds(&mut Timers::default(), &history), None);
        let storm = vec![spin; PATIENCE as usize + 1];
        assert_eq!(finds(&mut Timers::default(), &storm), Some("timers"));
    }
}
