//! A cluster of real agents for tests and benchmarks: [`Site`] is the cluster, [`Agent`] one of its processes.
//!
//! A benchmark includes it with `#[path = "../tests/cluster/harness/mod.rs"] mod harness;`.

pub(crate) mod agent;
pub(crate) mod config;
pub(crate) mod http;
pub(crate) mod net;
#[path = "../../ports/mod.rs"]
pub(crate) mod ports;
pub(crate) mod processes;
pub(crate) mod resource;
pub(crate) mod site;
pub(crate) mod wait;

pub(crate) use config::{Mode, Shape, Task};
pub(crate) use site::Site;
pub(crate) use wait::eventually;
