//! What the benchmarks share.

pub(crate) mod agent;
pub(crate) mod marks;
pub(crate) mod net;
pub(crate) mod process;
pub(crate) mod report;
pub(crate) mod site;
pub(crate) mod wait;
