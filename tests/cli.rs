//! The binary against a small HTTP server that stands for an agent.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use serde_json::{Value, json};

#[path = "ports/mod.rs"]
mod ports;

use ports::free_port;

#[test]
fn members_is_a_table() {
    let agent = Agent::start(answers);
    let out = agent.run(&["members"]);
    assert_eq!(code(&out), 0);
    let expected = "\
ID      STATE    VOTER  LEADER  GOSSIP ADDRESS  API ADDRESS    VERSION  SINCE
cts-01  alive    yes    yes     10.0.0.1:8559   10.0.0.1:8558  0.1.0    -
cts-02  suspect  no     no      10.0.0.2:8559   10.0.0.2:8558  0.1.0    -
";
    assert_eq!(stdout(&out), expected);
}

#[test]
fn status_is_one_screen() {
    let agent = Agent::start(answers);
    let out = agent.run(&["status"]);
    assert_eq!(code(&out), 0);
    let expected = "\
Cluster  edge, as cts-02 sees it
Leader   cts-01, epoch 7: lowest id alive
Quorum   held: 2 of 2 voters alive, 2 needed

MEMBER  STATE    FOR  VOTER  API ADDRESS    VERSION
cts-01  alive    -    yes    10.0.0.1:8558  0.1.0    leader
cts-02  suspect  -    no     10.0.0.2:8558  0.1.0    this agent

TASK  STATUS   LAST RUN  TOOK  TRIGGER  NOW
web   unknown  never                    idle
";
    assert_eq!(stdout(&out), expected);
}

