//! 8.1: the API.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{Consul, Place, task, until};

const API: &str = "condition \"services\" {\n names = [\"api\"]\n }";

fn object(name: &str, module: &str) -> Value {
    json!({"name": name, "module": format!("./modules/{module}"), "condition": {"services": {"names": ["api"]}}})
}

#[test]
fn status_of_good_failing_and_disabled_tasks() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let place = Place::new(&consul);
    let retries = "policy {\n retries = 0\n }";
    let agent = place.ready(&format!(
        "{}{}{}",
        task("good", "addresses", API),
        task("bad", "failing", &format!("{API}\n {retries}")),
        task("off", "addresses", &format!("{API}\n enabled = false"))
    ));
    assert_eq!(agent.call("GET", "health", None), (200, json!({})));
    assert_eq!(
        agent.get("status"),
        json!({"task_summary": {"status": {"successful": 1, "errored": 1, "critical": 0, "unknown": 1},
                                "enabled": {"true": 2, "false": 1}}})
    );
    let all = agent.get("status/tasks");
    let of = |field: &str| ["good", "bad", "off"].map(|task| all[task][field].clone());
    assert_eq!(of("status"), ["successful", "errored", "unknown"]);
    assert_eq!(of("enabled"), [json!(true), json!(true), json!(false)]);
    let url = |task: &str| json!(format!("/v1/status/tasks/{task}?include=events"));
    assert_eq!(of("events_url"), [url("good"), url("bad"), json!("")]);
    assert!(all["good"].get("events").is_none(), "{all}");

    let with = agent.get("status/tasks?include=events");
    let event = &with["bad"]["events"][0];
    assert_eq!((&event["success"], &event["task_name"]), (&json!(false), &json!("bad")));
    let why = event["error"]["message"].as_str().unwrap();
    assert!(why.contains("no-such-file"), "{why}");
    assert_eq!(with["good"]["events"][0]["error"], Value::Null);
    assert!(with["off"].get("events").is_none(), "{with}");

    let names = |path: &str| -> Vec<String> { agent.get(path).as_object().unwrap().keys().cloned().collect() };
    assert_eq!(names("status/tasks?status=ERRORED"), ["bad"]);
    assert_eq!(names("status/tasks?status=unknown"), ["off"]);
    assert_eq!(names("status/tasks/good?status=errored"), Vec::<String>::new());
    assert_eq!(names("status/tasks/off?status=errored"), ["off"], "one without events ignores the filter");
    for bad in ["status/tasks?status=fine", "status/tasks?include=all", "status/tasks?status=errored&status=unknown"] {
        assert_eq!(agent.call("GET", bad, None).0, 400, "{bad}");
    }
    let (status, body) = agent.call("GET", "status/tasks/nobody", None);
    let text = "a task with name 'nobody' does not exist or has not been initialized yet";
    assert!(status == 404 && body["error"]["message"].as_str().unwrap().contains(text), "{status} {body}");

    // A second failure makes it critical.
    consul.register("api", "api-2", "10.0.0.2");
    until("it fails again", || agent.status("bad") == "critical");
    assert_eq!(agent.status("good"), "successful");
}

