//! Runs that are cancelled while others may take over, and agents that stop with a run under way. Profile `lan`.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Site, Task, eventually};

/// Until the run of an agent has its grandchild: it does not end at once.
fn wait_stubborn(site: &Site, agent: &str) {
    eventually("the run has its grandchild", || {
        site.resource.lines().iter().any(|line| line.agent == agent && line.what == "orphan")
    });
}

fn stubborn(name: &'static str, grace: &'static str) -> Task {
    Task { stubborn: true, grace, ..Task::long(name) }
}

/// Until this agent tells that the newest run was cancelled. Its error.
fn cancelled(site: &Site, number: usize, task: &str) -> String {
    let mut error = String::new();
    eventually(&format!("{} tells that the run of {task} was cancelled", site[number].id), || {
        let Some(tasks) = site[number].tasks() else { return false };
        let event = tasks[task].events.iter().flatten().next().cloned();
        error = event.and_then(|event| event.error).map(|error| error.message).unwrap_or_default();
        error.starts_with("cancelled by ")
    });
    error
}

#[test]
fn a_run_is_cancelled_through_a_follower() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::long("long"), Task::once("one")]);
    site.found();
    let answer = site[2].send("POST", "/v1/tasks/long/cancel", None).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.body);
    let body = answer.json::<Value>();
    assert_eq!(body["queued"], Value::Null);
    assert!(body["run"]["cancelled_by"].as_str().unwrap().ends_with("through a3"), "{body}");
    let error = cancelled(&site, 1, "long");
    assert!(error.contains("127.0.0.1:") && error.ends_with("through a3"), "{error}");
    let runs = site.resource.runs_of("long");
    assert!(runs.len() == 1 && runs[0].interrupted, "{runs:?}");
    assert_eq!(json!(runs[0].id), body["run"]["id"]);
    eventually("there is nothing left to cancel", || {
        site[1].send("POST", "/v1/tasks/long/cancel", None).is_some_and(|answer| answer.status == 409)
    });
    // It runs again when somebody wants it to, and the command waits for the end.
    assert_eq!(site[1].send("POST", "/v1/tasks/long/run", None).unwrap().status, 202);
    eventually("it runs again", || site.resource.runs_of("long").len() == 2);
    let output = site.command(1, &["task", "cancel", "long"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("'long' cancel complete! The run ended: cancelled by"), "{text}");
    assert!(site.resource.runs_of("long")[1].interrupted);
    site.end();
}

#[test]
fn a_cancel_that_was_acknowledged_holds_though_the_leader_dies_at_once() {
    let mut site = Site::new(3, "lan", "3200ms", vec![stubborn("long", "1s"), Task::once("one")]);
    site.found();
    wait_stubborn(&site, "a1");
    assert_eq!(site[1].send("POST", "/v1/tasks/long/cancel", None).unwrap().status, 202);
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    site[1].wait_log("not run at the take-over: its newest run was cancelled by 127.0.0.1:");
    let error = cancelled(&site, 2, "long");
    assert!(error.ends_with("through a2"), "{error}");
    eventually("the other task runs", || site.resource.runs_of("one").len() == 2);
    // Nor does the leader after that start it.
    site.start(0);
    site.wait_leader(0, &[0, 1, 2]);
    site[0].wait_log("not run at the take-over: its newest run was cancelled by 127.0.0.1:");
    assert_eq!(site.resource.runs_of("long").len(), 1);
    assert_eq!(site[2].send("POST", "/v1/tasks/long/run", None).unwrap().status, 202);
    eventually("it runs when it is asked to", || site.resource.runs_of("long").len() == 2);
    site.end();
}

#[test]
fn what_was_promised_behind_a_cancelled_run_is_made_by_the_next_leader() {
    let mut site = Site::new(3, "lan", "3200ms", vec![stubborn("long", "1s")]);
    site.found();
    wait_stubborn(&site, "a1");
    assert_eq!(site[2].send("POST", "/v1/tasks/long/run", None).unwrap().status, 202);
    let answer = site[1].send("POST", "/v1/tasks/long/cancel", None).unwrap();
    assert_eq!(answer.json::<Value>()["queued"], json!({"trigger": "request"}));
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    eventually("the promised run is made", || site.resource.runs_of("long").len() == 2);
    let runs = site.resource.runs_of("long");
    assert!(runs[0].last < runs[1].first && runs[1].agent == "a2", "{runs:?}");
    site.end();
}

#[test]
fn an_agent_that_stops_says_so_until_its_run_has_ended() {
    let mut site = Site::new(3, "lan", "3200ms", vec![stubborn("long", "4s")]);
    site.found();
    wait_stubborn(&site, "a1");
    assert_eq!(site[0].get("/readyz").unwrap().status, 200);
    site[0].signal(Signal::TERM);
    let mut answer = None;
    eventually("/readyz says that it stops", || {
        answer = site[0].get("/readyz");
        answer.as_ref().is_some_and(|answer| answer.status == 503)
    });
    let reasons = answer.unwrap().json::<Value>()["reasons"].clone();
    assert!(reasons.as_array().unwrap().iter().any(|it| it["check"] == "stopping"), "{reasons}");
    assert_eq!(site[0].get("/livez").unwrap().status, 200, "the process works");
    assert_eq!(site[0].wait_end().code(), Some(0));
    site.wait_leader(1, &[1, 2]);
    site.end();
}
