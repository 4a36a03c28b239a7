//! Bad input: each mistake is told in words with its place, and changes nothing. What a file alone can get wrong is in
//! `tests/config`; here is what the running program must withstand. Needs Terraform on the PATH.

use serde_json::{Value, json};

use super::agent::Place;

const GOOD: &str = "variable \"services\" {}\nresource \"terraform_data\" \"x\" { input = var.services }\n";
const NEVER: &str = "condition \"schedule\" { cron = \"0 0 1 1 *\" }";

#[test]
fn a_task_that_cannot_run_says_why_and_the_others_run() {
    let place = place();
    let task = |name: &str, module: &str, more: &str| {
        format!(
            "task {{\n  name = \"{name}\"\n  module = \"./{module}\"\n  policy {{ retries = 0 }}\n  {more}\n  {NEVER}\n}}\n"
        )
    };
    let mut agent = place.start(&format!(
        "{}{}{}{}terraform_provider \"nope\" {{\n  a = 1\n}}\ndriver \"terraform\" {{\n  required_providers {{\n    nope = \
         {{ source = \"localhost:1/acme/nope\" version = \"1.0.0\" }}\n  }}\n}}\n",
        task("good", "good", ""),
        task("gone", "gone", ""),
        task("mute", "mute", ""),
        task("provider", "good", "providers = [\"nope\"]"),
    ));
    let warned = agent.logged("there is no module at");
    assert!(warned.contains("place=\"agent.hcl:"), "{warned}");
    let failed = |name: &str| {
        let event = agent.event(name);
        assert_eq!(event["success"], false, "{name}");
        event["error"]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(agent.event("good")["success"], true);
    let text = failed("gone");
    assert!(text.contains("error tf-init for 'gone'") && text.contains("no such file or directory"), "{text}");
    assert!(text.contains(place.path("gone").to_str().unwrap()), "{text}");
    let text = failed("mute");
    assert!(text.contains("module for task \"mute\" is missing the \"services\" variable"), "{text}");
    let text = failed("provider");
    assert!(text.contains("error tf-init for 'provider'") && text.contains("acme/nope"), "{text}");
    let state = |name: &str| place.path(&format!("sync-tasks/{name}/terraform.tfstate.d/{name}/terraform.tfstate"));
    assert!(state("good").exists());
    assert!(!state("mute").exists() && !state("provider").exists(), "nothing was applied");
}

#[test]
fn a_bad_task_object_is_refused_and_nothing_is_added() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    let module = |name: &str| place.path(name).display().to_string();
    let good = json!({"name": "x", "module": module("good"), "condition": {"schedule": {"cron": "0 0 1 1 *"}}});
    let with = |changes: Value| {
        let mut task = good.clone();
        task.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        json!({"task": task})
    };
    let kv = |path: &str| json!({"condition": {"consul_kv": {"path": path}}});
    for (body, status, expected) in [
        (with(json!({"name": "a/b"})), 400, "\"a/b\" cannot name a task"),
        (with(json!({"name": ".."})), 400, "\"..\" cannot name a task"),
        (with(json!({"name": "a\nb"})), 400, "\"a\\nb\" cannot name a task"),
        (with(json!({"name": ""})), 400, "doesn't match schema"),
        (with(json!({"name": 1})), 400, "Error at \"/task/name\": value must be a string"),
        (with(json!({"condition": null})), 400, "doesn't match schema"),
        (with(json!({"working_dir": "/etc"})), 400, "property \"working_dir\" is unsupported"),
        (with(json!({"condition": {"schedule": {"cron": "* * * *"}}})), 400, "missing field(s)"),
        (with(json!({"variables": {"a": "\"x"}})), 400, "variable `a` is not the literal text of a value"),
        (with(json!({"variables": {"a": "1\n}\nevil = 2"}})), 400, "variable `a` is not the literal text of a value"),
        (with(json!({"buffer_period": {"min": "5 s"}})), 400, "is not a duration"),
        (with(kv("x")), 400, "add a `consul` block"),
        (with(json!({"module": module("gone")})), 500, "no such file or directory"),
        (with(json!({"module": module("mute")})), 500, "is missing the \"services\" variable"),
        (json!({}), 400, "property \"task\" is missing"),
        (json!([]), 400, "value must be an object"),
    ] {
        let (found, answer) = agent.post("/v1/tasks", &body.to_string());
        assert_eq!(found, status, "{body}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{body}: {message}");
        assert!(answer["request_id"].is_string(), "{answer}");
    }
    let (status, answer) = agent.post("/v1/tasks", "{\"task\":");
    assert_eq!(status, 400, "{answer}");
    assert_eq!(agent.get("/v1/tasks")["tasks"], json!([]));

    assert_eq!(agent.post("/v1/tasks", &with(json!({})).to_string()).0, 201);
    let (status, answer) = agent.post("/v1/tasks", &with(json!({"name": "X"})).to_string());
    assert_eq!((status, answer["error"]["message"].as_str()), (400, Some("task with name X already exists")));
    assert_eq!(agent.get("/v1/tasks")["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn a_configuration_that_is_wrong_starts_nothing() {
    for config in [
        "task { name = \"a/b\" module = \"m/x\" condition \"members\" {} }",
        "task { name = \"a\" module = \"m/x\" condition \"schedule\" { cron = \"* * * *\" } }",
        "task { name = \"a\" command = [\"x\"] }\ntask { name = \"a\" command = [\"x\"] }",
        "task { name = \"a\" module = \"m/x\" variables = { z = \"\\\"open\" } condition \"members\" {} }",
        "high_availability { cluster { gossip {} } }\ndriver \"terraform\" { backend \"local\" {} }",
        "port = ",
    ] {
        let place = Place::new();
        place.file("agent.hcl", config);
        let out = place.run(&["start", "-config-file", "agent.hcl"]);
        let said = String::from_utf8(out.stderr).unwrap();
        assert_eq!(out.status.code(), Some(15), "{config}\n{said}");
        assert!(said.contains("[agent.hcl:"), "{said}");
        assert_eq!(place.names(), ["agent.hcl"], "{config}");
    }
}

fn place() -> Place {
    let place = Place::new();
    place.file("good/main.tf", GOOD);
    place.file("mute/main.tf", "resource \"terraform_data\" \"x\" {}\n");
    place
}
