//! I3: a stamp names one batch for ever, so a key with a stamp has one value.

use std::collections::BTreeMap;

use quorate_proto::Stamp;
use quorate_proto::message::Value;

use super::{Broken, Checker};
use crate::leadership::facts::Fact;

/// What each key held under each stamp.
#[derive(Default)]
pub(crate) struct Stamps(BTreeMap<(Stamp, String), Option<Value>>);

impl Checker for Stamps {
    fn check(&mut self, fact: &Fact<'_>) -> Result<(), Broken> {
        let Fact::Stamped { key, stamp, value } = fact else { return Ok(()) };
        let known = self.0.entry((*stamp, (*key).to_owned())).or_insert_with(|| value.cloned());
        if known.as_ref() == *value {
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
        let [a, b] = [b"a", b"b"].map(|text| Value::Inline(text.to_vec()));
        let fact = |value| Fact::Stamped { key: "k", stamp, value: Some(value) };
        assert_eq!(finds(&mut Stamps::default(), &[fact(&a), fact(&a)]), None);
        assert_eq!(finds(&mut Stamps::default(), &[fact(&a), fact(&b)]), Some("I3"));
    }
}
