//! 8.4: the process.

use std::fs;

use crate::harness::{Consul, Place, task, until};

fn services(names: &[&str]) -> String {
    format!("condition \"services\" {{\n names = {names:?}\n }}")
}

/// `E2EBasic` and `E2ERestart`.
#[test]
fn two_tasks_with_their_state_in_consul_and_a_restart() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.register("web", "web-1", "10.0.0.2");
    let place = Place::new(&consul);
    let tasks = format!(
        "{}{}",
        task("both", "addresses", &services(&["api", "web"])),
        task("one", "addresses", &services(&["api"]))
    );
    let agent = place.ready(&tasks);
    assert_eq!(
        (place.resources("both"), place.resources("one")),
        (vec!["api-1".into(), "web-1".into()], vec!["api-1".into()])
    );
    assert_eq!(fs::read_to_string(place.of("both", "resources/web-1.txt")).unwrap(), "10.0.0.2");
    let states = ["consul-terraform-sync/terraform-env:both", "consul-terraform-sync/terraform-env:one"];
    assert_eq!(consul.keys("consul-terraform-sync/"), states);

    let marks = ["both", "one"].map(|task| agent.mark(task));
    consul.register("api", "api-2", "10.0.0.3");
    for mark in &marks {
        mark.wait(1);
    }
    consul.deregister("web-1");
    marks[0].wait(2);
    marks[1].wait(1);
    assert_eq!((place.resources("both"), place.resources("one").len()), (vec!["api-1".into(), "api-2".into()], 2));
    assert!(agent.interrupt().success());
    drop(agent);

    // The second start knows what is applied already; a change meanwhile is found.
    consul.deregister("api-2");
    let agent = place.ready(&tasks);
    until("both have seen the change", || ["both", "one"].iter().all(|task| place.resources(task) == ["api-1"]));
    assert!(["both", "one"].iter().all(|task| agent.status(task) == "successful"));
    let created = place.log().matches("address[\"api-1.n1.dc1\"]: Creating").count();
    assert_eq!(created, 2, "once for each task, never again");
}

/// `E2ENoTasks`.
#[test]
fn without_tasks() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let place = Place::new(&consul);
    let agent = place.serve("");
    let object = serde_json::json!({"name": "edge", "module": "./modules/addresses",
                                    "condition": {"services": {"names": ["api"]}}});
    for round in 1..=2 {
        assert_eq!(agent.create(&object, "?run=now").0, 201);
        let mark = agent.mark("edge");
        consul.register("api", "api-2", &format!("10.0.1.{round}"));
        mark.wait(1);
        assert_eq!(fs::read_to_string(place.of("edge", "resources/api-2.txt")).unwrap(), format!("10.0.1.{round}"));
        agent.delete("edge");
        assert_eq!(agent.get("status/tasks"), serde_json::json!({}));
    }
}

/// `E2ERestartConsul`: it comes back on the same port and knows nothing. What it forgot is not taken for an order to
/// destroy everything while it has not been told anything; what is registered then is applied.
#[test]
fn consul_comes_back_empty() {
    let mut consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let mut place = Place::new(&consul);
    // The state must not go with it.
    place.driver = "driver \"terraform\" {\n log = true\n backend \"local\" {}\n}\n".to_owned();
    let agent = place.ready(&task("edge", "addresses", &services(&["api"])));
    consul.stop();
    until("it says so", || place.log().contains("Consul cannot be read"));
    assert_eq!(agent.status("edge"), "successful");
    consul.start_again();
    consul.register("api", "api-2", "10.0.0.2");
    until("the new instance is applied", || place.resources("edge") == ["api-2"]);
    consul.register("api", "api-3", "10.0.0.3");
    until("the next one too", || place.resources("edge") == ["api-2", "api-3"]);
    until("it says so", || place.log().contains("Consul is read again"));
}

/// `E2ELocalBackend`: where the state is.
#[test]
fn local_state() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    for (backend, more, state) in [
        ("", "", "sync-tasks/edge/terraform.tfstate.d/edge/terraform.tfstate"),
        ("path = \"other.tfstate\"", "", "sync-tasks/edge/terraform.tfstate.d/edge/terraform.tfstate"),
        ("workspace_dir = \"spaces\"", "", "sync-tasks/edge/spaces/edge/terraform.tfstate"),
        ("", "working_dir = \"elsewhere\"", "elsewhere/terraform.tfstate.d/edge/terraform.tfstate"),
    ] {
        let mut place = Place::new(&consul);
        place.driver = format!("driver \"terraform\" {{\n backend \"local\" {{\n {backend}\n }}\n}}\n");
        let rest = format!("{}\n {more}", services(&["api"]));
        let (code, log) = place.start(&task("edge", "addresses", &rest), &["-once"]);
        assert_eq!(code, 0, "{log}");
        assert!(place.path().join(state).exists(), "{backend} {more}: {log}");
    }
    assert!(consul.keys("consul-terraform-sync/").is_empty());
}

