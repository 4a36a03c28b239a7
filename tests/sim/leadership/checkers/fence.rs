//! I8: a resource's fence never goes down.

use quorate_proto::Epoch;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// The highest token accepted.
#[derive(Default)]
pub(crate) struct Fence(Epoch);

impl Checker for Fence {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Accepted { token } = fact else { return Ok(()) };
        if *token < self.0 {
            return Err(("I8", format!("token {token} was accepted after {}", self.0)));
        }
        self.0 = *token;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn an_older_token_that_was_accepted_is_found() {
        let fact = |token| Fact::Accepted { token: Epoch(token) };
        assert_eq!(finds(&mut Fence::default(), &[fact(1), fact(2), fact(2)]), None);
        assert_eq!(finds(&mut Fence::default(), &[fact(2), fact(1)]), Some("I8"));
    }
}
