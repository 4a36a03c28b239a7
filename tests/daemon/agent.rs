//! A single agent as a process: its files, its log, its end.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A directory to start agents in.
#[derive(Debug)]
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Writes a file, making the directories above it.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// All that is in it, sorted: to see that something changed nothing.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.current_dir(self.0.path()).args(args).env_remove("CONSUL_HTTP_ADDR").env_remove("VAULT_ADDR");
        command
    }

    /// Runs a command that ends by itself.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    /// An agent with this configuration on a free port; waits until its API listens.
    pub(crate) fn start(&self, config: &str) -> Agent {
        self.file("agent.hcl", format!("id = \"a1\"\nhttp_addr = \"127.0.0.1:0\"\n{config}"));
        let log = fs::File::create(self.path("log")).unwrap();
        let child = self
            .command(&["start", "-config-file", "agent.hcl"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut agent = Agent { child, log: self.path("log"), addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = agent.logged("the HTTP API listens");
        let after = line.split("address=").nth(1).unwrap();
        agent.addr = after.split_whitespace().next().unwrap().parse().unwrap();
        agent
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    child: Child,
    log: PathBuf,
    pub(crate) addr: SocketAddr,
}

impl Agent {
    /// All it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a line with these words.
    #[track_caller]
    pub(crate) fn logged(&mut self, words: &str) -> String {
        let started = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && started.elapsed() < PATIENCE, "{ended:?} without {words:?}:\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Also after a failed assertion; it may have ended.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
