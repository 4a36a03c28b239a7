//! Two resources outside of the cluster: one compares the fencing token, the other cannot.

use quorate_proto::Epoch;

use super::clock::Real;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    fence: Epoch,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    /// Highest epoch that touched the unfenced one, and when it did last.
    unfenced: Option<(Epoch, Real)>,
    /// How often an effect of an older epoch came after one of a newer.
    pub(crate) overtaken: u64,
}

impl Resources {
    /// The fenced one: refuses what is older than the newest it has seen.
    pub(crate) fn fenced(&mut self, token: Epoch) -> bool {
        let accepted = token >= self.fence;
        if accepted {
            self.fence = token;
            self.accepted += 1;
        } else {
            self.refused += 1;
        }
        accepted
    }

    /// The unfenced one: accepts all; says whether a newer epoch was there before.
    pub(crate) fn unfenced(&mut self, epoch: Epoch, at: Real) -> bool {
        let overtaken = self.unfenced.is_some_and(|(newest, _)| newest > epoch);
        self.overtaken += u64::from(overtaken);
        if !overtaken {
            self.unfenced = Some((epoch, at));
        }
        overtaken
    }
}
