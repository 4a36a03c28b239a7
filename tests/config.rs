//! Configuration as an operator meets it: files on disk in, exact texts out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use quorate::config::{self, Check, Overrides, Report, Settings};

#[path = "config/merge.rs"]
mod merge;
#[path = "config/moving.rs"]
mod moving;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Files in a fresh directory, loaded in this order.
fn load(files: &[(&str, &[u8])], overrides: &Overrides) -> Result<Settings, Report> {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).expect("written");
    }
    let sources: Vec<PathBuf> = files.iter().map(|(name, _)| PathBuf::from(name)).collect();
    config::load(&sources, overrides, &BTreeMap::new(), "host", dir.path())
}

fn text(name: &str, text: &str) -> Result<Settings, Report> {
    load(&[(name, text.as_bytes())], &Overrides::default())
}

fn rendered(files: &[(&str, &str)]) -> String {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
    load(&files, &Overrides::default()).expect_err("refused").render(false, 100)
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &str) {
    let found = rendered(files);
    // What the renderer pads with blanks at the end of lines is not part of the text.
    let found: Vec<&str> = found.lines().map(str::trim_end).collect();
    let found = found.join("\n");
    assert!(found.trim() == expected.trim(), "found:\n{found}\n\nexpected:\n{expected}");
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    check(
        &[(
            "a.hcl",
            r#"working_dir = "tasks"
buffer_perod {
  min = "5s"
}
"#,
        )],
        r#"
  × unknown key `buffer_perod` at the top level
   ╭─[a.hcl:2:1]
 1 │ working_dir = "tasks"
 2 │ buffer_perod {
   · ──────┬─────
   ·       ╰── not known here
 3 │   min = "5s"
   ╰────
  help: did you mean `buffer_period`?

1 error in the configuration
"#,
    );
}

#[test]
fn a_wrong_type_says_what_is_expected() {
    check(
        &[(
            "a.hcl",
            r#"port = "http"
driver "terraform" {
  log = "maybe"
}
"#,
        )],
        r#"
  × `port` must be a whole number from 0 to 65535, found a string
   ╭─[a.hcl:1:8]
 1 │ port = "http"
   ·        ───┬──
   ·           ╰── expected a whole number from 0 to 65535
 2 │ driver "terraform" {
   ╰────

  × `log` must be true or false, found a string
   ╭─[a.hcl:3:9]
 2 │ driver "terraform" {
 3 │   log = "maybe"
   ·         ───┬───
   ·            ╰── expected true or false
 4 │ }
   ╰────

2 errors in the configuration
"#,
    );
}

#[test]
fn a_bad_duration_says_how_they_look() {
    check(
        &[(
            "a.hcl",
            r#"buffer_period {
  min = "5 sec"
  max = "20"
}
"#,
        )],
        r#"
  × `min` is not a duration: "5 sec"
   ╭─[a.hcl:2:9]
 1 │ buffer_period {
 2 │   min = "5 sec"
   ·         ───┬───
   ·            ╰── expected a duration
 3 │   max = "20"
   ╰────
  help: durations look like "300ms", "5s" or "1h2m"; units are ns, us, ms, s, m and h

  × `max` has no unit: "20"
   ╭─[a.hcl:3:9]
 2 │   min = "5 sec"
 3 │   max = "20"
   ·         ──┬─
   ·           ╰── expected a duration
 4 │ }
   ╰────
  help: write a unit, such as "20s"

2 errors in the configuration
"#,
    );
}

#[test]
fn a_module_and_a_command_are_one_too_many() {
    check(
        &[(
            "a.hcl",
            r#"task {
  name    = "edge"
  module  = "registry/edge"
  command = ["./edge"]
  condition "members" {}
}
"#,
        )],
        r#"
  × a task runs a `module` or a `command`, not both
   ╭─[a.hcl:3:3]
 2 │   name    = "edge"
 3 │   module  = "registry/edge"
   ·   ───┬──
   ·      ╰── a module here
 4 │   command = ["./edge"]
   ·   ───┬───
   ·      ╰── a command here
 5 │   condition "members" {}
   ╰────
  help: split it in two tasks

  ⚠ the members of a single agent never change
   ╭─[a.hcl:5:13]
 4 │   command = ["./edge"]
 5 │   condition "members" {}
   ·             ────┬────
   ·                 ╰── runs when the agent starts
 6 │ }
   ╰────
  help: add `high_availability { cluster { gossip { .. } } }`

1 error in the configuration
"#,
    );
}

