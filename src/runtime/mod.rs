//! The only room that holds both the pure core and the drivers: clocks, sockets, the loops, the handle.
//!
//! [`Agent::start`] brings everything up: the gossip thread ([`core`]), the disk thread ([`persist`]), the control connections
//! ([`control`]), the guardian, and the loop that gives leases to tasks and runs to the guardian ([`agent`]).

pub mod access;
pub mod address;
pub mod agent;
pub mod at_rest;
pub mod blobs;
pub mod check;
pub mod clock;
pub mod control;
pub mod core;
mod event_log;
pub mod event_stream;
pub mod fail_stop;
pub mod fetch;
pub mod handle;
mod history;
pub mod journal;
pub mod keyring;
pub mod logs;
pub mod metrics;
mod notices;
pub mod persist;
pub mod plans;
mod pulse;
pub mod replica;
mod resolve;
mod runs;
pub mod settings;
mod snapshot;
pub mod state;
mod strangers;
mod udp_queue;

pub use agent::{Agent, StartError};
pub use handle::Handle;
pub use pulse::Pulse;
pub use settings::Settings;
