//! Text in, settings or diagnostics out.

use std::time::Duration;

use super::*;
use crate::cluster::settings::{LeadershipMode, Profile};
use crate::task::spec::{Buffer, Condition, Work};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn over(text: &str, overrides: &Overrides) -> Result<Settings, Report> {
    let env = BTreeMap::from([("FW".to_owned(), "s3cret".to_owned())]);
    load_text("test.hcl", text, overrides, &env, "host", Path::new("/srv"))
}

pub(super) fn good(text: &str) -> Settings {
    over(text, &Overrides::default()).unwrap_or_else(|report| panic!("{report}"))
}

/// The findings, a line each.
pub(super) fn bad(text: &str) -> Vec<String> {
    let report = over(text, &Overrides::default()).expect_err("refused");
    report.diagnostics.iter().map(ToString::to_string).collect()
}

fn gossip(inner: &str) -> String {
    format!("high_availability {{ cluster {{ gossip {{ {inner} }} }} }}")
}

fn task(inner: &str) -> String {
    format!("task {{\n name = \"t\"\n {inner}\n}}")
}

fn without_warnings(settings: Settings) -> Settings {
    Settings { warnings: Vec::new(), ..settings }
}

#[test]
fn the_documented_default_is_the_default() {
    let documented = good(DEFAULT);
    assert_eq!(documented.warnings, Vec::new());
    assert_eq!(documented, good("# nothing"));
}

#[test]
fn secrets_of_notices_come_from_elsewhere_and_are_the_agents_own() {
    let text = "notify \"ops\" {\n webhook = \"https://x/{{ env \\\"FW\\\" }}\"\n secret = \"{{ env \\\"FW\\\" }}\"\n}";
    let settings = good(text);
    let crate::notify::Way::Webhook { url, secret, .. } = &settings.notify[0].way else { panic!("a webhook") };
    assert_eq!((url.as_str(), secret.as_deref()), ("https://x/s3cret", Some("s3cret")));
    assert!(settings.env_names.own.contains("FW"), "no run sees it");
    assert!(!format!("{:?}", settings.notify).contains("s3cret"));
}

#[test]
fn the_documented_cluster_is_the_default_cluster() {
    let on: Vec<&str> = DEFAULT.lines().map(|line| line.strip_prefix("#:").unwrap_or(line)).collect();
    assert_eq!(good(&on.join("\n")), good(&gossip("")));
}

#[test]
fn nothing_configured_is_a_single_agent_on_loopback() {
    let settings = good("# nothing");
    assert_eq!(settings.id.as_str(), "cts-host");
    assert_eq!(settings.http_addr, HTTP_ADDR.into());
    assert_eq!(settings.data_dir, Path::new("/srv/quorate-data"));
    assert_eq!(settings.cluster, None);
    assert!(settings.tasks.is_empty());
}

#[test]
fn the_example_of_the_design_is_read() {
    let text = format!(
        r#"
        id       = "cts-01"
        http_addr = "127.0.0.1:8558"
        data_dir = "quorate-data"
        high_availability {{
          cluster {{
            name = "edge"
            gossip {{
              bind       = "0.0.0.0:8559"
              advertise  = "10.0.0.1:8559"
              join       = ["10.0.0.3", "10.0.0.2:8559", "cts-01.example.com:8559", "10.0.0.2:8559"]
              expect     = 3
              leadership = "alive"
              profile    = "calm"
              settle     = "20s"
              encrypt    = "{KEY}"
            }}
          }}
          instance {{ address = "cts-01.example.com" }}
          follower_requests = "redirect"
        }}
        task {{
          name    = "render-haproxy"
          command = ["./render", "--out", "/etc/haproxy/backends.cfg"]
          condition "members" {{}}
        }}"#
    );
    let settings = good(&text);
    let ha = settings.cluster.clone().expect("a cluster");
    assert_eq!(ha.cluster.name, "edge");
    assert_eq!(ha.cluster.seeds, ["10.0.0.2:8559", "10.0.0.3:8559", "cts-01.example.com:8559"]);
    assert_eq!((ha.cluster.expect, ha.cluster.mode, ha.profile), (3, LeadershipMode::Alive, Profile::Calm));
    assert_eq!(ha.cluster.timing.lease.settle, Duration::from_secs(20));
    assert_eq!(ha.advertise.map(|addr| addr.to_string()).as_deref(), Some("10.0.0.1:8559"));
    assert_eq!(ha.keys[0].bytes()[..3], [0, 1, 2]);
    assert_eq!(ha.follower_requests, FollowerRequests::Redirect);
    assert!(!format!("{settings:?}").contains("AAEC"));
    let [task] = settings.tasks.as_slice() else { panic!("one task") };
    assert_eq!(task.condition, Condition::Members { use_as_module_input: true });
    assert_eq!(
        task.work,
        Work::Command { argv: ["/srv/render", "--out", "/etc/haproxy/backends.cfg"].map(str::to_owned).to_vec() }
    );
    assert_eq!(task.working_dir, Path::new("/srv/sync-tasks/render-haproxy"));
}

