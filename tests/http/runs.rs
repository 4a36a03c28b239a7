//! Runs at the API: which are told, and to whom. With logs and events of real agents: `tests/access`.

use serde_json::Value;

use super::{Agent, access};

const RUN: &str = "00000000-0000-0000-0000-000000000009";

#[test]
fn runs_are_listed_and_what_is_no_run_is_refused() {
    let agent = Agent::leading();
    let list = agent.get("/v1/runs").json();
    let runs = list["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["id"], &runs[0]["task"]), (1, &RUN.into(), &"web".into()));
    assert_eq!(
        (&runs[0]["state"], &runs[0]["outcome"], &runs[0]["log"]),
        (&"running".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(agent.get("/v1/runs?task=db").json()["runs"], serde_json::json!([]));
    assert_eq!(agent.get(&format!("/v1/runs/{RUN}")).json()["run"]["trigger"], "services");
    let simple = RUN.replace('-', "");
    assert_eq!(agent.get(&format!("/v1/runs/{simple}")).status, 200, "as the journal has it");
    for (method, path, status) in [
        ("GET", "/v1/runs/web", 400),
        ("GET", "/v1/runs/web/log", 400),
        ("GET", "/v1/runs?limit=many", 400),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000001", 404),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000009/log?follow", 404),
        ("GET", "/v1/runs/00000000-0000-0000-0000-000000000009/log?offset=x", 400),
        ("GET", "/v1/events?kind=x", 400),
        ("GET", "/v1/events?format=json", 503),
        ("POST", "/v1/runs", 405),
        ("DELETE", "/v1/runs/00000000-0000-0000-0000-000000000009", 405),
        ("POST", "/v1/events", 405),
    ] {
        let answer = agent.call(method, path, "");
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
}

#[test]
fn callers_are_told_of_the_runs_that_they_may_see() {
    let agent = access::guarded_for_runs();
    let log = format!("/v1/runs/{RUN}/log");
    for (byte, runs, one, log_status) in
        [(access::READ, 1, 200, 403), (access::OPERATE_WEB, 1, 200, 404), (access::OPERATE_DB, 0, 404, 404)]
    {
        let header = access::bearer(byte);
        let list = access::get(&agent, "/v1/runs", &header).json();
        assert_eq!(list["runs"].as_array().unwrap().len(), runs, "{byte}");
        assert_eq!(access::get(&agent, &format!("/v1/runs/{RUN}"), &header).status, one, "{byte}");
        // No log is kept here: who may read it hears that.
        assert_eq!(access::get(&agent, &log, &header).status, log_status, "{byte}");
    }
}
