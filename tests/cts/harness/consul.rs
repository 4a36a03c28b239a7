//! One Consul server in its development mode, on ports of its own: what it knows is gone when it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use super::eventually;
use super::free_port;

/// A running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Consul {
    child: Child,
    dir: tempfile::TempDir,
    ports: [u16; 3],
    /// More of its configuration, and the token that may do everything.
    more: String,
    token: String,
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Consul {
    pub(crate) fn start() -> Self {
        Self::start_with("", None)
    }

    /// With more configuration, in which this is the token that may do everything.
    pub(crate) fn start_with(more: &str, token: Option<&str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = [(); 3].map(|()| free_port());
        let (more, token) = (more.to_owned(), token.unwrap_or_default().to_owned());
        let mut consul = Self { child: spawn(dir.path(), ports, &more), dir, ports, more, token };
        consul.await_leader();
        consul
    }

    /// `host:port` of its API.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[0])
    }

    /// SIGKILL.
    pub(crate) fn stop(&mut self) {
        // It may have been stopped before.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// It answers nothing until [`Self::resume`].
    pub(crate) fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// On the same ports, knowing nothing.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.dir.path(), self.ports, &self.more);
        self.await_leader();
    }

    /// Until it has a leader that has put its own node into the catalog.
    fn await_leader(&mut self) {
        let url = self.url("health/node/n1");
        let ask = || ureq::get(&url).header("x-consul-token", &self.token).call().ok()?.body_mut().read_json().ok();
        let is_up = || ask().filter(|nodes: &Value| *nodes != json!([]));
        let log = self.dir.path().join("log");
        eventually("Consul elects itself", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "Consul does not start: {}", std::fs::read_to_string(&log).unwrap());
            is_up()
        });
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v1/{path}", self.address())
    }

    /// The body of a good answer.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: String) -> String {
        let request = ureq::http::Request::builder().method(method).uri(self.url(path));
        let request = request.header("x-consul-token", &self.token).body(body).unwrap();
        ureq::run(request).unwrap().body_mut().read_to_string().unwrap()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        serde_json::from_str(&self.ask("GET", path, String::new())).unwrap()
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        serde_json::from_str(&self.ask("PUT", path, body.to_string())).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) {
        self.ask("DELETE", path, String::new());
    }

    /// All keys with this prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let all = self.get("kv/?keys");
        let keys = all.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        keys.filter(|key| key.starts_with(prefix)).collect()
    }

    #[track_caller]
    pub(crate) fn put_key(&self, key: &str, value: &str) {
        self.ask("PUT", &format!("kv/{key}"), value.to_owned());
    }

    #[track_caller]
    pub(crate) fn delete_key(&self, key: &str) {
        self.delete(&format!("kv/{key}"));
    }

    /// An instance at the agent of this Consul, with a check that its owner keeps: `passing`.
    pub(crate) fn register(&self, service: &str, id: &str, address: &str) {
        self.register_as(&json!({"Name": service, "ID": id, "Address": address, "Port": 8080}));
    }

    /// As [`Self::register`], with these fields; a check is added.
    pub(crate) fn register_as(&self, service: &Value) {
        let mut service = service.clone();
        service["Check"] = json!({"TTL": "1h", "Status": "passing"});
        self.put("agent/service/register", &service);
    }

    pub(crate) fn deregister(&self, id: &str) {
        self.put(&format!("agent/service/deregister/{id}"), &Value::Null);
    }

    /// Sets the check of an instance: `passing`, `warning`, `critical`.
    pub(crate) fn check(&self, id: &str, status: &str) {
        self.put(&format!("agent/check/update/service:{id}"), &json!({"Status": status}));
    }
}

fn spawn(dir: &Path, [http, serf, server]: [u16; 3], more: &str) -> Child {
    let ports =
        format!("ports {{ http = {http} dns = -1 grpc = -1 serf_lan = {serf} serf_wan = -1 server = {server} }}");
    // Each is a file of its own for Consul, which merges them.
    let more = format!("connect {{ enabled = false }} {more}");
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(binary());
    command.args(["agent", "-dev", "-node=n1", "-bind=127.0.0.1", "-log-level=warn", "-disable-host-node-id"]);
    command.args(["-hcl", &ports, "-hcl", &more]).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn binary() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/fetch-consul");
        let output = Command::new(&script).output().unwrap();
        assert!(
            output.status.success(),
            "these tests need Consul, and {} could not bring it: {}\nRun that script, or set CONSUL=/path/to/consul.",
            script.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}
