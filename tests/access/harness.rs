//! Agents as processes, asked over TCP with a token and over their sockets by the commands.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
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

/// Some agents in a directory of their own, ended with this.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    agents: Vec<Agent>,
}

#[derive(Debug)]
struct Agent {
    addr: SocketAddr,
    child: Option<Child>,
}

impl Site {
    /// So many agents `a1`, `a2`, .. with this text in every file; not started.
    pub(crate) fn new(count: usize, text: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("quorate-access-").tempdir().unwrap();
        let gossip: Vec<String> = (0..count).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let key = String::from_utf8(Command::new(binary()).arg("keygen").output().unwrap().stdout).unwrap();
        let mut agents = Vec::new();
        for number in 0..count {
            let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
            let home = dir.path().join(format!("a{}", number + 1));
            fs::create_dir(&home).unwrap();
            let cluster = format!(
                "high_availability {{\n  cluster {{\n    name = \"access\"\n    gossip {{\n      bind = \"{}\"\n      join = \
                 {gossip:?}\n      expect = {count}\n      settle = \"3200ms\"\n      encrypt = \"{}\"\n    }}\n  }}\n}}\n",
                gossip[number],
                key.trim()
            );
            let cluster = if count == 1 { String::new() } else { cluster };
            let head = format!(
                "id = \"a{}\"\nhttp_addr = \"{addr}\"\ndata_dir = \"data\"\nlog_level = \"DEBUG\"\n",
                number + 1
            );
            fs::write(home.join("agent.hcl"), format!("{head}{cluster}{text}")).unwrap();
            agents.push(Agent { addr, child: None });
        }
        Self { dir, agents }
    }

    pub(crate) fn home(&self, agent: usize) -> PathBuf {
        self.dir.path().join(format!("a{}", agent + 1))
    }

    pub(crate) fn addr(&self, agent: usize) -> SocketAddr {
        self.agents[agent].addr
    }

    pub(crate) fn start(&mut self, agent: usize) {
        let home = self.home(agent);
        let log = File::options().create(true).append(true).open(home.join("log")).unwrap();
        let mut command = Command::new(binary());
        command.args(["start", "-config-file", "agent.hcl"]).current_dir(&home).env_remove("QUORATE_TOKEN");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.agents[agent].child = Some(child);
    }

    /// Starts all and waits until the first one leads.
    pub(crate) fn found(&mut self) {
        (0..self.agents.len()).for_each(|agent| self.start(agent));
        self.wait_leader(0);
    }

    pub(crate) fn wait_leader(&self, agent: usize) {
        eventually(&format!("a{} leads", agent + 1), || {
            self.try_call(agent, "GET", "/leader", None, None) == Some(200)
        });
    }

    pub(crate) fn kill(&mut self, agent: usize) {
        let mut child = self.agents[agent].child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and waits.
    pub(crate) fn stop(&mut self, agent: usize) {
        let mut child = self.agents[agent].child.take().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub(crate) fn log(&self, agent: usize) -> String {
        fs::read_to_string(self.home(agent).join("log")).unwrap_or_default()
    }

    fn try_call(&self, agent: usize, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Option<u16> {
        send(self.agents[agent].addr, method, path, token, body).map(|(status, _)| status)
    }

    /// Status and body of an answer.
    #[track_caller]
    pub(crate) fn call(&self, agent: usize, method: &str, path: &str, token: Option<&str>) -> (u16, Value) {
        send(self.agents[agent].addr, method, path, token, None).unwrap_or_else(|| panic!("a{} answers", agent + 1))
    }

    /// `quorate WORDS..` at the API of an agent, with this token in the environment.
    pub(crate) fn quorate(&self, agent: usize, token: Option<&str>, words: &[&str]) -> Output {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.dir.path());
        for name in ["QUORATE_TOKEN", "QUORATE_TOKEN_FILE", "QUORATE_HTTP_ADDR", "CTS_ADDRESS"] {
            command.env_remove(name);
        }
        command.env("QUORATE_HTTP_ADDR", format!("http://{}", self.agents[agent].addr));
        if let Some(token) = token {
            command.env("QUORATE_TOKEN", token);
        }
        command.output().unwrap()
    }

    /// The same over the agent's `admin.sock`.
    pub(crate) fn admin(&self, agent: usize, words: &[&str]) -> Output {
        let socket = format!("-http-addr=unix://{}", self.home(agent).join("data/admin.sock").display());
        self.quorate(agent, None, &[words, &[socket.as_str()]].concat())
    }

    /// `token create`, its secret and its accessor.
    #[track_caller]
    pub(crate) fn create(&self, agent: usize, token: &str, words: &[&str]) -> (String, String) {
        let output = self.quorate(agent, Some(token), &[&["token", "create", "-json"], words].concat());
        assert!(output.status.success(), "{output:?}");
        let made: Value = serde_json::from_slice(&output.stdout).unwrap();
        (text(&made["secret"]), text(&made["token"]["accessor"]))
    }

    /// Every file below the directory that has this text in it.
    pub(crate) fn files_with(&self, text: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        search(self.dir.path(), text.as_bytes(), &mut found);
        found
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for agent in &mut self.agents {
            if let Some(child) = &mut agent.child {
                // Also after a failed assertion; it may have ended.
                drop(child.kill());
                drop(child.wait());
            }
        }
        if std::thread::panicking() {
            for agent in 0..self.agents.len() {
                let log = self.log(agent);
                let lines: Vec<&str> = log.lines().filter(|line| !line.contains("DEBUG")).collect();
                eprintln!("---- a{}\n{}", agent + 1, lines[lines.len().saturating_sub(40)..].join("\n"));
            }
        }
    }
}

fn search(dir: &Path, text: &[u8], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, text, found);
        } else if path.is_file() && fs::read(&path).unwrap().windows(text.len()).any(|window| window == text) {
            found.push(path);
        }
    }
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub(crate) fn send(
    addr: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<&str>,
) -> Option<(u16, Value)> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let client = config.timeout_global(Some(PATIENCE)).build().new_agent();
    let mut request = ureq::http::Request::builder().method(method).uri(format!("http://{addr}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = match body {
        Some(body) => {
            client.run(request.header("content-type", "application/json").body(body.to_owned()).ok()?).ok()?
        }
        None => client.run(request.body(()).ok()?).ok()?,
    };
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string().ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_quorate"))
}
