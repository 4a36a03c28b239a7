//! The task endpoints end to end, with real Terraform: the scenarios of `reference/cts.md` 8.1. The clock takes the place
//! of Consul as what makes tasks run, so that the API alone is tested. Needs Terraform on the PATH.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{Agent, Place, eventually};

/// Writes a file, and has a second resource for plans to count.
const MODULE: &str = r#"variable "services" {}
variable "out" {}
variable "pause" { default = 0 }
resource "terraform_data" "file" {
  provisioner "local-exec" { command = "sleep ${var.pause} && echo made > ${var.out}" }
}
resource "terraform_data" "second" {}
"#;
/// Fails when it is applied, not before.
const BROKEN: &str = "variable \"services\" {}\nresource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"exit 3\" }\n}\n";
const NEVER: &str = "0 0 1 1 *";
const EVERY_SECOND: &str = "* * * * * * *";

#[test]
fn status_endpoints_tell_of_good_bad_and_disabled_tasks() {
    let place = place();
    let task = |name: &str, module: &str, more: &str| {
        format!(
            "task {{\n  name = \"{name}\"\n  module = \"./{module}\"\n  policy {{ retries = 0 }}\n  {more}\n  condition \
             \"schedule\" {{ cron = \"{NEVER}\" }}\n}}\n"
        )
    };
    let out = format!("variables = {{ out = \"\\\"{}\\\"\" }}", place.path("made").display());
    let config =
        task("fine", "module", &out) + &task("broken", "broken", "") + &task("off", "module", "enabled = false");
    let agent = place.start(&config);
    let (fine, broken) = (agent.event("fine"), agent.event("broken"));
    assert_eq!((&fine["success"], &fine["error"], &fine["task_name"]), (&json!(true), &Value::Null, &json!("fine")));
    assert_eq!(fine["config"]["source"], json!(place.path("module")));
    assert_eq!(broken["success"], false);
    assert!(broken["error"]["message"].as_str().unwrap().contains("error tf-apply for 'broken'"), "{broken}");
    assert_eq!(
        agent.get("/v1/status"),
        json!({"task_summary": {
            "status": {"successful": 1, "errored": 1, "critical": 0, "unknown": 1},
            "enabled": {"true": 2, "false": 1}}})
    );
    let names = |path: &str| agent.get(path).as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("/v1/status/tasks"), ["broken", "fine", "off"]);
    assert_eq!(names("/v1/status/tasks?status=ERRORED"), ["broken"]);
    assert_eq!(names("/v1/status/tasks?status=unknown"), ["off"]);
    assert_eq!(names("/v1/status/tasks/fine?status=errored"), [""; 0]);
    let plain = agent.get("/v1/status/tasks/fine");
    assert_eq!(
        plain["fine"],
        json!({"task_name": "fine", "status": "successful", "enabled": true, "providers": [], "services": [],
               "events_url": "/v1/status/tasks/fine?include=events"})
    );
    assert_eq!(agent.get("/v1/status/tasks/off")["off"]["events_url"], "");
    assert_eq!(agent.call("GET", "/v1/status/tasks/none", None).0, 404);
    assert_eq!(agent.call("GET", "/v1/status/tasks?status=odd", None).0, 400);
    assert_eq!((agent.call("GET", "/v1/health", None)), (200, "{}".to_owned()));
}

