//! The program itself, one agent at a time: what it refuses at the start, and how its API answers then.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod agent;
mod cancel;
#[path = "../certificates/mod.rs"]
mod certificates;
mod check;
mod commands;
mod commands_tls;
mod input;
mod large;
#[path = "../ports/mod.rs"]
mod ports;
mod process;
mod socket;
mod syslog;
mod tasks;
mod tls;