/// `E2EValidateError`: CTS ends. Ours ends in once mode; a daemon stays and says it in the event (`docs/cts-differences.md`).
#[test]
fn a_module_without_the_services_variable() {
    let consul = Consul::start();
    let place = Place::new(&consul);
    let tasks = task("edge", "no-services", &format!("{}\n policy {{\n retries = 0\n }}", services(&["api"])));
    let text = "module for task \"edge\" is missing the \"services\" variable";
    let (code, log) = place.start(&tasks, &["-once"]);
    assert!(code == 11 && log.contains(text), "{code} {log}");
    let agent = place.ready(&tasks);
    assert_eq!(agent.status("edge"), "errored");
    assert!(agent.events("edge")[0]["error"]["message"].as_str().unwrap().contains(text));
}

/// `E2E_TriggerTaskWhenActive` and `..MultipleTimes`.
#[test]
fn changes_during_a_run_are_one_run_more() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.register("web", "web-1", "10.0.0.9");
    let place = Place::new(&consul);
    let agent = place.serve(&format!(
        "{}{}{}",
        task("slow", "slow", &services(&["api"])),
        task("seen", "addresses", &services(&["api"])),
        task("quick", "addresses", &services(&["web"]))
    ));
    let begun = || fs::read_to_string(place.path().join("begun")).unwrap_or_default().lines().count();
    until("the slow run is in its middle", || begun() == 1);
    until("the other has run", || agent.status("quick") == "successful");
    let quick = agent.mark("quick");
    for number in 2..=5 {
        consul.register("api", &format!("api-{number}"), "10.0.0.2");
    }
    consul.register("web", "web-2", "10.0.0.8");
    quick.wait(1);
    // Each service has a watch of its own: the other one's news say nothing of these.
    until("the agent knows all of them", || place.resources("seen").len() == 5);
    assert_eq!((begun(), agent.events("slow").len()), (1, 0), "it is still in its first run");
    fs::write(place.path().join("go"), "").unwrap();
    until("the newest is applied", || place.resources("slow").len() == 5);
    let mark = agent.mark("quick");
    consul.deregister("web-2");
    mark.wait(1);
    assert_eq!((begun(), agent.events("slow").len()), (2, 2), "all changes are one further run");
    quick.wait(2);
}

/// `TasksUpdate`: three tasks that share services end with the right variables.
#[test]
fn tasks_with_shared_services() {
    let consul = Consul::start();
    for name in ["api", "web", "db"] {
        consul.register(name, &format!("{name}-1"), "10.0.0.1");
    }
    let place = Place::new(&consul);
    let sets = [("first", vec!["api", "web"]), ("second", vec!["web", "db"]), ("third", vec!["api", "db", "web"])];
    let tasks = sets.iter().map(|(name, names)| task(name, "addresses", &services(names)));
    let _agent = place.ready(&tasks.collect::<String>());
    for round in 2..=4 {
        for name in ["api", "web", "db"] {
            consul.register(name, &format!("{name}-{round}"), "10.0.0.1");
        }
        consul.deregister(&format!("web-{}", round - 1));
    }
    for (name, services) in &sets {
        let mut expected: Vec<String> = services
            .iter()
            .filter(|it| **it != "web")
            .flat_map(|it| (1..=4).map(move |n| format!("{it}-{n}")))
            .collect();
        expected.push("web-4".to_owned());
        expected.sort();
        until("the task has the newest", || place.resources(name) == expected);
        let text = place.tfvars(name);
        assert!(expected.iter().all(|id| text.contains(&format!("\"{id}.n1.dc1\" = {{"))), "{text}");
        assert_eq!(text.matches(" id  ").count(), expected.len(), "{text}");
    }
}

/// `ServicesRenderRace`.
#[test]
fn a_hundred_services_are_all_in_the_first_run() {
    let consul = Consul::start();
    let names: Vec<String> = (0..100).map(|number| format!("api-{number:03}")).collect();
    for name in &names {
        consul.register(name, name, "10.0.0.1");
    }
    let mut place = Place::new(&consul);
    place.driver = "driver \"terraform\" {\n backend \"local\" {}\n}\n".to_owned();
    let condition = format!("condition \"services\" {{\n names = {names:?}\n }}");
    let agent = place.ready(&task("edge", "counted", &condition));
    let text = place.tfvars("edge");
    assert!(names.iter().all(|name| text.contains(&format!("\"{name}.n1.dc1\" = {{"))), "{text}");
    assert_eq!(fs::read_to_string(place.path().join("counted")).unwrap(), "100\n", "in the first run");
    assert_eq!(agent.events("edge").len(), 1);
}
