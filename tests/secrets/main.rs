//! Secrets, with real agents: a value that a run is given is in the run and nowhere else, a run sees what it shall see and has
//! the rights and bounds that it shall have, and state that is kept on disks cannot be read there.
//!
//! Needs Terraform on the PATH; `users` and `bounds` need root.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

#[expect(dead_code, reason = "shared with other tests")]
#[path = "../daemon/agent.rs"]
mod agent;
mod asking;
mod at_rest;
mod bounds;
mod environment;
#[expect(dead_code, unused_imports, reason = "shared with other tests")]
#[path = "../cluster/harness/mod.rs"]
mod harness;
mod search;
mod users;
mod values;
mod vault;
