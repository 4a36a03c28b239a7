//! One Consul server in its development mode, on ports of its own: what it knows is gone when it ends.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use super::eventually;

/// A running server; it ends with this.
#[derive(Debug)]
pub(crate) struct Consul {
    child: Child,
    dir: tempfile::TempDir,
    ports: [u16; 3],
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Consul {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = [(); 3].map(|()| free_port());
        let mut consul = Self { child: spawn(dir.path(), ports), dir, ports };
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

    /// On the same ports, knowing nothing.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(self.dir.path(), self.ports);
        self.await_leader();
    }

    /// Until it has a leader that has put its own node into the catalog.
    fn await_leader(&mut self) {
        let url = self.url("health/node/n1");
        let is_up = || ureq::get(&url).call().ok()?.body_mut().read_json::<Value>().ok().filter(|it| *it != json!([]));
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

    pub(crate) fn get(&self, path: &str) -> Value {
        ureq::get(&self.url(path)).call().unwrap().body_mut().read_json().unwrap()
    }

    fn put(&self, path: &str, body: &Value) {
        ureq::put(&self.url(path)).send_json(body).unwrap();
    }

    /// `None`: there is no such key.
    pub(crate) fn key(&self, key: &str) -> Option<String> {
        ureq::get(&self.url(&format!("kv/{key}?raw"))).call().ok()?.body_mut().read_to_string().ok()
    }

    /// All keys with this prefix.
    pub(crate) fn keys(&self, prefix: &str) -> Vec<String> {
        let answer = ureq::get(&self.url(&format!("kv/{prefix}?keys"))).call();
        answer.ok().and_then(|mut it| it.body_mut().read_json().ok()).unwrap_or_default()
    }

    pub(crate) fn put_key(&self, key: &str, value: &str) {
        ureq::put(&self.url(&format!("kv/{key}"))).send(value).unwrap();
    }

    pub(crate) fn delete_key(&self, key: &str) {
        ureq::delete(&self.url(&format!("kv/{key}"))).call().unwrap();
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

fn spawn(dir: &Path, [http, serf, server]: [u16; 3]) -> Child {
    let ports = format!(
        "ports {{ http = {http} dns = -1 grpc = -1 serf_lan = {serf} serf_wan = -1 server = {server} }} \
         connect {{ enabled = false }}"
    );
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(binary());
    command.args(["agent", "-dev", "-node=n1", "-bind=127.0.0.1", "-log-level=warn", "-disable-host-node-id"]);
    command.args(["-hcl", &ports]).stdin(Stdio::null());
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

/// A port that is free for UDP and TCP, below those that the system hands out, and given to no other test.
pub(crate) fn free_port() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    let mut next = NEXT.lock().unwrap();
    // Other test processes count from elsewhere.
    let random = || u16::try_from(uuid::Uuid::new_v4().as_u128() % u128::from(COUNT)).unwrap();
    let mut offset = next.unwrap_or_else(random);
    loop {
        offset = (offset + 1) % COUNT;
        let addr = (Ipv4Addr::LOCALHOST, FIRST + offset);
        if std::net::UdpSocket::bind(addr).is_ok() && TcpListener::bind(addr).is_ok() {
            *next = Some(offset);
            return FIRST + offset;
        }
    }
}
