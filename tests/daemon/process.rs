//! The process as operators start it (`reference/cts.md` 8.4): forms of flags, and where state is. Needs Terraform.

use super::agent::{Place, eventually};

#[test]
fn flags_take_both_forms_with_and_without_start() {
    for args in [
        &["start", "-config-file", "agent.hcl"][..],
        &["start", "-config-file=agent.hcl"],
        &["start", "--config-file=agent.hcl"],
        &["start", "-config-dir", "conf", "-config-dir=empty", "-config-dir", "conf"],
        &["start", "-config-dir=conf", "-config-file", "agent.hcl"],
        &["-config-file", "agent.hcl"],
        &["-config-dir=conf"],
    ] {
        let place = Place::new();
        std::fs::create_dir(place.path("empty")).unwrap();
        let config = "id = \"a1\"\nhttp_addr = \"127.0.0.1:0\"\n";
        place.file("conf/a.hcl", config);
        place.file("agent.hcl", config);
        let agent = place.begin(args);
        agent.ready();
        assert_eq!(agent.get("/v1/cluster")["members"][0]["id"], "a1", "{args:?}");
        assert!(agent.stop().success());
    }
}

#[test]
fn a_local_backend_has_its_state_in_four_places() {
    let place = Place::new();
    place.file("module/main.tf", "variable \"services\" {}\nresource \"terraform_data\" \"x\" {}\n");
    let elsewhere = place.path("elsewhere");
    for (name, backend, more, state) in [
        ("plain", "", "", "sync-tasks/plain/terraform.tfstate.d/plain"),
        // `path` has no effect on states of workspaces.
        ("path", "path = \"other/x.tfstate\"", "", "sync-tasks/path/terraform.tfstate.d/path"),
        ("relative", "workspace_dir = \"states\"", "", "sync-tasks/relative/states/relative"),
        ("absolute", &format!("workspace_dir = \"{}\"", elsewhere.display()), "", "elsewhere/absolute"),
        ("own", "", "working_dir = \"mine\"", "mine/terraform.tfstate.d/own"),
    ] {
        let agent = place.start(&format!(
            "task {{\n  name = \"{name}\"\n  module = \"./module\"\n  {more}\n  condition \"schedule\" {{ cron = \"0 0 1 1 *\" \
             }}\n}}\ndriver \"terraform\" {{\n  backend \"local\" {{\n    {backend}\n  }}\n}}\n"
        ));
        assert_eq!(agent.event(name)["success"], true, "{name}: {}", agent.log());
        let file = place.path(state).join("terraform.tfstate");
        eventually(|| file.exists().then_some(()));
        agent.stop();
    }
}

#[test]
fn a_second_start_on_the_same_state_changes_nothing() {
    let place = Place::new();
    place.file("module/main.tf", "variable \"services\" {}\nresource \"terraform_data\" \"x\" {}\n");
    let config =
        "task {\n  name = \"net\"\n  module = \"./module\"\n  condition \"schedule\" { cron = \"0 0 1 1 *\" }\n}\n";
    let state = place.path("sync-tasks/net/terraform.tfstate.d/net/terraform.tfstate");
    let agent = place.start(config);
    assert_eq!(agent.event("net")["success"], true);
    assert!(agent.stop().success());
    let before = std::fs::read(&state).unwrap();
    let agent = place.start(config);
    agent.ready();
    assert_eq!(agent.event("net")["success"], true);
    assert!(agent.stop().success());
    assert_eq!(std::fs::read(&state).unwrap(), before);
}