#[test]
fn enable_inspect_run_and_disable() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.register("api", "api-2", "10.0.0.2");
    let place = Place::new(&consul);
    let agent = place.ready(&task("edge", "addresses", &format!("{API}\n enabled = false")));
    assert_eq!((agent.status("edge"), agent.events("edge").len()), ("unknown".to_owned(), 0));
    // Its directory is there to be looked at; nothing has run in it, and no data has been put there.
    until("its directory is prepared", || {
        ["main.tf", "variables.tf", "terraform.tfvars.tmpl", "providers.auto.tfvars"]
            .iter()
            .all(|file| place.of("edge", file).exists())
    });
    let main = std::fs::read_to_string(place.of("edge", "main.tf")).unwrap();
    assert!(main.contains("backend \"consul\"") && main.contains("module \"edge\""), "{main}");
    assert!(!place.of("edge", "terraform.tfvars").exists() && !place.of("edge", ".terraform").exists());
    let (status, body) = agent.enable("edge", true, "?run=inspect");
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["inspect"]["changes_present"], true);
    let plan = body["inspect"]["plan"].as_str().unwrap();
    assert!(plan.contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{plan}");
    assert!(place.resources("edge").is_empty() && agent.events("edge").is_empty());
    assert_eq!(agent.get("tasks/edge")["task"]["enabled"], false, "inspecting restores it");

    assert_eq!(agent.enable("edge", true, "?run=now"), (200, json!({})));
    assert_eq!(place.resources("edge"), ["api-1", "api-2"]);
    assert_eq!(agent.events("edge").len(), 1);
    assert_eq!(agent.enable("edge", false, ""), (200, json!({})));
    assert_eq!(place.resources("edge").len(), 2, "resources stay");
    let mark = agent.mark("edge");
    consul.register("api", "api-3", "10.0.0.3");
    // It would have run before this one, which is created and run meanwhile.
    assert_eq!(agent.create(&object("other", "addresses"), "?run=now").0, 201);
    consul.register("api", "api-4", "10.0.0.4");
    agent.mark("other").wait(1);
    assert_eq!((mark.events().len(), place.resources("edge").len()), (0, 2), "a disabled task does not run");

    assert_eq!(agent.enable("edge", true, "?run=now").0, 200);
    assert_eq!(place.resources("edge").len(), 4);
    mark.wait(1);
    consul.deregister("api-4");
    mark.wait(2);
    let (status, body) = agent.enable("nobody", true, "");
    assert!(status == 404 && body["request_id"].is_string(), "{status} {body}");
}

#[test]
fn create_get_and_delete() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.register("api", "api-2", "10.0.0.2");
    let place = Place::new(&consul);
    let agent = place.ready(&task("first", "addresses", API));

    let (status, body) = agent.create(&object("planned", "addresses"), "?run=inspect");
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["run"]["changes_present"], true);
    assert!(body["run"]["plan"].as_str().unwrap().contains("Plan: 2 to add, 0 to change, 0 to destroy."), "{body}");
    assert_eq!(body["task"], object("planned", "addresses"), "the request is echoed");
    assert_eq!(agent.call("GET", "tasks/planned", None).0, 404);

    let (status, body) = agent.create(&object("second", "addresses"), "");
    assert_eq!(status, 201, "{body}");
    assert!(body["request_id"].is_string() && body["task"]["enabled"] == true, "{body}");
    assert_eq!((agent.status("second"), agent.events("second").len()), ("unknown".to_owned(), 0));
    assert!(place.resources("second").is_empty(), "not applied");
    let mark = agent.mark("second");
    consul.register("api", "api-3", "10.0.0.3");
    mark.wait(1);
    assert_eq!(place.resources("second"), ["api-1", "api-2", "api-3"]);

    let (status, body) = agent.create(&object("third", "addresses"), "?run=now");
    assert_eq!(status, 201, "{body}");
    assert_eq!((agent.events("third").len(), place.resources("third").len()), (1, 3));
    let (status, body) = agent.create(&object("third", "addresses"), "");
    let text = body["error"]["message"].as_str().unwrap();
    assert!(status == 400 && text.contains("task with name third already exists"), "{status} {body}");

    for (name, module, expected) in [
        ("fails", "failing", "no-such-file"),
        ("lacks", "no-services", "missing the \"services\" variable"),
        ("nowhere", "not-there", "modules/not-there"),
    ] {
        let (status, body) = agent.create(&object(name, module), "?run=now");
        assert!(status == 500 && body.to_string().replace("\\\"", "\"").contains(expected), "{name}: {status} {body}");
        assert_eq!(agent.call("GET", &format!("tasks/{name}"), None).0, 404, "{name}");
    }
    // The name is free for a better one.
    assert_eq!(agent.create(&object("fails", "addresses"), "?run=now").0, 201);

    let listed = agent.get("tasks");
    let names: Vec<_> = listed["tasks"].as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second", "third", "fails"], "in the order of their making");
    assert_eq!(agent.get("tasks/second")["task"]["condition"]["services"]["names"], json!(["api"]));

    agent.delete("third");
    assert_eq!(agent.call("DELETE", "tasks/third", None).0, 404);
    assert_eq!(agent.call("GET", "status/tasks/third", None).0, 404);
    consul.register("api", "api-4", "10.0.0.4");
    mark.wait(2);
    consul.deregister("api-4");
    mark.wait(3);
    assert_eq!(place.resources("third"), ["api-1", "api-2", "api-3"], "what it made stays, and changes no longer");
    // Create, delete, create: one event, and it is triggered again.
    assert_eq!(agent.create(&object("third", "addresses"), "?run=now").0, 201);
    let again = agent.mark("third");
    assert_eq!(agent.events("third").len(), 1);
    consul.deregister("api-3");
    again.wait(1);
    assert_eq!(place.resources("third"), ["api-1", "api-2"]);
}

