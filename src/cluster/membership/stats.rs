//! What membership counts (rule R13). Suspicions are the early warning; a Down is too late for one.

use std::collections::BTreeMap;
use std::time::Duration;

/// Counters since start, and a few present values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// SWIM datagrams handed in.
    pub packets_in: u64,
    /// SWIM datagrams handed out.
    pub packets_out: u64,
    /// Their bytes, without the envelope.
    pub bytes_in: u64,
    /// Their bytes, without the envelope.
    pub bytes_out: u64,
    /// Probes of this agent that failed: each starts a suspicion or confirms one.
    pub suspicions: u64,
    /// Suspicions of others about this agent that it refuted.
    pub refutations: u64,
    /// Suspicions that were refuted before their time was up, and whose timer was dropped for it (R6).
    pub stale_timers: u64,
    /// Times this agent took a new bump, because others held it as down.
    pub renewals: u64,
    /// Times it took a newer generation, because others remembered one (R8).
    pub adoptions: u64,
    /// Times probing had stopped and was started again (R12).
    pub rebuilds: u64,
    /// Announces to seeds and missing members.
    pub announces: u64,
    /// What went wrong, by kind. None of it stops anything.
    pub errors: BTreeMap<&'static str, u64>,
    /// Updates waiting to be gossiped.
    pub backlog: usize,
    /// Members by state, this agent included: alive, suspect, down, left.
    pub members: [usize; 4],
    /// Where this agent stands with the others: alone, declared down, active, leaving, left.
    pub standing: &'static str,
    /// Local health, 0 (well) to 8: probe timers are multiplied by this plus one.
    pub health: u8,
    /// How late the last timer was handled.
    pub late_last: Duration,
    /// The worst of that.
    pub late_max: Duration,
}

impl Stats {
    pub(super) fn count(&mut self, error: &'static str) {
        *self.errors.entry(error).or_default() += 1;
    }

    pub(super) fn count_foca(&mut self, error: &foca::Error) {
        self.count(match error {
            foca::Error::DataTooBig => "too_big",
            foca::Error::NotUndead | foca::Error::SameIdentity | foca::Error::InvalidConfig => "misuse",
            foca::Error::NotConnected => "not_connected",
            foca::Error::IncompleteProbeCycle => "incomplete_probe",
            foca::Error::DataFromOurselves => "from_ourselves",
            foca::Error::IndirectForOurselves => "indirect_for_ourselves",
            foca::Error::MalformedPacket => "malformed",
            foca::Error::Encode(_) => "encode",
            foca::Error::Decode(_) => "decode",
            foca::Error::CustomBroadcast(_) => "broadcast",
        });
    }
}
