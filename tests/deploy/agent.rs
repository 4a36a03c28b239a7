//! One agent as a process, for as long as a test needs it.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::ports::free_port;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits for a condition.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) dir: TempDir,
    pub(crate) addr: SocketAddr,
    child: Child,
}

impl Agent {
    /// With this text in its file and these variables.
    pub(crate) fn start(text: &str, variables: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("quorate-deploy-").tempdir().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let head = format!("id = \"a1\"\nhttp_addr = \"{addr}\"\ndata_dir = \"data\"\n");
        fs::write(dir.path().join("agent.hcl"), format!("{head}{text}")).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.args(["start", "-config-file", "agent.hcl"]).current_dir(dir.path()).envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { dir, addr, child }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// SIGTERM, and whether it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        self.signal(rustix::process::Signal::TERM);
        self.child.wait().unwrap().success()
    }

    /// A command at its API: whether it went well, and what it said.
    pub(crate) fn quorate(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        command.args(words).env("QUORATE_HTTP_ADDR", format!("http://{}", self.addr)).env_remove("QUORATE_TOKEN");
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    pub(crate) fn metrics(&self) -> String {
        let mut answer = ureq::get(format!("http://{}/metrics", self.addr)).call().unwrap();
        answer.body_mut().read_to_string().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// A file of the repository.
pub(crate) fn text(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
