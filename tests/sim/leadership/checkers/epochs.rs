//! The highest epoch that a process knows never falls.

use std::collections::BTreeMap;

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// Per process.
#[derive(Default)]
pub(crate) struct Epochs(BTreeMap<u32, Epoch>);

impl Checker for Epochs {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Knows { life, epoch } = fact else { return Ok(()) };
        let known = self.0.entry(*life).or_default();
        if epoch < known {
            return Err(("epoch", format!("process {life} knew epoch {known} and now knows only {epoch}")));
        }
        *known = *epoch;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn an_epoch_that_falls_is_found() {
        let fact = |life, epoch| Fact::Knows { life, epoch: Epoch(epoch) };
        assert_eq!(finds(&mut Epochs::default(), &[fact(1, 5), fact(2, 1), fact(1, 5)]), None);
        assert_eq!(finds(&mut Epochs::default(), &[fact(1, 5), fact(1, 4)]), Some("epoch"));
    }
}
