//! The labels of metrics, and what their values come from.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::histogram::Histogram;

/// A label whose value one of our own enums or literals gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Word(pub(super) &'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByState {
    pub(super) state: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByDirection {
    pub(super) direction: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReason {
    pub(super) reason: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BySink {
    pub(super) sink: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByKind {
    pub(super) kind: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByNoticeAndOutcome {
    /// Of the configuration, so there are only so many.
    pub(super) notify: String,
    pub(super) outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTask {
    pub(super) task: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByTaskAndOutcome {
    pub(super) task: String,
    pub(super) outcome: Word,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByEndpointAndStatus {
    pub(super) endpoint: Word,
    pub(super) status: u16,
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To this agent.
    In,
    /// From this agent.
    Out,
}

impl Direction {
    pub(super) fn word(self) -> Word {
        Word(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did its work.
    Success,
    /// It made a plan that waits for approval.
    Planned,
    /// It did not.
    Failure,
    /// It was stopped because the lease ended, at a hand-over or at shutdown.
    Interrupted,
    /// Somebody cancelled it.
    Cancelled,
    /// It took longer than its `timeout`.
    TimedOut,
}

impl Outcome {
    pub(super) const ALL: [Self; 5] =
        [Self::Success, Self::Failure, Self::Interrupted, Self::Cancelled, Self::TimedOut];

    pub(super) fn word(self) -> Word {
        Word(match self {
            Self::Success => "success",
            Self::Planned => "planned",
            Self::Failure => "failure",
            Self::Interrupted => "interrupted",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed-out",
        })
    }
}

#[derive(Debug, Clone)]
pub(super) struct RunSeconds;

impl MetricConstructor<Histogram> for RunSeconds {
    /// From a script of 100 ms to an apply of half an hour. Few: each task has as many series.
    fn new_metric(&self) -> Histogram {
        Histogram::new([0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1800.0])
    }
}
