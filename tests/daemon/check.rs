//! `quorate config check` as an operator runs it: what it finds on the machine, and its exit code.

use std::os::unix::fs::PermissionsExt as _;

use super::agent::Place;

const MODULE: &str =
    "task {\n  name = \"net\"\n  module = \"./module\"\n  condition \"schedule\" { cron = \"@daily\" }\n}\n";

#[test]
fn terraform_is_looked_for() {
    let place = Place::new();
    place.file("module/main.tf", "variable \"services\" {}\n");
    place.file("bin/terraform", "#!/bin/sh\necho '{\"terraform_version\":\"1.9.8\"}'\n");
    place.file("old/terraform", "#!/bin/sh\necho '{\"terraform_version\":\"0.12.31\"}'\n");
    place.file("none/README", "");
    for program in ["bin/terraform", "old/terraform"] {
        std::fs::set_permissions(place.path(program), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let command = MODULE.replace("module = \"./module\"", "command = [\"true\"]");
    for (tasks, path, code, expected) in [
        (MODULE, "bin", 0, "driver   Terraform 1.9.8 at "),
        (MODULE, "none", 16, "driver   no terraform or tofu found (looked at "),
        (MODULE, "old", 16, "is version 0.12.31, but at least 0.13 is needed"),
        (command.as_str(), "none", 0, "driver   no usable Terraform or OpenTofu here, and no task needs one"),
        ("prt = 1\n", "bin", 15, "did you mean `port`?"),
    ] {
        place.file("a.hcl", tasks);
        let said = |json: &[&str]| {
            let mut command = place.command(&["config", "check", "-config-file", "a.hcl"]);
            let out = command.args(json).env("PATH", place.path(path)).output().unwrap();
            assert_eq!(out.status.code(), Some(code), "{path} {tasks} {out:?}");
            String::from_utf8(out.stdout).unwrap()
        };
        let text = said(&[]);
        assert!(text.contains(expected), "{text}");
        let json: serde_json::Value = serde_json::from_str(&said(&["-json"])).unwrap();
        assert_eq!(json["terraform"]["found"].as_bool(), (code != 15).then_some(path == "bin"), "{json}");
    }
    // It only looks.
    assert_eq!(place.names(), ["a.hcl", "bin", "module", "none", "old"]);
}
