//! Several files and directories, as `reference/cts.md` 2.1 has it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use quorate::config::{self, Overrides, Settings};

use super::{load, text};

/// Files in this order, all good.
fn merged(files: &[(&str, &str)]) -> Settings {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    load(&files, &Overrides::default()).unwrap_or_else(|report| panic!("{report}"))
}

/// The first mistake of these files.
fn refused(files: &[(&str, &str)]) -> String {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    load(&files, &Overrides::default()).expect_err("refused").diagnostics[0].to_string()
}

#[test]
fn a_single_block_is_refused_twice_in_a_file_and_merged_from_two() {
    // Every block that may stand once, with something in it that another may stand beside.
    for block in [
        "syslog { %s }",
        "consul { %s }",
        "consul { auth { %s } }",
        "consul { tls { %s } }",
        "consul { transport { %s } }",
        "consul { service_registration { %s } }",
        "consul { service_registration { default_check { %s } } }",
        "vault { %s }",
        "vault { tls { %s } }",
        "vault { transport { %s } }",
        "tls { %s }",
        "buffer_period { %s }",
        "driver \"terraform\" { %s }",
        "license { %s }",
        "high_availability { instance { %s } cluster { gossip {} } }",
    ] {
        let empty = block.replace("%s", "");
        let name = block.split(" { %s }").next().unwrap().rsplit(['{', ' ']).next().unwrap();
        let name = if name == "\"terraform\"" { "driver" } else { name };
        // The innermost one, twice beside each other.
        let inner = if block.starts_with("driver") { "driver \"terraform\" {  }" } else { &format!("{name} {{  }}") };
        let twice = empty.replace(inner, &format!("{inner} {inner}"));
        assert_ne!(twice, empty);
        let said = refused(&[("a.hcl", &twice)]);
        assert!(said.ends_with(&format!("only one '{name}' block can be configured")), "{twice}\n{said}");
        if name != "auth" && name != "tls" {
            merged(&[("a.hcl", &empty), ("b.hcl", &empty)]);
        }
    }
    let task = |inner: &str| format!("task {{ name = \"t\" module = \"m/x\" {inner} condition \"members\" {{}} }}");
    let twice = "buffer_period { min = \"1s\" } buffer_period { min = \"2s\" }";
    assert!(refused(&[("a.hcl", &task(twice))]).ends_with("only one 'buffer_period' block can be configured"));
}

#[test]
fn later_scalars_win_blocks_merge_maps_merge_by_key_and_lists_are_appended() {
    let a = r#"
log_level = "DEBUG"
port = 8501
consul {
  address = "a:8500"
  token   = "secret-a"
  transport { dial_timeout = "1s" max_idle_conns = 7 }
}
driver "terraform" {
  log = true
  required_providers {
    fw = { source = "acme/fw" version = "1.0.0" }
    lb = { source = "acme/lb" }
  }
  backend "consul" { path = "a" gzip = false }
}
terraform_provider "fw" { alias = "one" }
task {
  name = "first"
  module = "m/x"
  condition "members" {}
}
service { name = "web" }"#;
    let b = r#"{
 "port": 8502,
 "consul": {"address": "b:8500", "transport": {"dial_timeout": "2s"}},
 "driver": {"terraform": {
   "persist_log": true,
   "required_providers": {"fw": {"source": "other/fw"}, "dns": {"source": "acme/dns"}},
   "backend": {"consul": {"path": "b"}}}},
 "terraform_provider": [{"fw": {"alias": "two"}}],
 "service": [{"name": "api"}],
 "task": [{"name": "second", "module": "m/y", "condition": {"members": {}}}]}"#;
    let settings = merged(&[("a.hcl", a), ("b.json", b)]);
    assert_eq!(settings.log.level.as_str(), "debug");
    assert_eq!(settings.http_addr.tcp().unwrap().port(), 8502);
    let consul = settings.consul.unwrap();
    assert_eq!((consul.address.as_str(), consul.token.as_str()), ("b:8500", "secret-a"));
    assert_eq!((consul.transport.dial_timeout.as_secs(), consul.transport.max_idle_conns), (2, 7));
    let driver = &settings.terraform;
    assert!(driver.log && driver.persist_log);
    let sources: Vec<(&str, Option<&str>)> =
        driver.required_providers.iter().map(|(name, it)| (name.as_str(), it.source.as_deref())).collect();
    assert_eq!(sources, [("dns", Some("acme/dns")), ("fw", Some("other/fw")), ("lb", Some("acme/lb"))]);
    let backend = driver.backend.as_ref().unwrap();
    assert_eq!((backend.body["path"].as_str(), backend.body["gzip"].as_bool()), (Some("b"), Some(false)));
    let providers: Vec<String> = driver.providers.iter().map(quorate::terraform::Provider::id).collect();
    assert_eq!(providers, ["fw.one", "fw.two"]);
    let tasks: Vec<&str> = settings.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(tasks, ["first", "second"]);
}

