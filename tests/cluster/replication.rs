//! What is changed at run time outlives the leader: flags, tasks that were deleted, events; and reloads.

use serde_json::{Value, json};

use crate::harness::{Shape, Site, Task, eventually};

fn enabled(site: &Site, number: usize, task: &str) -> Option<bool> {
    site[number].tasks()?.get(task).map(|task| task.enabled)
}

fn names(site: &Site, number: usize) -> Vec<String> {
    site[number].tasks().map(|tasks| tasks.into_keys().collect()).unwrap_or_default()
}

#[test]
fn flags_and_deletions_made_on_a_follower_are_there_on_the_next_leader() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick"), Task::once("flag"), Task::once("gone")]);
    site.found();
    site.wait_all_told(0);
    assert_eq!(site[2].send("PATCH", "/v1/tasks/flag", Some(&json!({"enabled": false}))).unwrap().status, 200);
    assert_eq!(site[1].send("DELETE", "/v1/tasks/gone", None).unwrap().status, 202);
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    eventually("the next leader shows its tasks", || !names(&site, 2).is_empty());
    assert_eq!(enabled(&site, 2, "flag"), Some(false));
    assert_eq!(names(&site, 1), ["flag", "tick"]);
    // And on the one after it, which was not there when it happened last.
    site.start(0);
    site.wait_leader(0, &[0, 1, 2]);
    eventually("the first leader shows its tasks", || !names(&site, 0).is_empty());
    assert_eq!((enabled(&site, 0, "flag"), names(&site, 0)), (Some(false), vec!["flag".to_owned(), "tick".to_owned()]));
    site.end();
}

#[test]
fn everything_is_there_after_all_agents_were_killed_at_once() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick"), Task::once("flag")]);
    site.found();
    site.wait_all_told(0);
    assert_eq!(site[0].send("PATCH", "/v1/tasks/flag", Some(&json!({"enabled": false}))).unwrap().status, 200);
    let before = events(&site, 0, "flag");
    assert!(!before.is_empty());
    for number in 0..3 {
        site[number].kill_with_guardian();
    }
    for number in 0..3 {
        site.start(number);
    }
    site.wait_leader(0, &[0, 1, 2]);
    eventually("the leader shows its tasks", || !names(&site, 0).is_empty());
    assert_eq!(enabled(&site, 1, "flag"), Some(false));
    assert_eq!(events(&site, 2, "flag"), before, "the same events, on any agent");
    site.end();
}

/// Ids of a task's events, newest first.
fn events(site: &Site, number: usize, task: &str) -> Vec<String> {
    let tasks = site[number].tasks().unwrap_or_default();
    let events = tasks.get(task).and_then(|task| task.events.clone()).unwrap_or_default();
    events.into_iter().map(|event| event.id).collect()
}

#[test]
fn a_reload_changes_the_tasks_of_the_leader_and_followers_that_differ_are_named() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick"), Task::once("old")]);
    site.shape.more = String::new();
    site.found();
    let changed = Shape { tasks: vec![Task::ticking("tick"), Task::once("new")], ..site.shape.clone() };
    site.configure_as(0, &changed);
    let output = site.command(0, &["reload"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("added: new") && text.contains("removed: old"), "{text}");
    // The run of `old` may be under way: it is there until that has ended.
    eventually("a3 shows the tasks of the new files", || names(&site, 2) == ["new", "tick"]);
    let differences = |number: usize| -> Value {
        let answer = site[number].get("/v1/cluster/tasks").expect("an answer");
        serde_json::from_str::<Value>(&answer.body).unwrap()["differences"].clone()
    };
    eventually("a2's files are named", || differences(2)["a2"]["old"] == "only-here");
    let output = site.command(1, &["status"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("the configuration files of a2 differ from the leader's"), "{text}");
    // A file that cannot be read changes nothing.
    std::fs::write(site[0].config(), "task {").unwrap();
    let output = site.command(0, &["reload"]);
    assert!(!output.status.success());
    assert_eq!(names(&site, 2), ["new", "tick"]);
    site.end();
}
