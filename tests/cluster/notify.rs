//! Notices of what happens, to a receiver outside, across a failover. Profile `lan`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::harness::{Site, eventually};

/// What a receiver was sent: the heads, in lower case, and the body.
type Received = Arc<Mutex<Vec<(String, Value)>>>;

/// Takes notices; the first one it answers with 503.
fn receiver() -> (u16, Received) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = Received::default();
    let kept = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let is_first = kept.lock().unwrap().is_empty();
            if let Some(one) = stream.ok().and_then(|stream| take(&stream, is_first)) {
                kept.lock().unwrap().push(one);
            }
        }
    });
    (port, received)
}

fn take(mut stream: &TcpStream, is_refused: bool) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
        head += &(line + "\n");
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let status = if is_refused { "503 Service Unavailable" } else { "204 No Content" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").ok()?;
    Some((head, serde_json::from_slice(&body).ok()?))
}

fn ids(received: &Received, kind: &str) -> Vec<String> {
    let all = received.lock().unwrap();
    let of_kind = all.iter().filter(|(_, body)| body["kind"] == kind);
    of_kind.map(|(_, body)| body["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn failures_are_told_once_however_often_the_leader_changes() {
    let (port, received) = receiver();
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let flag = site.path().join("well");
    site.shape.more = format!(
        r#"
task {{
  name    = "web"
  command = ["/bin/sh", "-c", "test -e {flag} || {{ echo no such firewall >&2; exit 3; }}"]
  policy {{ retries = 0 }}
}}
notify "ops" {{
  on      = ["failure", "recovery", "leader"]
  webhook = "http://127.0.0.1:{port}/hook"
  secret  = "a secret of ours"
}}
"#,
        flag = flag.display()
    );
    site.found();
    eventually("the failure is told", || !ids(&received, "failure").is_empty() && !ids(&received, "leader").is_empty());
    let first = received.lock().unwrap().iter().find(|(_, body)| body["kind"] == "failure").cloned().unwrap();
    assert!(
        first.0.contains("x-quorate-signature: sha256=") && first.0.contains("x-quorate-timestamp: "),
        "{}",
        first.0
    );
    assert_eq!((first.1["task"].as_str(), first.1["text"].as_str()), (Some("web"), Some("task web failed")));
    assert!(first.1["detail"].as_str().unwrap().contains("no such firewall"), "{}", first.1);

    std::fs::write(&flag, "").unwrap();
    assert_eq!(site[1].send("POST", "/v1/tasks/web/run", None).unwrap().status, 202);
    eventually("the recovery is told", || ids(&received, "recovery").len() == 1);
    std::fs::remove_file(&flag).unwrap();
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    eventually("the new leader is told", || ids(&received, "leader").iter().any(|id| id == "leader-2"));
    assert_eq!(site[1].send("POST", "/v1/tasks/web/run", None).unwrap().status, 202);
    let newest = || site[2].tasks().and_then(|tasks| Some(tasks["web"].events.as_ref()?.first()?.id.clone()));
    let mut failed = String::new();
    eventually("the second failure is told", || {
        failed = format!("run-{}", newest().unwrap_or_default());
        ids(&received, "failure").contains(&failed)
    });
    // The first delivery of all was refused and came again; of the others each came once.
    let all: Vec<String> = received.lock().unwrap().iter().map(|(_, body)| body["id"].to_string()).collect();
    let again: Vec<&String> =
        all.iter().skip(2).filter(|id| all.iter().filter(|other| other == id).count() > 1).collect();
    assert!(all[0] == all[1] && again.is_empty(), "{all:?}");
    let metrics = site[1].get("/metrics").unwrap().body;
    assert!(metrics.contains("quorate_notices_total{notify=\"ops\",outcome=\"delivered\"}"), "{metrics}");
    assert!(!site[1].log().contains("a secret of ours") && !site[0].log().contains("/hook"));
    site.end();
}
