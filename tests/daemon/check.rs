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

/// What makes a start end, in the words of the start: the check finds each of them, and changes nothing.
#[test]
fn every_obstacle_of_a_start_is_one_of_the_check() {
    let place = super::tls::place();
    place.file("file", "a file, no directory\n");
    place.file("taken.sock", "a file, no socket\n");
    place.file("bad/quorate.redb", "this is no store\n");
    let consul = |inner: &str| format!("consul {{\n  {inner}\n}}\n");
    let secret =
        "terraform_provider \"fw\" {\n  password = \"{{ with secret \\\"kv/fw\\\" }}{{ .Data.p }}{{ end }}\"\n}\n";
    let gossip = |inner: &str| {
        format!("high_availability {{\n cluster {{\n  gossip {{\n   encrypt = \"none\"\n   {inner}\n  }}\n }}\n}}\n")
    };
    // Made first, so that it belongs to somebody.
    place.start("data_dir = \"owned\"\n").stop();
    for (config, code, words) in [
        (consul("address = \"ftp://c:8500\""), 15, "the scheme \"ftp\" is unknown"),
        (consul("address = \"unix://\""), 15, "the path of the socket is missing"),
        (consul("tls {\n ca_cert = \"none.pem\"\n }"), 15, "none.pem: No such file or directory"),
        (consul("tls {\n ca_path = \"owned\"\n }"), 15, "there is no certificate in PEM form in it"),
        (consul("tls {\n cert = \"server.pem\"\n key = \"junk.pem\"\n }"), 15, "there is no private key in PEM form"),
        (format!("vault {{\n address = \"ftp://v\"\n}}\n{secret}"), 11, "the scheme \"ftp\" is unknown"),
        (
            format!("vault {{\n address = \"https://v\"\n tls {{\n ca_cert = \"none.pem\"\n }}\n}}\n{secret}"),
            11,
            "none.pem: No such file or directory",
        ),
        (
            "terraform_provider \"fw\" {\n  host = \"{{ key \\\"absent\"\n}\n".to_owned(),
            11,
            "terraform_provider \"fw\"",
        ),
        ("insecure = true\nhttp_addr = \"192.0.2.1:8558\"\n".to_owned(), 15, "listen for HTTP on 192.0.2.1:8558"),
        ("http_addr = \"unix://none/api.sock\"\n".to_owned(), 15, "there is no directory"),
        ("http_addr = \"unix://taken.sock\"\n".to_owned(), 15, "it is a file that is no socket"),
        ("data_dir = \"file\"\n".to_owned(), 15, "Not a directory (os error 20)"),
        ("data_dir = \"bad\"\n".to_owned(), 15, "is not a store of quorate"),
        ("id = \"other\"\ndata_dir = \"owned\"\n".to_owned(), 15, "belongs to agent \"a1\", not \"other\""),
        (format!("working_dir = \"file/tasks\"\n{MODULE}"), 15, "the directory of the tasks"),
        (gossip("bind = \"192.0.2.1:8559\""), 15, "bind 192.0.2.1:8559 for gossip (UDP)"),
    ] {
        let address = if config.contains("http_addr") { "" } else { "http_addr = \"127.0.0.1:0\"\n" };
        let id = if config.contains("id = ") { "" } else { "id = \"a1\"\n" };
        let data = if config.contains("data_dir") { "" } else { "data_dir = \"fresh\"\n" };
        place.file("agent.hcl", format!("{id}{address}{data}{config}"));
        place.file("module/main.tf", "variable \"services\" {}\n");
        let before = place.names();
        let said = |command: &[&str]| {
            let out = place.run(&[command, &["-config-file", "agent.hcl"]].concat());
            let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
            let words: Vec<&str> = said.split_whitespace().collect();
            (out.status.code(), words.join(" "))
        };
        let (check, text) = said(&["config", "check"]);
        assert!(check == Some(15) && text.contains(words), "check: {config}\n{words}\n{text}");
        assert_eq!(place.names(), before, "a check makes nothing");
        let (start, text) = said(&["start"]);
        assert!(start == Some(code) && text.contains(words), "start: {config}\n{words}\n{text}");
    }
}

#[test]
fn a_running_agent_is_no_obstacle_to_its_check() {
    let place = Place::new();
    let agent = place.start("data_dir = \"data\"\n");
    place.file("same.hcl", format!("id = \"a1\"\nhttp_addr = \"{}\"\ndata_dir = \"data\"\n", agent.addr));
    let out = place.run(&["config", "check", "-config-file", "same.hcl"]);
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}");
    assert!(said.contains("on this machine\n  note\n") && said.contains("is in use by"), "{said}");
    let words: Vec<&str> = said.split_whitespace().collect();
    assert!(words.join(" ").contains(&format!("listen for HTTP on {}", agent.addr)), "{said}");
}
