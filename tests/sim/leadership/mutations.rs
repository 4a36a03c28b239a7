//! Each rule taken away is found: a checker that finds nothing in broken code proves nothing (protocol-safety 11).

use super::scenario::Scenario;

/// Scenarios made for one rule each.
pub(crate) fn scenarios() -> Vec<Scenario> {
    Vec::new()
}
