//! What the tests share: an agent in this process, leases, and eyes on `/proc`.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use quorate::cluster::leadership::Lease;
use quorate::guardian::{Cause, Containment, Exit, Guardian, GuardianError, Notice, RunKey, Spawn, Stream};
use quorate::runtime::clock;
use quorate_proto::Epoch;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

/// Generous: the machine may be busy. No test waits this long when it passes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Both ways to hold a run together.
pub(crate) const BOTH: [Containment; 2] = [Containment::Best, Containment::NoCgroups];

/// An agent with its guardian.
pub(crate) struct Agent {
    pub(crate) guardian: Guardian,
    pub(crate) notices: mpsc::Receiver<Notice>,
}

/// How a run ended, and all it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) by: Cause,
    pub(crate) swept: u32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) lost: u64,
}

/// A lease from now on.
pub(crate) fn lease(epoch: u64, length: Duration) -> Lease {
    Lease::fabricated(Epoch(epoch), clock::now(), length)
}

/// A lease that no test outlives.
pub(crate) fn long_lease() -> Lease {
    lease(1, Duration::from_mins(10))
}

/// A number that no other run has: as an argument of `sleep` it marks a process, whatever happens to its environment.
pub(crate) fn marker() -> String {
    format!("99999.{}", Uuid::new_v4().as_u128())
}

/// A run of a task of its own: `sh -c script` with a `PATH` and 300 ms of grace.
pub(crate) fn shell(script: &str) -> Spawn {
    let id = Uuid::new_v4();
    let mut spawn = Spawn::new(RunKey::new(format!("task-{id}"), id), ["sh", "-c", script], "/");
    spawn.env.push((OsString::from("PATH"), std::env::var_os("PATH").unwrap_or_default()));
    spawn.grace = Duration::from_millis(300);
    spawn
}

impl Agent {
    pub(crate) fn start(containment: Containment) -> Self {
        let exe = Path::new(env!("CARGO_BIN_EXE_quorate"));
        let (guardian, notices) = Guardian::start_with(exe, containment).expect("start the guardian");
        Self { guardian, notices }
    }

    pub(crate) async fn spawn(&self, spawn: Spawn, lease: &Lease) -> Result<u32, GuardianError> {
        timeout(LIMIT, self.guardian.spawn(spawn, lease, Duration::ZERO, clock::now()))
            .await
            .expect("an answer in time")
    }

    pub(crate) async fn notice(&mut self) -> Notice {
        timeout(LIMIT, self.notices.recv()).await.expect("a notice in time").expect("an open channel")
    }

    /// Waits until a run has printed `up`.
    pub(crate) async fn up(&mut self) {
        loop {
            match self.notice().await {
                Notice::Output { bytes, .. } if String::from_utf8_lossy(&bytes).contains("up") => return,
                Notice::Output { .. } | Notice::Ready { .. } => {}
                other => panic!("not up: {other:?}"),
            }
        }
    }

    /// Waits for the end of a run.
    pub(crate) async fn ended(&mut self, key: &RunKey) -> Ended {
        let (mut stdout, mut stderr, mut all_lost) = (Vec::new(), Vec::new(), 0);
        loop {
            match self.notice().await {
                Notice::Output { run, stream, bytes, lost } if run == *key => {
                    all_lost += lost;
                    match stream {
                        Stream::Stdout => stdout.extend(bytes),
                        Stream::Stderr => stderr.extend(bytes),
                    }
                }
                Notice::Exited { run, exit, by, swept, .. } if run == *key => {
                    let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                    return Ended { exit, by, swept, stdout, stderr, lost: all_lost };
                }
                Notice::Lost { why } => panic!("the guardian is gone: {why}"),
                Notice::Output { .. } | Notice::Exited { .. } | Notice::Ready { .. } => {}
            }
        }
    }

    /// Runs to the end.
    pub(crate) async fn run(&mut self, spawn: Spawn) -> Ended {
        let key = spawn.run.clone();
        self.spawn(spawn, &long_lease()).await.expect("start the run");
        self.ended(&key).await
    }
}

/// Processes whose command line holds `marker`; zombies have none.
pub(crate) fn alive(marker: &str) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc").expect("read /proc").flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let has_it = |pid: &u32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&words).contains(marker)
    };
    pids.filter(has_it).collect()
}

/// Waits until a condition holds.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = clock::now();
    while !condition() {
        assert!(clock::now().since(begun) < LIMIT, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state letter of a process; `None` when there is none.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether a process exists and is not a zombie.
pub(crate) fn exists(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

pub(crate) fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid")
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill_process(pid_of(pid), signal).expect("signal a process of ours");
}
