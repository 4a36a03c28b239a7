//! Terraform state that is sealed before it leaves the leader. Needs Terraform.

use super::harness::{Site, eventually};
use super::search::files_with;

/// Long enough for a file of its own (`blobs`).
const MARK: &str = "mark-Tz6uY1";
const MODULE: &str = r#"variable "services" {}
variable "made" {}
resource "terraform_data" "it" {
  input = join(" ", [for i in range(400) : "mark-Tz6uY1"])
  provisioner "local-exec" { command = "echo made >> ${var.made}" }
}
"#;
const KEYS: [&str; 2] =
    ["q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="];

fn events(site: &Site, number: usize) -> Vec<(bool, String)> {
    let Some(tasks) = site[number].tasks() else { return Vec::new() };
    let events = tasks.get("net").and_then(|task| task.events.clone()).unwrap_or_default();
    events.iter().map(|event| (event.success, format!("{:?}", event.error))).collect()
}

fn state(site: &Site, number: usize) -> (u16, String) {
    let answer = site[number].get("/v1/cluster/state/net").expect("an answer");
    (answer.status, answer.body)
}

fn restart(site: &mut Site, number: usize) {
    site[number].signal(rustix::process::Signal::TERM);
    site[number].wait_end();
    site.start(number);
    site.wait_leader(number, &[number]);
}

#[test]
fn state_is_unreadable_on_disks_and_read_by_whoever_leads_with_the_key() {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let (module, made, keys) = (site.path().join("module"), site.path().join("made"), site.path().join("keys"));
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE).unwrap();
    std::fs::write(&keys, KEYS[0]).unwrap();
    site.shape.in_cluster = format!("at_rest {{ key_file = \"{}\" }}", keys.display());
    site.shape.more = format!(
        "\ntask {{\n  name = \"net\"\n  module = \"{}\"\n  variables = {{ made = \"\\\"{}\\\"\" }}\n}}\n",
        module.display(),
        made.display(),
    );
    site.found();
    eventually("the task has run", || events(&site, 0).first().is_some_and(|event| event.0));
    for number in 0..3 {
        let (status, body) = state(&site, number);
        assert!(status == 200 && body.contains(MARK), "{status} {body}");
        assert_eq!(files_with(&site[number].data(), MARK), Vec::<std::path::PathBuf>::new(), "agent {number}");
    }
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    assert!(state(&site, 1).1.contains(MARK), "the next leader reads it");
    assert!(state(&site, 2).1.contains(MARK), "and others through it");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "made\n", "nothing was applied again");
}

#[test]
fn a_wrong_key_is_told_and_loses_nothing_and_keys_are_rotated_by_a_list() {
    let mut site = Site::new(1, "lan", "3200ms", Vec::new());
    let (module, made, keys) = (site.path().join("module"), site.path().join("made"), site.path().join("keys"));
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE).unwrap();
    site.shape.more = format!(
        "\ntask {{\n  name = \"net\"\n  module = \"{}\"\n  policy {{ retries = 0 }}\n  variables = {{ made = \"\\\"{}\\\"\" }}\n}}\n",
        module.display(),
        made.display(),
    );
    // First as it was before there was this: in plain text.
    site.found();
    eventually("the task has run", || events(&site, 0).first().is_some_and(|event| event.0));
    assert!(!files_with(&site[0].data().join("blobs"), MARK).is_empty(), "it is there to be found");

    std::fs::write(&keys, KEYS[0]).unwrap();
    site.shape.in_cluster = format!("at_rest {{ key_file = \"{}\" }}", keys.display());
    restart(&mut site, 0);
    site[0].wait_log("kept Terraform states were written anew");
    eventually("no file holds it in plain text", || files_with(&site[0].data().join("blobs"), MARK).is_empty());
    assert!(state(&site, 0).1.contains(MARK));

    std::fs::write(&keys, KEYS[1]).unwrap();
    restart(&mut site, 0);
    let (status, body) = state(&site, 0);
    assert!(status == 500 && body.contains("which this agent does not have") && body.contains("not lost"), "{body}");
    let answer = site[0].send("PATCH", "/v1/tasks/net?run=now", Some(&serde_json::json!({"enabled": false})));
    drop(answer);
    let answer = site[0].send("PATCH", "/v1/tasks/net?run=now", Some(&serde_json::json!({"enabled": true})));
    let said = answer.expect("an answer");
    assert!(said.status != 200 && said.body.contains("is sealed with key"), "{} {}", said.status, said.body);

    std::fs::write(&keys, format!("# new\n{}\n# old\n{}\n", KEYS[1], KEYS[0])).unwrap();
    restart(&mut site, 0);
    assert!(state(&site, 0).1.contains(MARK));
    site[0].wait_log("kept Terraform states were written anew");
    eventually("it is sealed with the new key", || {
        let log = site[0].log();
        log.matches("kept Terraform states were written anew").count() == 2
    });
    std::fs::write(&keys, KEYS[1]).unwrap();
    restart(&mut site, 0);
    assert!(state(&site, 0).1.contains(MARK), "the old key is not needed any more");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "made\n", "nothing was applied again");
}
