//! The API of real agents and those who mean it no good: floods, slow clients, and what is written down of who changed what.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests measure on the real clocks")]
#![expect(clippy::print_stdout, reason = "what was measured is printed for reading")]

mod audit;
mod flood;
#[path = "../cluster/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the harness of the cluster tests, of which a part is needed")]
mod harness;
mod slow;
mod sockets;