#[test]
fn a_task_name_in_two_files_points_at_both() {
    check(
        &[
            (
                "a.hcl",
                r#"task {
  name = "edge"
  command = ["./a"]
}
"#,
            ),
            (
                "b.hcl",
                r#"# the other team
task {
  name = "Edge"
  command = ["./b"]
}
"#,
            ),
        ],
        r#"
  × duplicate task name: Edge
   ╭─[b.hcl:3:10]
 2 │ task {
 3 │   name = "Edge"
   ·          ───┬──
   ·             ╰── this name again
 4 │   command = ["./b"]
   ╰────
  help: names are compared without regard to case; rename one of the two

Advice:
  ☞ the first task of that name
   ╭─[a.hcl:2:10]
 1 │ task {
 2 │   name = "edge"
   ·          ──────
 3 │   command = ["./a"]
   ╰────

  ⚠ task edge has no condition
   ╭─[a.hcl:2:10]
 1 │ task {
 2 │   name = "edge"
   ·          ───┬──
   ·             ╰── runs when a leader begins
 3 │   command = ["./a"]
   ╰────
  help: add, for example: condition "schedule" { cron = "*/5 * * * *" }

  ⚠ task Edge has no condition
   ╭─[b.hcl:3:10]
 2 │ task {
 3 │   name = "Edge"
   ·          ───┬──
   ·             ╰── runs when a leader begins
 4 │   command = ["./b"]
   ╰────
  help: add, for example: condition "schedule" { cron = "*/5 * * * *" }

1 error in the configuration
"#,
    );
}

#[test]
fn a_bad_cron_says_which_fields_there_are() {
    check(
        &[(
            "a.hcl",
            r#"task {
  name = "nightly"
  command = ["./backup"]
  condition "schedule" {
    cron = "0 3 *"
  }
}
"#,
        )],
        r#"
  × `cron` "0 3 *" is not a timetable: missing field(s): a timetable has at least 5 (minute hour
  │ day-of-month month day-of-week), this one has 3
   ╭─[a.hcl:5:12]
 4 │   condition "schedule" {
 5 │     cron = "0 3 *"
   ·            ───┬───
   ·               ╰── expected 5, 6 or 7 fields
 6 │   }
   ╰────
  help: min hour dom month dow [year], or sec min hour dom month dow year; "*/5 * * * *" is every
        five minutes

1 error in the configuration
"#,
    );
}

#[test]
fn a_missing_expect_says_what_to_write() {
    check(
        &[(
            "a.hcl",
            r#"high_availability {
  cluster {
    gossip {
      join = ["127.0.0.1:8559", "127.0.0.1:8569", "127.0.0.1:8579"]
    }
  }
}
"#,
        )],
        r#"
  × `expect` must be given when `join` names another agent
   ╭─[a.hcl:3:5]
 2 │   cluster {
 3 │     gossip {
   ·     ───┬──
   ·        ╰── `expect` is missing here
 4 │       join = ["127.0.0.1:8559", "127.0.0.1:8569", "127.0.0.1:8579"]
   ·                                 ────────┬───────
   ·                                         ╰── 127.0.0.1:8569 is not this agent
 5 │     }
   ╰────
  help: say how many agents found the cluster, the same on each of them: expect = 3

1 error in the configuration
"#,
    );
}

#[test]
fn a_key_of_the_wrong_length_is_not_shown() {
    check(
        &[(
            "a.hcl",
            r#"high_availability {
  cluster {
    gossip {
      encrypt = "c2hvcnQ="
    }
  }
}
"#,
        )],
        r#"
  × the key of the cluster must be 32 bytes in base64
   ╭─[a.hcl:4:17]
 3 │     gossip {
 4 │       encrypt = "********"
   ·                 ─────┬────
   ·                      ╰── it holds 5 bytes
 5 │     }
   ╰────
  help: make one with `quorate keygen` and give the same to every agent; "none" goes without

1 error in the configuration
"#,
    );
}

#[test]
fn an_open_bind_without_a_key_says_what_to_do() {
    check(
        &[(
            "a.hcl",
            r#"high_availability {
  cluster {
    gossip {
      bind = "0.0.0.0:8559"
    }
  }
}
"#,
        )],
        r#"
  × `bind` 0.0.0.0:8559 can be reached by others, and there is no key
   ╭─[a.hcl:3:5]
 2 │   cluster {
 3 │     gossip {
   ·     ───┬──
   ·        ╰── `encrypt` or `encrypt_file` is missing here
 4 │       bind = "0.0.0.0:8559"
   ·              ───────┬──────
   ·                     ╰── only a loopback address is allowed without `encrypt`
 5 │     }
   ╰────
  help: run `quorate keygen` once, and give what it prints to every agent as encrypt = ".." (or
        keep it in a file and name that as encrypt_file); encrypt = "none" goes without, on a
        network where every machine is trusted

1 error in the configuration
"#,
    );
}

#[test]
fn timers_are_checked_together() {
    check(
        &[(
            "a.hcl",
            r#"high_availability {
  cluster {
    gossip {
      settle = "1s"
      timing {
        probe_period = "200ms"
        grant        = "2s"
        renew        = "1s"
      }
    }
  }
}
"#,
        )],
        r#"
  × the timers do not fit together
   ╭─[a.hcl:4:16]
 3 │     gossip {
 4 │       settle = "1s"
   ·                ──┬─
   ·                  ╰── settle
 5 │       timing {
 6 │         probe_period = "200ms"
   ·                        ───┬───
   ·                           ╰── probe_period
 7 │         grant        = "2s"
   ·                        ──┬─
   ·                          ╰── grant
 8 │         renew        = "1s"
   ·                        ──┬─
   ·                          ╰── renew
 9 │       }
   ╰────
  help: what must hold:
        - probe_period (200ms) is at least 3 x probe_rtt (80ms): an indirect probe has to fit in
        - grant (2s) is at most probe_period + suspect_to_down (1s): the lease must never be what
        a failover waits for
        - renew (1s) is at most a quarter of grant (2s): two lost rounds in a row are survived
        - settle (1s) is at least 4s, three times the time to detect a failure and two leases:
        leadership would flap
        not given is what profile lan has

1 error in the configuration
"#,
    );
}

#[test]
fn a_missing_label_says_where_it_goes() {
    check(
        &[(
            "a.hcl",
            r#"task {
  name = "nightly"
  command = ["./backup"]
  condition {
    cron = "@daily"
  }
}
"#,
        )],
        r#"
  × `condition` needs a label
   ╭─[a.hcl:4:3]
 3 │   command = ["./backup"]
 4 │   condition {
   ·   ────┬────
   ·       ╰── no label here
 5 │     cron = "@daily"
   ╰────
  help: write `condition "schedule" { .. }`: the label says what makes the task run

1 error in the configuration
"#,
    );
}

#[test]
fn a_condition_without_its_query_is_refused() {
    check(
        &[(
            "a.json",
            r#"{"task": [{
  "name": "edge",
  "module": "registry/edge",
  "condition": {"catalog-services": {"datacenter": "dc1"}}
}]}
"#,
        )],
        r#"
  × catalog-services 'regexp' field must be set
   ╭─[a.json:4:17]
 3 │   "module": "registry/edge",
 4 │   "condition": {"catalog-services": {"datacenter": "dc1"}}
   ·                 ─────────┬────────
   ·                          ╰── no `regexp` here
 5 │ }]}
   ╰────
  help: regexp = "" matches every service

