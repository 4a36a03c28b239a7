//! A cluster of real agents for tests and benchmarks: [`Site`] is the cluster, [`Agent`] one of its processes.
//!
//! A benchmark includes it with `#[path = "../tests/cluster/harness/mod.rs"] mod harness;`.

pub mod agent;
pub mod config;
pub mod http;
pub mod net;
pub mod processes;
pub mod resource;
pub mod site;
pub mod wait;

pub use config::{Mode, Shape, Task};
pub use site::Site;
pub use wait::eventually;
