//! The guardian on real processes: runs that end well, runs that resist, agents that die.

mod agents;
mod runs;
mod stops;
mod support;
