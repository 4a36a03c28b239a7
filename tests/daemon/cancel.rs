//! Runs that are ended before their own end, on a single agent with real programs. Needs Terraform on the PATH.

use serde_json::{Value, json};

use super::agent::{Agent, Place, eventually};

/// Writes its process id, then never ends by itself. What it does on SIGINT is put before.
const HANG: &str = "echo $$ > pid; while :; do sleep 0.05; done";

fn task(name: &str, script: &str, more: &str) -> String {
    format!(
        "task {{\n  name = \"{name}\"\n  command = [\"sh\", \"-c\", {script:?}]\n  {more}\n  condition \"schedule\" {{ cron = \"0 0 1 \
         1 *\" }}\n}}\n"
    )
}

/// The process id of the run, once it is under way.
fn pid(place: &Place) -> String {
    eventually(|| std::fs::read_to_string(place.path("pid")).ok().filter(|text| text.ends_with('\n'))).trim().to_owned()
}

fn is_alive(pid: &str) -> bool {
    std::path::Path::new("/proc").join(pid).exists()
}

fn cancel(agent: &Agent, task: &str, query: &str) -> Value {
    let (status, body) = agent.post(&format!("/v1/tasks/{task}/cancel{query}"), "");
    assert_eq!(status, 202, "{body}");
    body
}

