//! The guardian on real processes: runs that end well, runs that resist, agents that die.
#![expect(clippy::unwrap_used, reason = "a test may stop at what it did not expect")]

mod agents;
mod runs;
mod stops;
mod support;