#[test]
fn what_must_be_unique_is_unique_after_the_merge() {
    let task = r#"task { name = "one" module = "m/x" condition "members" {} }"#;
    let provider = r#"terraform_provider "fw" { alias = "a" }"#;
    let backend = |kind: &str| format!("driver \"terraform\" {{ backend \"{kind}\" {{}} }}");
    for (a, b, expected) in [
        (task, task, "b.hcl:1:15: error: duplicate task name: one"),
        (provider, provider, "duplicate provider configuration: fw.a"),
        ("service { name = \"w\" }", "service { name = \"x\" id = \"w\" }", "unique service IDs are required: w"),
        // CTS panics here.
        (&backend("s3"), &backend("pg"), "b.hcl:1:30: error: only one 'backend' can be configured"),
    ] {
        let said = refused(&[("a.hcl", a), ("b.hcl", b)]);
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn files_come_in_the_order_of_the_flags_and_directories_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, port: u16| {
        fs::write(dir.path().join(name), format!("port = {port}")).unwrap();
    };
    fs::create_dir_all(dir.path().join("conf")).unwrap();
    fs::create_dir_all(dir.path().join("empty")).unwrap();
    write("conf/10-b.hcl", 2);
    write("conf/9-a.hcl", 3);
    write("conf/1.hcl.bak", 4);
    write("own.hcl", 5);
    let port = |sources: &[&str]| {
        let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
        let loaded = config::load(&sources, &Overrides::default(), &BTreeMap::new(), "host", dir.path());
        loaded.unwrap_or_else(|report| panic!("{report}")).http_addr.tcp().unwrap().port()
    };
    assert_eq!(port(&["conf"]), 3, "9-a comes after 10-b");
    assert_eq!(port(&["conf", "own.hcl"]), 5);
    assert_eq!(port(&["own.hcl", "conf"]), 3);
    assert_eq!(port(&["own.hcl", "empty"]), 5, "an empty directory is harmless beside others");
    assert_eq!(port(&["conf", "own.hcl", "conf"]), 3, "twice is no mistake");
}

#[test]
fn what_is_no_file_or_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let first = |source: &str| {
        let loaded = config::load(&[source.into()], &Overrides::default(), &BTreeMap::new(), "host", dir.path());
        loaded.expect_err("refused").diagnostics[0].to_string()
    };
    fs::create_dir_all(at("links")).unwrap();
    std::os::unix::fs::symlink("/nowhere", at("links/a.hcl")).unwrap();
    assert_eq!(first("links"), "error: failed to read links/a.hcl: No such file or directory (os error 2)");

    // A file that nobody may read, root neither.
    std::os::unix::fs::symlink("/proc/self/mem", at("mem.hcl")).unwrap();
    assert_eq!(first("mem.hcl"), "error: failed to read mem.hcl: Input/output error (os error 5)");

    rustix::fs::mknodat(rustix::fs::CWD, at("pipe.hcl"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    assert_eq!(first("pipe.hcl"), "error: unknown filetype: pipe.hcl is neither a file nor a directory");

    fs::create_dir_all(at("dir.hcl")).unwrap();
    assert_eq!(first("dir.hcl"), "error: no configuration files found in dir.hcl");
    fs::write(at("dir.hcl/x.hcl"), "port = 1\nprt = 2").unwrap();
    assert_eq!(first("dir.hcl"), "dir.hcl/x.hcl:2:1: error: unknown key `prt` at the top level");

    fs::write(at("binary.hcl"), b"\x7fELF\x02\x01\x01\0\0\0\xff").unwrap();
    assert_eq!(first("binary.hcl"), "error: binary.hcl is not a text file: byte 10 is not UTF-8");
    fs::write(at("zeros.hcl"), [0; 100]).unwrap();
    assert!(first("zeros.hcl").starts_with("zeros.hcl:1:1: error: "), "{}", first("zeros.hcl"));
    fs::write(at("large.hcl"), vec![b' '; (4 << 20) + 1]).unwrap();
    assert_eq!(first("large.hcl"), "error: failed to read large.hcl: larger than 4 MiB");
}

#[test]
fn names_of_tasks_are_names_only() {
    for name in ["a/b", "..", "a\\nb", "a b", "1a", "", "a.b", "\u{fc}"] {
        let config = format!("task {{ name = \"{name}\" module = \"m/x\" condition \"members\" {{}} }}");
        let report = text("a.hcl", &config).expect_err("refused");
        let said = report.diagnostics[0].to_string();
        assert!(said.starts_with("a.hcl:1:15: error: ") && said.contains("cannot name a task"), "{name}: {said}");
    }
}
