//! Whole clusters: real agents, configured by files, asked over HTTP, killed, stopped and cut off, and judged by what
//! their tasks did to a file outside of them.
//!
//! The file is the resource that must never be touched by two runs of one task at once. Runs append a line when they
//! start, every few milliseconds while they live, and when they end; the order of the lines is the order of the effects,
//! so overlaps and falling epochs are seen without trusting any clock ([`harness::resource`]).
//!
//! Each test has its own directory, ports (or network namespaces), key and agents. It waits for conditions, never for
//! time to pass, and a failure prints the end of each agent's log. Times that a test prints (`cargo test --test cluster --
//! --nocapture`) are for reading, not asserted.
//!
//! Needs bash, strace, terraform or tofu on the PATH and, for the partitions, root with iproute2 and nftables.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests measure on the real clocks")]
#![expect(clippy::print_stdout, reason = "times are printed for reading")]

mod approval;
mod cancel;
mod disk;
mod drift;
mod failover;
mod formation;
mod harness;
mod identity;
mod module;
mod notify;
mod partition;
mod replication;
mod requests;
mod state;
mod strangers;
mod survival;
mod voters;
