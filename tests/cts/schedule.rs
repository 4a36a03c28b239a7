//! Condition `schedule`.

use chrono::{DateTime, Timelike as _};
use serde_json::{Value, json};

use crate::harness::{Agent, Consul, Place, task, until};

const EVERY_THREE_SECONDS: &str = "condition \"schedule\" {\n cron = \"*/3 * * * * * *\"\n }";

#[test]
fn the_clock_alone_runs_it_and_data_comes_along() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.put_key("mode", "one");
    let place = Place::new(&consul);
    let inputs =
        "module_input \"services\" {\n names = [\"api\"]\n }\n module_input \"consul-kv\" {\n path = \"mode\"\n }";
    let agent = place.ready(&format!(
        "{}{}{}",
        task("ticks", "with-kv", &format!("{EVERY_THREE_SECONDS}\n {inputs}")),
        // The deprecated list is an input here.
        task("listed", "addresses", &format!("{EVERY_THREE_SECONDS}\n services = [\"api\"]")),
        task("dynamic", "addresses", "condition \"services\" {\n names = [\"api\"]\n }"),
    ));
    let dynamic = agent.mark("dynamic");
    wait_ticks(&agent, "ticks", 1);
    // The file is written at a tick only, but the dynamic task runs at once.
    consul.put_key("mode", "two");
    consul.register("api", "api-2", "10.0.0.2");
    dynamic.wait(1);
    until("the next ticks took the data along", || {
        ["ticks", "listed"].iter().all(|task| place.resources(task) == ["api-1", "api-2"])
            && place.tfvars("ticks").contains("\"mode\" = \"two\"")
    });
    // Also ticks without news are events.
    wait_ticks(&agent, "ticks", 2);
    wait_ticks(&agent, "listed", 1);
    for task in ["ticks", "listed"] {
        let events = agent.events(task);
        // The oldest may be the run at the start.
        let ticks = events.iter().filter(|event| event["id"] != agent.events(task).last().unwrap()["id"]);
        assert!(ticks.into_iter().all(|event| second(event).is_multiple_of(3)), "{task}: {events:#?}");
    }
    dynamic.wait(1);
}

/// So many events more.
fn wait_ticks(agent: &Agent<'_>, task: &str, count: usize) {
    let mark = agent.mark(task);
    until("the next tick", || mark.events().len() >= count);
}

fn second(event: &Value) -> u32 {
    DateTime::parse_from_rfc3339(event["start_time"].as_str().unwrap()).unwrap().second()
}

#[test]
fn made_and_deleted_at_run_time() {
    let consul = Consul::start();
    let place = Place::new(&consul);
    let agent = place.serve("");
    let object = json!({"name": "ticks", "module": "./modules/addresses", "condition": {"schedule": {"cron": "*/2 * * * * * *"}}});
    // Inspected only, as a create that was cancelled: nothing is scheduled.
    assert_eq!(agent.create(&object, "?run=inspect").0, 200);
    assert_eq!(agent.call("GET", "tasks/ticks", None).0, 404);
    let (status, body) = agent.create(&object, "?run=now");
    assert_eq!(status, 201, "{body}");
    wait_ticks(&agent, "ticks", 2);
    agent.delete("ticks");
    let runs = || place.log().matches("task_name=ticks").count();
    let before = runs();
    // Another one's ticks show that time passes.
    let other = json!({"name": "other", "module": "./modules/addresses", "condition": {"schedule": {"cron": "*/2 * * * * * *"}}});
    assert_eq!(agent.create(&other, "?run=now").0, 201);
    wait_ticks(&agent, "other", 2);
    assert_eq!(runs(), before, "it is scheduled no longer");
    assert_eq!(agent.call("GET", "status/tasks/ticks", None).0, 404);
}
