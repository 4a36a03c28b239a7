//! `-once` and `-inspect` with the real program and real Terraform (`reference/cts.md` 1.4, 5.2).
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

const MODULE: &str = r#"
variable "services" {}
variable "members" {}
resource "terraform_data" "a" {
  provisioner "local-exec" {
    command = "echo applied >> ../../module-ran"
  }
}
"#;

/// A command that notes its name.
fn note(name: &str, condition: &str) -> String {
    let condition = if condition.is_empty() { "condition \"members\" {}" } else { condition };
    format!("task {{\n name = \"{name}\"\n command = [\"sh\", \"-c\", \"echo {name} >> ran\"]\n {condition}\n}}\n")
}

/// Exit code and log.
fn start(dir: &Path, tasks: &str, flags: &[&str]) -> (i32, String) {
    // Refused in a cluster.
    let backend = if tasks.contains("gossip") { "" } else { "backend \"local\" {}\n" };
    let text = format!("driver \"terraform\" {{\n {backend}}}\n{tasks}");
    fs::write(dir.join("quorate.hcl"), text).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_quorate"));
    program.current_dir(dir).args(["start", "-config-file=quorate.hcl"]).args(flags);
    let out = program.output().unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn ran(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("ran")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn once_runs_every_task_once_in_order_scheduled_ones_too_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let disabled = note("off", "").replacen("{\n", "{\n enabled = false\n", 1);
    let yearly = note("yearly", "condition \"schedule\" { cron = \"0 0 1 1 *\" }");
    let tasks = format!("{}{disabled}{yearly}{}", note("z", ""), note("a", ""));
    let (code, log) = start(dir.path(), &tasks, &["-once"]);
    assert_eq!(code, 0, "{log}");
    assert_eq!(ran(dir.path()), ["z", "yearly", "a"]);
    assert!(log.contains("all tasks completed once") && log.contains("graceful shutdown"), "{log}");
    assert!(!dir.path().join("quorate-data").exists(), "a daemon's directory is not touched");
}

#[test]
fn once_ends_at_the_first_error_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let fails = "task {\n name = \"bad\"\n command = [\"sh\", \"-c\", \"echo not today >&2; exit 3\"]\n condition \"members\" {}\n}\n";
    let (code, log) = start(dir.path(), &format!("{}{fails}{}", note("a", ""), note("b", "")), &["-once"]);
    assert_eq!(code, 11, "{log}");
    assert_eq!(ran(dir.path()), ["a"], "no retry, and nothing after it");
    assert!(log.contains("error running task bad") && log.contains("not today"), "{log}");
}

#[test]
fn inspect_shows_the_plan_and_applies_nothing() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("module")).unwrap();
    fs::write(dir.path().join("module/main.tf"), MODULE).unwrap();
    let module = "task {\n name = \"edge\"\n module = \"./module\"\n condition \"members\" {}\n}\n";
    let tasks = format!("{module}{}", note("a", ""));
    let (code, log) = start(dir.path(), &tasks, &["-inspect"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("inspection results") && log.contains("Plan: 1 to add, 0 to change, 0 to destroy."), "{log}");
    assert!(ran(dir.path()).is_empty() && !dir.path().join("module-ran").exists());

    let (code, log) = start(dir.path(), &tasks, &["-inspect-task", "a"]);
    assert_eq!(code, 0, "{log}");
    assert!(!log.contains("Plan: 1 to add"), "only the chosen one: {log}");
    let (code, log) = start(dir.path(), &tasks, &["-inspect-task", "nobody"]);
    assert_eq!(code, 15, "{log}");
    assert!(log.contains("-inspect-task nobody: there is no such task"), "{log}");
}

#[test]
fn a_cluster_is_not_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let gossip = "id = \"a\"\nhigh_availability {\n cluster {\n name = \"edge\"\n gossip {\n bind = \"127.0.0.1:0\"\n \
                  join = [\"127.0.0.1:1\"]\n expect = 1\n }\n }\n}\n";
    let (code, log) = start(dir.path(), &format!("{gossip}{}", note("a", "")), &["-once"]);
    assert_eq!(code, 15, "{log}");
    assert!(log.contains("quorate task run NAME"), "{log}");
    assert!(ran(dir.path()).is_empty());
}