fn command(place: &Place, agent: &Agent, words: &[&str]) -> (bool, String) {
    let address = format!("http://{}", agent.addr);
    let (name, flags) = words.split_last().unwrap();
    let args: Vec<&str> = flags.iter().copied().chain(["-http-addr", address.as_str(), *name]).collect();
    let output = place.run(&args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn a_command_that_ignores_the_interrupt_is_killed_after_its_grace() {
    let place = Place::new();
    let agent = place.start(&task("hang", &format!("trap '' INT; {HANG}"), "grace = \"1s\""));
    let pid = pid(&place);
    let (well, text) = command(&place, &agent, &["task", "cancel", "hang"]);
    assert!(well && text.contains("'hang' cancel complete! The run ended: cancelled by 127.0.0.1:"), "{text}");
    assert!(text.contains("nothing is queued behind it"), "{text}");
    assert!(!is_alive(&pid));
    let event = agent.event("hang");
    let error = event["error"]["message"].as_str().unwrap();
    assert!(
        event["success"] == false && error.starts_with("cancelled by ") && error.ends_with("through a1"),
        "{event}"
    );
    let (well, text) = command(&place, &agent, &["task", "show", "hang"]);
    assert!(well && text.contains("  cancelled\n") && text.contains("10m, then SIGINT and 1s until SIGKILL"), "{text}");
    assert_eq!(agent.get("/v1/cluster/tasks")["tasks"][0]["events"][0]["outcome"], "cancelled");
    // Nothing runs: not another try either, though three are configured.
    let (status, body) = agent.post("/v1/tasks/hang/cancel", "");
    assert_eq!(status, 409, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("there is nothing to cancel"), "{body}");
    let (well, text) = command(&place, &agent, &["task", "cancel", "hang"]);
    assert!(!well && text.contains("409"), "{text}");
    assert_eq!(agent.post("/v1/tasks/none/cancel", "").0, 404);
    assert_eq!(agent.events("hang").len(), 1);
}

#[test]
fn a_command_that_cleans_up_has_the_time_to_and_one_in_a_hurry_has_not() {
    let place = Place::new();
    let script = format!("trap 'sleep 0.3; echo clean > clean; exit 0' INT; {HANG}");
    let agent = place.start(&task("tidy", &script, "grace = \"1h\""));
    pid(&place);
    let body = cancel(&agent, "tidy", "");
    assert_eq!((&body["ends_within"], &body["queued"]), (&json!("1h"), &Value::Null));
    assert!(agent.event("tidy")["error"]["message"].as_str().unwrap().starts_with("cancelled by "));
    assert_eq!(std::fs::read_to_string(place.path("clean")).unwrap(), "clean\n");
    // The second run ignores everything, and has an hour of grace.
    std::fs::remove_file(place.path("pid")).unwrap();
    let (status, answer) = agent.post(
        "/v1/tasks",
        &json!({"task": {
        "name": "deaf", "command": ["sh", "-c", format!("trap '' INT TERM; cd {:?}; {HANG}", place.path("."))],
        "condition": {"schedule": {"cron": "0 0 1 1 *"}}}})
        .to_string(),
    );
    assert_eq!(status, 201, "{answer}");
    assert_eq!(agent.post("/v1/tasks/deaf/run", "").0, 202);
    let deaf = pid(&place);
    cancel(&agent, "deaf", "");
    let running = |agent: &Agent| agent.get("/v1/cluster/tasks")["tasks"][1]["activity"].clone();
    assert!(running(&agent)["why"].as_str().unwrap().contains("it ends within its grace"), "{}", running(&agent));
    let (well, text) = command(&place, &agent, &["task", "cancel", "-force", "deaf"]);
    assert!(well && text.contains("sent SIGKILL"), "{text}");
    assert!(!is_alive(&deaf));
}

#[test]
fn what_is_queued_behind_a_cancelled_run_runs() {
    let place = Place::new();
    let script = format!("echo run >> runs; test $(wc -l < runs) -lt 2 || exit 0; {HANG}");
    let agent = place.start(&task("twice", &script, ""));
    pid(&place);
    assert_eq!(agent.post("/v1/tasks/twice/run", "").0, 202);
    let body = cancel(&agent, "twice", "");
    assert_eq!(body["queued"], json!({"trigger": "request"}));
    assert!(body["message"].as_str().unwrap().contains("another run is queued (trigger request)"), "{body}");
    let events = eventually(|| Some(agent.events("twice")).filter(|events| events.len() == 2));
    assert_eq!((&events[0]["success"], &events[1]["success"]), (&json!(true), &json!(false)));
}

#[test]
fn a_task_is_disabled_while_it_runs() {
    let place = Place::new();
    let agent = place.start(&task("busy", HANG, ""));
    let pid = pid(&place);
    let patch = |query: &str, body: &str| {
        let (status, text) = agent.call("PATCH", &format!("/v1/tasks/busy{query}"), Some(body));
        (status, serde_json::from_str::<Value>(&text).unwrap())
    };
    let (status, body) = patch("", "{\"enabled\": false}");
    assert_eq!((status, &body["active_run"]["trigger"]), (200, &json!("take-over")));
    let task = agent.get("/v1/cluster/tasks")["tasks"][0].clone();
    assert_eq!((&task["enabled"], &task["activity"]["state"]), (&json!(false), &json!("running")));
    assert!(is_alive(&pid));
    let (well, text) = command(&place, &agent, &["task", "disable", "busy"]);
    assert!(well && text.contains("'busy' disable complete!") && text.contains("A run is still under way"), "{text}");
    let (status, body) = patch("?cancel=true", "{\"enabled\": false}");
    assert_eq!((status, body.get("active_run")), (200, None), "answered when the run has ended: {body}");
    assert!(body["cancelled_run"]["cancelled_by"].is_string() && !is_alive(&pid), "{body}");
    assert_eq!(agent.events("busy").len(), 1);
    assert_eq!(patch("?cancel=true", "{\"enabled\": false}"), (200, json!({})), "nothing runs");
    assert_eq!(patch("?cancel=perhaps", "{\"enabled\": false}").0, 400);
}

#[test]
fn a_task_is_deleted_while_it_runs() {
    for cancels in [false, true] {
        let place = Place::new();
        let agent = place.start(&(task("gone", HANG, "") + &task("other", "true", "")));
        let pid = pid(&place);
        let query = if cancels { "?cancel=true" } else { "" };
        let (status, text) = agent.call("DELETE", &format!("/v1/tasks/gone{query}"), None);
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, body.get("active_run").is_some()), (202, !cancels), "{body}");
        if !cancels {
            // It is there until its run has ended, which an operator can see to.
            assert!(is_alive(&pid) && agent.get("/v1/status/tasks").get("gone").is_some());
            cancel(&agent, "gone", "");
        }
        eventually(|| agent.get("/v1/status/tasks").get("gone").is_none().then_some(()));
        assert!(!is_alive(&pid));
        assert_eq!(agent.call("GET", "/v1/tasks/gone", None).0, 404);
    }
}

