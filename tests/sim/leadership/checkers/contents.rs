//! I4 and I5 for large values: whoever leads can read the contents that its registers name.

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// See the module.
#[derive(Default)]
pub(crate) struct Contents;

impl Checker for Contents {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Contents { key, epoch, here: false } => {
                Err(("contents", format!("the leader of epoch {epoch} has {key}, but not its contents")))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use quorate_proto::Epoch;

    #[test]
    fn a_leader_without_the_contents_is_found() {
        let fact = |here| Fact::Contents { key: "k", epoch: Epoch(2), here };
        assert_eq!(finds(&mut Contents, &[fact(true), fact(true)]), None);
        assert_eq!(finds(&mut Contents, &[fact(true), fact(false)]), Some("contents"));
    }
}
