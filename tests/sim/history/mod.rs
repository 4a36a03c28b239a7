//! Histories of what clients asked and were told, and whether one order of events explains them (linearizability).
//!
//! One history per object: an operation takes effect at one moment between its call and its answer. One that was never
//! answered may take effect at any later moment, or never. [`check`] looks for such an order; [`object`] says what
//! an operation does to an object.

mod check;
pub(crate) mod object;
#[cfg(test)]
mod tests;

pub(crate) use check::{LONGEST, check};
pub(crate) use object::{Answer, Object, Op};

/// One operation as its client saw it. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) op: Op,
    pub(crate) asked: u64,
    /// When it was answered, and how; `None`: the outcome is unknown.
    pub(crate) answered: Option<(u64, Answer)>,
}