#[test]
fn a_run_that_takes_longer_than_its_timeout_is_ended_and_not_tried_again() {
    let place = Place::new();
    let agent = place.start(&task("late", HANG, "timeout = \"700ms\""));
    let event = agent.event("late");
    let error = event["error"]["message"].as_str().unwrap();
    assert!(error.contains("timed out: it took longer than its `timeout` of 700ms"), "{error}");
    assert!(!is_alive(&pid(&place)));
    let (well, text) = command(&place, &agent, &["task", "show", "late"]);
    assert!(well && text.contains("  timed out\n") && text.contains("700ms, then SIGINT"), "{text}");
    let now = &agent.get("/v1/cluster/tasks")["tasks"][0];
    assert_eq!((&now["activity"]["state"], &now["events"][0]["outcome"]), (&json!("idle"), &json!("timed-out")));
}

/// The second resource takes for ever, until a file is there.
const MODULE: &str = r#"variable "services" {}
variable "go" {}
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "touch ${var.go}.begun; while ! test -e ${var.go}; do sleep 0.05; done" }
}
"#;

#[test]
fn terraform_writes_its_state_and_gives_its_lock_back_when_its_run_is_cancelled() {
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    let go = place.path("go");
    let agent = place.start(&format!(
        "task {{\n  name = \"net\"\n  module = \"./module\"\n  variables = {{ go = \"\\\"{}\\\"\" }}\n  condition \"schedule\" {{ \
         cron = \"0 0 1 1 *\" }}\n}}\n",
        go.display()
    ));
    let begun = place.path("go.begun");
    eventually(|| begun.exists().then_some(()));
    let body = cancel(&agent, "net", "");
    assert_eq!(body["ends_within"], "30s");
    let event = agent.event("net");
    assert!(event["error"]["message"].as_str().unwrap().starts_with("cancelled by "), "{event}");
    let dir = place.path("sync-tasks/net/terraform.tfstate.d/net");
    let state = std::fs::read_to_string(dir.join("terraform.tfstate")).unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    let names: Vec<&str> = state["resources"].as_array().unwrap().iter().filter_map(|it| it["name"].as_str()).collect();
    assert!(names.contains(&"first"), "{state}");
    assert!(!dir.join(".terraform.tfstate.lock.info").exists(), "the lock is released");
    // The next run goes on with it.
    std::fs::write(&go, "").unwrap();
    assert_eq!(agent.post("/v1/tasks/net/run", "").0, 202);
    let events = eventually(|| Some(agent.events("net")).filter(|events| events.len() == 2));
    assert_eq!(events[0]["success"], true, "{events:?}");
}

#[test]
fn what_is_made_by_the_api_can_be_cancelled_and_a_busy_task_answers_409() {
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    let agent = place.start("");
    agent.ready();
    let go = format!("{:?}", place.path("go").display().to_string());
    let body = json!({"task": {"name": "new", "module": place.path("module"), "variables": {"go": go},
        "condition": {"schedule": {"cron": "0 0 1 1 *"}}}});
    std::thread::scope(|scope| {
        let maker = scope.spawn(|| agent.post("/v1/tasks?run=now", &body.to_string()));
        eventually(|| place.path("go.begun").exists().then_some(()));
        let (status, second) = agent.post("/v1/tasks?run=now", &body.to_string());
        assert_eq!(status, 409, "{second}");
        assert!(second["error"]["message"].as_str().unwrap().contains("is active"), "{second}");
        cancel(&agent, "new", "");
        let (status, answer) = maker.join().unwrap();
        assert_eq!(status, 409, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().starts_with("cancelled by "), "{answer}");
    });
    assert_eq!(agent.call("GET", "/v1/tasks/new", None).0, 404, "it was not made");
}
