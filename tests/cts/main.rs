//! CTS's acceptance list (`reference/cts.md` section 8) with the real program, a real Consul and real Terraform.
//! `docs/cts-scenarios.md` says which test stands for which scenario.
//!
//! Needs `terraform` or `tofu` on the PATH and Consul (`scripts/fetch-consul`; `CONSUL` names another): without them these tests
//! fail, unless scripts/test leaves them out (tests/needs.txt). All traffic stays on loopback, no module downloads anything.
//!
//! That a change makes nothing run is shown by later changes that do, and by counting the events in between.

#![expect(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

#[path = "../certificates/mod.rs"]
mod certificates;
#[expect(dead_code, unused_imports, reason = "what only the tests of the cluster need")]
#[path = "../cluster/harness/mod.rs"]
mod cluster;
mod harness;

mod api;
mod catalog;
mod failover;
mod kv;
mod moving;
mod process;
mod registration;
mod schedule;
mod secured;
mod services;
