//! Condition `services`.

use serde_json::json;

use crate::harness::{Agent, Consul, Place, task, until};

#[test]
fn names_and_regexp_with_and_without_input() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let place = Place::new(&consul);
    let condition = |which: &str| format!("condition \"services\" {{\n {which}\n }}");
    let (names, regexp) = ("names = [\"api\", \"web\"]", "regexp = \"^(api|web)$\"");
    let unused = "\n use_as_module_input = false";
    let agent = place.ready(&format!(
        "{}{}{}",
        task("names", "addresses", &condition(names)),
        task("regexp", "addresses", &condition(regexp)),
        task("unused", "addresses", &condition(&format!("{names}{unused}"))),
    ));
    // As with `task create`: made at run time.
    let object = json!({"name": "made", "module": "./modules/addresses",
                        "condition": {"services": {"regexp": "^(api|web)$", "use_as_module_input": false}}});
    assert_eq!(agent.create(&object, "?run=now").0, 201);

    let all = ["names", "regexp", "unused", "made"];
    assert!(all.iter().all(|task| agent.events(task).len() == 1), "once each");
    let marks = all.map(|task| agent.mark(task));
    let each = |count| marks.iter().for_each(|mark| mark.wait(count));
    consul.register("web", "web-1", "10.0.0.2");
    each(1);
    assert_fed(&place, &["api-1", "web-1"]);

    // Another service is not theirs. Unhealthy is away, also under a regexp (quirk 4 is mended).
    consul.register("db", "db-1", "10.0.0.3");
    consul.check("web-1", "critical");
    each(2);
    assert_fed(&place, &["api-1"]);
    consul.check("web-1", "passing");
    each(3);
    consul.deregister("api-1");
    each(4);
    assert_fed(&place, &["web-1"]);
}

/// Those that take the services as input have exactly these.
fn assert_fed(place: &Place, instances: &[&str]) {
    for task in ["names", "regexp"] {
        assert_eq!(place.resources(task), instances, "{task}");
        let text = place.tfvars(task);
        assert_eq!(text.matches(" id  ").count(), instances.len(), "{text}");
    }
    for task in ["unused", "made"] {
        assert!(place.resources(task).is_empty(), "{task}");
        assert!(place.tfvars(task).ends_with("services = {\n}\n"), "{:?}", place.tfvars(task));
    }
}

#[test]
fn module_input_is_taken_along_and_makes_nothing_run() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.put_key("mode", "one");
    let place = Place::new(&consul);
    let services =
        "condition \"services\" {\n names = [\"api\"]\n }\n module_input \"consul-kv\" {\n path = \"mode\"\n }";
    // The same key and the same service, the other way round.
    let key = "condition \"consul-kv\" {\n path = \"mode\"\n }\n module_input \"services\" {\n names = [\"api\"]\n }";
    let catalog = "condition \"catalog-services\" {\n regexp = \"^api$\"\n }\n module_input \"consul-kv\" {\n path = \"mode\"\n }\n \
         module_input \"services\" {\n names = [\"api\"]\n }";
    let agent = place.ready(&format!(
        "{}{}{}",
        task("services", "with-kv", services),
        task("key", "with-kv", key),
        task("catalog", "with-both", catalog)
    ));
    let marks = ["services", "key", "catalog"].map(|task| agent.mark(task));
    consul.put_key("mode", "two");
    marks[1].wait(1);
    consul.register("api", "api-2", "10.0.0.2");
    marks[0].wait(1);
    consul.put_key("mode", "three");
    marks[1].wait(2);
    consul.register("api", "api-3", "10.0.0.3");
    marks[0].wait(2);
    for task in ["services", "key"] {
        assert_eq!(place.resources(task).len(), if task == "key" { 2 } else { 3 }, "{task}: the newest at its run");
        assert!(place.tfvars(task).contains("\"mode\" = \"three\""), "{}", place.tfvars(task));
    }
    // Nothing of all that was a change of the catalog's names; this is.
    for id in ["api-1", "api-2", "api-3"] {
        consul.deregister(id);
    }
    marks[2].wait(1);
    assert!(place.resources("catalog").is_empty(), "{:?}", place.resources("catalog"));
    assert!(place.tfvars("catalog").contains("\"mode\" = \"three\""), "{}", place.tfvars("catalog"));
}

