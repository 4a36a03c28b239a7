//! The API on a Unix socket: who may use it, how commands reach it, and what becomes of its file.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};

use super::agent::{Place, eventually};

const TASK: &str =
    "task {\n  name = \"there\"\n  command = [\"true\"]\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";

/// A running agent; it ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn begin(place: &Place) -> Running {
    let log = std::fs::File::create(place.path("log")).unwrap();
    let mut command = place.command(&["start", "-config-file", "agent.hcl"]);
    let mut running = Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    eventually(|| {
        let log = std::fs::read_to_string(place.path("log")).unwrap();
        assert!(running.0.try_wait().unwrap().is_none(), "{log}");
        log.contains("the HTTP API listens").then_some(())
    });
    running
}

#[test]
fn commands_find_an_agent_by_its_socket() {
    let place = Place::new();
    place.file("agent.hcl", format!("id = \"a1\"\nhttp_addr = \"unix://api.sock\"\n{TASK}"));
    let socket = place.path("api.sock");
    let address = format!("unix://{}", socket.display());
    let mut running = begin(&place);
    let meta = socket.metadata().unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600, "{meta:?}");

    let flag = format!("-http-addr={address}");
    eventually(|| place.run(&["task", "disable", &flag, "there"]).status.success().then_some(()));
    let out = place.run(&["task", "list", &flag]);
    assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("there"), "{out:?}");
    for (name, args) in [("CTS_ADDRESS", &["status"][..]), ("QUORATE_HTTP_ADDR", &["members"])] {
        let out = place.command(args).env(name, &address).output().unwrap();
        assert!(out.status.success() && String::from_utf8_lossy(&out.stdout).contains("a1"), "{out:?}");
    }
    // Any client that knows sockets, by whatever name.
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"GET /v1/health HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A second one does not take it away.
    place.file("second.hcl", format!("id = \"a2\"\ndata_dir = \"second\"\nhttp_addr = \"{address}\"\n"));
    let out = place.run(&["start", "-config-file", "second.hcl"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(15) && said.contains("another process listens on it"), "{said}");
    assert!(place.run(&["task", "list", &flag]).status.success());

    // Killed, it leaves the socket; the next one takes its place.
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    assert!(socket.exists());
    let out = place.run(&["task", "list", &flag]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(11) && said.contains(&format!("no agent answers at {address}")), "{said}");
    let mut again = begin(&place);
    eventually(|| place.run(&["task", "list", &flag]).status.success().then_some(()));

    // Stopped, it takes it along.
    let pid = rustix::process::Pid::from_child(&again.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(again.0.wait().unwrap().success());
    assert!(!socket.exists());
    let said = place.run(&["task", "list", &flag]);
    assert!(String::from_utf8_lossy(&said.stderr).contains("No such file or directory"), "{said:?}");
}

#[test]
fn what_is_wrong_with_a_socket_is_said_by_check_and_start() {
    let place = super::tls::place();
    let tls = "tls {\n  cert = \"server.pem\"\n  key = \"server.key\"\n}\n";
    for (config, words) in [
        (format!("http_addr = \"unix:///run/x.sock\"\n{tls}"), "a Unix socket speaks plain HTTP"),
        ("http_addr = \"unix://\"\n".to_owned(), "`http_addr` names no socket"),
        (format!("http_addr = \"unix:///{}\"\n", "x".repeat(120)), "the system takes 107"),
    ] {
        place.file("agent.hcl", &config);
        for command in [&["start"][..], &["config", "check"]] {
            let out = place.run(&[command, &["-config-file", "agent.hcl"]].concat());
            let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
            assert!(out.status.code() == Some(15) && said.contains(words), "{config}: {said}");
        }
    }
}
