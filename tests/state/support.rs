//! A cluster made of one map of registers, its agents' listeners, and Terraform running against them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use quorate::cluster::settings::LeadershipMode;
use quorate::http::state::{RunListener, serve_runs};
use quorate::runtime::at_rest::Unreadable;
use quorate::runtime::core::ProposeError;
use quorate::runtime::journal::Entered;
use quorate::runtime::state::{Keeper, Registers, RunCredentials};
use quorate::state::{
    Answering, Caller, Credential, Grant, Leadership, Request, StateAnswer, StateCall, StateService, Token,
};
use quorate::terraform::backend_http;
use quorate_proto::message::Entry;
use quorate_proto::{Epoch, MemberId};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// What a majority would keep.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    registers: BTreeMap<String, Vec<u8>>,
    leadership: Option<Leadership>,
}

impl Registers for Fake {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>, Unreadable>> {
        let value = self.0.lock().unwrap().registers.get(key).cloned();
        Box::pin(async { Ok(value) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Vec<u8>)>, Unreadable>> {
        let inner = self.0.lock().unwrap();
        let found = inner.registers.iter().filter(|(key, _)| key.starts_with(prefix));
        let found = found.map(|(key, value)| (key.clone(), value.clone())).collect();
        Box::pin(async { Ok(found) })
    }

    fn check<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), Unreadable>> {
        Box::pin(async { Ok(()) })
    }

    fn propose(&self, epoch: Epoch, entries: Vec<Entry>) -> BoxFuture<'_, Result<(), ProposeError>> {
        let mut inner = self.0.lock().unwrap();
        let led = inner.leadership.as_ref().is_some_and(|now| now.epoch == epoch);
        if led {
            for Entry { key, value } in entries {
                match value {
                    Some(value) => inner.registers.insert(key, value),
                    None => inner.registers.remove(&key),
                };
            }
        }
        Box::pin(async move { if led { Ok(()) } else { Err(ProposeError::NotLeader) } })
    }

    fn leading(&self) -> Option<Leadership> {
        self.0.lock().unwrap().leadership.clone()
    }
}

/// The cluster, as every agent reaches it.
#[derive(Debug)]
pub(crate) struct Cluster {
    fake: Fake,
    keeper: Keeper<Fake>,
}

impl StateService for Cluster {
    fn handle(&self, call: StateCall) -> Answering<'_> {
        Box::pin(self.keeper.handle(call))
    }
}

impl Cluster {
    pub(crate) fn new(mode: LeadershipMode) -> Arc<Self> {
        let fake = Fake::default();
        let cluster = Self { fake: fake.clone(), keeper: Keeper::new(fake, mode) };
        cluster.lead("a1", 6);
        Arc::new(cluster)
    }

    pub(crate) fn lead(&self, leader: &str, epoch: u64) {
        let leadership = Leadership { leader: id(leader), epoch: Epoch(epoch) };
        self.fake.0.lock().unwrap().leadership = Some(leadership);
    }

    pub(crate) fn lose_leader(&self) {
        self.fake.0.lock().unwrap().leadership = None;
    }

    /// As the journal of runs has it.
    pub(crate) fn journal(&self, token: Token, finished: bool) {
        let entered = Entered {
            epoch: token.epoch,
            run: token.run,
            agent: id("a1"),
            grace_ms: 10_000,
            finished,
            interrupted: false,
        };
        let entry = entered.entry("edge").unwrap();
        self.fake.0.lock().unwrap().registers.insert(entry.key, entry.value.unwrap());
    }

    pub(crate) fn ask(&self, caller: Caller, request: Request) -> StateAnswer {
        let call = StateCall { task: "edge".to_owned(), caller, request };
        block_on(self.keeper.handle(call))
    }

    pub(crate) fn current(&self) -> Option<Vec<u8>> {
        match self.ask(Caller::Operator, Request::Get { version: None }) {
            StateAnswer::Content { content, .. } => Some(content),
            StateAnswer::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn summary(&self) -> quorate::state::Summary {
        match self.ask(Caller::Operator, Request::Show) {
            StateAnswer::Shown(summary) => *summary,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An agent's listener for runs.
pub(crate) struct Agent {
    pub(crate) listener: RunListener,
    pub(crate) credentials: RunCredentials,
    shutdown: CancellationToken,
}

impl Agent {
    pub(crate) fn start(name: &str, cluster: &Arc<Cluster>) -> Self {
        let credentials = RunCredentials::new(id(name));
        let shutdown = CancellationToken::new();
        let listener = serve_runs(cluster.clone(), credentials.clone(), shutdown.clone()).unwrap();
        Self { listener, credentials, shutdown }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.listener.addr()
    }

    /// Journals a run of the task `edge` and lets it in.
    pub(crate) fn begin(&self, cluster: &Cluster, token: Token) -> Credential {
        cluster.journal(token, false);
        let grant = Grant { task: "edge".to_owned(), token, patience: Duration::from_secs(20) };
        self.credentials.open(grant, [token.run[0].wrapping_add(100); 16])
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One request, as a run would send it by hand.
pub(crate) fn call(
    addr: SocketAddr,
    who: Option<&Credential>,
    method: &str,
    target: &str,
    headers: &str,
    body: &[u8],
) -> Answer {
    use base64::Engine as _;
    let auth = who.map_or_else(String::new, |who| {
        let text = format!("{}:{}", who.username, who.password);
        format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(text))
    });
    let length =
        if headers.contains("Content-Length") { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n{auth}{length}{headers}\r\n");
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: answer.split_off(end + 4) }
}

/// A directory with a module that keeps its state in the cluster.
pub(crate) struct Module {
    dir: TempDir,
}

impl Module {
    pub(crate) fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        assert!(backend_http::backend().body.is_empty());
        let main = format!("terraform {{\n  backend \"http\" {{}}\n}}\n{text}");
        fs::write(dir.path().join("main.tf"), main).unwrap();
        Self { dir }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, agent: &Agent, who: &Credential, arguments: &[&str]) -> Command {
        let kept = |name: &str| !name.starts_with("TF_") || name == "TF_PLUGIN_CACHE_DIR";
        let base: Vec<_> = std::env::vars().filter(|(name, _)| kept(name)).collect();
        let env = backend_http::env_for_run(base, agent.addr(), "edge", &who.username, &who.password);
        let mut command = Command::new(program());
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env_clear().envs(env).env("CHECKPOINT_DISABLE", "1").env("TF_IN_AUTOMATION", "1");
        command
    }

    pub(crate) fn run(&self, agent: &Agent, who: &Credential, arguments: &[&str]) -> Output {
        self.command(agent, who, arguments).output().expect("these tests need terraform or tofu on the PATH")
    }

    pub(crate) fn ok(&self, agent: &Agent, who: &Credential, arguments: &[&str]) -> String {
        let output = self.run(agent, who, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        text(&output)
    }

    pub(crate) fn start(&self, agent: &Agent, who: &Credential, arguments: &[&str]) -> Child {
        let mut command = self.command(agent, who, arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Whichever of the two there is, as the agent chooses.
fn program() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("terraform").is_file());
    if found { "terraform" } else { "tofu" }
}

pub(crate) fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

pub(crate) fn token(epoch: u64, run: u8) -> Token {
    Token { epoch: Epoch(epoch), run: [run; 16] }
}

/// Waits for a condition, for a minute at most.
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("gave up waiting until {what}");
}