1 error in the configuration
"#,
    );
}

#[test]
fn a_command_as_one_string_shows_the_list() {
    check(
        &[(
            "a.hcl",
            r#"task {
  name = "edge"
  command = "./render --out /etc/x"
  condition "members" {}
}
"#,
        )],
        r#"
  × `command` must be a list: the program, then its arguments
   ╭─[a.hcl:3:13]
 2 │   name = "edge"
 3 │   command = "./render --out /etc/x"
   ·             ───────────┬───────────
   ·                        ╰── this is one string, and no shell takes it apart
 4 │   condition "members" {}
   ╰────
  help: write command = ["./render", "--out", "/etc/x"]

  ⚠ the members of a single agent never change
   ╭─[a.hcl:4:13]
 3 │   command = "./render --out /etc/x"
 4 │   condition "members" {}
   ·             ────┬────
   ·                 ╰── runs when the agent starts
 5 │ }
   ╰────
  help: add `high_availability { cluster { gossip { .. } } }`

1 error in the configuration
"#,
    );
}

#[test]
fn a_mistake_of_syntax_is_pointed_at() {
    check(
        &[(
            "a.hcl",
            r"port = 8558
http_addr 127.0.0.1
",
        )],
        r#"
  × `127.0.0.1` is not a number
   ╭─[a.hcl:2:11]
 1 │ port = 8558
 2 │ http_addr 127.0.0.1
   ·           ────┬────
   ·               ╰── not a number
   ╰────
  help: text, a duration or an address is written in quotes: "127.0.0.1"

1 error in the configuration
"#,
    );
}

