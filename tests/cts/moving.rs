//! `docs/moving-from-cts.md` as a test: `examples/cts` with the working directory and the state in Consul that CTS leaves
//! behind. The first plans are empty, and nothing is made again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Agent, Consul, Place, until};

/// The tasks of `examples/cts`.
const TASKS: [&str; 3] = ["edge-backends", "edge-settings", "nightly"];

#[test]
fn a_configuration_of_cts_with_its_state() {
    let consul = Consul::start();
    consul.register("web", "web-1", "10.0.0.1");
    consul.register_as(
        &serde_json::json!({"Name": "api", "ID": "api-1", "Address": "10.0.0.2", "Port": 80, "Tags": ["public"]}),
    );
    consul
        .register_as(&serde_json::json!({"Name": "api", "ID": "api-2", "Address": "10.0.0.3", "Port": 80, "Tags": []}));
    consul.put_key("edge/settings/mode", "strict \"and\" ${quoted}");
    let place = Place::new(&consul);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cts"), place.path());
    let config = fs::read_to_string(place.path().join("config.hcl")).unwrap();
    let config = config.replace("localhost:8500", &consul.address()).replace("8558", &place.port.to_string());
    // Only for the time that it takes.
    let config = config.replace("\"10s\"", "\"100ms\"").replace("min     = \"5s\"", "min = \"100ms\"");
    fs::write(place.path().join("config.hcl"), config).unwrap();
    for (task, inputs) in [("edge-backends", BACKENDS), ("edge-settings", SETTINGS), ("nightly", SETTINGS)] {
        as_cts_left_it(&place, &consul, task, inputs);
    }
    let states = TASKS.map(|task| format!("consul-terraform-sync/terraform-env:{task}"));
    assert_eq!(consul.keys("consul-terraform-sync/"), states);
    let made = made(&place);

    let checked = place.command(&["config", "check", "-config-file", "config.hcl"]).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && said.contains("is good, with 6 warnings"), "{said}");
    for old in
        ["`service` blocks are", "`source` is", "`services` of a task", "`source_includes_var`", "`source_input`"]
    {
        assert!(said.contains(old), "{old}: {said}");
    }

    let (code, log) = run(&place.command(&["start", "-config-file=config.hcl", "-inspect"]).output().unwrap());
    assert_eq!(code, 0, "{log}");
    assert_eq!(log.matches("No changes.").count(), TASKS.len(), "{log}");

    let agent = place.spawn();
    agent.wait_up(TASKS.len());
    agent.wait_ready();
    assert!(TASKS.iter().all(|task| agent.status(task) == "successful"));
    assert_eq!(self::made(&place), made, "nothing is made again");
    assert_eq!(consul.keys("consul-terraform-sync/"), states, "the state is where it was");
    follows(&place, &consul, &agent);
}

/// Then it goes on as CTS did.
fn follows(place: &Place, consul: &Consul, agent: &Agent<'_>) {
    let mark = agent.mark("edge-backends");
    consul.register("web", "web-2", "10.0.0.4");
    mark.wait(1);
    let backends = fs::read_to_string(place.of("edge-backends", "backends.cfg")).unwrap();
    assert!(backends.starts_with("listen 0.0.0.0:443 maxconn 100\n"), "{backends}");
    assert!(backends.contains("server api-api-1 10.0.0.2:80 # dmz\n"), "{backends}");
    assert!(backends.contains("server web-web-2 10.0.0.4:8080 # any\n") && !backends.contains("api-2"), "{backends}");
    consul.put_key("edge/settings/mode", "calm");
    until("the setting is there", || {
        let settings = fs::read_to_string(place.of("edge-settings", "settings.json"));
        settings.is_ok_and(|text| text == "{\"mode\":\"calm\"}")
    });
}

const BACKENDS: &str = "\
  listen = \"0.0.0.0:443\"
  limits = { connections = 100 }
";
const SETTINGS: &str = "\
  consul_kv = { \"edge/settings/mode\" = \"strict \\\"and\\\" $${quoted}\" }
";

/// What CTS has made: a directory whose root module has a backend, a module of the task's name and the services, and
/// state in the workspace of the task's name (`reference/cts.md` 3.2, 3.7).
fn as_cts_left_it(place: &Place, consul: &Consul, task: &str, inputs: &str) {
    let dir = place.of(task, "");
    fs::create_dir_all(&dir).unwrap();
    let module = if task == "edge-backends" { "backends" } else { "settings" };
    let source = place.path().join("modules").join(module);
    let text = format!(
        "terraform {{\n  backend \"consul\" {{\n    address = \"{}\"\n    gzip = true\n    path = \
         \"consul-terraform-sync/terraform\"\n  }}\n}}\n\nmodule \"{task}\" {{\n  source = \"{}\"\n  services = \
         var.services\n{inputs}}}\n",
        consul.address(),
        source.display()
    );
    fs::write(dir.join("main.tf"), text).unwrap();
    fs::write(dir.join("variables.tf"), "variable \"services\" {}\n").unwrap();
    let services = "services = {\n\"api-1.n1.dc1\" = { id = \"api-1\", name = \"api\", address = \"10.0.0.2\", port = 80, \
                    cts_user_defined_meta = { zone = \"dmz\" } },\n\"web-1.n1.dc1\" = { id = \"web-1\", name = \"web\", address = \
                    \"10.0.0.1\", port = 8080, cts_user_defined_meta = {} }\n}\n";
    fs::write(dir.join("terraform.tfvars"), services).unwrap();
    for args in [
        &["init", "-no-color", "-force-copy", "-input=false"][..],
        &["workspace", "new", "-no-color", task],
        &["apply", "-no-color", "-auto-approve", "-input=false"],
    ] {
        let output = Command::new(program()).args(args).current_dir(&dir).env("CHECKPOINT_DISABLE", "1").output();
        let (code, said) = run(&output.unwrap());
        assert_eq!(code, 0, "{task}: {args:?}: {said}");
    }
}

/// Whichever of the two there is, as the agent chooses.
fn program() -> &'static str {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("terraform").is_file());
    if found { "terraform" } else { "tofu" }
}

fn run(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.into_owned())
}

/// When the modules' files were made.
fn made(place: &Place) -> Vec<(PathBuf, std::time::SystemTime)> {
    let files = [("edge-backends", "backends.cfg"), ("edge-settings", "settings.json"), ("nightly", "settings.json")];
    let paths = files.map(|(task, file)| place.of(task, file));
    paths.into_iter().map(|path| (path.clone(), fs::metadata(&path).unwrap().modified().unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