#[test]
fn status_without_a_leader_is_still_a_screen() {
    let agent = Agent::start(|request| {
        if request.path == "/v1/cluster/tasks" {
            return (
                503,
                json!({"error": {"message": "no agent leads at the moment: two are down"}, "request_id": "r"}),
            );
        }
        answers(request)
    });
    let out = agent.run(&["status"]);
    assert_eq!(code(&out), 0);
    assert!(stdout(&out).ends_with("\nTasks    not known: no agent leads at the moment: two are down\n"), "{out:?}");
    let out = agent.run(&["status", "-json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["tasks"], Value::Null);
    assert!(report["tasks_error"].as_str().unwrap().contains("two are down"));
}

#[test]
fn json_is_what_the_agent_said() {
    let agent = Agent::start(answers);
    let out = agent.run(&["members", "-json"]);
    assert_eq!(serde_json::from_slice::<Value>(&out.stdout).unwrap(), cluster(1, "alive"));
    let out = agent.run(&["status", "--json"]);
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(report["cluster"], cluster(1, "alive"));
    assert_eq!(report["tasks"], tasks());
    let out = agent.run(&["task", "list", "-json"]);
    assert_eq!(serde_json::from_slice::<Value>(&out.stdout).unwrap(), tasks());
    let out = agent.run(&["task", "show", "-json", "web"]);
    assert_eq!(serde_json::from_slice::<Value>(&out.stdout).unwrap(), tasks()["tasks"][0]);
}

#[test]
fn a_watch_appends_every_change_to_a_pipe() {
    let agent = Agent::start(|request| {
        let state = match request.path.as_str() {
            "/v1/cluster" => "alive",
            "/v1/cluster?index=1&wait=30s" => "down",
            _ => "left",
        };
        let index = ["alive", "down", "left"].iter().position(|s| *s == state).unwrap() + 1;
        (200, cluster(index, state))
    });
    let mut child = agent.command(&["members", "-watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let states: Vec<String> = lines
        .map(|line| line.unwrap())
        .filter(|line| line.starts_with("cts-01"))
        .map(|line| line.split_whitespace().nth(1).unwrap().to_owned())
        .take(3)
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states, ["alive", "down", "left"]);
}

#[test]
fn a_watch_in_json_is_silent_while_only_request_ids_change() {
    let asked = Arc::new(Mutex::new(0));
    let count = asked.clone();
    let agent = Agent::start(move |request| {
        if request.path == "/v1/cluster/tasks" {
            return (200, tasks());
        }
        let mut asked = count.lock().unwrap();
        *asked += 1;
        let mut body = cluster(1, if *asked > 10 { "down" } else { "alive" });
        body["request_id"] = json!(format!("r{asked}"));
        (200, body)
    });
    let mut child = agent.command(&["status", "-watch", "-json"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reports = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let states: Vec<Value> = reports.map(|report| report["cluster"]["members"][0]["state"].clone()).take(2).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(states, ["alive", "down"]);
    assert!(*asked.lock().unwrap() > 10);
}

#[test]
fn a_task_is_enabled_after_a_plan_and_a_yes() {
    let agent = Agent::start(|request| match request.path.as_str() {
        "/v1/tasks/web?run=inspect" => {
            (200, json!({"inspect": {"changes_present": true, "plan": "Plan: 1 to add\n  + \u{1b}[1mx"}}))
        }
        "/v1/tasks/same?run=inspect" => (200, json!({"inspect": {"changes_present": false, "plan": "No changes."}})),
        _ => (200, json!({})),
    });
    let out = agent.answer(&["task", "enable", "web"], "yes\n");
    let expected = "\
==> Inspecting what enabling 'web' would change...

    Plan: 1 to add
      +  [1mx

==> Enabling the task will perform the actions described above.
    Do you want to perform these actions for 'web'?
     - They cannot be taken back by disabling the task.
     - They may differ when what the task watches changes in between.

    Only 'yes' approves, anything else cancels.

    Enter a value: 
==> Enabling and running 'web'...

==> 'web' enable complete!
";
    assert_eq!((code(&out), stdout(&out).as_str(), stderr(&out).as_str()), (0, expected, ""));
    // Without changes it neither asks nor runs.
    let out = agent.run(&["task", "enable", "same"]);
    assert!(code(&out) == 0 && stdout(&out).ends_with("\n    No changes.\n\n==> 'same' enable complete!\n"), "{out:?}");
    let seen = agent.seen();
    let lines: Vec<_> = seen.iter().map(Request::line).collect();
    assert_eq!(
        lines,
        [
            "PATCH /v1/tasks/web?run=inspect",
            "PATCH /v1/tasks/web?run=now",
            "PATCH /v1/tasks/same?run=inspect",
            "PATCH /v1/tasks/same"
        ]
    );
    assert!(seen.iter().all(|request| request.body == r#"{"enabled":true}"#));
}

#[test]
fn only_a_whole_yes_is_a_yes() {
    let agent = Agent::start(|request| match request.path.as_str() {
        "/v1/tasks/web?run=inspect" => (200, json!({"inspect": {"changes_present": true, "plan": "p"}})),
        _ => (202, json!({"request_id": "r"})),
    });
    for (command, doing) in [("enable", "enabling"), ("delete", "deleting")] {
        for no in ["no\n", "\n", "Yes\n", "y\n", " yes\n", "yes please\n"] {
            let out = agent.answer(&["task", command, "web"], no);
            assert_eq!(code(&out), 0, "{no:?}: {out:?}");
            assert!(stdout(&out).ends_with(&format!("==> Cancelled {doing} task 'web'\n")), "{no:?}: {out:?}");
        }
        for end in ["", "yes"] {
            let out = agent.answer(&["task", command, "web"], end);
            assert_eq!(code(&out), 11, "{end:?}: {out:?}");
            assert!(stderr(&out).contains(&format!("nobody approved {doing} 'web'")), "{out:?}");
        }
    }
    assert!(agent.seen().iter().all(|request| request.path.ends_with("?run=inspect")), "nothing was done");
}

#[test]
fn a_task_is_disabled_deleted_and_run() {
    let agent = Agent::start(|_| (200, json!({})));
    let out = agent.run(&["task", "disable", "a b"]);
    assert_eq!((code(&out), stdout(&out).as_str()), (0, "==> 'a b' disable complete!\n"));
    let out = agent.run(&["task", "delete", "-auto-approve", "web"]);
    let marked = "==> Task 'web' has been marked for deletion and will be deleted when not running.\n";
    assert_eq!((code(&out), stdout(&out).as_str()), (0, marked));
    let out = agent.run(&["task", "run", "web"]);
    assert!(code(&out) == 0 && stdout(&out).starts_with("==> Task 'web' runs as soon as it is free"), "{out:?}");
    let seen = agent.seen();
    let lines: Vec<_> = seen.iter().map(Request::line).collect();
    assert_eq!(lines, ["PATCH /v1/tasks/a%20b", "DELETE /v1/tasks/web", "POST /v1/tasks/web/run"]);
    assert_eq!(seen[0].body, r#"{"enabled":false}"#);
}

#[test]
fn a_refusal_is_told_in_the_words_of_cts() {
    let refusal = json!({"error": {"message": "a task with name 'x' does not exist"}, "request_id": "r-1"});
    let agent = Agent::start(move |_| (404, refusal.clone()));
    for (args, what, reason) in [
        (&["task", "enable", "x"][..], "generate plan for", "request returned 404 status code with error: "),
        (&["task", "disable", "x"], "disable", "request returned 404 status code with error: "),
        (&["task", "delete", "-auto-approve", "x"], "delete", "404 Not Found: "),
        (&["task", "run", "x"], "run", "request returned 404 status code with error: "),
    ] {
        let out = agent.run(args);
        assert_eq!(code(&out), 11, "{args:?}");
        let logs = if what == "delete" { ", see logs for more details (Request ID: r-1)" } else { "" };
        let expected =
            format!("==> Error: unable to {what} 'x'\n    {reason}a task with name 'x' does not exist{logs}\n");
        assert_eq!(stderr(&out), expected);
    }
}

#[test]
fn an_unknown_task_is_an_error() {
    let agent = Agent::start(answers);
    let out = agent.run(&["task", "show", "nope"]);
    assert_eq!((code(&out), stderr(&out).as_str()), (11, "==> Error: a task with name 'nope' does not exist\n"));
}

#[test]
fn leave_and_step_down_say_what_happened() {
    let agent = Agent::start(|request| match request.path.as_str() {
        "/v1/cluster/leave" => (200, json!({"left": "cts-02", "request_id": "r"})),
        _ => (200, json!({"former": "cts-01", "successor": "cts-02", "request_id": "r"})),
    });
    let out = agent.run(&["leave"]);
    assert_eq!((code(&out), stdout(&out).as_str()), (0, "==> cts-02 has left the cluster and stops\n"));
    let out = agent.run(&["step-down"]);
    assert_eq!((code(&out), stdout(&out).as_str()), (0, "==> cts-01 has stepped down, cts-02 follows\n"));
    let lines: Vec<_> = agent.seen().iter().map(Request::line).collect();
    assert_eq!(lines, ["POST /v1/cluster/leave", "POST /v1/cluster/step-down"]);
}

#[test]
fn a_step_down_that_did_not_happen_is_no_success() {
    let agent = Agent::start(|_| (409, json!({"error": {"message": "nobody could follow"}, "request_id": "r"})));
    let out = agent.run(&["step-down"]);
    assert_eq!(code(&out), 11);
    assert!(stderr(&out).contains("unable to step down\n    request returned 409 status code with error: nobody"));
}

#[test]
fn a_silent_address_is_said_clearly() {
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let out = quorate(&["status", &format!("-http-addr={free}")]).output().unwrap();
    assert_eq!(code(&out), 11);
    assert!(stderr(&out).starts_with(&format!("==> Error: no agent answers at http://{free}: connection refused\n")));
}

#[test]
fn what_is_no_agent_is_said_clearly() {
    let agent = Agent::start(|_| (200, json!(["something", "else"])));
    let out = agent.run(&["members"]);
    assert_eq!(code(&out), 11);
    assert!(stderr(&out).contains("does not answer as an agent does"), "{out:?}");
}

#[test]
fn the_flag_beats_the_environment() {
    let agent = Agent::start(answers);
    let nowhere = "http://127.0.0.1:1";
    let ok = |command: &mut Command| assert_eq!(code(&command.output().unwrap()), 0);
    ok(quorate(&["members"]).env("CTS_ADDRESS", &agent.url));
    ok(quorate(&["members"]).env("CTS_ADDRESS", nowhere).env("QUORATE_HTTP_ADDR", &agent.url));
    ok(quorate(&["members", "-http-addr", &agent.url]).env("QUORATE_HTTP_ADDR", nowhere));
}

#[test]
fn exit_codes_are_those_of_cts() {
    let check = |args: &[&str], expected: i32, on_stderr: &str| {
        let out = quorate(args).output().unwrap();
        assert_eq!(code(&out), expected, "{args:?}: {out:?}");
        assert!(stderr(&out).contains(on_stderr), "{args:?}: {out:?}");
    };
    check(&[], 13, "Usage: quorate <command> [-help] [options]");
    check(&["nope"], 127, "Usage: quorate <command>");
    check(&["-help"], 0, "");
    check(&["status", "-help"], 0, "");
    check(&["-version"], 0, "");
    check(&["status", "-nope"], 14, "Error: unsupported arguments in flags");
    check(&["start", "-expect", "many"], 14, "Error: unsupported arguments in flags");
    check(&["task", "enable"], 13, "Error: this command requires one argument");
    check(&["task", "enable", "a", "b"], 13, "All flags are required to appear before positional arguments");
    check(&["config", "check"], 13, "no config file provided");
    check(&["start"], 13, "no config file provided");
    check(&["task", "create"], 13, "no task file provided\n    For additional help try 'quorate task create --help'");
    check(&["task", "create", "-task-file", "/none.hcl"], 15, "unable to read task file");
    check(&["members", "-ssl-verify=maybe", "-http-addr=https://localhost:1"], 11, "must be true or false");
    check(&["members", "-client-cert=x", "-http-addr=https://localhost:1"], 11, "without -client-key");
    check(&["members", "-ca-cert=/none", "-http-addr=https://localhost:1"], 11, "/none: No such file");
    check(&["-autocomplete-install"], 14, "quorate completion bash");
}

#[test]
fn help_comes_whatever_it_is_called() {
    let help = |args: &[&str]| {
        let out = quorate(args).output().unwrap();
        assert_eq!(code(&out), 0, "{args:?}");
        stdout(&out)
    };
    for args in [&["help"][..], &["-h"], &["-help"], &["--help"]] {
        assert!(help(args).contains("step-down"), "{args:?}");
    }
    assert_eq!(help(&["help", "start"]), help(&["start", "-help"]));
    assert_eq!(help(&["task", "help"]), help(&["task", "-h"]));
}

#[test]
fn an_unknown_command_is_answered_with_those_beside_it() {
    let out = quorate(&["task", "lst"]).output().unwrap();
    assert_eq!(code(&out), 127);
    assert!(stderr(&out).contains("'lst'") && stderr(&out).contains("disable"), "{out:?}");
    assert!(!stderr(&out).contains("step-down"), "{out:?}");
}

#[test]
fn a_start_that_fails_says_once_why() {
    let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-no-dir-{}", std::process::id()));
    std::fs::write(&dir, "not a directory").unwrap();
    let out = quorate(&["start", "-id", "a", "-http-addr", "127.0.0.1:0", "-data-dir", dir.to_str().unwrap()]);
    let out = { out }.output().unwrap();
    std::fs::remove_file(&dir).unwrap();
    assert_eq!(code(&out), 15);
    assert_eq!(stderr(&out).matches("os error").count(), 1, "{out:?}");
}

#[test]
fn version_has_the_two_lines_of_cts() {
    let out = quorate(&["version"]).output().unwrap();
    let text = stdout(&out);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(concat!("quorate v", env!("CARGO_PKG_VERSION"))));
    assert!(lines.next().unwrap().starts_with("Compatible with Terraform"));
}

#[test]
fn the_name_of_cts_gets_the_forms_of_cts() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("consul-terraform-sync");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_quorate"), &link).unwrap();
    let cts = |args: &[&str]| Command::new(&link).args(args).env_clear().stdin(Stdio::null()).output().unwrap();
    for args in [&["-help"][..], &["--help"], &["-h"]] {
        let out = cts(args);
        let text = stdout(&out);
        assert_eq!(code(&out), 0);
        let usage = "Usage CLI: consul-terraform-sync <command> [-help] [options]";
        assert!([usage, "Commands:", "Options:"].iter().all(|part| text.contains(part)), "{text}");
    }
    for args in [&["-version"][..], &["--version"], &["-v"], &["version"]] {
        let out = cts(args);
        let text = stdout(&out);
        let first = concat!("consul-terraform-sync v0.9.0 (quorate v", env!("CARGO_PKG_VERSION"), ")");
        assert_eq!((code(&out), text.lines().next()), (0, Some(first)));
        assert!(text.contains("\nCompatible with Terraform >= 0.13.0"), "{text}");
    }
    let nothing = cts(&[]);
    assert!(code(&nothing) == 13 && stderr(&nothing).contains("Usage CLI: consul-terraform-sync <command>"));
    let unknown = cts(&["nope"]);
    assert!(code(&unknown) == 127 && stderr(&unknown).contains("Usage CLI: consul-terraform-sync <command>"));
    for command in ["enable", "disable", "delete"] {
        let usage = format!("Usage: consul-terraform-sync task {command} [-help] [options] <task name>");
        assert!(stdout(&cts(&["task", command, "-help"])).contains(&usage));
        let hint = format!("For additional help try 'consul-terraform-sync task {command} --help'");
        assert!(stderr(&cts(&["task", command])).contains(&hint));
    }
    let create = stdout(&cts(&["task", "create", "-help"]));
    for text in [&create, &stdout(&cts(&["task", "enable", "-help"])), &stdout(&cts(&["help", "task", "delete"]))] {
        for default in [
            "auto-approve [Default: false]",
            "http-addr [Default: http://localhost:8558]",
            "ssl-verify [Default: true]",
        ] {
            assert!(text.contains(default), "{default}: {text}");
        }
        assert!(!text.contains("[default:"), "{text}");
    }
    assert!(create.contains("Usage: consul-terraform-sync task create [-help] [options] -task-file=<task config>"));
    let hint = "no task file provided\n    For additional help try 'consul-terraform-sync task create --help'";
    assert!(stderr(&cts(&["task", "create"])).contains(hint));
    let completion = stdout(&cts(&["completion", "bash"]));
    assert!(completion.contains(" -o default consul-terraform-sync\n"), "{completion}");

    // Flags alone start an agent, and it is said that this is the old way; with the command nothing is said.
    let (old, new) = (cts(&["-config-file", "/none.hcl"]), cts(&["start", "-config-file", "/none.hcl"]));
    assert_eq!((code(&old), code(&new)), (15, 15));
    let banner = "flags without a command are deprecated";
    assert!(stderr(&old).contains(banner) && !stderr(&new).contains(banner), "{old:?}");
    let own = quorate(&["-config-file", "/none.hcl"]).output().unwrap();
    assert!(!stderr(&own).contains(banner), "{own:?}");
}

#[test]
fn an_old_port_is_taken_with_a_warning() {
    let agent = Agent::start(answers);
    let port = agent.url.rsplit_once(':').unwrap().1.to_owned();
    let out = quorate(&["members", "-http-addr", "http://127.0.0.1:1", "-port", &port]).output().unwrap();
    assert_eq!(code(&out), 0, "{out:?}");
    assert!(stderr(&out).contains("the -port option is deprecated, use -http-addr instead"), "{out:?}");
}

#[test]
fn keys_have_32_bytes_and_differ() {
    let key = || stdout(&quorate(&["keygen"]).output().unwrap());
    let (one, two) = (key(), key());
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(one.trim_end()).unwrap().len(), 32);
    assert_ne!(one, two);
}

#[test]
fn shells_get_their_completion() {
    for shell in ["bash", "zsh", "fish"] {
        let out = quorate(&["completion", shell]).output().unwrap();
        assert_eq!(code(&out), 0);
        assert!(stdout(&out).contains("step-down"), "{shell}");
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    let mut child = quorate(&["completion", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let out = child.wait_with_output().unwrap();
    assert!(out.status.code().is_some());
    assert!(!stderr(&out).contains("panicked"), "{out:?}");
}

/// The cluster as `cts-02` tells it, without times: they would change with the clock.
fn cluster(index: usize, state: &str) -> Value {
    let member = |id: &str, number: u8, state: &str, voter: bool, leader: bool| {
        json!({"id": id, "service_name": "edge", "healthy": state == "alive", "leader": leader, "state": state,
               "voter": voter, "incarnation": 0, "gossip_address": format!("10.0.0.{number}:8559"),
               "api_address": format!("10.0.0.{number}:8558"), "version": "0.1.0", "state_since": null})
    };
    json!({"cluster_name": "edge",
           "members": [member("cts-01", 1, state, true, true), member("cts-02", 2, "suspect", false, false)],
           "leader": "cts-01", "epoch": 7,
           "quorum": {"mode": "quorum", "voters": 2, "alive": 2, "needed": 2, "held": true},
           "observed_by": "cts-02", "index": index, "request_id": "r",
           "details": {"high_availability": true, "formed": true, "leading": false, "leader_since": null,
                       "leader_why": "lowest id alive", "not_ready": null}})
}

fn tasks() -> Value {
    json!({"answered_by": "cts-01",
           "tasks": [{"name": "web", "status": "unknown", "enabled": true, "activity": {"state": "idle"},
                      "next_run": null, "source": "./web", "providers": [], "events": []}],
           "request_id": "r"})
}

fn answers(request: &Request) -> (u16, Value) {
    match request.line().as_str() {
        "GET /v1/cluster" => (200, cluster(1, "alive")),
        "GET /v1/cluster/tasks" => (200, tasks()),
        _ => (404, json!({"error": {"message": "there is no such path"}})),
    }
}

#[derive(Debug, Clone)]
struct Request {
    method: String,
    path: String,
    body: String,
}

impl Request {
    fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Answers one request a connection, each with what the given function says.
struct Agent {
    url: String,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Agent {
    fn start(answer: impl Fn(&Request) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let request = read(&stream);
                let (status, body) = answer(&request);
                log.lock().unwrap().push(request);
                let body = body.to_string();
                let head =
                    format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                // The client may be gone: a killed watch.
                drop((&stream).write_all(format!("{head}{body}").as_bytes()));
            }
        });
        Self { url, seen }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = quorate(args);
        command.env("QUORATE_HTTP_ADDR", &self.url);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// With this on standard input.
    fn answer(&self, args: &[&str], input: &str) -> Output {
        let mut command = self.command(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may end without reading.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    fn seen(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
    }
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let mut body = vec![0; length.next().map_or(0, |(_, value)| value.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let mut line = head.split(' ');
    Request {
        method: line.next().unwrap().to_owned(),
        path: line.next().unwrap().to_owned(),
        body: String::from_utf8(body).unwrap(),
    }
}

fn quorate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quorate"));
    command.args(args).env_remove("CTS_ADDRESS").env_remove("QUORATE_HTTP_ADDR").stdin(Stdio::null());
    command
}

fn code(out: &Output) -> i32 {
    out.status.code().unwrap()
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}
