//! Access control with real agents: who makes the first token, what each role may do on every agent, what becomes of a token
//! that is revoked, and that no secret is where it should not be.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]
#![expect(clippy::print_stdout, reason = "times are printed for reading")]

#[path = "../certificates/mod.rs"]
#[expect(dead_code, reason = "shared with others that use all of it")]
mod certificates;
mod cluster;
mod events;
mod harness;
mod logs;
#[path = "../ports/mod.rs"]
mod ports;
mod single;
