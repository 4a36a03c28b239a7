//! Losing more than one agent. Profile `lan`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Mode, Site, Task, eventually};

#[test]
fn a_leader_without_a_majority_stops_says_why_and_leads_again_when_one_returns() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    site.wait_all_told(0);
    site[1].kill();
    site[2].kill();
    let stopped = eventually("the survivor stops leading", || !site[0].leads());
    println!("loss of two of three: the survivor stopped leading after {stopped:.2?}");
    site.wait_view(0, "there is no quorum", |view| view.leader.is_none() && view.reason.contains("no quorum"));
    let view = site.view(0).unwrap();
    assert_eq!((view.quorum.voters, view.quorum.needed, view.quorum.held), (3, 2, false));
    println!("it says: {}", view.reason);
    let answer = site[0].send("POST", "/v1/tasks/one/run", None).unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.retry_after.is_some_and(|after| after.parse::<u32>().is_ok_and(|after| after > 0)));
    assert!(answer.body.contains("no quorum"), "{}", answer.body);
    tells_what_it_knew(&site, 0);
    let ready = site[0].get("/readyz").unwrap();
    assert_eq!((ready.status, site[0].get("/livez").unwrap().status), (503, 200));
    let reasons = ready.json::<Value>()["reasons"].clone();
    let failed: Vec<&str> = reasons.as_array().unwrap().iter().map(|it| it["check"].as_str().unwrap()).collect();
    assert_eq!(failed, ["majority", "leader"], "{reasons}");
    assert_eq!(site[0].get("/leader").unwrap().status, 503);
    // Its timetable has an entry every second.
    let lines = site.resource.lines().len();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(site.resource.lines().len(), lines, "nothing runs without a majority");
    let epoch = view.epoch;
    site.start(2);
    site.wait_leader(0, &[0, 2]);
    // The other one has run, and nothing that it depends on has changed.
    eventually("the timetable goes on", || site.resource.runs_of("tick").iter().any(|run| run.epoch > epoch));
    assert!(site.view(0).unwrap().epoch > epoch);
    site.end();
}

/// A survivor shows the tasks as it knew them last, and since when nobody has confirmed that.
fn tells_what_it_knew(site: &Site, number: usize) {
    let answer = site[number].get("/v1/status/tasks?include=events").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let since = answer.stale_since.clone().expect("a header that says since when");
    assert!(chrono::DateTime::parse_from_rfc3339(&since).is_ok(), "{since}");
    let tasks = answer.json::<Value>();
    assert_eq!((&tasks["one"]["status"], &tasks["one"]["events"][0]["success"]), (&json!("successful"), &json!(true)));
    let counts = site[number].get("/v1/status").unwrap();
    assert_eq!(counts.json::<Value>()["task_summary"]["enabled"]["true"], 2);
    let defined = site[number].get("/v1/tasks/one").unwrap();
    assert!(defined.status == 200 && defined.stale_since.is_some() && defined.body.contains("\"one\""), "{defined:?}");
    assert_eq!(site[number].get("/v1/tasks/none").unwrap().status, 404);
    let output = site.command(number, &["status"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(" knew them last, at ") && text.contains("one "), "{text}");
    let output = site.command(number, &["task", "show", "one"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("knew them last") && text.contains("success"), "{text}");
}

#[test]
fn a_follower_that_is_left_alone_or_started_alone_tells_what_it_knew() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::long("long")]);
    site.found();
    eventually("the first run is told", || site[2].tasks().is_some_and(|tasks| tasks["one"].status == "successful"));
    let now = chrono::Utc::now();
    site[0].kill();
    site[1].kill();
    site.wait_view(2, "nobody leads", |view| view.leader.is_none() && view.reason.contains("no quorum"));
    tells_what_it_knew(&site, 2);
    let tasks = site[2].get("/v1/cluster/tasks").unwrap().json::<Value>();
    assert!(tasks["tasks"][1]["activity"]["why"].as_str().unwrap().starts_with("for a leader"), "{tasks}");
    // Started again, it has never seen a leader: what it tells is as old as the newest that it knows.
    site[2].kill();
    site.start(2);
    tells_what_it_knew(&site, 2);
    let since = site[2].get("/v1/status").unwrap().stale_since.unwrap();
    assert!(chrono::DateTime::parse_from_rfc3339(&since).unwrap() <= now, "{since}");
    // With a leader there is nothing old about it.
    site.start(1);
    site.wait_leader(1, &[1, 2]);
    assert_eq!(site[2].get("/v1/status").unwrap().stale_since, None);
    site.end();
}

#[test]
fn a_cluster_that_was_killed_whole_goes_on_where_it_was() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    let before = site.view(2).unwrap().epoch;
    for number in 0..3 {
        site[number].kill();
    }
    let took = site.found();
    println!("all killed and started again: the first leads after {took:.2?}");
    let view = site.view(2).unwrap();
    assert!(view.epoch > before, "{view:?}");
    for number in 0..3 {
        let formed = site[number].log().matches("the cluster is formed").count();
        assert_eq!(formed, 1, "a cluster is founded once");
        site.wait_view(number, "all three vote", |view| view.members.iter().filter(|m| m.voter).count() == 3);
    }
    site.end();
}

#[test]
fn in_mode_alive_the_last_one_leads_and_the_lowest_again_after_healing() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.shape.mode = Mode::Alive;
    site.found();
    site[2].wait_log("no majority is needed");
    site[0].kill();
    site[1].kill();
    let took = site.wait_leader(2, &[2]);
    site.wait_all_ran(2);
    println!("mode alive, two of three killed: the last one leads after {took:.2?}");
    let view = site.view(2).unwrap();
    assert_eq!((view.quorum.mode.as_str(), view.quorum.needed, view.quorum.held), ("alive", 1, true));
    site.start(0);
    site.start(1);
    let took = site.wait_leader(0, &[0, 1, 2]);
    site.wait_all_ran(0);
    println!("mode alive, healed: the lowest leads again after {took:.2?}");
    site.end();
}
