//! What a configuration of CTS brings along: what is old, what is Enterprise's, what is different here.

use std::collections::BTreeMap;
use std::fs;

use quorate::config::{self, Check, Overrides};
use quorate::task::spec::{Condition, ModuleInput};

use super::{check, text};

/// What `config check` says of one file.
fn checked(config: &str) -> Check {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("module")).unwrap();
    fs::write(dir.path().join("a.hcl"), config).unwrap();
    config::check(&["a.hcl".into()], &Overrides::default(), &BTreeMap::new(), "host", dir.path())
}

#[test]
fn all_old_keys_still_work_and_are_listed() {
    let config = r#"license_path = "x"
service {
  name = "web"
  id   = "edge-web"
  datacenter = "dc1"
}
task {
  name     = "list"
  source   = "module/x"
  services = ["edge-web", "api"]
}
task {
  name   = "input"
  module = "module/x"
  source_input "consul-kv" { path = "x" }
  condition "catalog-services" {
    regexp = "web.*"
    source_includes_var = false
  }
}
"#;
    let settings = text("a.hcl", config).unwrap_or_else(|report| panic!("{report}"));
    let Condition::Services { services, .. } = &settings.tasks[0].condition else { panic!("{:?}", settings.tasks[0]) };
    assert!(format!("{services:?}").contains("dc1"), "{services:?}");
    let Condition::CatalogServices { use_as_module_input, .. } = &settings.tasks[1].condition else { panic!("no") };
    assert!(!use_as_module_input);
    assert!(matches!(settings.tasks[1].inputs[..], [ModuleInput::ConsulKv(_)]));

    let check = checked(config);
    assert!(check.ok);
    let old: Vec<String> = check
        .diagnostics
        .iter()
        .filter(|finding| finding.deprecated)
        .map(|finding| format!("{}: {}", finding.line.unwrap(), finding.message))
        .collect();
    assert_eq!(
        old,
        [
            "2: `service` blocks are deprecated",
            "9: `source` is the old name of `module`",
            "10: `services` of a task is deprecated",
            "15: `source_input` is the old name of `module_input`",
            "18: `source_includes_var` is the old name of `use_as_module_input`",
            "1: no licence is needed",
        ]
    );
    assert!(check.diagnostics.iter().filter(|it| it.deprecated).all(|it| it.help.is_some()), "each says what to write");
}

#[test]
fn what_is_enterprise_only_is_said_clearly() {
    check(
        &[("a.hcl", "driver \"terraform-cloud\" {\n  organization = \"acme\"\n}\n")],
        r#"
  × `driver "terraform-cloud"` is not supported: it is a service of HashiCorp
   ╭─[a.hcl:1:8]
 1 │ driver "terraform-cloud" {
   ·        ────────┬────────
   ·                ╰── CTS Enterprise only
 2 │   organization = "acme"
   ╰────
  help: use `driver "terraform"`, which runs Terraform or OpenTofu on the agents

1 error in the configuration"#,
    );
    let licence = text("a.hcl", "license {\n  path = \"x\"\n  auto_retrieval {\n    enabled = true\n  }\n}").unwrap();
    assert_eq!(licence.warnings[0].to_string(), "a.hcl:1:1: note: no licence is needed");
    let cloud = "task { name = \"t\" module = \"m/x\" condition \"members\" {} terraform_version = \"1.5.0\" }";
    let said = text("a.hcl", cloud).expect_err("refused").to_string();
    assert!(said.contains("terraform_version"), "{said}");
    // Here it makes a cluster; its storage is the agents' own.
    let storage =
        "high_availability { cluster { name = \"x\" storage \"consul\" { parent_path = \"cts\" } gossip {} } }";
    let settings = text("a.hcl", storage).unwrap();
    assert_eq!(settings.cluster.unwrap().cluster.name, "x");
    assert!(settings.warnings.iter().any(|it| it.message.contains("state is replicated by the agents")));
}

#[test]
fn each_difference_has_its_place_and_a_way_back() {
    let config = r#"port = 8558
buffer_period {
  min = "10s"
}
consul {
  kv_path = "mine/"
}
task {
  name   = "edge"
  module = "./module"
  condition "services" {
    regexp = "web.*"
  }
  module_input "consul-kv" {
    path = "x"
  }
}
high_availability {
  cluster {
    gossip {}
  }
}
"#;
    let check = checked(config);
    assert!(check.ok, "{:?}", check.diagnostics);
    let told: Vec<(Option<usize>, &str)> =
        check.differences.iter().map(|it| (it.line, it.message.split([':', ',']).next().unwrap())).collect();
    assert_eq!(
        told,
        [
            (Some(1), "the API listens on 127.0.0.1"),
            (None, told[1].1),
            (Some(3), "`max` is four times `min`"),
            (Some(5), "Consul may be away at the start and for any time later"),
            (Some(8), "task edge runs on every change of the health of a service that matches its regexp"),
            (Some(8), "values of keys reach the module of task edge as they are"),
        ]
    );
    assert!(told[1].1.starts_with("tasks"));
    assert!(check.differences.iter().all(|it| it.help.is_some()));
    let state = check.diagnostics.iter().find(|it| it.message.contains("left in Consul is not looked at")).unwrap();
    assert_eq!(state.severity, "note");
    let shown = check.render(false, 100);
    let expected = "different from CTS
  a.hcl:1:1
      the API listens on 127.0.0.1:8558 only: CTS listens on all interfaces, and whoever reaches it
      controls every task
      -> http_addr = \"0.0.0.0:8558\" with insecure = true is as in CTS; better with `tls` and
";
    assert!(shown.contains(expected), "{shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 110), "{shown}");
}

#[test]
fn a_configuration_of_ours_is_not_compared() {
    let ours = "http_addr = \"127.0.0.1:1\"\ndata_dir = \"d\"\ntask {\n  name = \"x\"\n  command = [\"true\"]\n  condition \
                \"schedule\" { cron = \"@daily\" }\n}\n";
    let check = checked(ours);
    assert!(check.differences.is_empty(), "{:?}", check.differences);
    assert!(!check.render(false, 100).contains("CTS"));
}