#[test]
fn hcl_and_json_say_the_same() {
    let hcl = r#"
        driver "terraform" { log = "true" backend "local" { path = "x" } }
        terraform_provider "local" {}
        terraform_provider "aws" { alias = "east" region = "r1" assume { role = "x" } task_env { "K" = "{{ env \"FW\" }}" } }
        task { name = "fw" module = "registry/fw" providers = "aws.east" condition "schedule" { cron = "@daily" } }"#;
    let json = r#"{
        "driver": {"terraform": {"log": 1, "backend": {"local": {"path": "x"}}}},
        "terraform_provider": [{"local": {}}, {"aws": {"alias": "east", "region": "r1", "assume": {"role": "x"},
            "task_env": {"K": "{{ env \"FW\" }}"}}}],
        "task": [{"name": "fw", "module": "registry/fw", "providers": ["aws.east"],
            "condition": {"schedule": {"cron": "@daily"}}}]}"#;
    let env = BTreeMap::from([("FW".to_owned(), "s3cret".to_owned())]);
    let json = load_text("test.json", json, &Overrides::default(), &env, "host", Path::new("/srv"));
    let hcl = good(hcl);
    assert_eq!(hcl.terraform.providers[1].task_env["K"], "{{ env \"FW\" }}", "answered at start, not here");
    assert_eq!(hcl.terraform.providers[1].id(), "aws.east");
    assert!(hcl.terraform.log);
    assert_eq!(without_warnings(json.expect("good")), without_warnings(hcl));
}

#[test]
fn a_run_has_an_end_unless_the_file_says_otherwise() {
    let timeout = |inner: &str| good(&task(inner)).tasks[0].timeout.map(|timeout| timeout.as_secs());
    assert_eq!(timeout("command = [\"true\"]"), Some(600));
    assert_eq!(timeout("module = \"a/b/c\""), Some(3600));
    assert_eq!(timeout("module = \"a/b/c\"\n timeout = \"90s\""), Some(90));
    assert_eq!(timeout("command = [\"true\"]\n timeout = \"0s\""), None);
}

#[test]
fn a_buffer_period_resolves_as_in_cts() {
    let s = Duration::from_secs;
    let members = "command = [\"a\"]\n condition \"members\" {}\n";
    for (text, expected) in [
        (task(members), Some((5, 20))),
        (task(&format!("{members} buffer_period {{}}")), Some((5, 20))),
        (task(&format!("{members} buffer_period {{ enabled = false }}")), None),
        (task(&format!("{members} buffer_period {{ enabled = true }}")), Some((5, 20))),
        (task(&format!("{members} buffer_period {{ min = \"10s\" }}")), Some((10, 40))),
        (task(&format!("{members} buffer_period {{ max = \"2s\" }}")), Some((5, 5))),
        (task(&format!("{members} buffer_period {{ min = \"0s\" }}")), Some((0, 0))),
        (task(members) + "\nbuffer_period { min = \"10s\" }", Some((10, 40))),
        (task(members) + "\nbuffer_period { min = \"30s\" max = \"20s\" }", Some((30, 30))),
        (task(members) + "\nbuffer_period { enabled = false }", None),
        (
            task(&format!("{members} buffer_period {{ max = \"60s\" }}")) + "\nbuffer_period { enabled = false }",
            Some((5, 60)),
        ),
        (
            task(&format!("{members} buffer_period {{ enabled = true }}")) + "\nbuffer_period { min = \"7s\" }",
            Some((7, 28)),
        ),
        (task("command = [\"a\"]\n condition \"schedule\" { cron = \"* * * * *\" }"), None),
    ] {
        let expected = expected.map(|(min, max)| Buffer { min: s(min), max: s(max) });
        assert_eq!(good(&text).tasks[0].buffer, expected, "{text}");
    }
}

