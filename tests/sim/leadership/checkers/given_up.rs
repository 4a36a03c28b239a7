//! Section 12: a claim that was given up is never acted on.

use std::collections::BTreeSet;

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// Which processes gave which epochs up.
#[derive(Default)]
pub(crate) struct GivenUp(BTreeSet<(u32, Epoch)>);

impl Checker for GivenUp {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::GivesUp { epoch, who } => {
                self.0.insert((who.life, *epoch));
                Ok(())
            }
            Fact::Leads { epoch, who } if self.0.contains(&(who.life, *epoch)) => {
                Err(("given up", format!("{who} acts under epoch {epoch}, which it has given up")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use crate::leadership::facts::Who;

    #[test]
    fn a_leader_of_a_claim_that_it_gave_up_is_found() {
        let who = |life| Who { host: 0, disk: 1, life };
        let leads = |epoch, life| Fact::Leads { epoch: Epoch(epoch), who: who(life) };
        let gives_up = Fact::GivesUp { epoch: Epoch(3), who: who(7) };
        assert_eq!(finds(&mut GivenUp::default(), &[gives_up.clone(), leads(4, 7), leads(3, 8)]), None);
        assert_eq!(finds(&mut GivenUp::default(), &[gives_up, leads(3, 7)]), Some("given up"));
    }
}
