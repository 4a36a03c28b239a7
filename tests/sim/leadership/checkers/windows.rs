//! I6: the act windows of two epochs never overlap in real time.
//!
//! The world leaves out hosts whose clock it has driven beyond the bound or frozen: there the argument does not hold,
//! and overlaps are only counted.

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// See the module.
#[derive(Default)]
pub(crate) struct Windows;

impl Checker for Windows {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Windows { open } = fact else { return Ok(()) };
        let Some((first, rest)) = open.split_first() else { return Ok(()) };
        match rest.iter().find(|other| *other != first) {
            None => Ok(()),
            Some((epoch, who)) => {
                let text = format!("{} may act under epoch {} and {who} under {epoch} at once", first.1, first.0);
                Err(("I6", text))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use crate::leadership::facts::Who;
    use quorate_proto::Epoch;

    #[test]
    fn two_open_windows_are_found() {
        let one = (Epoch(1), Who { host: 0, disk: 0, life: 0 });
        let two = (Epoch(2), Who { host: 1, disk: 1, life: 1 });
        assert_eq!(finds(&mut Windows, &[Fact::Windows { open: &[] }, Fact::Windows { open: &[one] }]), None);
        assert_eq!(finds(&mut Windows, &[Fact::Windows { open: &[one, two] }]), Some("I6"));
    }
}
