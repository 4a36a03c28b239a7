//! Quorate runs network-automation tasks on exactly one of N agents, and keeps doing so when agents die.
//!
//! The rooms, lowest floor first (see ARCHITECTURE.md):

// Floor 1: pure, strangers to each other.
pub mod cluster;
pub mod keyring;
pub mod state;
pub mod task;

// Floor 1 as well: what is remembered of tasks.
pub mod notify;
pub mod roster;

// Floor 1 too: whom a connection trusts.
pub mod tls;

// Floor 1: who may do what.
pub mod access;

// Floor 2: effects, strangers to each other.
pub mod audit;
pub mod guardian;
pub mod source;
pub mod store;
pub mod terraform;

// Floor 3: the only one that holds both.
pub mod runtime;

// Floor 4: faces.
pub mod config;
pub mod http;

// Floor 5.
pub mod cli;

#[cfg(test)]
mod generated;
