//! What runs see of the environment, and what is left of the agent's own.

use super::agent::Place;
use super::harness::ports::free_port;
use super::harness::processes;

const SCHEDULE: &str = "condition \"schedule\" { cron = \"0 0 1 1 *\" }";
/// A key as `quorate keygen` makes them.
const KEY: &str = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

/// The variables that a run has written down.
fn seen(place: &Place, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(place.path(name)).unwrap();
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_command_sees_what_is_listed_and_a_module_everything_but_what_is_the_agents_own() {
    let place = Place::new();
    place.file(
        "module/main.tf",
        r#"variable "services" {}
variable "out" {}
resource "terraform_data" "x" {
  provisioner "local-exec" { command = "env > ${var.out}" }
}
"#,
    );
    let out = |name: &str| place.path(name).display().to_string();
    let command = |name: &str, more: &str| {
        let command = format!("[\"sh\", \"-c\", \"env > {}\"]", out(name));
        format!("task {{\n  name = \"{name}\"\n  command = {command}\n  {SCHEDULE}\n  {more}\n}}\n")
    };
    let module = |name: &str, more: &str| {
        let variables = format!("variables = {{ out = \"\\\"{}\\\"\" }}", out(name));
        format!("task {{\n  name = \"{name}\"\n  module = \"./module\"\n  {variables}\n  {SCHEDULE}\n  {more}\n}}\n")
    };
    let tasks = [
        command("plain", ""),
        command("more", "run_env {\n    names = [\"CLOUD_*\", \"GOSSIP\"]\n    set { MADE = \"up\" }\n  }"),
        command("whole", "run_env { inherit = \"all\" }"),
        command("pattern", "run_env { names = [\"VAULT_*\", \"QUORATE_*\", \"GOSS*\"] }"),
        module("net", ""),
        module("small", "run_env { inherit = \"listed\" }"),
    ];
    let cluster = "high_availability {\n  cluster {\n    gossip {\n      bind = \"127.0.0.1:PORT\"\n      expect = 1\n      encrypt \
                   = env(\"GOSSIP\")\n    }\n  }\n}\n";
    // Both UDP and TCP.
    let cluster = cluster.replace("PORT", &free_port().to_string());
    place.file(
        "agent.hcl",
        format!(
            "id = \"a1\"\nhttp_addr = \"127.0.0.1:0\"\nrun_env {{ names = [\"EVERY\"] }}\n{cluster}{}",
            tasks.concat()
        ),
    );
    let env = [
        ("GOSSIP", KEY),
        ("QUORATE_TOKEN", "token-Ab3d"),
        ("VAULT_TOKEN", "vault-Cd5f"),
        ("CLOUD_REGION", "north"),
        ("CLOUD_SECRET", "cloud-Ef7h"),
        ("EVERY", "yes"),
        ("OTHER", "thing"),
    ];
    let agent = place.begin_with(&["start", "-config-file", "agent.hcl"], &env);
    agent.ready();
    for task in ["plain", "more", "whole", "pattern", "net", "small"] {
        assert_eq!(agent.event(task)["success"], true, "{task}: {}", agent.log());
    }
    let has = |task: &str, names: &[&str], lacks: &[&str]| {
        let seen = seen(&place, task);
        for name in names {
            assert!(seen.iter().any(|found| found == name), "{task} lacks {name}: {seen:?}");
        }
        for name in lacks {
            assert!(!seen.iter().any(|found| found == name), "{task} sees {name}: {seen:?}");
        }
    };
    let ours = ["QUORATE_TASK", "QUORATE_EPOCH", "QUORATE_RUN_ID", "PATH", "EVERY"];
    let own = ["GOSSIP", "QUORATE_TOKEN"];
    has(
        "plain",
        &[&ours[..], &["QUORATE_INPUT"]].concat(),
        &[&own[..], &["VAULT_TOKEN", "CLOUD_REGION", "OTHER"]].concat(),
    );
    has(
        "more",
        &[&ours[..], &["CLOUD_REGION", "CLOUD_SECRET", "MADE", "GOSSIP"]].concat(),
        &["QUORATE_TOKEN", "OTHER"],
    );
    has("whole", &[&ours[..], &["VAULT_TOKEN", "OTHER"]].concat(), &own);
    has("pattern", &[&ours[..], &["VAULT_TOKEN"]].concat(), &[&own[..], &["OTHER"]].concat());
    has("net", &[&ours[..], &["VAULT_TOKEN", "CLOUD_SECRET", "OTHER", "TF_IN_AUTOMATION"]].concat(), &own);
    has("small", &[&ours[..], &["TF_IN_AUTOMATION"]].concat(), &[&own[..], &["VAULT_TOKEN", "OTHER"]].concat());

    // What is left in the processes that stay.
    let guardian = processes::guardian_of(agent.pid()).expect("a guardian").pid;
    for pid in [agent.pid().to_string(), guardian.to_string()] {
        let environ = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/environ")).unwrap()).into_owned();
        let arguments = String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cmdline")).unwrap()).into_owned();
        for secret in [KEY, "token-Ab3d", "vault-Cd5f", "cloud-Ef7h"] {
            assert!(!environ.contains(secret) && !arguments.contains(secret), "{pid} shows {secret}");
        }
    }
    let input = std::fs::read_link(format!("/proc/{}/fd/0", agent.pid())).unwrap();
    assert_eq!(input, std::path::Path::new("/dev/null"), "the way in is closed");
    assert!(agent.stop().success());
}