#[test]
fn a_task_is_enabled_inspected_run_and_disabled() {
    let place = place();
    let out = place.path("made");
    let agent = place.start(&format!(
        "task {{\n  name = \"flag\"\n  enabled = false\n  module = \"./module\"\n  variables = {{ out = \"\\\"{}\\\"\" }}\n  \
         condition \"schedule\" {{ cron = \"{EVERY_SECOND}\" }}\n}}\n",
        out.display()
    ));
    agent.ready();
    let patch = |query: &str, body: &str| {
        let (status, text) = agent.call("PATCH", &format!("/v1/tasks/flag{query}"), Some(body));
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let inspected = patch("?run=inspect", "{\"enabled\": true}");
    assert_eq!(inspected["inspect"]["changes_present"], true);
    let plan = inspected["inspect"]["plan"].as_str().unwrap();
    assert!(plan.contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{plan}");
    assert_eq!(agent.get("/v1/status/tasks/flag")["flag"]["enabled"], false);
    assert!(!out.exists() && agent.events("flag").is_empty(), "an inspection changes nothing");

    assert_eq!(patch("?run=now", "{\"enabled\": true}"), json!({}));
    assert!(out.exists());
    // The clock makes it run again.
    let seen = agent.events("flag").len();
    eventually(|| (agent.events("flag").len() > seen.min(4)).then_some(()));

    patch("", "{\"enabled\": false}");
    let newest = quiet(&agent, "flag");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(agent.event("flag")["id"], newest, "no run after it was disabled");
    assert!(out.exists(), "what it made stays");
    let idle = patch("?run=inspect", "{\"enabled\": false}");
    assert_eq!(idle, json!({"inspect": {"changes_present": false, "plan": ""}}));
}

#[test]
fn a_task_is_created_triggered_and_deleted_and_its_name_used_again() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    assert_eq!(agent.get("/v1/tasks")["tasks"], json!([]));
    let (out, body) = object(&place, "more", EVERY_SECOND, 0);
    for round in 0..2 {
        let (status, answer) = agent.post("/v1/tasks", &body.to_string());
        assert_eq!((status, &answer["task"]["name"]), (201, &json!("more")), "{answer}");
        assert!(answer["request_id"].is_string());
        let shown = agent.get("/v1/tasks/more");
        assert_eq!(shown["task"]["condition"], json!({"schedule": {"cron": EVERY_SECOND}}));
        assert_eq!(shown["task"], agent.get("/v1/tasks")["tasks"][0]);
        // A later trigger works.
        assert_eq!(agent.event("more")["success"], true, "round {round}");
        eventually(|| out.exists().then_some(()));

        assert_eq!(agent.call("DELETE", "/v1/tasks/more", None).0, 202);
        eventually(|| (agent.call("GET", "/v1/tasks/more", None).0 == 404).then_some(()));
        assert_eq!(agent.call("GET", "/v1/status/tasks/more", None).0, 404);
        assert_eq!(agent.call("DELETE", "/v1/tasks/more", None).0, 404);
        assert!(out.exists(), "what it made stays");
        std::fs::remove_file(&out).unwrap();
        std::thread::sleep(Duration::from_millis(2200));
        assert!(!out.exists() && !agent.log().lines().last().unwrap().contains("running task"), "it runs no more");
        // The resource is in the state: only a changed one is made again.
        std::fs::remove_dir_all(place.path("sync-tasks/more")).unwrap();
    }
}

#[test]
fn a_run_by_hand_costs_three_durable_writes_at_most_and_its_log_another_one() {
    costs("runs { keep = 0 }\n", 3);
    costs("", 4);
}

fn costs(runs: &str, most: u32) {
    let place = place();
    let task =
        "task {\n  name = \"hand\"\n  command = [\"true\"]\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";
    let agent = place.start(&format!("{runs}{task}"));
    let first = agent.event("hand")["id"].clone();
    let writes = || {
        let (_, text) = agent.call("GET", "/metrics", None);
        let count = text.lines().find_map(|line| line.strip_prefix("quorate_store_commit_duration_seconds_count "));
        count.unwrap().parse::<u32>().unwrap()
    };
    // Until nothing more comes.
    let settled = || {
        let mut before = writes();
        eventually(|| {
            std::thread::sleep(Duration::from_millis(300));
            let now = writes();
            (std::mem::replace(&mut before, now) == now).then_some(now)
        })
    };
    // The promise, the start, and all that the end leaves in one: the journal's record, the event, the promise kept.
    let mut last = first;
    for round in 0..5 {
        let before = settled();
        assert_eq!(agent.call("POST", "/v1/tasks/hand/run", None).0, 202);
        let newest = eventually(|| Some(agent.event("hand")["id"].clone()).filter(|newest| *newest != last));
        last = newest;
        let cost = settled() - before;
        assert!((2..=most).contains(&cost), "round {round}: {cost} durable writes");
    }
}

#[test]
fn a_task_that_runs_is_deleted_when_it_has_run() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    let (out, body) = object(&place, "slow", EVERY_SECOND, 4);
    assert_eq!(agent.post("/v1/tasks", &body.to_string()).0, 201);
    eventually(|| agent.log().contains("running task task=\"slow\"").then_some(()));
    assert_eq!(agent.call("DELETE", "/v1/tasks/slow", None).0, 202);
    assert!(!out.exists(), "the run is still under way");
    eventually(|| (agent.call("GET", "/v1/tasks/slow", None).0 == 404).then_some(()));
    eventually(|| out.exists().then_some(()));
}

