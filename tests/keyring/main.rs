//! The keys of a cluster's traffic, with real agents: they are changed while a task ticks, members miss it, strangers knock and
//! flood.
//!
//! `QUORATE_FLOOD_SECONDS` and `QUORATE_FLOOD_RATE` (datagrams a second) make the flood longer and steady; `scripts/bench-flood`
//! sets them.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests measure on the real clocks and read their own settings")]
#![expect(clippy::print_stdout, reason = "what was measured is printed for reading")]

mod door;
mod flood;
#[path = "../cluster/harness/mod.rs"]
#[expect(dead_code, unused_imports, reason = "made for the tests of clusters; this one needs a part of it")]
mod harness;
mod missed;
mod plain;
mod rotation;
mod support;
