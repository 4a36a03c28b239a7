//! A process that has said that it must stop asks for nothing more.

use std::collections::BTreeSet;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// Those that said so.
#[derive(Default)]
pub(crate) struct Silence(BTreeSet<u32>);

impl Checker for Silence {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        match fact {
            Fact::Fatal { life } => {
                self.0.insert(*life);
                Ok(())
            }
            Fact::Output { life } if self.0.contains(life) => {
                Err(("fatal", format!("process {life} goes on after it said that it must stop")))
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
    fn output_after_the_end_is_found() {
        let (fatal, output) = (Fact::Fatal { life: 1 }, Fact::Output { life: 1 });
        let others = [fatal.clone(), Fact::Output { life: 2 }];
        assert_eq!(finds(&mut Silence::default(), &others), None);
        assert_eq!(finds(&mut Silence::default(), &[output.clone(), fatal, output]), Some("fatal"));
    }
}
