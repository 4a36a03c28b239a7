//! What a service manager hears of an agent, as systemd would, and `quorate ready`.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use super::agent::{Agent, eventually};

/// A task whose run says what it sees of the service manager.
const TASK: &str = r#"
run_env { inherit = "all" }
task {
  name    = "look"
  command = ["sh", "-c", "echo socket=$NOTIFY_SOCKET watchdog=$WATCHDOG_USEC other=$OTHER"]
}
"#;

struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl Manager {
    /// Waits for a message that fits, and forgets those that came before it.
    fn hears(&mut self, what: &str, fits: impl Fn(&str) -> bool) {
        let mut place = None;
        eventually(what, || {
            let mut bytes = [0; 4096];
            while let Ok(length) = self.socket.recv(&mut bytes) {
                self.heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            }
            place = self.heard.iter().position(|text| fits(text));
            place.is_some()
        });
        self.heard.drain(..=place.unwrap());
    }
}

#[test]
fn a_service_manager_hears_of_the_start_the_leader_the_watchdog_the_reload_and_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut manager = Manager { socket, heard: Vec::new() };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000"), ("OTHER", "seen")];
    let mut agent = Agent::start(TASK, &variables);
    manager.hears("READY=1", |text| text == "READY=1");
    manager.hears("STATUS", |text| text.starts_with("STATUS=leads with epoch "));
    manager.hears("WATCHDOG", |text| text == "WATCHDOG=1");
    manager.hears("WATCHDOG again", |text| text == "WATCHDOG=1");
    agent.signal(Signal::HUP);
    manager.hears("RELOADING", |text| text.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    agent.signal(Signal::HUP);
    manager.hears("READY after the reload", |text| text == "READY=1");
    eventually("the task has run", || agent.quorate(&["task", "logs", "look"]).1.contains("other="));
    let (_, log) = agent.quorate(&["task", "logs", "look"]);
    assert!(log.contains("socket= watchdog= other=seen"), "runs do not see the service manager: {log}");
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", agent.pid())).unwrap();
    assert!(environment.contains("OTHER=seen") && !environment.contains("NOTIFY_SOCKET"), "{environment}");
    assert!(agent.stop(), "{}", agent.log());
    manager.hears("STOPPING", |text| text == "STOPPING=1");
}

#[test]
fn a_watchdog_of_another_process_is_told_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut manager = Manager { socket, heard: Vec::new() };
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "60000"), ("WATCHDOG_PID", "1")];
    let mut agent = Agent::start("", &variables);
    manager.hears("STATUS", |text| text.starts_with("STATUS=leads"));
    assert!(agent.stop(), "{}", agent.log());
    let mut bytes = [0; 4096];
    while let Ok(length) = manager.socket.recv(&mut bytes) {
        assert_ne!(&bytes[..length], b"WATCHDOG=1");
    }
}

#[test]
fn ready_is_an_exit_code() {
    let mut agent = Agent::start("", &[]);
    let (ok, said) = agent.quorate(&["ready", "-wait", "2m"]);
    assert!(ok && said == "ready\n", "{said}");
    let (ok, said) = agent.quorate(&["ready", "-live"]);
    assert!(ok && said == "alive\n", "{said}");
    assert!(!agent.quorate(&["ready", "-wait", "soon"]).0);
    assert!(agent.stop(), "{}", agent.log());
    let (ok, said) = agent.quorate(&["ready"]);
    assert!(!ok && said.contains("no agent answers"), "{said}");
}

#[test]
fn an_agent_without_a_majority_is_alive_and_not_ready() {
    let other = super::ports::free_port();
    let own = super::ports::free_port();
    let cluster = format!(
        "high_availability {{\n  cluster {{\n    gossip {{\n      bind = \"127.0.0.1:{own}\"\n      join = [\"127.0.0.1:{own}\", \
         \"127.0.0.1:{other}\"]\n      expect = 2\n    }}\n  }}\n}}\n"
    );
    let agent = Agent::start(&cluster, &[]);
    assert_eq!(agent.quorate(&["ready", "-live", "-wait", "2m"]), (true, "alive\n".to_owned()));
    let (ok, said) = agent.quorate(&["ready"]);
    assert!(!ok && said.contains("not ready") && said.contains("majority: "), "{said}");
}