#[test]
fn high_availability_without_gossip_says_what_to_add() {
    check(
        &[(
            "a.hcl",
            r#"high_availability {
  cluster {
    name = "edge"
    storage "consul" {}
  }
}
"#,
        )],
        r#"
  × `high_availability` without `gossip`: this agent could not find the others
   ╭─[a.hcl:2:3]
 1 │ high_availability {
 2 │   cluster {
   ·   ───┬───
   ·      ╰── `gossip` is missing in `cluster`
 3 │     name = "edge"
   ╰────
  help: without it every agent would lead; add to `cluster`:
        gossip { join = ["10.0.0.1:8559", ..] expect = 3 encrypt_file = ".." }

  ⚠ `storage "consul"` has no effect: state is replicated by the agents
   ╭─[a.hcl:4:13]
 3 │     name = "edge"
 4 │     storage "consul" {}
   ·             ────┬───
   ·                 ╰── not used
 5 │   }
   ╰────
  help: the block can be removed

1 error in the configuration
"#,
    );
}

#[test]
fn a_binary_file_is_said_to_be_one() {
    let report = load(&[("a.hcl", b"id = \"\xff\xfe\"")], &Overrides::default()).expect_err("refused");
    assert_eq!(report.diagnostics[0].to_string(), "error: a.hcl is not a text file: byte 6 is not UTF-8");
}