#[test]
fn the_command_line_wins_over_the_file() {
    let flags = Overrides {
        id: Some("cts-09".to_owned()),
        http_addr: Some("127.0.0.1:9000".to_owned()),
        gossip_addr: Some("127.0.0.1:9001".to_owned()),
        join: vec!["127.0.0.1:9002,127.0.0.1:9003".to_owned(), "127.0.0.1:9001".to_owned()],
        expect: Some(3),
        profile: Some("local".to_owned()),
        ..Overrides::default()
    };
    let text = format!("id = \"a\"\nport = 1\nlog_level = \"warn\"\n{}", gossip("join = [\"x:1\"] settle = \"30s\""));
    let settings = over(&text, &flags).expect("good");
    assert_eq!((settings.id.as_str(), settings.http_addr.tcp().unwrap().port()), ("cts-09", 9000));
    assert_eq!(settings.log.level, LogLevel::Warn);
    let ha = settings.cluster.expect("a cluster");
    assert_eq!(ha.cluster.seeds, ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]);
    assert_eq!((ha.bind.port(), ha.profile), (9001, Profile::Local));
    assert_eq!(ha.cluster.timing.lease.settle, Duration::from_secs(30));
    // And without any file.
    let alone = load(&[], &flags, &BTreeMap::new(), "host", Path::new("/srv")).expect("good");
    assert_eq!(alone.cluster.expect("a cluster").cluster.seeds.len(), 3);
}

#[test]
fn probe_and_suspicion_carry_the_lease_with_them() {
    let settings = good(&gossip("timing { suspect_to_down = \"1s\" probe_period = \"300ms\" }"));
    let timing = settings.cluster.expect("a cluster").cluster.timing;
    assert_eq!(timing.lease.grant, Duration::from_millis(1_040), "four fifths, as in the profile");
    assert_eq!(timing.lease.renew, Duration::from_millis(260));
}

#[test]
fn the_default_bind_is_open_only_with_a_key() {
    let bind = |inner: &str| good(&gossip(inner)).cluster.expect("a cluster");
    assert_eq!(bind("").bind.to_string(), "127.0.0.1:8559");
    assert_eq!(bind("").advertise, Some(bind("").bind));
    let open = bind(&format!("encrypt = \"{KEY}\""));
    assert_eq!((open.bind.to_string().as_str(), open.advertise), ("0.0.0.0:8559", None));
    assert_eq!(bind("encrypt = \"none\"").bind.to_string(), "0.0.0.0:8559");
}

#[test]
fn variables_are_constants_of_terraform() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("a.tfvars"), "zone = \"dmz\"\nlist = [1, -2]\nkeep = { a = true }\n")
        .expect("written");
    let text = format!(
        "task {{ name = \"t\" module = \"m/x\" condition \"members\" {{}} variable_files = [\"{}\"] variables {{ zone = \"\\\"lan\\\"\" n = 5 }} }}",
        dir.path().join("a.tfvars").display()
    );
    let settings = good(&text);
    let Work::Terraform(work) = &settings.tasks[0].work else { panic!("terraform") };
    let expected = [("keep", "{ a = true }"), ("list", "[1, -2]"), ("n", "5"), ("zone", "\"lan\"")];
    assert_eq!(work.variables, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    std::fs::write(dir.path().join("a.tfvars"), "zone = upper(\"x\")\n").expect("written");
    assert!(bad(&text)[0].ends_with("a.tfvars:1:8: error: variable `zone` is not a constant"));
    std::fs::write(dir.path().join("a.tfvars"), "zone = \n").expect("written");
    assert!(bad(&text)[0].contains("not a file of variables"));
    assert_eq!(bad(&task("module = \"x/y\"\n condition \"members\" {}\n variables = { z = \"dmz\" }")).len(), 2);
}

