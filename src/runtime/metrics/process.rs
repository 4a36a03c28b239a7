//! What every client library tells of its process, under the names that they all use. The guardian and the runs are not in it.

use std::fmt::Error;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::scrape::gauge;
use crate::runtime::clock;

/// See the module. Made when the process begins.
#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since 1970.
    started: f64,
}

impl Default for Process {
    fn default() -> Self {
        let milliseconds = u32::try_from(clock::utc().timestamp_millis() % 1000).unwrap_or(0);
        Self { started: seconds(clock::utc().timestamp()) + f64::from(milliseconds) / 1e3 }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; seconds and bytes fit it for ages")]
fn seconds(whole: i64) -> f64 {
    whole as f64
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let to = &mut encoder;
        gauge(to, "process_start_time_seconds", "When the process began, in seconds since 1970", &self.started)?;
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let nanoseconds = u32::try_from(used.tv_nsec).unwrap_or(0);
        let used = seconds(used.tv_sec) + f64::from(nanoseconds) / 1e9;
        to.encode_descriptor(
            "process_cpu_seconds",
            "Time of processors that the process has used.",
            None,
            MetricType::Counter,
        )?
        .encode_counter::<[(&str, &str); 0], f64, f64>(&used, None)?;
        if let Some(bytes) = resident() {
            gauge(to, "process_resident_memory_bytes", "Memory of the process that is in RAM", &bytes)?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            gauge(to, "process_open_fds", "Files and connections that are open", &open.count())?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge(to, "process_max_fds", "How many may be open", &most)?;
        }
        Ok(())
    }
}

/// In bytes.
fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()?.saturating_mul(1024))
}
