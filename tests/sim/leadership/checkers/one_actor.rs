//! I1: at most one process ever acts under an epoch.

use std::collections::BTreeMap;

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::{Fact, Who};

/// Who acts under which epoch.
#[derive(Default)]
pub(crate) struct OneActor(BTreeMap<Epoch, Who>);

impl Checker for OneActor {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Leads { epoch, who } = fact else { return Ok(()) };
        let first = self.0.entry(*epoch).or_insert(*who);
        if first == who {
            return Ok(());
        }
        Err(("I1", format!("two processes act under epoch {epoch}: {first} and {who}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn two_processes_of_one_agent_under_one_epoch_are_found() {
        let who = |life| Who { host: 0, disk: 1, life };
        let fact = |epoch, life| Fact::Leads { epoch: Epoch(epoch), who: who(life) };
        assert_eq!(finds(&mut OneActor::default(), &[fact(1, 1), fact(1, 1), fact(2, 2)]), None);
        assert_eq!(finds(&mut OneActor::default(), &[fact(1, 1), fact(2, 2), fact(1, 2)]), Some("I1"));
    }
}
