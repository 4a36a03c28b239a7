//! The audit trail of real agents.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::harness::{Site, Task, eventually};

/// In a token, a body and a query: in no line.
const SECRET: &str = "s3cr3t-of-nobody-else";

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))).collect()
}

/// The lines of a trail from a request on.
fn new_lines(path: &Path, before: usize) -> Vec<Value> {
    lines(path).split_off(before)
}

fn site(agents: usize, block: impl Fn(&Path) -> String) -> (Site, PathBuf) {
    let mut site = Site::new(agents, "lan", "10s", vec![Task::once("once"), Task::long("long")]);
    let trail = site.path().join("audit.log");
    site.shape.more = block(&trail);
    for number in 0..agents {
        site.configure(number);
        site[number].start();
    }
    for number in 0..agents {
        site[number].wait_up();
    }
    site.wait_leader(0, &(0..agents).collect::<Vec<_>>());
    site.wait_all_ran(0);
    (site, trail)
}

fn file(path: &Path) -> String {
    format!("\naudit {{ file = \"{}\" }}\n", path.display())
}

#[test]
fn every_change_of_the_api_leaves_exactly_one_line_and_a_read_none() {
    let (site, trail) = site(1, file);
    assert_eq!(trail.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let document: Value = site[0].get("/openapi.json").unwrap().json();
    let state =
        json!({"version": 4, "serial": 1, "lineage": "l", "outputs": {"x": {"value": SECRET, "type": "string"}}});
    let task = json!({"task": {"name": "made", "command": ["echo", SECRET], "module": "", "condition": {}}});
    let (mut changes, mut last) = (0, Vec::new());
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys().filter(|key| key.as_str() != "parameters") {
            if path == "/v1/cluster/leave" {
                last.push(path.clone());
                continue;
            }
            let before = lines(&trail).len();
            let body = match method.as_str() {
                "get" => None,
                "patch" => Some(json!({"enabled": false})),
                "put" => Some(state.clone()),
                _ => Some(task.clone()),
            };
            // One answer, and no stream that goes on.
            let target = format!("{}?version=1&format=json&secret={SECRET}", path.replace("{name}", "long"));
            let answer = site[0].send(&method.to_uppercase(), &target, body.as_ref()).unwrap();
            let found = new_lines(&trail, before);
            if method == "get" {
                assert_eq!(found, Vec::<Value>::new(), "{path}");
                continue;
            }
            changes += 1;
            let [line] = found.as_slice() else { panic!("{method} {path}: {found:#?}") };
            assert_eq!(line["stage"], "done", "{line}");
            assert_eq!(line["status"], answer.status, "{line}");
            assert_eq!(line["method"], method.to_uppercase(), "{line}");
            assert_eq!(line["who"], json!({"kind": "anonymous"}), "{line}");
            assert_eq!((line["agent"].as_str(), line["epoch"].as_u64()), (Some("a1"), Some(1)), "{line}");
            assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            assert!(line["action"].as_str().unwrap().contains('.'), "{line}");
            if let Ok(body) = serde_json::from_str::<Value>(&answer.body)
                && let Some(id) = body["request_id"].as_str()
            {
                assert_eq!(line["request_id"], id, "{line}");
            }
        }
    }
    assert!(changes >= 10, "{changes} changes in the document");
    assert_eq!(last, ["/v1/cluster/leave"]);
    let text = std::fs::read_to_string(&trail).unwrap();
    assert!(!text.contains(SECRET), "{text}");
    site.end();
}

#[test]
fn a_flag_is_told_before_and_after_and_who_was_refused_is_told_too() {
    let (site, trail) = site(1, file);
    let newest = || lines(&trail).pop().unwrap();
    let patch = |enabled: bool| site[0].send("PATCH", "/v1/tasks/once", Some(&json!({"enabled": enabled}))).unwrap();
    assert_eq!(patch(false).status, 200);
    let line = newest();
    assert_eq!((line["action"].as_str(), line["task"].as_str()), (Some("task.disable"), Some("once")), "{line}");
    assert_eq!((&line["before"], &line["after"]), (&json!({"enabled": true}), &json!({"enabled": false})), "{line}");
    assert_eq!(line["outcome"], "success");
    assert_eq!(site[0].send("DELETE", "/v1/tasks/nobody", None).unwrap().status, 404);
    let line = newest();
    assert_eq!((line["outcome"].as_str(), line["status"].as_u64()), (Some("refused"), Some(404)), "{line}");
    assert!(line["error"].as_str().unwrap().contains("nobody"), "{line}");
    // A page of another origin, and one that reads under a name that is not ours.
    let curl = |words: &[&str]| {
        let url = format!("http://{}/v1/tasks/once", site[0].addr);
        let mut curl = Command::new("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}"]).args(words).arg(url);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    // What is refused that early may be told a moment after its answer.
    assert_eq!(curl(&["-X", "DELETE", "-H", "Origin: http://evil.example"]), "403");
    eventually("the refused change is told", || newest()["status"] == 403);
    let line = newest();
    assert_eq!((line["action"].as_str(), line["outcome"].as_str()), (Some("task.delete"), Some("refused")), "{line}");
    assert_eq!(curl(&["-H", "Host: evil.example"]), "403");
    // Nobody waits for the line of a read.
    eventually("the refused read has a line", || {
        let line = newest();
        (line["action"].as_str(), line["status"].as_u64()) == (Some("read"), Some(403))
    });
    // Who changed the task, and who asked for its run.
    assert_eq!(patch(true).status, 200);
    assert_eq!(site[0].send("POST", "/v1/tasks/once/run", None).unwrap().status, 202);
    eventually("the run that was asked for is over, and says who asked", || {
        let shown = String::from_utf8(site.command(0, &["task", "show", "once"]).stdout).unwrap();
        shown.contains("Changed    enabled by 127.0.0.1:")
            && shown.contains("asked for by 127.0.0.1:")
            && shown.contains(" through a1")
    });
    site.end();
}

