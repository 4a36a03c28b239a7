//! A real Terraform module across a failover. Needs `terraform` or `tofu` on the PATH. Profile `lan`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Site, eventually};

const MODULE: &str = r#"
variable "services" {}
variable "made" {}
resource "terraform_data" "it" {
  input = "made once"
  provisioner "local-exec" {
    command     = "echo made >> \"$MADE\""
    environment = { MADE = var.made }
  }
}
"#;

#[test]
fn the_next_leader_goes_on_with_the_same_state_and_creates_nothing_twice() {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let (module, state, made) = (site.path().join("module"), site.path().join("state"), site.path().join("made"));
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE).unwrap();
    site.shape.more = format!(
        r#"
task {{
  name      = "net"
  module    = "{module}"
  variables = {{ made = "\"{made}\"" }}
}}
driver "terraform" {{
  backend "local" {{ workspace_dir = "{state}" }}
}}
"#,
        module = module.display(),
        made = made.display(),
        state = state.display()
    );
    site.found();
    applied(&site, 0);
    let before = read_state(&state);
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    applied(&site, 1);
    let after = read_state(&state);
    assert_eq!(before["lineage"], after["lineage"]);
    assert!(after["serial"].as_u64() >= before["serial"].as_u64());
    assert_eq!(before["resources"], after["resources"]);
    assert_eq!(std::fs::read_to_string(made).unwrap(), "made\n", "created once");
    site.end();
}

/// Until the task has run well under this leader, which had told of no run before.
fn applied(site: &Site, leader: usize) {
    eventually(&format!("{} applies the module", site[leader].id), || {
        let Some(tasks) = site[leader].tasks() else { return false };
        let events = tasks["net"].events.clone().unwrap_or_default();
        assert!(events.iter().all(|event| event.success), "{events:#?}");
        !events.is_empty()
    });
}

fn read_state(dir: &Path) -> Value {
    let files = files_below(dir);
    let states: Vec<&PathBuf> =
        files.iter().filter(|file| file.extension().is_some_and(|end| end == "tfstate")).collect();
    let [file] = states[..] else { panic!("not one state: {files:?}") };
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