#[test]
fn a_task_created_with_run_now_has_run_or_is_not_there() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    let (out, body) = object(&place, "now", NEVER, 0);
    let (status, answer) = agent.post("/v1/tasks?run=now", &body.to_string());
    assert_eq!(status, 201, "{answer}");
    assert!(out.exists());
    let events = agent.events("now");
    assert_eq!((events.len(), &events[0]["success"]), (1, &json!(true)));

    let mut bad = body.clone();
    bad["task"]["name"] = json!("bad");
    bad["task"]["module"] = json!(place.path("broken"));
    bad["task"].as_object_mut().unwrap().remove("variables");
    let (status, answer) = agent.post("/v1/tasks?run=now", &bad.to_string());
    assert_eq!(status, 500, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("error tf-apply for 'bad'"), "{answer}");
    assert_eq!(agent.call("GET", "/v1/tasks/bad", None).0, 404);
    // The name is free.
    bad["task"]["module"] = json!(place.path("empty"));
    assert_eq!(agent.post("/v1/tasks?run=now", &bad.to_string()).0, 201);
}

#[test]
fn a_task_is_inspected_without_being_made() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    let (out, body) = object(&place, "dry", NEVER, 0);
    let (status, answer) = agent.post("/v1/tasks?run=inspect", &body.to_string());
    assert_eq!((status, &answer["run"]["changes_present"]), (200, &json!(true)), "{answer}");
    let plan = answer["run"]["plan"].as_str().unwrap();
    assert!(plan.contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{plan}");
    assert_eq!(answer["task"], body["task"], "the request, without defaults");
    assert_eq!(agent.call("GET", "/v1/tasks/dry", None).0, 404);
    assert!(!out.exists());
}

fn place() -> Place {
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    place.file("broken/main.tf", BROKEN);
    place.file("empty/main.tf", "variable \"services\" {}\n");
    place
}

/// A request for a task, and the file that it makes.
fn object(place: &Place, name: &str, cron: &str, pause: u8) -> (PathBuf, Value) {
    let out = place.path(&format!("{name}.made"));
    let task = json!({
        "name": name, "module": place.path("module"), "condition": {"schedule": {"cron": cron}},
        "variables": {"out": format!("{:?}", out.display().to_string()), "pause": pause.to_string()},
    });
    (out, json!({"task": task}))
}

/// Waits until nothing runs, and gives the newest event's id.
fn quiet(agent: &Agent, name: &str) -> Value {
    eventually(|| {
        let now = agent.get("/v1/cluster/tasks");
        let task = now["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).cloned().unwrap();
        (task["activity"]["state"] != "running").then(|| task["events"][0]["id"].clone())
    })
}

#[test]
fn a_task_file_is_typed_as_weakly_as_a_configuration_and_stray_arguments_are_ignored() {
    let place = Place::new();
    let agent = place.start("");
    agent.ready();
    let address = format!("-http-addr=http://{}", agent.addr);
    place.file(
        "task.hcl",
        "task {\n  name = [\"made\"]\n  enabled = \"true\"\n  description = 7\n  description = 8\n  command = [\"true\"]\n  \
         condition \"schedule\" { cron = [\"0 0 1 1 *\"] }\n}\n",
    );
    let out = place.run(&["task", "create", &address, "-auto-approve", "-task-file=task.hcl", "stray", "more"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{out:?}");
    for words in [
        "this command takes no arguments, these are ignored: stray, more",
        "task.hcl:2:10: warning: `name` must be a string, found a list: its only item is taken",
        "`enabled` must be true or false, found a string: it is read as true",
        "`description` is given twice: the last one counts",
        "`description` must be a string, found a number: its digits are taken",
        "`cron` must be a string, found a list",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(agent.get("/v1/tasks/made")["task"]["description"], "8");
    // The API itself is typed, as CTS's.
    let body =
        r#"{"task": {"name": ["typed"], "command": ["true"], "condition": {"schedule": {"cron": "0 0 1 1 *"}}}}"#;
    let (status, body) = agent.post("/v1/tasks", body);
    assert!(status == 400 && body.to_string().contains("value must be a string"), "{status} {body}");
}