#[test]
fn a_forwarded_request_names_its_client_and_is_told_once() {
    let (site, trail) = site(3, file);
    // All three write to one file here: a line is one write, so they do not mix.
    let answer = site[1].send("PATCH", "/v1/tasks/once", Some(&json!({"enabled": false}))).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let found = lines(&trail);
    let [line] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((line["agent"].as_str(), line["before"].clone()), (Some("a2"), json!({"enabled": true})), "{line}");
    assert!(line["from"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    let shown = String::from_utf8(site.command(2, &["task", "show", "once"]).stdout).unwrap();
    assert!(shown.contains("disabled by 127.0.0.1:") && shown.contains(" through a2"), "{shown}");
    site.end();
}

#[test]
fn a_trail_is_rotated_by_size_and_opened_again_when_asked() {
    let (mut site, trail) =
        site(1, |trail| format!("\naudit {{ file = {trail:?} rotate_bytes = 4096 rotate_max_files = 2 }}\n"));
    let change = |site: &Site| assert_eq!(site[0].send("DELETE", "/v1/tasks/nobody", None).unwrap().status, 404);
    let old = |number: u32| PathBuf::from(format!("{}.{number}", trail.display()));
    for _ in 0..60 {
        change(&site);
    }
    assert!(old(1).exists() && old(2).exists() && !old(3).exists());
    for path in [trail.clone(), old(1), old(2)] {
        assert!(path.metadata().unwrap().len() <= 4096 && !lines(&path).is_empty(), "{}", path.display());
    }
    let moved = site.path().join("moved");
    for by_signal in [true, false] {
        std::fs::rename(&trail, &moved).unwrap();
        if by_signal {
            site[0].signal(Signal::HUP);
        } else {
            assert!(site.command(0, &["reload"]).status.success());
        }
        eventually("the trail is open anew", || {
            change(&site);
            trail.exists()
        });
        assert!(!lines(&trail).is_empty());
    }
    site.end();
}

#[test]
fn what_cannot_be_written_down_does_not_happen_when_it_is_required() {
    let (site, _) = site(1, |_| "\naudit { file = \"/dev/full\" required = true }\n".to_owned());
    let enabled = || site[0].tasks().unwrap()["once"].enabled;
    let answer = site[0].send("PATCH", "/v1/tasks/once", Some(&json!({"enabled": false}))).unwrap();
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("nothing was done") && answer.body.contains("No space left"), "{}", answer.body);
    assert!(enabled(), "nothing has changed");
    for (method, path) in [("DELETE", "/v1/tasks/once"), ("POST", "/v1/tasks/once/run"), ("POST", "/v1/cluster/leave")]
    {
        assert_eq!(site[0].send(method, path, None).unwrap().status, 503, "{method} {path}");
    }
    assert_eq!(site[0].get("/v1/tasks/once").unwrap().status, 200, "reads need no line");
    assert!(site[0].get("/metrics").unwrap().body.contains("quorate_audit_lines_lost_total "));
    site[0].wait_log("the audit trail cannot be written: file: No space left on device");
    site.end();
}

#[test]
fn without_required_a_lost_line_is_counted_and_the_change_is_made() {
    let (site, _) = site(1, |_| "\naudit { file = \"/dev/full\" }\n".to_owned());
    let answer = site[0].send("PATCH", "/v1/tasks/once", Some(&json!({"enabled": false}))).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!site[0].tasks().unwrap()["once"].enabled);
    assert!(site[0].get("/metrics").unwrap().body.contains("quorate_audit_lines_lost_total 1\n"));
    site.end();
}

#[test]
fn a_required_trail_announces_each_change() {
    let (site, trail) = site(1, |trail| format!("\naudit {{ file = {trail:?} required = true }}\n"));
    assert_eq!(site[0].send("POST", "/v1/tasks/once/run", None).unwrap().status, 202);
    let found = lines(&trail);
    let [asked, done] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!((asked["stage"].as_str(), done["stage"].as_str()), (Some("asked"), Some("done")));
    assert_eq!(asked["request_id"], done["request_id"]);
    assert_eq!((asked.get("outcome"), done["status"].as_u64()), (None, Some(202)));
    site.end();
}

#[test]
fn a_trail_that_cannot_be_opened_stops_the_start_and_the_check() {
    let mut site = Site::new(1, "lan", "10s", vec![Task::once("once")]);
    site.shape.more = "\naudit { file = \"/nowhere/at/all/audit.log\" }\n".to_owned();
    site.configure(0);
    let config = site[0].config().display().to_string();
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
        let output = command.args(words).args(["-config-file", &config]).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for words in [&["config", "check"][..], &["start"]] {
        let (success, text) = run(words);
        assert!(!success && text.contains("the audit trail cannot be written to /nowhere/at/all/audit.log"), "{text}");
    }
    site.end();
}