#[test]
fn every_mistake_of_a_file_is_found_at_once() {
    let found = bad(
        "prot = 1\nlog_level = \"loud\"\nbuffer_period { min = \"5 s\" max = -1 }\ntask { name = \"1\" command = \"ls -l\" condition \"schedule\" {} }",
    );
    assert_eq!(
        found,
        [
            "test.hcl:1:1: error: unknown key `prot` at the top level",
            "test.hcl:2:13: error: `log_level` has no \"loud\"",
            "test.hcl:3:23: error: `min` is not a duration: \"5 s\"",
            "test.hcl:3:35: error: `max` has no unit: \"-1\"",
            "test.hcl:4:15: error: \"1\" cannot name a task",
            "test.hcl:4:29: error: `command` must be a list: the program, then its arguments",
            "test.hcl:4:47: error: `cron` is required for a schedule",
        ]
    );
}

#[test]
fn what_is_wrong_is_named() {
    let loop_back = "join = [\"127.0.0.1:8559\"]";
    for (text, expected) in [
        (gossip("bind = \"0.0.0.0\""), "`bind` 0.0.0.0:8559 can be reached by others, and there is no key"),
        (gossip("expect = 1 join = [\"10.0.0.1\"]"), "10.0.0.1:8559 cannot be reached from 127.0.0.1:8559"),
        (gossip("encrypt = \"none\" join = [\"10.0.0.1\"]"), "`expect` must be given when `join` names another agent"),
        (gossip("join = [\"a:1\", \"b:1\"] expect = 1"), "`expect` does not fit `join`"),
        (gossip("expect = 0"), "`expect` must be 1 or more"),
        (gossip("encrypt = \"AAAA\""), "the key of the cluster must be 32 bytes in base64"),
        (gossip("encrypt_file = \"/nowhere\""), "failed to read /nowhere: No such file or directory (os error 2)"),
        (gossip("profile = \"lann\""), "`profile` has no \"lann\""),
        (gossip("timing { grant = \"2s\" }"), "the timers do not fit together"),
        (gossip("settle = \"3s\""), "the timers do not fit together"),
        (
            "high_availability { cluster { name = \"x\" } }".to_owned(),
            "`high_availability` without `gossip`: this agent could not find the others",
        ),
        (
            "driver \"terraform-cloud\" {}".to_owned(),
            "`driver \"terraform-cloud\"` is not supported: it is a service of HashiCorp",
        ),
        ("driver { log = true }".to_owned(), "`driver` needs a label"),
        ("driver \"terraform\" { backend \"s4\" {} }".to_owned(), "unsupported Terraform backend by Sync \"s4\""),
        ("driver \"terraform\" { version = \"1.9\" }".to_owned(), "`version` \"1.9\" is not an exact version"),
        ("driver \"terraform\" { version = \"0.12.31\" }".to_owned(), "Terraform 0.12.31 is not supported"),
        ("provider \"x\" {}".to_owned(), "unknown key `provider` at the top level"),
        ("terraform_provider { a = 1 }".to_owned(), "missing provider name"),
        ("terraform_provider \"a\" {}\nterraform_provider \"a\" {}".to_owned(), "duplicate provider configuration: a"),
        (
            "terraform_provider \"a\" { p = \"{{ with secret \\\"x\\\" }}{{ end }}\" }".to_owned(),
            "detected dynamic configuration using Vault: missing Vault configuration",
        ),
        ("notify \"a\" {}".to_owned(), "`notify` does not say how"),
        ("notify \"a\" { webhook = \"ftp://x\" }".to_owned(), "`webhook` of `notify` is no address"),
        ("notify \"a\" { command = [\"x\"] on = [\"failures\"] }".to_owned(), "`on` of `notify` has no \"failures\""),
        ("notify \"a\" { command = [] }".to_owned(), "`command` of `notify` names no program"),
        (
            "notify \"a\" { command = [\"x\"] webhook = \"http://x\" }".to_owned(),
            "a `notify` block has either `webhook` or `command`",
        ),
        ("notify \"a b\" { command = [\"x\"] }".to_owned(), "\"a b\" cannot name a `notify` block"),
        ("max_parallel = 0".to_owned(), "`max_parallel` is 1 or more"),
        (task("command = [\"a\"]\n policy { cap = \"1s\" base = \"2s\" }"), "`cap` (1s) is below `base` (2s)"),
        (
            task("command = [\"a\"]\n approval = \"always\""),
            "`approval` needs a task with a `module`: a command has no plan",
        ),
        (
            task("command = [\"a\"]\n policy { command = [\"p\"] }"),
            "`command` needs a task with a `module`: a command has no plan",
        ),
        (
            task("command = [\"a\"]\n drift { every = \"1h\" }"),
            "`drift` needs a task with a `module`: a command cannot be asked what it would change",
        ),
        (task("module = \"m/x\"\n drift {}"), "`drift` needs `every`"),
        (task("module = \"m/x\"\n drift { every = \"1s\" }"), "`every` of `drift` is at least 10s"),
        (task("module = \"m/x\"\n drift { every = \"1h\" action = \"x\" }"), "`action` of `drift` has no \"x\""),
        (task("module = \"m/x\"\n approval = \"perhaps\""), "`approval` has no \"perhaps\""),
        (task("module = \"m/x\"\n policy { command = [] }"), "`command` of `policy` names no program"),
        (task("command = [\"a\"]\n policy { park_after = 0 }"), "`park_after` is 1 or more"),
        (task("command = [\"a\"]\n policy { park_cap = \"1h\" }"), "`park_base` and `park_cap` need `park_after`"),
        (
            "consul { service_registration { default_check { address = \"x\" } } }".to_owned(),
            "default check address must include scheme (http or https)",
        ),
        ("consul {}\nconsul {}".to_owned(), "only one 'consul' block can be configured"),
        ("port = 99999".to_owned(), "`port` must be a whole number from 0 to 65535, found a number"),
        (
            "port = 1\nhttp_addr = \"127.0.0.1:2\"".to_owned(),
            "`port` 1 and `http_addr` 127.0.0.1:2 name different ports",
        ),
        (
            "http_addr = \"0.0.0.0\"\ntls { cert = \"a\" key = \"b\" }".to_owned(),
            "`cert` /srv/a: No such file or directory (os error 2)",
        ),
        ("http_addr = \"0.0.0.0\"".to_owned(), "the API would listen on 0.0.0.0:8558 without credentials"),
        (
            "http_addr = \"[::]:1\"\naccess { default = \"write\" }".to_owned(),
            "the API would listen on [::]:1 without credentials",
        ),
        ("access { default = \"allow\" }".to_owned(), "`default` has no \"allow\""),
        ("access { open = [\"/v1/status\"] }".to_owned(), "\"/v1/status\" cannot be left open"),
        ("access { by_certificates \"x\" {} }".to_owned(), "unknown key `by_certificates` in `access`"),
        ("syslog { facility = \"LOCAL8\" }".to_owned(), "`facility` has no \"LOCAL8\""),
        ("syslog { name = \"a b\" }".to_owned(), "`name` \"a b\" cannot name a sender of syslog"),
        (
            "id = \"a b\"".to_owned(),
            "`id` \"a b\" is no good: an id has only letters, digits, `.`, `_` and `-`, found ' '",
        ),
        ("task \"t\" { name = \"t\" command = [\"a\"] }".to_owned(), "`task` takes no label"),
        (task("command = [\"a\"]\n module = \"./m\""), "a task runs a `module` or a `command`, not both"),
        (task("description = \"x\""), "module for the task is required"),
        (task("command = []"), "`command` names no program"),
        (
            task("command = [\"a\"]\n services = [\"web\"]\n condition \"services\" { regexp = \"\" }"),
            "the task's `services` and its condition \"services\" both name services",
        ),
        (task("command = [\"a\"]\n condition { cron = \"x\" }"), "`condition` needs a label"),
        (
            task("command = [\"a\"]\n condition \"services\" { names = [\"web\"] regexp = \"x\" }"),
            "regexp and names fields cannot both be configured",
        ),
        (task("command = [\"a\"]\n condition \"shedule\" {}"), "unsupported condition type: shedule"),
        (
            task("command = [\"a\"]\n condition \"members\" {}\n condition \"schedule\" { cron = \"@daily\" }"),
            "expected only one item in hcl condition but got 2",
        ),
        (
            task("command = [\"a\"]\n condition \"members\" {}\n module_input \"members\" {}"),
            "condition and module_input variable type must be unique",
        ),
        (
            task("command = [\"a\"]\n condition \"schedule\" { cron = \"* * *\" }"),
            "`cron` \"* * *\" is not a timetable: missing field(s): a timetable has at least 5 (minute hour day-of-month month day-of-week), this one has 3",
        ),
        (task("module = \"{{ key \\\"x\\\" }}\""), "a template has no meaning here"),
        (
            "consul { token = \"{{ env \\\"T\\\" }}\" }".to_owned(),
            "consul, `token`: the environment of the agent has no variable T",
        ),
        ("port = \"{{ env \\\"T\\\" }}\"".to_owned(), "a template has no meaning here"),
        (
            gossip("") + "\ndriver \"terraform\" { backend \"local\" {} }",
            "backend \"local\" keeps the state on the agent that ran: the next leader would start without it and make \
             everything again",
        ),
        (
            gossip("") + "\ndriver \"terraform\" { backend \"local\" { workspace_dir = \"state\" } }",
            "backend \"local\" keeps the state on the agent that ran: the next leader would start without it and make \
             everything again",
        ),
        (task("module = \"a/b\"\n providers = [\"x\", \"x.y\"]"), "only one provider instance per task"),
        (
            task("command = [\"a\"]") + "\n" + &task("command = [\"a\"]").replace("\"t\"", "\"T\""),
            "duplicate task name: T",
        ),
    ] {
        let found = bad(&text);
        assert!(found[0].ends_with(&format!("error: {expected}")), "{text}\n{found:#?}");
    }
    assert!(over(&gossip(loop_back), &Overrides::default()).is_ok(), "joining oneself needs no `expect`");
    let by_name = loop_back.replace("127.0.0.1", "localhost");
    assert!(over(&gossip(&by_name), &Overrides::default()).is_ok(), "by name neither");
}

