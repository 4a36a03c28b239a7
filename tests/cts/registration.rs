//! 8.5: the daemon as a service in Consul.

use serde_json::json;

use crate::harness::{Consul, Place, task, until};

const API: &str = "condition \"services\" {\n names = [\"api\"]\n }";

#[test]
fn defaults_and_the_goodbye() {
    let consul = Consul::start();
    let mut place = Place::new(&consul);
    place.driver.push_str("id = \"cts-01\"\n");
    let agent = place.serve("");
    until("it is registered", || consul.get("agent/services").get("cts-01").is_some());
    let service = &consul.get("agent/services")["cts-01"];
    assert_eq!((&service["Service"], &service["Tags"]), (&json!("consul-terraform-sync"), &json!(["cts"])));
    assert_eq!((&service["Port"], &service["Address"]), (&json!(place.port), &json!("")));
    let check = || consul.get("agent/checks")["cts-01-health"].clone();
    assert_eq!((&check()["Name"], &check()["Type"]), (&json!("CTS Health Status"), &json!("http")));
    assert_eq!(check()["Notes"], "Check created by Consul-Terraform-Sync");
    until("the check passes", || check()["Status"] == "passing");
    let output = check()["Output"].to_string();
    assert!(output.contains(&format!("http://localhost:{}/v1/health", place.port)), "{output}");
    assert!(agent.interrupt().success());
    assert!(place.log().contains("graceful shutdown"));
    assert_eq!(consul.get("agent/services"), json!({}), "a clean stop takes it away");
}

#[test]
fn configured() {
    let consul = Consul::start();
    let mut place = Place::new(&consul);
    place.driver.push_str("id = \"cts-02\"\n");
    place.more = format!(
        "service_registration {{\n service_name = \"edge\"\n address = \"127.0.0.1\"\n default_check {{\n address = \
         \"http://127.0.0.1:{}\"\n }}\n }}",
        place.port
    );
    let _agent = place.serve("");
    until("the check passes", || consul.get("agent/checks")["cts-02-health"]["Status"] == "passing");
    let service = &consul.get("agent/services")["cts-02"];
    assert_eq!((&service["Service"], &service["Address"]), (&json!("edge"), &json!("127.0.0.1")));
    let output = consul.get("agent/checks")["cts-02-health"]["Output"].to_string();
    assert!(output.contains(&format!("http://127.0.0.1:{}/v1/health", place.port)), "{output}");
}

#[test]
fn switched_off() {
    let consul = Consul::start();
    consul.register("api", "api-1", "10.0.0.1");
    let mut place = Place::new(&consul);
    "service_registration {\n enabled = false\n }".clone_into(&mut place.more);
    let agent = place.ready(&task("edge", "addresses", API));
    assert_eq!(consul.get("agent/services").as_object().unwrap().keys().collect::<Vec<_>>(), ["api-1"]);
    assert!(agent.interrupt().success());
}

/// Consul's ACLs do not allow it: the tasks run all the same.
#[test]
fn refused_by_consul() {
    let consul = Consul::start_with(
        "acl { enabled = true default_policy = \"deny\" down_policy = \"deny\" tokens { master = \"root\" agent = \"root\" } }",
        Some("root"),
    );
    consul.register("api", "api-1", "10.0.0.1");
    let rules = "node_prefix \"\" { policy = \"read\" } service_prefix \"\" { policy = \"read\" } \
                 key_prefix \"consul-terraform-sync/\" { policy = \"write\" } session_prefix \"\" { policy = \"write\" }";
    consul.put("acl/policy", &json!({"Name": "tasks", "Rules": rules}));
    let token = consul.put("acl/token", &json!({"Policies": [{"Name": "tasks"}]}));
    let mut place = Place::new(&consul);
    place.more = format!("token = {}", token["SecretID"]);
    let agent = place.ready(&task("edge", "addresses", API));
    until("it says so", || place.log().contains("without registering itself as a service with Consul"));
    assert!(place.log().contains("service:write"), "{}", place.log());
    assert_eq!(place.resources("edge"), ["api-1"]);
    let mark = agent.mark("edge");
    consul.register("api", "api-2", "10.0.0.2");
    mark.wait(1);
}
