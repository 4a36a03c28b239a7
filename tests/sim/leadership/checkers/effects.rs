//! I7: every effect starts inside an act window of a live epoch: the lease in hand was live when it was checked, and
//! no higher epoch has had an effect before (unless the clocks of the host are excused, or a pause came in between).

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::{Fact, Who};

/// The newest epoch that had an effect.
#[derive(Default)]
pub(crate) struct Effects(Option<(Epoch, Who)>);

impl Checker for Effects {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Effect { epoch, who, live, excused } = fact else { return Ok(()) };
        if !live {
            return Err(("I7", format!("{who} acted under epoch {epoch} without a live lease")));
        }
        if let Some((newest, by)) = self.0
            && newest > *epoch
        {
            if *excused {
                return Ok(());
            }
            return Err(("I7", format!("{who} acted under epoch {epoch} after {by} did under epoch {newest}")));
        }
        self.0 = Some((*epoch, *who));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn an_effect_of_a_lapsed_or_older_epoch_is_found() {
        let who = Who { host: 0, disk: 0, life: 0 };
        let fact = |epoch, live, excused| Fact::Effect { epoch: Epoch(epoch), who, live, excused };
        assert_eq!(finds(&mut Effects::default(), &[fact(1, true, false), fact(2, true, false)]), None);
        assert_eq!(finds(&mut Effects::default(), &[fact(1, false, false)]), Some("I7"));
        assert_eq!(finds(&mut Effects::default(), &[fact(2, true, false), fact(1, true, false)]), Some("I7"));
        assert_eq!(finds(&mut Effects::default(), &[fact(2, true, false), fact(1, true, true)]), None);
    }
}
