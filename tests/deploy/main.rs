//! What lies in `deploy/` and the pages that go with it: the unit, alerts, dashboard, chart and job, against the real program.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests wait on the real clock")]

mod agent;
mod files;
mod operations;
#[path = "../ports/mod.rs"]
mod ports;
mod promtool;
mod service;
mod unit;
