//! A single agent as a process: its files, its log, its end.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
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
        self.begin(&["start", "-config-file", "agent.hcl"])
    }

    /// The same with these arguments.
    pub(crate) fn begin(&self, args: &[&str]) -> Agent {
        self.begin_with(args, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn begin_with(&self, args: &[&str], env: &[(&str, &str)]) -> Agent {
        let log = fs::File::create(self.path("log")).unwrap();
        let mut command = self.command(args);
        command.envs(env.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut agent = Agent { child, log: self.path("log"), addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = agent.logged("the HTTP API listens");
        let after = line.split("address=").nth(1).unwrap();
        agent.addr = after.split_whitespace().next().unwrap().parse().unwrap();
        agent
    }
}

/// What the probe finds in the end.
#[track_caller]
pub(crate) fn eventually<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A running agent.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) child: Child,
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

    /// `GET`, as JSON.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        let (status, text) = self.call("GET", path, None);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {status} {error}: {text}"))
    }

    /// `POST` of JSON.
    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, Value) {
        let (status, text) = self.call("POST", path, Some(body));
        (status, serde_json::from_str(&text).unwrap())
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
        let client = config.timeout_global(Some(PATIENCE)).build().new_agent();
        let request = ureq::http::Request::builder().method(method).uri(format!("http://{}{path}", self.addr));
        let mut answer = match body {
            Some(body) => client.run(request.header("content-type", "application/json").body(body.to_owned()).unwrap()),
            None => client.run(request.body(()).unwrap()),
        }
        .unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// The events of a task, newest first.
    pub(crate) fn events(&self, name: &str) -> Vec<Value> {
        let events = &self.get("/v1/status/tasks?include=events")[name]["events"];
        events.as_array().cloned().unwrap_or_default()
    }

    /// The newest event of a task, when there is one.
    #[track_caller]
    pub(crate) fn event(&self, name: &str) -> Value {
        eventually(|| self.events(name).into_iter().next())
    }

    /// Until it leads and answers for tasks.
    #[track_caller]
    pub(crate) fn ready(&self) {
        eventually(|| (self.call("GET", "/leader", None).0 == 200).then_some(()));
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
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
