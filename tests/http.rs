//! The HTTP API over real sockets, with an agent made of channels behind it.
#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::disallowed_methods, reason = "tests measure on the real clock")]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Local, Utc};
use quorate::cluster::View;
use quorate::cluster::settings::LeadershipMode;
use quorate::cluster::view::{MemberState, MemberView};
use quorate::http::{self, FollowerRequests, Limits, Server, Settings};
use quorate::runtime::access::Gate;
use quorate::runtime::handle::{
    ApiRequest, ApiResponse, Caller, CancelledReport, ChangeError, Check, ClusterSnapshot, ForwardError, Forwarded,
    Handle, Health, LastKnown, Leadership, Plan, Request, RunMode, TaskObjects, TasksSnapshot,
};
use quorate::runtime::metrics::Metrics;
use quorate::task::TaskSpec;
use quorate::task::report::{ActiveRun, Activity, RunEvent, Status, TaskReport};
use quorate::task::spec::{Condition, Guards, Retry, Work};
use quorate_proto::{Epoch, Instance, MemberId};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

#[path = "http/access.rs"]
mod access;
#[path = "http/contract.rs"]
mod contract;
#[path = "http/runs.rs"]
mod runs;
#[path = "http/ui.rs"]
mod ui;

#[test]
fn cluster_status_is_the_contract_to_the_letter() {
    let agent = Agent::following();
    for path in ["/v1/status/cluster", "/status/cluster"] {
        let answer = agent.get(path);
        assert_eq!(answer.status, 200);
        let id = answer.json()["request_id"].as_str().unwrap().to_owned();
        assert!(uuid::Uuid::parse_str(&id).is_ok(), "{id}");
        let expected = concat!(
            r#"{"cluster_name":"edge","members":["#,
            r#"{"id":"cts-01","service_name":"edge","address":"cts-01.example.com","healthy":true,"leader":true,"#,
            r#""state":"alive","voter":true,"incarnation":3,"gossip_address":"10.0.0.1:8559","#,
            r#""api_address":"10.0.0.1:8558","version":"0.1.0","state_since":"2026-11-23T04:00:00.123Z"},"#,
            r#"{"id":"cts-02","service_name":"edge","healthy":false,"leader":false,"#,
            r#""state":"suspect","voter":true,"incarnation":3,"gossip_address":"10.0.0.2:8559","#,
            r#""api_address":"10.0.0.2:8558","version":"0.1.0","state_since":null}],"#,
            r#""leader":"cts-01","epoch":7,"#,
            r#""quorum":{"mode":"quorum","voters":3,"alive":3,"needed":2,"held":true},"#,
            r#""observed_by":"cts-02","index":42,"request_id":""#
        );
        assert_eq!(answer.text(), format!("{expected}{id}\"}}"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[test]
fn reasons_and_alarms_are_there_when_there_are_any() {
    let agent = Agent::following();
    agent.change(|snapshot| {
        snapshot.view.leader = None;
        snapshot.view.reason = "2 of 3 voters are down".to_owned();
        snapshot.view.alarms = vec!["two agents use the id cts-02".to_owned()];
    });
    let body = agent.get("/v1/status/cluster").json();
    assert_eq!(body["leader"], Value::Null);
    assert_eq!(body["reason"], "2 of 3 voters are down");
    assert_eq!(body["alarms"], json!(["two agents use the id cts-02"]));
}

#[test]
fn cluster_status_without_high_availability_is_refused_as_in_cts() {
    let agent = Agent::leading();
    agent.change(|snapshot| snapshot.high_availability = false);
    let answer = agent.get("/v1/status/cluster");
    assert_eq!(answer.status, 405);
    let body = answer.json();
    assert_eq!(body["error"]["message"], "this endpoint is only available with high availability configured");
    assert!(body["request_id"].is_string());
    assert_eq!(agent.get("/v1/cluster").json()["details"]["high_availability"], false);
}

#[test]
fn a_long_poll_ends_with_the_change() {
    let agent = Agent::following();
    let addr = agent.addr;
    let started = Instant::now();
    let poll = std::thread::spawn(move || get(addr, "/v1/status/cluster?index=42&wait=30s"));
    // Whichever comes first, the poll or the change: the answer is the same.
    agent.change(|snapshot| snapshot.view.index = 43);
    assert_eq!(poll.join().unwrap().json()["index"], 43);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_long_poll_ends_with_its_wait() {
    let agent = Agent::following();
    let started = Instant::now();
    let answer = agent.get("/v1/status/cluster?index=42&wait=300ms");
    assert_eq!(answer.json()["index"], 42);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_secs(5));
    let started = Instant::now();
    assert_eq!(agent.get("/v1/status/cluster?index=41&wait=30s").json()["index"], 42);
    assert!(started.elapsed() < Duration::from_secs(5), "the index has passed 41 already");
}

#[test]
fn a_bad_long_poll_is_400() {
    let agent = Agent::following();
    for query in ["index=x", "index=1&wait=30", "index=1&wait=-1s"] {
        let answer = agent.get(&format!("/v1/status/cluster?{query}"));
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.json()["request_id"].is_string());
    }
}

#[test]
fn shutdown_answers_long_polls_and_is_quick_also_with_idle_and_slow_clients() {
    let agent = Agent::following();
    let addr = agent.addr;
    let mut idle = TcpStream::connect(addr).unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut byte = [0];
    idle.read_exact(&mut byte).unwrap();
    let mut slow = TcpStream::connect(addr).unwrap();
    slow.write_all(b"GET /livez HT").unwrap();
    let mut poll = TcpStream::connect(addr).unwrap();
    poll.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    poll.write_all(b"GET /v1/status/cluster?index=42&wait=10m HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // A later request on another connection is answered: the poll has been read.
    assert_eq!(agent.get("/livez").status, 200);
    let started = Instant::now();
    agent.shutdown.cancel();
    let mut answer = String::new();
    poll.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    agent.stop();
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn overall_status_counts_tasks() {
    let agent = Agent::leading();
    assert_eq!(
        agent.get("/v1/status").text(),
        concat!(
            r#"{"task_summary":{"status":{"successful":1,"errored":1,"critical":0,"unknown":1},"#,
            r#""enabled":{"true":2,"false":1}}}"#
        )
    );
    let answer = agent.call("POST", "/v1/status", "");
    assert_eq!(answer.status, 405);
    assert_eq!(
        answer.json(),
        json!({"error": {"message":
            "'POST' in an unsupported method. The overallStatus API currently supports the method(s): 'GET'"}})
    );
}

#[test]
fn task_statuses_have_the_shape_of_cts() {
    let agent = Agent::leading();
    let body = agent.get("/v1/status/tasks").json();
    assert_eq!(body.as_object().unwrap().len(), 3);
    assert_eq!(
        body["web"],
        json!({"task_name": "web", "status": "successful", "enabled": true, "providers": ["local"], "services": [],
               "events_url": "/v1/status/tasks/web?include=events"})
    );
    assert_eq!(
        body["new"],
        json!({"task_name": "new", "status": "unknown", "enabled": false, "providers": [], "services": [],
               "events_url": ""})
    );
    let body = agent.get("/v1/status/tasks/db?include=events").json();
    assert_eq!(body.as_object().unwrap().len(), 1);
    let event = &body["db"]["events"][0];
    assert_eq!(event["success"], false);
    assert_eq!(event["task_name"], "db");
    assert_eq!(event["error"], json!({"message": "exit status 1"}));
    assert_eq!(event["config"], json!({"providers": ["local"], "services": [], "source": "./db"}));
    assert!(DateTime::parse_from_rfc3339(event["start_time"].as_str().unwrap()).is_ok());
    assert_eq!(agent.get("/v1/status/tasks/web?include=events").json()["web"]["events"][0]["error"], Value::Null);
    assert!(agent.get("/v1/status/tasks/new?include=events").json()["new"].get("events").is_none());
}

#[test]
fn task_statuses_are_filtered_as_in_cts() {
    let agent = Agent::leading();
    let names = |path: &str| {
        let answer = agent.get(path);
        assert_eq!(answer.status, 200, "{path}");
        answer.json().as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(names("/v1/status/tasks/"), ["db", "new", "web"]);
    assert_eq!(names("/v1/status/tasks?status=successful"), ["web"]);
    assert_eq!(names("/v1/status/tasks?status=ERRORED"), ["db"]);
    assert_eq!(names("/v1/status/tasks?status=unknown"), ["new"]);
    assert!(names("/v1/status/tasks?status=critical").is_empty());
    assert!(names("/v1/status/tasks/web?status=errored").is_empty());
    assert_eq!(names("/v1/status/tasks/new?status=errored"), ["new"], "a task without events ignores the filter");
}

#[test]
fn bad_task_status_requests_are_refused() {
    let agent = Agent::leading();
    for path in [
        "/v1/status/tasks?include=all",
        "/v1/status/tasks?include=events&include=events",
        "/v1/status/tasks?status=fine",
        "/v1/status/tasks?status=errored&status=critical",
        "/v1/status/tasks/a/b",
        "/v1/status/tasks/a%2Fb",
        "/v1/status/tasks/%ff",
    ] {
        let answer = agent.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json().as_object().unwrap().len(), 1, "shape without request id");
    }
    let answer = agent.get("/v1/status/tasks/nope");
    assert_eq!(answer.status, 404);
    assert_eq!(
        answer.text(),
        r#"{"error":{"message":"a task with name 'nope' does not exist or has not been initialized yet"}}"#
    );
    let text = agent.call("PUT", "/v1/status/tasks", "").text();
    assert!(text.contains("'PUT' in an unsupported method. The task status API currently supports"), "{text}");
}

#[test]
fn tasks_now_tell_what_cts_does_not() {
    let agent = Agent::leading();
    let body = agent.get("/v1/cluster/tasks").json();
    assert_eq!(body["answered_by"], "cts-02");
    assert_eq!(body["tasks"][0]["name"], "web");
    assert_eq!(body["tasks"][0]["activity"]["state"], "running");
    assert!(body["tasks"][0]["activity"]["since"].is_string());
    assert_eq!(body["tasks"][0]["events"][0]["trigger"], "schedule");
    assert_eq!(body["tasks"][0]["events"][0]["epoch"], 7);
    assert_eq!(body["tasks"][2]["activity"], json!({"state": "idle"}));
}

#[test]
fn a_task_is_enabled_by_patch() {
    let mut agent = Agent::leading();
    let client = agent.spawn("PATCH", "/v1/tasks/new", r#"{"enabled":true}"#);
    match agent.asked() {
        Request::SetEnabled { task, enabled, reply, .. } => {
            assert_eq!((task.as_str(), enabled), ("new", true));
            reply.send(Ok(None)).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
}

#[test]
fn a_task_is_made_inspected_and_deleted() {
    let body = r#"{"task": {"name": "more", "module": "./m", "condition": {"schedule": {"cron": "* * * * *"}}}}"#;
    for (path, mode, plan, status) in [
        ("/v1/tasks", RunMode::Later, None, 201),
        ("/v1/tasks?run=now", RunMode::Now, None, 201),
        (
            "/v1/tasks?run=inspect",
            RunMode::Inspect,
            Some(Plan { changes_present: true, text: "Plan: 2".to_owned() }),
            200,
        ),
    ] {
        let mut agent = Agent::leading();
        let client = agent.spawn("POST", path, body);
        match agent.asked() {
            Request::Create { spec, run, reply, .. } => {
                assert_eq!((spec.name.as_str(), run), ("more", mode));
                reply.send(Ok(plan.clone())).unwrap();
            }
            other => panic!("{other:?}"),
        }
        let answer = client.join().unwrap();
        assert_eq!(answer.status, status);
        let json = answer.json();
        assert_eq!(json["task"]["name"], "more");
        assert_eq!(json["run"]["plan"].as_str(), plan.as_ref().map(|plan| plan.text.as_str()));
    }
    let mut agent = Agent::leading();
    let client = agent.spawn("DELETE", "/v1/tasks/more", "");
    match agent.asked() {
        Request::Delete { task, reply, .. } => {
            assert_eq!(task, "more");
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.join().unwrap().status, 202);
}

#[test]
fn tasks_are_shown_as_they_are_defined() {
    let agent = Agent::leading();
    assert_eq!(agent.get("/v1/tasks").json()["tasks"], json!([{"name": "web"}]));
    assert_eq!(agent.get("/v1/tasks/web").json()["task"], json!({"name": "web"}));
    assert_eq!(agent.get("/v1/tasks/none").status, 404);
}

#[test]
fn requests_are_checked_against_the_document() {
    let agent = Agent::leading();
    let check = |body: &str, part: &str| {
        let answer = agent.call("POST", "/v1/tasks", body);
        assert_eq!(answer.status, 400, "{body}");
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains(part), "{body}: {message}");
    };
    check("{", "failed to decode request body");
    check(r#"{"task": {"name": 7, "condition": {}}}"#, "doesn't match schema");
    check(r#"{"task": {"name": 7, "condition": {}}}"#, "value must be a string");
    check(r#"{"task": {"name": "odd", "condition": {}}}"#, "error with task configuration: odd is odd");
    let document = agent.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/tasks"]["post"].is_object());
}

#[test]
fn a_task_is_taken_as_json_only() {
    let agent = Agent::leading();
    for headers in ["", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n"] {
        let head = format!("POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: 2\r\n\r\n{{}}");
        let answer = exchange(agent.addr, head.as_bytes());
        assert_eq!(answer.status, 400, "{headers}");
        assert!(answer.text().contains("header Content-Type has unexpected value"), "{}", answer.text());
    }
}

#[test]
fn a_hundred_mebibytes_are_refused_before_they_are_sent() {
    let agent = Agent::leading();
    let head = "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // Not one byte of the body is sent.
    let answer = exchange(agent.addr, format!("{head}Content-Length: 104857600\r\n\r\n").as_bytes());
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains("the request's body may have 1048576 bytes at most"), "{}", answer.text());
}

#[test]
fn the_document_has_every_path() {
    contract::check_paths(|path| {
        let mut agent = Agent::leading();
        // What only its loop knows is answered as well when that is gone.
        agent.requests.close();
        get(agent.addr, path).status
    });
}

#[test]
fn a_failed_patch_says_why() {
    let mut agent = Agent::leading();
    let client = agent.spawn("PATCH", "/v1/tasks/new", r#"{"enabled":true}"#);
    match agent.asked() {
        Request::SetEnabled { reply, .. } => {
            reply.send(Err(ChangeError::Failed("the disk is full".to_owned()))).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!(answer.status, 500);
    let body = answer.json();
    assert_eq!(body["error"]["message"], "Error updating task 'new'. the disk is full");
    assert!(body["request_id"].is_string());
}

#[test]
fn bad_patches_are_refused_in_the_shapes_of_cts() {
    let agent = Agent::leading();
    let check = |path: &str, body: &str, status: u16, with_id: bool, part: &str| {
        let answer = agent.call("PATCH", path, body);
        assert_eq!(answer.status, status, "{path} {body}");
        let json = answer.json();
        assert_eq!(json.get("request_id").is_some(), with_id, "{path} {body}");
        assert!(json["error"]["message"].as_str().unwrap().contains(part), "{json}");
    };
    let good = r#"{"enabled":true}"#;
    check("/v1/tasks/", good, 400, false, "name of a task is required");
    check("/v1/tasks/a/b", good, 400, false, "no '/'");
    check("/v1/tasks/web", "{", 400, false, "not valid JSON");
    check("/v1/tasks/web", "{}", 400, false, "'enabled'");
    check("/v1/tasks/web", r#"{"enabled":true,"x":1}"#, 400, false, "unsupported keys: x");
    check("/v1/tasks/web?run=soon", good, 400, false, "run parameter");
    check("/v1/tasks/nope", good, 404, true, "'nope' does not exist");
    let answer = agent.call("PUT", "/v1/tasks/web", good);
    assert_eq!(answer.status, 405);
    assert_eq!(
        answer.json()["error"]["message"],
        "'PUT' in an unsupported method. The task API currently supports the method(s): 'PATCH'"
    );
}

#[test]
fn health_of_the_process() {
    let agent = Agent::following();
    assert_eq!(agent.get("/livez").status, 200);
    assert_eq!(agent.get("/readyz").status, 200);
    assert_eq!(agent.get("/v1/health").text(), "{}");
    let check = |name, passed, text: &str| Check { name, passed, text: text.to_owned() };
    let checks = vec![check("disk", false, "the disk is full"), check("leader", true, "cts-01 leads with epoch 7")];
    agent.health.send_replace(Health { not_ready: Some("the disk is full".to_owned()), checks });
    assert_eq!(agent.get("/livez").status, 200);
    assert_eq!(
        agent.get("/livez?verbose").json()["checks"][0],
        json!({"check": "api", "passed": true, "text": "the API answers"})
    );
    let answer = agent.get("/readyz");
    let reasons = json!([{"check": "disk", "reason": "the disk is full"}]);
    assert_eq!((answer.status, answer.json()), (503, json!({"ready": false, "reasons": reasons})));
    let all = agent.get("/readyz?verbose").json();
    assert_eq!(all["reasons"], reasons);
    assert_eq!(all["checks"][1], json!({"check": "leader", "passed": true, "text": "cts-01 leads with epoch 7"}));
    let answer = agent.get("/v1/health");
    assert_eq!((answer.status, answer.text().as_str()), (503, r#"{"error":{"message":"the disk is full"}}"#));
}

#[test]
fn leader_is_200_on_the_leader_only() {
    let follower = Agent::following();
    let answer = follower.get("/leader");
    assert_eq!((answer.status, answer.text().as_str()), (503, "cts-02 follows cts-01\n"));
    let leader = Agent::leading();
    let answer = leader.get("/leader");
    assert_eq!((answer.status, answer.text().as_str()), (200, "cts-02 leads with epoch 7\n"));
    leader.change(|snapshot| snapshot.leading = false);
    assert_eq!(leader.get("/leader").status, 503);
}

#[test]
fn a_head_request_gets_the_head_only() {
    let agent = Agent::leading();
    for path in ["/leader", "/v1/status"] {
        let mut stream = TcpStream::connect(agent.addr).unwrap();
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn metrics_count_requests() {
    let agent = Agent::following();
    agent.get("/livez");
    agent.get("/made/up");
    let answer = agent.get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text();
    assert!(text.contains("\n# TYPE quorate_http_requests_total counter\n"), "{text}");
    assert!(text.contains("quorate_http_requests_total{endpoint=\"/livez\",status=\"200\"} 1"), "{text}");
    assert!(text.contains("quorate_http_requests_total{endpoint=\"other\",status=\"404\"} 1"), "{text}");
    let head = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    let accept = "Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2\r\n\r\n";
    let answer = exchange(agent.addr, format!("{head}{accept}").as_bytes());
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(answer.text().contains("\n# TYPE quorate_http_requests counter\n") && answer.text().ends_with("# EOF\n"));
}

#[test]
fn the_command_line_reads_what_the_api_writes() {
    let agent = Agent::leading();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_quorate"));
        let out = command.args(args).arg(format!("-http-addr={}", agent.addr)).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        String::from_utf8(out.stdout).unwrap()
    };
    let screen = run(&["status"]);
    assert!(screen.starts_with("Cluster  edge, as cts-02 sees it\nLeader   cts-02 since "), "{screen}");
    assert!(screen.contains("\nweb   successful  "), "{screen}");
    assert!(screen.contains(": exit status 1\n"), "{screen}");
    assert!(run(&["members"]).contains("\ncts-02  suspect  yes    no"));
    assert!(run(&["task", "list"]).contains("./db"));
    agent.change(|snapshot| snapshot.high_availability = false);
    assert!(run(&["status"]).starts_with("Cluster  none: cts-02 is a single agent\n"));
}

#[test]
fn unknown_paths_are_404_and_options_200() {
    let agent = Agent::following();
    for path in ["/v1/nope", "/v1", "/", "/v1/status/nope", "/v1/tasksx"] {
        assert_eq!(agent.get(path).status, 404, "{path}");
    }
    let answer = agent.call("OPTIONS", "/v1/tasks/web", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert!(answer.header("access-control-allow-origin").is_none());
    assert_eq!(agent.call("POST", "/livez", "").status, 405);
}

#[test]
fn a_follower_returns_the_answer_of_the_leader() {
    let mut agent = Agent::following();
    let client = agent.spawn("PATCH", "/v1/tasks/a%20b?x=1", "{\"enabled\":true}");
    match agent.asked() {
        Request::Forward(request, reply) => {
            assert_eq!(request.method, "PATCH");
            assert_eq!(request.target, "/v1/tasks/a%20b?x=1");
            assert_eq!(request.body, b"{\"enabled\":true}");
            assert!(uuid::Uuid::parse_str(&request.request_id).is_ok());
            let body = b"{\"error\":{\"message\":\"of the leader\"}}".to_vec();
            reply.send(Ok(ApiResponse { status: 404, content_type: "application/json".to_owned(), body })).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (404, r#"{"error":{"message":"of the leader"}}"#));
}

#[test]
fn without_a_leader_a_follower_says_so_and_when_to_come_back() {
    for (path, with_id) in [("/v1/status", false), ("/v1/status/tasks/x", false), ("/v1/tasks", true)] {
        let mut agent = Agent::following();
        let client = agent.spawn("GET", path, "");
        match agent.asked() {
            Request::Forward(_, reply) => {
                let why = "2 of 3 voters are down".to_owned();
                reply.send(Err(ForwardError::NoLeader { why, retry_after: Duration::from_millis(2500) })).unwrap();
            }
            other => panic!("{other:?}"),
        }
        // It has no key for what it knows by itself: that is not told as if there were no tasks.
        let Request::LastKnown(reply) = agent.asked() else { panic!("a read is answered from the copy") };
        drop(reply.send(Err("it is sealed".to_owned())));
        let answer = client.join().unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), Some("3"));
        assert_eq!(answer.header("x-quorate-stale"), None);
        let body = answer.json();
        assert_eq!(body["error"]["message"], "no agent leads at the moment: 2 of 3 voters are down");
        assert_eq!(body.get("request_id").is_some(), with_id, "{path}");
    }
}

#[test]
fn reads_without_a_leader_are_answered_from_the_copy_and_say_how_old_it_is() {
    let mut paths = vec!["/v1/status", "/v1/status/tasks?include=events", "/v1/status/tasks/web", "/v1/cluster/tasks"];
    paths.extend(["/v1/tasks", "/v1/tasks/web"]);
    for path in paths {
        let mut agent = Agent::following();
        let client = agent.spawn("GET", path, "");
        let Request::Forward(_, reply) = agent.asked() else { panic!("the leader is asked first") };
        let error =
            ForwardError::NoLeader { why: "a majority is away".to_owned(), retry_after: Duration::from_secs(1) };
        reply.send(Err(error)).unwrap();
        let Request::LastKnown(reply) = agent.asked() else { panic!("then the copy") };
        let tasks = TasksSnapshot { tasks: tasks(), specs: vec![Arc::new(spec("web"))], ..TasksSnapshot::default() };
        drop(reply.send(Ok(LastKnown { tasks, since: at("2026-11-23T04:00:00.250Z") })));
        let answer = client.join().unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("x-quorate-stale"), Some("true"));
        assert_eq!(answer.header("x-quorate-stale-since"), Some("2026-11-23T04:00:00.250Z"));
        assert!(answer.header("age").unwrap().parse::<u64>().is_ok());
        assert_eq!(answer.header("retry-after"), None);
        let leader = Agent::leading().get(path);
        assert_eq!((leader.status, leader.header("x-quorate-stale")), (200, None));
        let (mut copy, mut told) = (answer.json(), leader.json());
        if path == "/v1/cluster/tasks" {
            assert_eq!(copy["stale_since"], "2026-11-23T04:00:00.250Z");
        }
        for body in [&mut copy, &mut told] {
            let fields = body.as_object_mut().unwrap();
            fields.remove("request_id");
            fields.remove("stale_since");
        }
        assert_eq!(copy, told, "otherwise as the leader says it");
    }
    // Changes wait for a leader.
    let mut agent = Agent::following();
    let client = agent.spawn("POST", "/v1/tasks/web/cancel", "");
    let Request::Forward(_, reply) = agent.asked() else { panic!("the leader is asked") };
    drop(reply.send(Err(ForwardError::NoLeader { why: "away".to_owned(), retry_after: Duration::from_secs(1) })));
    let answer = client.join().unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[test]
fn a_run_is_cancelled_by_whoever_asked_where() {
    let mut agent = Agent::leading();
    let client = agent.spawn("POST", "/v1/tasks/web/cancel?force=true&caller=somebody", "");
    match agent.asked() {
        Request::Cancel { task, by, force, reply } => {
            assert_eq!((task.as_str(), by.agent.as_str(), force), ("web", "cts-02", true));
            assert!(by.address.starts_with("127.0.0.1:"), "{by:?}");
            let report = CancelledReport {
                run: uuid::Uuid::from_u128(9),
                start_time: at("2026-11-23T04:00:00Z").into(),
                trigger: "schedule".to_owned(),
                by: format!("cancelled by {by}"),
                ends_within: Some(Duration::ZERO),
                queued: Some("services"),
            };
            reply.send(Ok(report)).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!(answer.status, 202);
    let body = answer.json();
    assert_eq!(body["queued"], json!({"trigger": "services"}));
    assert!(body["run"]["cancelled_by"].as_str().unwrap().ends_with("through cts-02"), "{body}");
    assert!(body["message"].as_str().unwrap().contains("starts when this one is over"), "{body}");

    let client = agent.spawn("POST", "/v1/tasks/new/cancel", "");
    let Request::Cancel { reply, .. } = agent.asked() else { panic!("a cancel") };
    reply.send(Err(ChangeError::Conflict("task 'new' is not running".to_owned()))).unwrap();
    assert_eq!(client.join().unwrap().status, 409);
    assert_eq!(agent.call("POST", "/v1/tasks/web/cancel?force=perhaps", "").status, 400);
    assert_eq!(agent.call("POST", "/v1/tasks/a/b/cancel", "").status, 400);
}

#[test]
fn a_task_is_disabled_and_deleted_with_a_run_under_way() {
    let mut agent = Agent::leading();
    let client = agent.spawn("PATCH", "/v1/tasks/web", r#"{"enabled":false}"#);
    let Request::SetEnabled { reply, .. } = agent.asked() else { panic!("a flag") };
    reply.send(Ok(None)).unwrap();
    let answer = client.join().unwrap();
    assert_eq!((answer.status, &answer.json()["active_run"]["trigger"]), (200, &json!("services")));

    let client = agent.spawn("DELETE", "/v1/tasks/web?cancel=true", "");
    let Request::Delete { reply, .. } = agent.asked() else { panic!("a deletion") };
    reply.send(Ok(())).unwrap();
    let Request::Cancel { reply, by, force: false, .. } = agent.asked() else { panic!("and the end of the run") };
    let report = CancelledReport {
        run: uuid::Uuid::from_u128(9),
        start_time: at("2026-11-23T04:00:00Z").into(),
        trigger: "services".to_owned(),
        by: format!("cancelled by {by}"),
        ends_within: Some(Duration::from_secs(1)),
        queued: None,
    };
    reply.send(Ok(report)).unwrap();
    agent.tasks.send_modify(|tasks| {
        Arc::make_mut(tasks).tasks.retain(|task| task.name != "web");
    });
    let answer = client.join().unwrap();
    let body = answer.json();
    assert_eq!((answer.status, body.get("active_run")), (202, None), "it waits until the run is over");
    assert!(body["cancelled_run"]["cancelled_by"].is_string());

    let client = agent.spawn("PATCH", "/v1/tasks/new?run=now", r#"{"enabled":true}"#);
    let Request::SetEnabled { reply, .. } = agent.asked() else { panic!("a flag") };
    reply
        .send(Err(ChangeError::Conflict("task 'new' is active and cannot be updated at this time".to_owned())))
        .unwrap();
    assert_eq!(client.join().unwrap().status, 409);
}

#[test]
fn a_leader_that_does_not_answer_is_504() {
    let mut agent = Agent::following();
    let client = agent.spawn("GET", "/v1/status", "");
    match agent.asked() {
        Request::Forward(_, reply) => {
            let error = ForwardError::NoAnswer { leader: id("cts-01"), waited: Duration::from_secs(5) };
            reply.send(Err(error)).unwrap();
        }
        other => panic!("{other:?}"),
    }
    let Request::LastKnown(reply) = agent.asked() else { panic!("a read is answered from the copy") };
    drop(reply);
    let answer = client.join().unwrap();
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("the leader cts-01 did not answer within 5s"));
}

#[test]
fn redirecting_followers_use_the_texts_of_cts() {
    let agent = Agent::start(follower(), FollowerRequests::Redirect);
    let message = |path: &str| {
        let answer = agent.get(path);
        assert_eq!(answer.status, 400);
        answer.json()["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(message("/v1/status"), "redirect requests to leader 'cts-01' at cts-01.example.com:8558");
    agent.change(|snapshot| snapshot.view.members[0].address.clear());
    assert_eq!(message("/v1/tasks"), "redirect requests to leader 'cts-01'");
    agent.change(|snapshot| snapshot.view.leader = None);
    assert_eq!(message("/v1/status/tasks"), "redirect requests to leader");
    assert_eq!(agent.get("/v1/status/cluster").status, 200);
    assert_eq!(agent.get("/v1/health").status, 200);
}

#[test]
fn forwarded_requests_get_the_same_answer_as_local_ones() {
    let agent = Agent::leading();
    let (status, body) = agent.forward("GET", "/v1/status", b"");
    assert_eq!(status, 200);
    assert_eq!(String::from_utf8(body).unwrap(), agent.get("/v1/status").text());
    assert_eq!(agent.forward("PATCH", "/v1/tasks/nope", br#"{"enabled":true}"#).0, 404);
    assert_eq!(agent.forward("PATCH", "/v1/tasks/web", &vec![b' '; (1 << 20) + 1]).0, 413);
    assert_eq!(agent.forward("\u{0}", "no path at all", b"\xff").0, 404);
    assert_eq!(agent.forward("GET", "/v1/cluster/leave", b"").0, 404, "views and commands are not task requests");
}

#[test]
fn a_forwarded_request_is_never_forwarded_again() {
    let agent = Agent::following();
    let (status, body) = agent.forward("GET", "/v1/status", b"");
    assert_eq!(status, 503);
    assert!(String::from_utf8(body).unwrap().contains("cts-02 leads no more, ask cts-01"));
}

#[test]
fn step_down_and_leave_say_what_happened() {
    let mut agent = Agent::leading();
    let client = agent.spawn("POST", "/v1/cluster/step-down", "");
    match agent.asked() {
        Request::StepDown(reply) => reply.send(Ok(Some(id("cts-01")))).unwrap(),
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!((&answer.json()["former"], &answer.json()["successor"]), (&json!("cts-02"), &json!("cts-01")));

    let client = agent.spawn("POST", "/v1/cluster/step-down", "");
    match agent.asked() {
        Request::StepDown(reply) => reply.send(Err("nobody could follow".to_owned())).unwrap(),
        other => panic!("{other:?}"),
    }
    let answer = client.join().unwrap();
    assert_eq!(answer.status, 409);
    assert_eq!(answer.json()["error"]["message"], "nobody could follow");

    let client = agent.spawn("POST", "/v1/cluster/leave", "");
    match agent.asked() {
        Request::Leave(reply) => reply.send(Ok(())).unwrap(),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.join().unwrap().json()["left"], "cts-02");
    assert_eq!(agent.get("/v1/cluster/leave").status, 405);
}

#[test]
fn an_agent_that_stops_says_so() {
    let mut agent = Agent::leading();
    agent.requests.close();
    let answer = agent.call("POST", "/v1/cluster/leave", "");
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
}

#[test]
fn bodies_are_limited_also_chunked() {
    let agent = Agent::leading();
    let mebibyte = 1 << 20;
    let fits = format!("{{\"enabled\":true}}{}", " ".repeat(mebibyte - 16));
    assert_eq!(agent.call("PATCH", "/v1/tasks/nope", &fits).status, 404, "exactly the limit is read");
    let announced =
        format!("PATCH /v1/tasks/nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", mebibyte + 1);
    assert_eq!(exchange(agent.addr, announced.as_bytes()).status, 413);
    let mut chunked =
        b"PATCH /v1/tasks/nope HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..17 {
        chunked.extend_from_slice(b"10000\r\n");
        chunked.extend_from_slice(&vec![b' '; 0x10000]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert_eq!(exchange(agent.addr, &chunked).status, 413);
}

#[test]
fn ambiguous_lengths_are_refused() {
    let agent = Agent::leading();
    let head = "PATCH /v1/tasks/web HTTP/1.1\r\nHost: localhost\r\n";
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Content-Length: +5\r\n",
    ] {
        let answer = exchange(agent.addr, format!("{head}{headers}\r\n0\r\n\r\n").as_bytes());
        assert_eq!(answer.status, 400, "{headers}");
    }
}

#[test]
fn host_names_of_others_and_pages_of_others_are_refused() {
    let agent = Agent::leading();
    let ask = |line: &str, headers: &str| exchange(agent.addr, format!("{line}\r\n{headers}\r\n").as_bytes()).status;
    assert_eq!(ask("GET /v1/status HTTP/1.1", "Host: localhost:8558\r\n"), 200);
    assert_eq!(ask("GET /v1/status HTTP/1.1", "Host: [::1]:8558\r\n"), 200);
    assert_eq!(ask("GET /v1/status HTTP/1.1", "Host: allowed.example\r\n"), 200);
    assert_eq!(ask("GET /v1/status HTTP/1.1", "Host: rebound.example\r\n"), 403);
    assert_eq!(ask("GET http://rebound.example/v1/status HTTP/1.1", "Host: localhost\r\n"), 403);
    assert_eq!(ask("GET /v1/status HTTP/1.1", ""), 400);
    assert_eq!(ask("GET /v1/status HTTP/1.0", "Connection: close\r\n"), 200);
    assert_eq!(ask("POST /v1/cluster/leave HTTP/1.1", "Host: localhost\r\nOrigin: http://evil.example\r\n"), 403);
}

#[test]
fn five_hundred_slow_clients_do_not_delay_the_others() {
    // Both ends of the sockets are in this process.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).unwrap();
    let agent = Agent::following();
    let mut slow: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(agent.addr).unwrap()).collect();
    for client in &mut slow {
        client.write_all(b"G").unwrap();
    }
    // The best of five: this machine may be busy with other things.
    let best = (0..5)
        .map(|_| {
            let started = Instant::now();
            assert_eq!(agent.get("/livez").status, 200);
            started.elapsed()
        })
        .min()
        .unwrap();
    assert!(best < Duration::from_millis(100), "took {best:?}");
    // A byte now and then does not keep a connection: the whole head has five seconds.
    let last = slow.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let started = Instant::now();
    let mut answer = [0; 64];
    while started.elapsed() < Duration::from_secs(20) {
        if last.write_all(b"E").is_err() {
            return;
        }
        match last.read(&mut answer) {
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => return,
        }
    }
    panic!("a slow client was kept for 20 s");
}

#[test]
fn a_taken_address_is_an_error_that_names_it() {
    let agent = Agent::following();
    let (handle, _ends) = handle(follower(), Gate::open());
    let settings = settings(agent.addr, FollowerRequests::Forward);
    let (_forward, forwarded) = mpsc::channel(1);
    let error = http::serve(&settings, handle, forwarded, CancellationToken::new()).unwrap_err();
    assert!(error.to_string().contains(&agent.addr.to_string()), "{error}");
}

/// An agent made of channels, and its API.
struct Agent {
    addr: SocketAddr,
    cluster: watch::Sender<Arc<ClusterSnapshot>>,
    health: watch::Sender<Health>,
    requests: mpsc::Receiver<Request>,
    forward: mpsc::Sender<Forwarded>,
    shutdown: CancellationToken,
    server: Server,
    tasks: watch::Sender<Arc<TasksSnapshot>>,
}

type Ends = (
    watch::Sender<Arc<ClusterSnapshot>>,
    watch::Sender<Arc<TasksSnapshot>>,
    watch::Sender<Health>,
    mpsc::Receiver<Request>,
);

/// Task objects of a few fields: what they mean in full is not the business of this test.
#[derive(Debug)]
struct Objects;

impl TaskObjects for Objects {
    fn read(&self, object: &serde_json::Value) -> Result<TaskSpec, String> {
        let name = object["name"].as_str().unwrap_or_default();
        if name == "odd" { Err("odd is odd".to_owned()) } else { Ok(spec(name)) }
    }

    fn show(&self, spec: &TaskSpec) -> serde_json::Value {
        json!({"name": spec.name})
    }
}

fn spec(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        condition: Condition::None,
        inputs: Vec::new(),
        work: Work::Command { argv: vec!["true".to_owned()] },
        buffer: None,
        retry: Retry::default(),
        park: None,
        guards: Guards::default(),
        grace: Duration::from_secs(1),
        timeout: None,
        working_dir: "/nowhere".into(),
        run: quorate::task::spec::RunOptions::default(),
    }
}

fn handle(snapshot: ClusterSnapshot, gate: Gate) -> (Handle, Ends) {
    let leading = snapshot.leading;
    let (cluster_sender, cluster) = watch::channel(Arc::new(snapshot));
    let (tasks_sender, tasks) = watch::channel(Arc::new(TasksSnapshot {
        leading,
        tasks: tasks(),
        specs: vec![Arc::new(spec("web"))],
        ..TasksSnapshot::default()
    }));
    let (health_sender, health) = watch::channel(Health::default());
    let (requests, received) = mpsc::channel(8);
    let (metrics, gate) = (Arc::new(Metrics::new()), Arc::new(gate));
    let objects = Arc::new(Objects);
    let (feed, logs, keyring, state) = (Arc::default(), None, None, None);
    let handle = Handle { cluster, tasks, health, requests, state, feed, logs, keyring, objects, metrics, gate };
    (handle, (cluster_sender, tasks_sender, health_sender, received))
}

fn leader() -> ClusterSnapshot {
    let mut snapshot = follower();
    snapshot.leading = true;
    snapshot.view.leader = Some(id("cts-02"));
    snapshot
}

fn settings(addr: SocketAddr, follower_requests: FollowerRequests) -> Settings {
    Settings {
        addr: addr.into(),
        allowed_hosts: vec!["allowed.example".to_owned()],
        follower_requests,
        tls: None,
        admin: None,
        insecure: false,
        // All clients of these tests have one address.
        limits: Limits { per_client: 600, ..Limits::default() },
        audit: None,
    }
}

impl Agent {
    fn start(snapshot: ClusterSnapshot, mode: FollowerRequests) -> Self {
        Self::guarded(snapshot, mode, Gate::open())
    }

    fn guarded(snapshot: ClusterSnapshot, mode: FollowerRequests, gate: Gate) -> Self {
        let (handle, (cluster, tasks, health, requests)) = handle(snapshot, gate);
        let (forward, forwarded) = mpsc::channel(8);
        let shutdown = CancellationToken::new();
        let settings = settings("127.0.0.1:0".parse().unwrap(), mode);
        let server = http::serve(&settings, handle, forwarded, shutdown.clone()).unwrap();
        Self { addr: server.addr().tcp().unwrap(), cluster, health, requests, forward, shutdown, server, tasks }
    }

    fn following() -> Self {
        Self::start(follower(), FollowerRequests::Forward)
    }

    fn leading() -> Self {
        Self::start(leader(), FollowerRequests::Forward)
    }

    fn change(&self, change: impl FnOnce(&mut ClusterSnapshot)) {
        self.cluster.send_modify(|snapshot| change(Arc::make_mut(snapshot)));
    }

    fn get(&self, path: &str) -> Answer {
        get(self.addr, path)
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.addr, method, path, body)
    }

    /// Calls from another thread, so that the test can play the agent.
    fn spawn(&self, method: &'static str, path: &'static str, body: &'static str) -> std::thread::JoinHandle<Answer> {
        let addr = self.addr;
        std::thread::spawn(move || call(addr, method, path, body))
    }

    /// What the API asks the agent.
    fn asked(&mut self) -> Request {
        self.requests.blocking_recv().unwrap()
    }

    fn forward(&self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let (reply, answer) = oneshot::channel();
        let request = ApiRequest {
            method: method.to_owned(),
            target: target.to_owned(),
            body: body.to_vec(),
            request_id: "r".to_owned(),
            caller: Caller::unknown(),
        };
        self.forward.blocking_send(Forwarded { request, reply }).unwrap();
        let answer = answer.blocking_recv().unwrap();
        (answer.status, answer.body)
    }

    fn stop(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        self.shutdown.cancel();
        runtime.block_on(self.server.stopped()).unwrap();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

fn get(addr: SocketAddr, path: &str) -> Answer {
    call(addr, "GET", path, "")
}

fn call(addr: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let of_body = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    let answer = exchange(addr, format!("{head}{of_body}{body}").as_bytes());
    contract::check(method, path, answer.status, answer.header("content-type"), &answer.body);
    answer
}

/// Sends these bytes and reads one answer.
fn exchange(addr: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    let mut half = stream.try_clone().unwrap();
    let request = request.to_vec();
    // The server may answer and close before it has read all.
    let writer = std::thread::spawn(move || half.write_all(&request).is_ok());
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    let (head, mut body, length) = loop {
        let read = stream.read(&mut chunk).unwrap();
        assert_ne!(read, 0, "closed after {:?}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&chunk[..read]);
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let mut headers = head.lines().filter_map(|line| line.split_once(": "));
        let length = headers.find(|(key, _)| key.eq_ignore_ascii_case("content-length"));
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        break (head.clone(), answer.split_off(end + 4), length);
    };
    while body.len() < length {
        let read = stream.read(&mut chunk).unwrap();
        if read == 0 {
            break;
        }
        body.extend_from_slice(&chunk[..read]);
    }
    drop(stream.shutdown(Shutdown::Both));
    drop(writer.join());
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body }
}

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// As `cts-02` sees it: `cts-01` leads.
fn follower() -> ClusterSnapshot {
    let member = |number: u8, state, address: &str| MemberView {
        id: id(&format!("cts-0{number}")),
        instance: Instance([number; 16]),
        state,
        generation: 1,
        incarnation: 3,
        gossip_addr: SocketAddr::from(([10, 0, 0, number], 8559)),
        api_addr: SocketAddr::from(([10, 0, 0, number], 8558)),
        address: address.to_owned(),
        software: (0, 1, 0),
        voter: true,
        leader: number == 1,
    };
    let view = View {
        index: 42,
        name: "edge".to_owned(),
        observer: id("cts-02"),
        members: vec![member(1, MemberState::Alive, "cts-01.example.com"), member(2, MemberState::Suspect, "")],
        leader: Some(id("cts-01")),
        last_release: None,
        epoch: Epoch(7),
        mode: LeadershipMode::Quorum,
        voters: 3,
        voters_alive: 3,
        needed: 2,
        formed: true,
        held: true,
        caught_up: true,
        reason: String::new(),
        alarms: Vec::new(),
    };
    ClusterSnapshot {
        view,
        since: [(id("cts-01"), at("2026-11-23T04:00:00.123456Z"))].into(),
        leader_since: Some(at("2026-11-23T04:00:01Z")),
        leader_why: "lowest id alive".to_owned(),
        leaderships: Arc::new(leaderships()),
        high_availability: true,
        state_at_rest: None,
        leading: false,
    }
}

fn leaderships() -> Vec<Leadership> {
    let first = Leadership {
        leader: id("cts-03"),
        epoch: Epoch(6),
        from: at("2026-11-23T01:00:00Z"),
        until: Some(at("2026-11-23T04:00:00.5Z")),
        why: "lowest id alive".to_owned(),
        end: "cts-03 is down".to_owned(),
    };
    let (leader, from) = (id("cts-01"), at("2026-11-23T04:00:01Z"));
    vec![first.clone(), Leadership { leader, epoch: Epoch(7), from, until: None, end: String::new(), ..first }]
}

fn tasks() -> Vec<Arc<TaskReport>> {
    let moment: DateTime<Local> = at("2026-11-23T04:00:00Z").into();
    let event = |success: bool, error: Option<&str>| RunEvent {
        id: uuid::Uuid::from_u128(7),
        success,
        start_time: moment,
        end_time: moment + chrono::Duration::milliseconds(1500),
        error: error.map(str::to_owned),
        epoch: 7,
        trigger: "schedule".to_owned(),
        cut_short: None,
        asked_by: None,
    };
    let task = |name: &str, enabled, status, events, activity| {
        Arc::new(TaskReport {
            name: name.to_owned(),
            enabled,
            status,
            events,
            activity,
            source: format!("./{name}"),
            providers: vec!["local".to_owned()],
            next_run: None,
            progress: None,
            deleted: false,
            run: (name == "web").then(|| ActiveRun {
                id: uuid::Uuid::from_u128(9),
                start_time: moment,
                trigger: "services".to_owned(),
                cancelled_by: None,
            }),
            grace: Duration::from_secs(1),
            timeout: Some(Duration::from_mins(10)),
            drift: None,
        })
    };
    vec![
        task("web", true, Status::Successful, vec![event(true, None)], Activity::Running(moment)),
        task("db", true, Status::Errored, vec![event(false, Some("exit status 1"))], Activity::Retrying(moment)),
        task("new", false, Status::Unknown, vec![], Activity::Idle),
    ]
}
