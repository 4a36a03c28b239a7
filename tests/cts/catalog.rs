//! Condition `catalog-services`.

use serde_json::json;

use crate::harness::{Consul, Place, task};

#[test]
fn the_first_and_the_last_instance_of_a_matching_service() {
    let consul = Consul::start();
    let place = Place::new(&consul);
    let api = "condition \"catalog-services\" {\n regexp = \"^api$\"\n }\n module_input \"services\" {\n names = [\"db\"]\n }";
    let plain = "condition \"catalog-services\" {\n regexp = \"^(api|web)\"\n use_as_module_input = false\n }";
    let agent = place.ready(&format!("{}{}", task("api", "with-catalog", api), task("plain", "addresses", plain)));
    assert!(place.tfvars("api").contains("catalog_services = {\n}"), "{}", place.tfvars("api"));
    let (api, plain) = (agent.mark("api"), agent.mark("plain"));
    consul.register("api", "api-1", "10.0.0.1");
    api.wait(1);
    plain.wait(1);

    // A second instance, a tag, an input, and a service that does not match: nothing runs ..
    consul.register("api", "api-2", "10.0.0.2");
    consul.register_as(&json!({"Name": "api", "ID": "api-1", "Address": "10.0.0.1", "Port": 8080, "Tags": ["blue"]}));
    consul.register("db", "db-1", "10.0.0.9");
    consul.register("web", "web-1", "10.0.0.3");
    plain.wait(2);
    // .. until the last instance goes, and comes again.
    consul.deregister("api-2");
    consul.deregister("api-1");
    api.wait(2);
    plain.wait(3);
    assert_eq!(place.resources("api"), ["db-1"], "the input came along");
    consul.register_as(&json!({"Name": "api", "ID": "api-1", "Address": "10.0.0.1", "Port": 8080, "Tags": ["blue"]}));
    api.wait(3);
    plain.wait(4);
    assert!(place.tfvars("api").contains("\"api\" = [\"blue\"]"), "{}", place.tfvars("api"));
    assert!(!place.tfvars("plain").contains("catalog_services"), "{}", place.tfvars("plain"));
}

/// Create, inspect and run do not wait for a service that is not there.
#[test]
fn nothing_matches() {
    let consul = Consul::start();
    let place = Place::new(&consul);
    let agent = place.serve("");
    let object = |name: &str| {
        json!({"name": name, "module": "./modules/with-catalog",
               "condition": {"catalog_services": {"regexp": "^nobody$", "use_as_module_input": true}},
               "module_input": {"services": {"names": ["nobody"]}}})
    };
    let (status, body) = agent.create(&object("planned"), "?run=inspect");
    assert_eq!(status, 200, "{body}");
    let (status, body) = agent.create(&object("now"), "?run=now");
    assert_eq!(status, 201, "{body}");
    assert_eq!(agent.events("now").len(), 1);
    let (status, body) = agent.create(&object("later"), "");
    assert_eq!(status, 201, "{body}");
    let mark = agent.mark("later");
    consul.register("nobody", "n-1", "10.0.0.1");
    mark.wait(1);
    assert_eq!(place.resources("later"), ["n-1"]);
}
