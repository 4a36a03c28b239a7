//! Eyes on `/proc`: who is alive, and who carries our mark.

use rustix::process::{Pid, Signal, kill_process};

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: stat(pid)?.get(19)?.parse().ok()? })
    }

    /// Whether it exists and is no zombie.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self) && state(self.pid).is_some_and(|state| state != 'Z')
    }

    /// Signals it, unless it is gone.
    pub(crate) fn signal(self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw)
        {
            // It may end in this very moment.
            kill_process(pid, signal).ok();
        }
    }
}

/// The state letter of a process (`T` stopped, `Z` zombie); `None` when there is none.
pub(crate) fn state(pid: u32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

/// Living processes with `mark` in their arguments.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    all().into_iter().filter(|process| words(process.pid).contains(mark)).collect()
}

/// The guardian of an agent: its child of that name.
pub(crate) fn guardian_of(agent: u32) -> Option<Process> {
    let child = |pid: u32| stat(pid).and_then(|stat| stat.get(1)?.parse().ok()) == Some(agent);
    all().into_iter().find(|process| child(process.pid) && words(process.pid).split(' ').any(|word| word == "guardian"))
}

/// The arguments, with blanks between them.
pub(crate) fn words(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn all() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(Process::of).filter(|process| process.is_alive()).collect()
}

/// The fields of `/proc/PID/stat` after the name: the state is number 0, the parent 1, the start time 19.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}