#[test]
fn what_has_no_effect_yet_is_said() {
    for (text, expected) in [
        ("client_type = \"test\"".to_owned(), "test.hcl:1:1: warning: `client_type` has no effect"),
        ("service { name = \"web\" }".to_owned(), "test.hcl:1:1: warning: `service` blocks are deprecated"),
        (
            "license { path = \"x\" auto_retrieval { enabled = true } }".to_owned(),
            "test.hcl:1:1: note: no licence is needed",
        ),
        (
            "high_availability { cluster { storage \"consul\" { session_ttl = \"30s\" } gossip {} } }".to_owned(),
            "test.hcl:1:39: warning: `storage \"consul\"` has no effect: state is replicated by the agents",
        ),
        (
            "http_addr = \"0.0.0.0\"\ninsecure = true".to_owned(),
            "test.hcl:1:13: warning: the API listens on 0.0.0.0:8558 without credentials",
        ),
        (
            gossip("") + "driver \"terraform\" { backend \"local\" { workspace_dir = \"/mnt/state\" } }",
            "test.hcl:1:75: warning: backend \"local\" in a cluster needs a directory that all agents share",
        ),
        (
            "driver \"terraform\" { backend \"http\" { address = \"http://x\" } }".to_owned(),
            "test.hcl:1:30: warning: backend \"http\" is served by whoever you name there, not by the agents",
        ),
        ("buffer_period { min = 5 }".to_owned(), "test.hcl:1:23: warning: `min` has no unit: 5 means 5 nanoseconds"),
    ] {
        let found: Vec<_> = good(&text).warnings.iter().map(ToString::to_string).collect();
        assert_eq!(found, [expected], "{text}");
    }
}

#[test]
fn a_bad_field_of_a_timetable_is_pointed_at() {
    let found = bad(&task("command = [\"a\"]\n condition \"schedule\" { cron = \"0 3 * ! *\" }"));
    assert_eq!(
        found,
        [
            "test.hcl:4:39: error: `cron` \"0 3 * ! *\" is not a timetable: syntax error in month field: '!' at column 7: expected *, 1 to 12, a name, a range a-b, a step */n"
        ]
    );
}

#[test]
fn secrets_do_not_reach_a_diagnostic() {
    let text =
        format!("high_availability {{\n cluster {{\n gossip {{\n  encrypt = \"{KEY}x\"\n  exspect = 1\n }}\n}}\n}}");
    let rendered = over(&text, &Overrides::default()).expect_err("refused").to_string();
    assert!(rendered.contains("encrypt = \"***"), "{rendered}");
    assert!(!rendered.contains("AAEC"), "{rendered}");
    let rendered = over(&format!("encrypt = {KEY}"), &Overrides::default()).expect_err("refused").to_string();
    assert!(!rendered.contains("AAEC"), "{rendered}");
}
