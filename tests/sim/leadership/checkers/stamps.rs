//! I3: a stamp names one batch for ever, so a key with a stamp has one value.

use std::collections::BTreeMap;

use quorate_proto::Stamp;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// What each key held under each stamp.
#[derive(Default)]
pub(crate) struct Stamps(BTreeMap<(Stamp, String), Option<Vec<u8>>>);

impl Checker for Stamps {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Stamped { key, stamp, value } = fact else { return Ok(()) };
        let known = self.0.entry((*stamp, (*key).to_owned())).or_insert_with(|| value.map(<[u8]>::to_vec));
        if known.as_deref() == *value {
            return Ok(());
        }
        Err(("I3", format!("stamp {stamp} of {key} names {known:?} and {value:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::finds;
    use super::*;
    use quorate_proto::{Epoch, Seq};

    #[test]
    fn two_values_under_one_stamp_are_found() {
        let stamp = Stamp { epoch: Epoch(2), seq: Seq(3) };
        let fact = |value: &'static [u8]| Fact::Stamped { key: "k", stamp, value: Some(value) };
        assert_eq!(finds(&mut Stamps::default(), &[fact(b"a"), fact(b"a")]), None);
        assert_eq!(finds(&mut Stamps::default(), &[fact(b"a"), fact(b"b")]), Some("I3"));
    }
}
