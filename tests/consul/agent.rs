//! One Consul server on ports of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use quorate::source::consul::Settings;
use serde_json::{Value, json};

use super::ports::free_port;

/// Longest time that a Consul on a busy machine needs to elect itself.
const START_MAX: Duration = Duration::from_mins(1);

/// A running server; it ends with this.
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

    pub(crate) fn port(&self) -> u16 {
        self.ports[0]
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings { address: format!("127.0.0.1:{}", self.port()), ..Settings::default() }
    }

    pub(crate) fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// On the same ports, with its data or without. Returns once it has a leader.
    pub(crate) fn start_again(&mut self, is_empty: bool) {
        if is_empty {
            std::fs::remove_dir_all(self.dir.path().join("data")).unwrap();
        }
        self.child = spawn(self.dir.path(), self.ports);
        self.await_leader();
    }

    /// Until it has a leader that has put its own node into the catalog.
    fn await_leader(&mut self) {
        let began = Instant::now();
        let url = format!("http://127.0.0.1:{}/v1/health/node/n1", self.port());
        while ureq::get(&url)
            .call()
            .ok()
            .and_then(|mut it| it.body_mut().read_json::<Value>().ok())
            .is_none_or(|it| it == json!([]))
        {
            assert!(
                began.elapsed() < START_MAX && self.child.try_wait().unwrap().is_none(),
                "Consul does not start: {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port());
        ureq::get(&url).call().unwrap().body_mut().read_json().unwrap()
    }

    pub(crate) fn put(&self, path: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{}/v1/{path}", self.port());
        ureq::put(&url).send_json(body).unwrap();
    }

    pub(crate) fn put_key(&self, key: &str, value: &str) {
        ureq::put(&format!("http://127.0.0.1:{}/v1/kv/{key}", self.port())).send(value).unwrap();
    }

    pub(crate) fn delete_key(&self, key: &str) {
        ureq::delete(&format!("http://127.0.0.1:{}/v1/kv/{key}", self.port())).call().unwrap();
    }

    /// An instance on a node of its own, in the given state.
    pub(crate) fn register(&self, node: &str, name: &str, status: &str) {
        let check = json!({"Node": node, "CheckID": format!("{name}-check"), "ServiceID": name, "Status": status});
        let service = json!({"ID": name, "Service": name, "Port": 80});
        self.put("catalog/register", &json!({"Node": node, "Address": "10.0.0.1", "Service": service, "Check": check}));
    }

    pub(crate) fn deregister(&self, node: &str) {
        self.put("catalog/deregister", &json!({"Node": node}));
    }
}

fn spawn(dir: &Path, [http, serf, server]: [u16; 3]) -> Child {
    let config = json!({
        "ports": {"http": http, "dns": -1, "serf_lan": serf, "serf_wan": -1, "server": server},
        "server": true, "bootstrap_expect": 1, "node_name": "n1", "bind_addr": "127.0.0.1",
        "performance": {"raft_multiplier": 1}, "data_dir": dir.join("data"),
        // Many connections of one address are the very thing that is measured here.
        "limits": {"http_max_conns_per_client": 200}, "disable_update_check": true, "log_level": "WARN",
    });
    let file = dir.join("config.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let log = std::fs::File::create(dir.join("log")).unwrap();
    let mut command = Command::new(binary());
    command.args(["agent", "-config-file"]).arg(&file).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

fn binary() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/fetch-consul");
        let output = Command::new(script).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    })
}