#[test]
fn a_busy_task_is_deleted_after_its_run() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let place = Place::new(&consul);
    let agent = place.serve(&task("slow", "slow", API));
    until("the run is in its middle", || place.path().join("begun").exists());
    let progress = || agent.get("cluster/tasks")["tasks"][0]["activity"]["progress"].clone();
    until("it is told how far it is", || progress() == json!({"step": "apply", "done": 1, "total": 2}));
    until("the log has it too", || place.log().contains("Plan: 2 to add"));
    for _ in 0..2 {
        assert_eq!(agent.call("DELETE", "tasks/slow", None).0, 202, "marked, also when it is already");
    }
    let (status, body) = agent.create(&object("slow", "addresses"), "");
    assert!(status == 400 && body.to_string().contains("task with name slow already exists"), "{status} {body}");
    assert_eq!(
        (agent.call("GET", "tasks/slow", None).0, agent.get("status/tasks/slow")["slow"]["enabled"].clone()),
        (200, json!(true))
    );
    fs::write(place.path().join("go"), "").unwrap();
    until("it is gone", || agent.call("GET", "status/tasks/slow", None).0 == 404);
    until("the run went to its end", || place.log().contains("Apply complete!"));
    assert_eq!(place.resources("slow"), ["api-1"]);
    // Nothing of it is left to run.
    assert_eq!(agent.create(&object("other", "addresses"), "?run=now").0, 201);
    let other = agent.mark("other");
    consul.register("api", "api-2", "10.0.0.2");
    other.wait(1);
    assert_eq!(place.resources("slow"), ["api-1"]);
}

#[test]
fn bodies_that_do_not_match_the_schema() {
    let consul = Consul::start();
    let place = Place::new(&consul);
    let agent = place.serve("");
    let mut wrong = object("a", "addresses");
    wrong["version"] = json!(1);
    let mut unknown = object("a", "addresses");
    unknown["colour"] = json!("red");
    let lacks = json!({"name": "a", "module": "./modules/addresses"});
    let mut nanoseconds = object("a", "addresses");
    nanoseconds["buffer_period"] = json!({"enabled": true, "min": "soon"});
    for (task, expected) in [
        (wrong, &["doesn't match schema", "version", "value must be a string"][..]),
        (unknown, &["doesn't match schema", "property \"colour\" is unsupported"]),
        (lacks, &["doesn't match schema", "property \"condition\" is missing"]),
        (nanoseconds, &["error with task configuration: "]),
    ] {
        let (status, body) = agent.create(&task, "");
        let text = body["error"]["message"].as_str().unwrap();
        assert!(status == 400 && expected.iter().all(|it| text.contains(it)), "{status} {text}");
        assert!(body["request_id"].is_string());
    }
    assert_eq!(agent.create(&object("a", "addresses"), "?run=soon").0, 400);
    assert_eq!(agent.get("tasks")["tasks"], json!([]));
    let (status, body) = agent.call("GET", "status/cluster", None);
    let text = "this endpoint is only available with high availability configured";
    assert!(status == 405 && body["error"]["message"] == text, "{status} {body}");
}
