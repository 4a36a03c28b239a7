//! One agent: its directory, its file, its process, its guardian.

use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::Signal;

use super::http::Door;
use super::net;
use super::processes::{self, Process};
use super::wait::eventually;

/// See the module. Derefs to the [`Door`] to its API.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) dir: PathBuf,
    pub(crate) gossip: SocketAddr,
    /// More of its environment.
    pub(crate) env: Vec<(String, String)>,
    door: Door,
    child: Option<Child>,
    /// All that it ever had: they must not outlive the test.
    guardians: Vec<Process>,
}

impl Deref for Agent {
    type Target = Door;
    fn deref(&self) -> &Door {
        &self.door
    }
}

impl Agent {
    pub(crate) fn new(id: &str, dir: PathBuf, gossip: SocketAddr, door: Door) -> Self {
        std::fs::create_dir_all(&dir).expect("make the agent's directory");
        Self { id: id.to_owned(), dir, gossip, env: Vec::new(), door, child: None, guardians: Vec::new() }
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.join("quorate.hcl")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn log_file(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// All it has ever logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Until it has logged these words. The log is written by a thread of its own, a moment later.
    pub(crate) fn wait_log(&self, words: &str) {
        eventually(&format!("{} logs {words:?}", self.id), || self.log().contains(words));
    }

    /// The way to its API, for other threads.
    pub(crate) fn door(&self) -> Door {
        self.door.clone()
    }

    /// `quorate start -config-file ..`, logging to its file.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.id);
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).expect("open the log");
        let mut command = Command::new(binary());
        command.args(["start", "-config-file"]).arg(self.config()).current_dir(&self.dir);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a second handle")).stderr(log);
        let mut spawn = || command.spawn().expect("start an agent");
        self.child = Some(match &self.door.namespace {
            None => spawn(),
            Some(namespace) => net::inside(namespace, spawn),
        });
    }

    /// Until its API answers and its guardian is known.
    pub(crate) fn wait_up(&mut self) {
        let (door, id) = (self.door(), self.id.clone());
        eventually(&format!("the API of {id} answers"), || {
            assert!(self.is_running(), "{id} ended: {}", tail(&self.log(), 20));
            door.get("/livez").is_some()
        });
        self.find_guardian();
    }

    /// The process of the agent.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running agent").id()
    }

    /// Its guardian.
    pub(crate) fn find_guardian(&mut self) -> Option<Process> {
        let guardian = self.child.as_ref().and_then(|child| processes::guardian_of(child.id()));
        self.guardians.extend(guardian.filter(|g| !self.guardians.contains(g)));
        guardian
    }

    /// Whether the process has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        self.find_guardian();
        Process::of(self.pid()).expect("a running agent").signal(signal);
    }

    /// SIGKILL, and the corpse is taken away.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.wait_end();
    }

    /// SIGKILL to its guardian and to itself: nobody is left to say a word.
    pub(crate) fn kill_with_guardian(&mut self) {
        let guardian = self.find_guardian().expect("a guardian");
        // Each would speak for the other.
        self.signal(Signal::STOP);
        guardian.signal(Signal::KILL);
        self.kill();
    }

    /// Waits for its end.
    pub(crate) fn wait_end(&mut self) -> ExitStatus {
        let id = self.id.clone();
        eventually(&format!("{id} ends"), || !self.is_running());
        self.child.take().expect("a started agent").wait().expect("its status")
    }

    /// Ends it whatever it does, guardians last: they end what it ran.
    pub(super) fn clear_away(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.guardians.extend(processes::guardian_of(child.id()));
            drop(child.kill());
            drop(child.wait());
        }
    }

    pub(super) fn living_guardians(&self) -> Vec<Process> {
        self.guardians.iter().copied().filter(|guardian| guardian.is_alive()).collect()
    }
}

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_quorate"))
}

/// The last lines of a text.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
