//! One agent: its file, its process, its guardian, its API.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use quorate::http::reply::Cluster;
use rustix::process::Signal;

use super::net::inside;
use super::process;

/// What all agents of a site have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// `gossip { profile }`.
    pub(crate) profile: String,
    /// `gossip { settle }`.
    pub(crate) settle: String,
    /// `gossip { expect }`.
    pub(crate) expect: usize,
    /// `gossip { join }`.
    pub(crate) join: Vec<String>,
    /// `gossip { encrypt }`.
    pub(crate) key: String,
    /// Program and arguments of the task; the agent's id is added.
    pub(crate) command: Vec<String>,
    /// More of the configuration.
    pub(crate) blocks: String,
}

/// See the module. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) id: String,
    pub(crate) gossip: SocketAddr,
    http: SocketAddr,
    namespace: Option<String>,
    dir: PathBuf,
    child: Option<Child>,
    guardian: Option<u32>,
}

impl Agent {
    /// Not started.
    pub(crate) fn new(
        id: String,
        parent: &Path,
        gossip: SocketAddr,
        http: SocketAddr,
        namespace: Option<String>,
    ) -> Self {
        let dir = parent.join(&id);
        std::fs::create_dir_all(&dir).expect("make the directory of an agent");
        Self { id, gossip, http, namespace, dir, child: None, guardian: None }
    }

    /// Writes its configuration.
    pub(crate) fn configure(&self, shape: &Shape) {
        let Shape { profile, settle, expect, join, key, command, blocks } = shape;
        let dir = self.dir.display();
        let mut text = format!(
            r#"id          = "{id}"
http_addr   = "{http}"
data_dir    = "{dir}/data"
working_dir = "{dir}/tasks"

high_availability {{
  cluster {{
    name = "bench"
    gossip {{
      bind    = "{gossip}"
      join    = {join:?}
      expect  = {expect}
      profile = "{profile}"
      settle  = "{settle}"
      encrypt = "{key}"
    }}
  }}
}}
"#,
            id = self.id,
            http = self.http,
            gossip = self.gossip,
        );
        if !command.is_empty() {
            let words: Vec<&String> = command.iter().chain([&self.id]).collect();
            // Without a condition it runs once for every leader.
            write!(text, "\ntask {{\n  name    = \"mark\"\n  command = {words:?}\n}}\n").expect("text");
        }
        text.push_str(blocks);
        std::fs::write(self.dir.join("quorate.hcl"), text).expect("write the configuration");
    }

    /// Starts it, logging to its file.
    pub(crate) fn start(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log"));
        self.spawn(log.expect("open the log").into());
    }

    /// Starts it. Its log is the answer.
    pub(crate) fn start_piped(&mut self) -> ChildStderr {
        self.spawn(Stdio::piped());
        self.child.as_mut().and_then(|child| child.stderr.take()).expect("the log")
    }

    fn spawn(&mut self, log: Stdio) {
        let mut command = Command::new(binary());
        command.args(["start", "-config-file"]).arg(self.dir.join("quorate.hcl")).current_dir(&self.dir);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut spawn = || command.spawn().expect("start an agent");
        self.guardian = None;
        self.child = Some(match &self.namespace {
            None => spawn(),
            Some(namespace) => inside(namespace, spawn),
        });
    }

    /// The process and its guardian, as far as they are there.
    pub(crate) fn pids(&mut self) -> Vec<u32> {
        let pid = self.child.as_ref().map(Child::id);
        self.guardian = self.guardian.or_else(|| pid.and_then(process::guardian_of));
        pid.into_iter().chain(self.guardian).collect()
    }

    /// Signals the process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        process::signal(self.child.as_ref().expect("a running agent").id(), signal);
    }

    /// SIGKILL for the guardian and the process, as when a host dies.
    pub(crate) fn die(&mut self) {
        let pids = self.pids();
        // Each would speak for the other.
        pids.iter().take(1).for_each(|agent| process::signal(*agent, Signal::STOP));
        for pid in pids.iter().rev() {
            process::signal(*pid, Signal::KILL);
        }
    }

    /// Takes the ended process away.
    pub(crate) fn wait_end(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.wait().expect("wait for an agent");
        }
        self.guardian = None;
    }

    /// `/status/cluster`, if it answers.
    pub(crate) fn view(&self) -> Option<Cluster> {
        serde_json::from_str(&self.get("/status/cluster")?).ok()
    }

    /// The sum of a counter over its labels that contain `label`.
    pub(crate) fn counter(&self, name: &str, label: &str) -> f64 {
        let text = self.get("/metrics").unwrap_or_default();
        let lines = text.lines().filter(|line| line.starts_with(&format!("quorate_{name}")) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// How long its log is.
    pub(crate) fn log_length(&self) -> u64 {
        std::fs::metadata(self.dir.join("log")).map_or(0, |log| log.len())
    }

    /// What it has logged beyond that length.
    pub(crate) fn log_since(&self, length: u64) -> String {
        let log = std::fs::read(self.dir.join("log")).unwrap_or_default();
        String::from_utf8_lossy(log.get(usize::try_from(length).unwrap_or(0)..).unwrap_or_default()).into_owned()
    }

    /// Signals its guardian alone.
    pub(crate) fn signal_guardian(&mut self, signal: Signal) {
        self.pids();
        process::signal(self.guardian.expect("a running guardian"), signal);
    }

    /// The end of its log, for errors.
    pub(crate) fn tail(&self) -> String {
        let log = std::fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn get(&self, path: &str) -> Option<String> {
        let url = format!("http://{}{path}", self.http);
        let ask = || {
            let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(3))).proxy(None);
            config.build().new_agent().get(&url).call().ok()?.body_mut().read_to_string().ok()
        };
        match &self.namespace {
            None => ask(),
            Some(namespace) => inside(namespace, ask),
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.die();
        self.wait_end();
    }
}

/// The program that is measured.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_quorate"))
}

/// `quorate keygen`.
pub(crate) fn new_key() -> String {
    let output = Command::new(binary()).arg("keygen").output().expect("run quorate keygen");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}
