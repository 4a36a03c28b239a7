//! I11: one cluster comes out of one founding.

use quorate_proto::ClusterId;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// The cluster that was formed first.
#[derive(Default)]
pub(crate) struct Clusters(Option<ClusterId>);

impl Checker for Clusters {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Formed { cluster } = fact else { return Ok(()) };
        let first = self.0.get_or_insert(*cluster);
        if first == cluster {
            return Ok(());
        }
        Err(("I11", format!("two clusters were founded: {first} and {cluster}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;

    #[test]
    fn a_second_cluster_is_found() {
        let fact = |n| Fact::Formed { cluster: ClusterId([n; 16]) };
        assert_eq!(finds(&mut Clusters::default(), &[fact(1), fact(1)]), None);
        assert_eq!(finds(&mut Clusters::default(), &[fact(1), fact(2)]), Some("I11"));
    }
}