/// `docs/cts-differences.md`: CTS's error texts in both modes, and a daemon that goes on.
#[test]
fn queries_that_consul_refuses() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let place = Place::new(&consul);
    let schedule = "condition \"schedule\" {\n cron = \"0 0 1 1 *\"\n }";
    let cases = [
        (
            "condition \"services\" {\n names = [\"api\"]\n datacenter = \"nope\"\n }".to_owned(),
            "No path to datacenter",
        ),
        ("condition \"services\" {\n names = [\"api\"]\n filter = \"Nope == x\"\n }".to_owned(), "Selector"),
        ("condition \"services\" {\n names = [\"api\"]\n namespace = \"n\"\n }".to_owned(), "Invalid query parameter"),
        ("condition \"services\" {\n regexp = \"api\"\n datacenter = \"nope\"\n }".to_owned(), "No path to datacenter"),
        (
            "condition \"catalog-services\" {\n regexp = \"\"\n datacenter = \"nope\"\n }".to_owned(),
            "No path to datacenter",
        ),
        (
            "condition \"catalog-services\" {\n regexp = \"\"\n namespace = \"n\"\n }".to_owned(),
            "Invalid query parameter",
        ),
        (
            "condition \"consul-kv\" {\n path = \"k\"\n datacenter = \"nope\"\n }".to_owned(),
            "Unexpected response code: 500",
        ),
        (
            "condition \"consul-kv\" {\n path = \"k\"\n namespace = \"n\"\n }".to_owned(),
            "Unexpected response code: 400",
        ),
        (
            format!("{schedule}\n module_input \"services\" {{\n names = [\"api\"]\n datacenter = \"nope\"\n }}"),
            "No path to datacenter",
        ),
        (
            format!("{schedule}\n module_input \"consul-kv\" {{\n path = \"k\"\n namespace = \"n\"\n }}"),
            "Unexpected response code: 400",
        ),
    ];
    for (condition, expected) in &cases {
        let (code, log) = place.start(&task("bad", "addresses", condition), &["-once"]);
        assert!(code != 0 && log.contains(expected), "{condition}: {code}\n{log}");
        assert!(!log.contains("all tasks completed once"), "{log}");
    }

    let agent = place.ready(&task("good", "addresses", "condition \"services\" {\n names = [\"api\"]\n }"));
    let refused = |services: serde_json::Value, expected: &str| {
        let object = json!({"name": "bad", "module": "./modules/addresses", "condition": services});
        for query in ["?run=inspect", "?run=now"] {
            let (status, body) = agent.create(&object, query);
            let text = body["error"]["message"].as_str().unwrap_or_default();
            assert!(status >= 400 && text.contains(expected), "{query}: {status} {body}");
            assert_eq!(agent.call("GET", "tasks/bad", None).0, 404);
        }
    };
    refused(json!({"services": {"names": ["api"], "datacenter": "nope"}}), "No path to datacenter");
    refused(json!({"services": {"names": ["api"], "filter": "Nope == x"}}), "Selector");
    refused(json!({"consul_kv": {"path": "k", "namespace": "n"}}), "Unexpected response code: 400");
    let mark = agent.mark("good");
    consul.register("api", "api-2", "10.0.0.2");
    mark.wait(1);
}

/// `E2E_FilterStatus`.
#[test]
fn only_passing_instances_unless_the_filter_speaks_of_checks() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    consul.register("api", "api-2", "10.0.0.2");
    consul.check("api-2", "critical");
    let place = Place::new(&consul);
    let all = "condition \"services\" {\n names = [\"api\"]\n filter = \"Checks.Status != \\\"\\\"\"\n }";
    let agent = place.ready(&format!(
        "{}{}",
        task("passing", "addresses", "condition \"services\" {\n names = [\"api\"]\n }"),
        task("all", "addresses", all)
    ));
    assert_eq!(place.resources("passing"), ["api-1"]);
    assert_eq!(place.resources("all"), ["api-1", "api-2"]);
    assert!(place.tfvars("all").contains("\"critical\""), "{}", place.tfvars("all"));
    consul.check("api-2", "passing");
    agent_has(&agent, "passing", &["api-1", "api-2"]);
}

fn agent_has(agent: &Agent<'_>, task: &str, instances: &[&str]) {
    until("the instances are there", || agent.place.resources(task) == instances);
}
