//! Logs of runs with real agents: followed on any agent while they run, kept when their leader is killed, bounded, for those
//! who may see them, and without secrets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cluster::first;
use crate::harness::{Site, binary, eventually, stderr, stdout, text};

const SECRET: &str = "swordfish-Qx81";

/// `talk` says a little, waits for a file, and says more; `count` says which of its runs it is.
fn tasks(gate: &str) -> String {
    format!(
        "
access {{ default = \"deny\" }}
runs {{
  keep     = 3
  max_size = \"16KiB\"
}}
task {{
  name    = \"talk\"
  command = [\"sh\", \"-c\", \"echo pw=$DB_PASSWORD; echo first line; while [ ! -e {gate} ]; do sleep 0.02; done; echo oops >&2; echo last line\"]
  timeout = \"0s\"
  run_env {{ set {{ DB_PASSWORD = file(\"secret\") }} }}
  condition \"schedule\" {{ cron = \"0 0 1 1 *\" }}
}}
task {{
  name    = \"count\"
  command = [\"sh\", \"-c\", \"echo x >> runs; echo this is run $(wc -l < runs)\"]
  condition \"schedule\" {{ cron = \"0 0 1 1 *\" }}
}}
task {{
  name    = \"flood\"
  command = [\"sh\", \"-c\", \"echo the beginning; base64 -w 76 /dev/urandom | head -c 2000000; echo; echo the end\"]
  condition \"schedule\" {{ cron = \"0 0 1 1 *\" }}
}}
"
    )
}

fn runs(site: &Site, agent: usize, token: &str, task: &str) -> Vec<Value> {
    let (status, body) = site.call(agent, "GET", &format!("/v1/runs?task={task}"), Some(token));
    if status == 200 { body["runs"].as_array().unwrap().clone() } else { Vec::new() }
}

fn logs(site: &Site, agent: usize, token: &str, words: &[&str]) -> String {
    let output = site.quorate(agent, Some(token), &[&["task", "logs"], words].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output)
}

/// The answer to a request with these headers, as it was sent.
fn raw(site: &Site, agent: usize, token: &str, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(site.addr(agent)).unwrap();
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    stream.write_all(format!("{head}{headers}\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_log_is_followed_on_any_agent_and_outlives_its_leader() {
    let gate_dir = tempfile::tempdir().unwrap();
    let gate = gate_dir.path().join("gate");
    let mut site = Site::new(3, &tasks(&gate.display().to_string()));
    for agent in 0..3 {
        std::fs::write(site.home(agent).join("secret"), SECRET).unwrap();
    }
    site.found();
    let root = first(&site, 1);

    // While it runs.
    eventually("the run has said something", || {
        let Some(run) = runs(&site, 2, &root, "talk").first().map(|run| text(&run["id"])) else { return false };
        let (_, said) = site.call(2, "GET", &format!("/v1/runs/{run}/log"), Some(&root));
        said.as_str().is_some_and(|said| said.contains("first line"))
    });
    let mut command = Command::new(binary());
    command.args(["task", "logs", "-follow", "talk"]).env("QUORATE_TOKEN", &root);
    command.env("QUORATE_HTTP_ADDR", format!("http://{}", site.addr(2))).stdout(Stdio::piped());
    let mut follower = command.spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut seen: Vec<String> = lines.by_ref().take_while(|line| line != "first line").collect();
    assert!(seen[0].starts_with("==> ") && seen[0].contains(" of talk by a1, epoch 1: take-over"), "{seen:?}");
    assert_eq!(seen[1], "pw=(sensitive value)");
    let run = runs(&site, 1, &root, "talk")[0].clone();
    assert_eq!((&run["state"], &run["outcome"]), (&Value::from("running"), &Value::Null));
    let path = format!("/v1/runs/{}/log", text(&run["id"]));
    let now = raw(&site, 2, &root, &path, "Accept: text/event-stream\r\n");
    assert!(now.contains("content-type: text/event-stream") && now.contains("event: log\nid: "), "{now}");
    assert!(now.contains("first line") && now.contains("event: end\ndata: {\"why\":null}"), "{now}");
    std::fs::write(&gate, "").unwrap();
    seen.extend(lines);
    assert!(follower.wait().unwrap().success());
    assert!(seen.contains(&"oops".to_owned()) && seen.contains(&"last line".to_owned()), "{seen:?}");
    assert!(seen.last().unwrap().ends_with(" success"), "{seen:?}");

    // Who may.
    let (reader, _) = site.create(0, &root, &["-role", "read"]);
    let (other, _) = site.create(0, &root, &["-role", "operate", "-tasks", "count"]);
    eventually("both tokens are known on a3", || {
        [&reader, &other].iter().all(|token| site.call(2, "GET", "/v1/tokens/self", Some(token)).0 == 200)
    });
    for agent in 0..3 {
        assert_eq!(site.call(agent, "GET", &path, Some(&reader)).0, 403);
        assert_eq!(site.call(agent, "GET", &path, Some(&other)).0, 404, "of a task that this one does not see");
        assert_eq!(runs(&site, agent, &other, "talk"), Vec::<Value>::new());
        assert_eq!(site.call(agent, "GET", &path, None).0, 401);
    }

    // What is too much.
    let ended = |task: &str| {
        let found = runs(&site, 1, &root, task);
        found.iter().filter(|run| run["log"]["open"] == false).map(|run| text(&run["id"])).collect::<Vec<_>>()
    };
    // A run that waits for its start would take in what is asked for meanwhile.
    let over = || runs(&site, 1, &root, "count").iter().filter(|run| run["state"] == "ended").count();
    for number in 1..=5 {
        eventually("the run before is over", || over() >= number);
        assert!(site.quorate(1, Some(&root), &["task", "run", "count"]).status.success());
    }
    eventually("the last run is over", || over() == 6);
    eventually("three logs are left", || ended("count").len() == 3);
    eventually("all runs are told", || runs(&site, 1, &root, "count").len() == 6);
    assert!(logs(&site, 1, &root, &["count"]).contains("\nthis is run 6\n"));
    let flood = logs(&site, 2, &root, &["flood"]);
    assert!(flood.contains("\nthe beginning\n") && flood.contains("\nthe end\n"), "{}", flood.len());
    assert!(flood.contains(" bytes are left out here") && flood.len() < 40_000, "{}", flood.len());

    // The leader is gone.
    eventually("the log of talk is kept", || ended("talk").len() == 1);
    let id = text(&run["id"]);
    let before = logs(&site, 0, &root, &["talk"]);
    let flood = logs(&site, 0, &root, &["-run", &ended("flood")[0], "flood"]);
    site.kill(0);
    site.wait_leader(1);
    for agent in 1..3 {
        eventually("the next leader tells the runs", || !runs(&site, agent, &root, "talk").is_empty());
        assert_eq!(logs(&site, agent, &root, &["-run", &id, "talk"]), before);
        let (_, shown) = site.call(agent, "GET", &format!("/v1/runs/{id}"), Some(&root));
        assert_eq!(shown["run"]["outcome"], "success", "{shown}");
        let of_flood = runs(&site, agent, &root, "flood");
        let first = of_flood.last().unwrap();
        assert_eq!(logs(&site, agent, &root, &["-run", &text(&first["id"]), "flood"]), flood);
    }
    // Without a majority, what an agent has itself.
    site.kill(1);
    eventually("a3 knows that nobody leads", || site.call(2, "GET", "/v1/cluster", Some(&root)).1["leader"].is_null());
    assert_eq!(logs(&site, 2, &root, &["-run", &id, "talk"]), before);

    let mut found = site.files_with(SECRET);
    found.retain(|path| !path.ends_with("secret"));
    assert_eq!(found, Vec::<std::path::PathBuf>::new());
}
