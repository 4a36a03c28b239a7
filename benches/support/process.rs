//! What `/proc` knows of a process: its children, the time it has used, the memory it holds.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What a process holds, in KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident pages.
    pub(crate) resident: u64,
    /// Resident pages, those shared with others divided by how many share them.
    pub(crate) proportional: u64,
}

/// Signals a process that has not been waited for.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        kill_process(pid, signal).ok();
    }
}

/// The guardian of an agent: its child of that name.
pub(crate) fn guardian_of(agent: u32) -> Option<u32> {
    let children = |task: PathBuf| std::fs::read_to_string(task.join("children")).unwrap_or_default();
    let all: Vec<String> = tasks(agent).map(children).collect();
    let mut pids = all.iter().flat_map(|text| text.split_whitespace()).filter_map(|pid| pid.parse().ok());
    pids.find(|pid| words(*pid).nth(1).as_deref() == Some("guardian"))
}

/// CPU time of all threads that live now.
pub(crate) fn cpu(pid: u32) -> Duration {
    threads(pid).into_iter().map(|(_, used)| used).sum()
}

/// Name and CPU time of each thread that lives now.
pub(crate) fn threads(pid: u32) -> Vec<(String, Duration)> {
    let read = |task: PathBuf| {
        let name = std::fs::read_to_string(task.join("comm")).ok()?;
        let schedule = std::fs::read_to_string(task.join("schedstat")).ok()?;
        let used = schedule.split_whitespace().next()?.parse().ok()?;
        Some((name.trim().to_owned(), Duration::from_nanos(used)))
    };
    tasks(pid).filter_map(read).collect()
}

/// What it holds now.
pub(crate) fn memory(pid: u32) -> Memory {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Memory { resident: field("Rss:"), proportional: field("Pss:") }
}

fn tasks(pid: u32) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn words(pid: u32) -> impl Iterator<Item = String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).split('\0').map(str::to_owned).collect::<Vec<_>>().into_iter()
}
