//! A lease is never longer than the longest that any voter may grant.

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// See the module.
#[derive(Default)]
pub(crate) struct Leases;

impl Checker for Leases {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Lease { left, longest } = fact else { return Ok(()) };
        if left <= longest {
            return Ok(());
        }
        Err(("lease", format!("a lease has {left} us left, the longest grant is {longest} us")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn a_lease_that_is_too_long_is_found() {
        assert_eq!(finds(&mut Leases, &[Fact::Lease { left: 9, longest: 9 }]), None);
        assert_eq!(finds(&mut Leases, &[Fact::Lease { left: 10, longest: 9 }]), Some("lease"));
    }
}