#[test]
fn a_directory_is_read_in_order_of_names_and_not_deeper() {
    let dir = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
    write("b.json", r#"{"id": "from-b", "port": 1}"#);
    write("a.hcl", "id = \"from-a\"\ntask {\n name = \"one\"\n command = [\"a\"]\n}");
    write("c.hcl", "task {\n name = \"two\"\n command = [\"a\"]\n}");
    write("d.txt", "not = [ this");
    write("empty.hcl", " \n");
    std::fs::create_dir(dir.path().join("deeper.hcl")).expect("made");
    std::fs::write(dir.path().join("deeper.hcl/x.hcl"), "no = 1").expect("written");
    let load = |source: &str| {
        config::load(&[PathBuf::from(source)], &Overrides::default(), &BTreeMap::new(), "host", dir.path())
    };
    let settings = load(".").expect("good");
    assert_eq!((settings.id.as_str(), settings.http_addr.tcp().unwrap().port()), ("from-b", 1));
    let names: Vec<&str> = settings.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);

    let first = |source: &str| load(source).expect_err("refused").diagnostics[0].to_string();
    assert_eq!(first("empty.hcl"), "error: no configuration files found in empty.hcl");
    assert_eq!(first("d.txt"), "error: no configuration files found in d.txt");
    assert_eq!(first("gone.hcl"), "error: failed to read gone.hcl: No such file or directory (os error 2)");
    assert_eq!(first("/dev/null"), "error: unknown filetype: /dev/null is neither a file nor a directory");
    let none = config::load(&[], &Overrides::default(), &BTreeMap::new(), "host", dir.path());
    assert_eq!(none.expect_err("refused").diagnostics[0].to_string(), "error: no config file provided");
}

#[test]
fn blocks_of_several_files_merge_field_by_field() {
    let ha = |gossip: &str| format!("high_availability {{ cluster {{ gossip {{ {gossip} }} }} }}");
    let (a, b) = (ha("expect = 1 settle = \"20s\""), ha(&format!("settle = \"30s\" encrypt = \"{KEY}\"")));
    let a = a + "\nterraform_provider \"x\" {}\ndriver \"terraform\" { log = true }";
    let b = b + "\nterraform_provider \"y\" {}\ndriver \"terraform\" { persist_log = true }";
    let files: [(&str, &[u8]); 2] = [("a.hcl", a.as_bytes()), ("b.hcl", b.as_bytes())];
    let settings = load(&files, &Overrides::default()).expect("good");
    let cluster = settings.cluster.expect("a cluster");
    assert_eq!(cluster.cluster.timing.lease.settle.as_secs(), 30);
    assert_eq!(cluster.keys.len(), 1);
    assert_eq!(settings.terraform.providers.len(), 2);
    assert!(settings.terraform.persist_log);
    assert!(settings.terraform.log, "what an earlier file said in the same block stays");
}

#[test]
fn a_syntax_error_in_one_file_does_not_blame_the_others() {
    let good = r#"high_availability { cluster { gossip { join = ["10.0.0.1"] } } }"#;
    let files: [(&str, &[u8]); 2] = [("a.hcl", good.as_bytes()), ("b.hcl", b"high_availability {")];
    let report = load(&files, &Overrides::default()).expect_err("refused");
    assert_eq!(report.diagnostics.len(), 1, "{report}");
}

#[test]
fn a_bad_flag_is_underlined_on_the_command_line() {
    let flags = Overrides {
        gossip_addr: Some("everywhere".to_owned()),
        join: vec!["10.0.0.1".to_owned()],
        expect: Some(1),
        ..Overrides::default()
    };
    let report = config::load(&[], &flags, &BTreeMap::new(), "host", std::path::Path::new("/"));
    let report = report.expect_err("refused");
    assert_eq!(
        report.diagnostics[0].to_string(),
        "command line:1:28: error: `bind` \"everywhere\" has \"everywhere\" where an IP address belongs"
    );
}

