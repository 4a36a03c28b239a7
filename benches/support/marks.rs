//! The task that the agents run: it notes when it began. The file is the witness of who led when.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One run of the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// When it began, on `CLOCK_MONOTONIC`.
    pub(crate) at: Duration,
    /// Under which epoch.
    pub(crate) epoch: u64,
    /// On which agent.
    pub(crate) agent: String,
}

/// `CLOCK_MONOTONIC`, the same in every process of this machine.
pub(crate) fn now() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    Duration::from_secs(part(now.tv_sec)) + Duration::from_nanos(part(now.tv_nsec))
}

/// What the task does: appends one line. `words` are the file and the agent.
pub(crate) fn leave(words: &[String], epoch: &str) -> std::io::Result<()> {
    let at = now().as_nanos();
    let [file, agent] = words else { return Err(std::io::Error::other("mark FILE AGENT")) };
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(format!("{at} {epoch} {agent}\n").as_bytes())
}

/// All marks so far, in the order they were left. A line that is not complete yet is not one.
pub(crate) fn read(file: &Path) -> Vec<Mark> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let at = Duration::from_nanos(fields.next()?.parse().ok()?);
        Some(Mark { at, epoch: fields.next()?.parse().ok()?, agent: fields.next()?.to_owned() })
    };
    complete.lines().filter_map(parse).collect()
}