#[test]
fn a_check_tells_what_would_run() {
    let config = r#"
id = "cts-01"
data_dir = "/var/lib/quorate"
working_dir = "/var/lib/quorate/tasks"
high_availability {
  cluster {
    name = "edge"
    gossip {
      join   = ["127.0.0.1:8559", "127.0.0.1:8569", "127.0.0.1:8579"]
      expect = 3
    }
  }
}
client_type = "test"
task {
  name = "render-haproxy"
  command = ["/opt/render", "--out", "x"]
  condition "members" {}
}
task {
  name = "nightly"
  command = ["/opt/backup"]
  enabled = false
  condition "schedule" { cron = "0 3 * * *" }
}"#;
    let check = Check::new(&text("a.hcl", config));
    assert_eq!(
        check.render(false, 100),
        r#"  ⚠ `client_type` has no effect
    ╭─[a.hcl:14:1]
 13 │ }
 14 │ client_type = "test"
    · ─────┬─────
    ·      ╰── a development switch of CTS
 15 │ task {
    ╰────

agent    cts-01, API on http://127.0.0.1:8558
         data in /var/lib/quorate
         tasks in /var/lib/quorate/tasks
cluster  edge, gossip on 127.0.0.1:8559 (not encrypted)
         others reach it at 127.0.0.1:8559
         3 founders, joins 127.0.0.1:8559, 127.0.0.1:8569, 127.0.0.1:8579
         leadership quorum: survives the loss of 1 of the founders
         tasks, events and Terraform state are on the disk of each agent, in plain text (see at_rest)
         profile lan: a death is noticed after about 1.05s, lease 840ms, settle 10s
tasks    render-haproxy  members change      /opt/render --out x
         nightly         schedule 0 3 * * *  /opt/backup (disabled)

The configuration is good, with 1 warning.
"#
    );
    let json = serde_json::to_value(&check).expect("JSON");
    assert_eq!(json["ok"], true);
    assert_eq!(json["summary"]["cluster"]["expect"], 3);
    assert_eq!(json["diagnostics"][0]["line"], 14);

    let bad = serde_json::to_value(Check::new(&text("a.hcl", "prot = 1"))).expect("JSON");
    assert_eq!((&bad["ok"], &bad["summary"]), (&false.into(), &serde_json::Value::Null));
    assert_eq!(bad["diagnostics"][0]["help"], "did you mean `port`?");
}

/// Text that is nearly a configuration reaches much further than noise.
fn nearly() -> impl Strategy<Value = String> {
    let words = [
        "task",
        "condition",
        "\"schedule\"",
        "\"members\"",
        "high_availability",
        "cluster",
        "gossip",
        "timing",
        "driver",
        "\"terraform\"",
        "backend",
        "name",
        "module",
        "command",
        "join",
        "expect",
        "bind",
        "encrypt",
        "settle",
        "grant",
        "probe_period",
        "buffer_period",
        "min",
        "terraform_provider",
        "variables",
        "services",
        "port",
        "=",
        "=",
        "=",
        "{",
        "{",
        "{",
        "}",
        "}",
        "}",
        "[",
        "]",
        ",",
        "\n",
        "\"5s\"",
        "\"x\"",
        "\"${a}\"",
        "\"{{ env \\\"X\\\" }}\"",
        "0",
        "3",
        "-1",
        "1e9",
        "99999999999",
        "true",
        "null",
        "<<E\n",
        "\nE\n",
        "#",
        "/*",
        "\"ü",
        "\\",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), json in any::<bool>()) {
        let name = if json { "a.json" } else { "a.hcl" };
        let loaded = load(&[(name, &bytes)], &Overrides::default());
        prop_assert!(!Check::new(&loaded).render(true, 80).is_empty());
    }

    #[test]
    fn no_nearly_good_text_makes_it_panic(config in nearly()) {
        prop_assert!(!Check::new(&text("a.hcl", &config)).render(false, 80).is_empty());
    }

    #[test]
    fn no_json_makes_it_panic(key in "[a-z_]{1,12}", value in "[\\[\\]{}:,\"a-z0-9. \\\\]{0,60}") {
        let config = format!("{{\"{key}\": {value}}}");
        prop_assert!(!Check::new(&text("a.json", &config)).render(false, 80).is_empty());
    }

    #[test]
    fn no_flag_makes_it_panic(id in ".{0,80}", addr in ".{0,30}", join in ".{0,60}", expect in any::<u16>()) {
        let flags = Overrides {
            id: Some(id), http_addr: Some(addr.clone()), gossip_addr: Some(addr.clone()), advertise: Some(addr),
            join: vec![join], expect: Some(expect), ..Overrides::default()
        };
        prop_assert!(!Check::new(&load(&[], &flags)).render(false, 80).is_empty());
    }
}
