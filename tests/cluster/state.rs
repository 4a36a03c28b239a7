//! Terraform state kept by the cluster, with the real program: no backend is configured. Profile `lan`.

use serde_json::Value;

use crate::harness::{Site, eventually};

const MODULE: &str = r#"
variable "services" {}
variable "made" {}
variable "slow" {}
resource "terraform_data" "it" {
  input = "made once"
  provisioner "local-exec" {
    command     = "echo made >> \"$MADE\""
    environment = { MADE = var.made }
  }
}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.it]
  provisioner "local-exec" {
    command     = "echo slow >> \"$MADE\"; sleep $SLOW"
    environment = { MADE = var.made, SLOW = var.slow }
  }
}
"#;

fn site(slow: u32) -> (Site, std::path::PathBuf) {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let (module, made) = (site.path().join("module"), site.path().join("made"));
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE).unwrap();
    site.shape.more = format!(
        "\ntask {{\n  name = \"net\"\n  module = \"{}\"\n  grace = \"2s\"\n  variables = {{ made = \"\\\"{}\\\"\", slow = \"{slow}\" }}\n}}\n",
        module.display(),
        made.display(),
    );
    (site, made)
}

/// Until the task has `count` events, all good.
fn applied(site: &Site, number: usize, count: usize) {
    eventually(&format!("{} shows {count} good runs", site[number].id), || {
        let Some(tasks) = site[number].tasks() else { return false };
        let events = tasks.get("net").and_then(|task| task.events.clone()).unwrap_or_default();
        assert!(events.iter().all(|event| event.success), "{events:#?}");
        events.len() >= count
    });
}

fn state(site: &Site, number: usize) -> Value {
    let answer = site[number].get("/v1/cluster/state/net").expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

#[test]
fn state_without_a_backend_is_kept_by_the_cluster_and_a_take_over_applies_nothing_again() {
    let (mut site, made) = site(0);
    site.found();
    applied(&site, 0, 1);
    let before = state(&site, 2);
    assert_eq!(before["resources"].as_array().unwrap().len(), 2);
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    // Unchanged: not applied again, its event is the one of the first leader.
    applied(&site, 1, 1);
    site[1].wait_log("not run: nothing that it depends on has changed since it last went well");
    assert_eq!(state(&site, 1), before);
    // By hand it runs, on the same lineage, with nothing made again.
    assert_eq!(site[2].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    applied(&site, 2, 2);
    let after = state(&site, 2);
    assert_eq!((&before["lineage"], &before["resources"]), (&after["lineage"], &after["resources"]));
    assert_eq!(std::fs::read_to_string(made).unwrap(), "made\nslow\n", "made once");
    let output = site.command(2, &["state", "list"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("net"), "{text}");
    site.end();
}

#[test]
fn a_run_that_is_cancelled_writes_its_state_to_the_cluster_and_unlocks_it() {
    let (mut site, made) = site(600);
    site.start_all();
    site.wait_leader(0, &[0, 1, 2]);
    let record = || std::fs::read_to_string(&made).unwrap_or_default();
    for round in 1..=2 {
        // The second run would not come so far if the first one had kept the lock, and makes nothing a second time.
        let reached = format!("made\n{}", "slow\n".repeat(round));
        eventually("the run is in its slow resource", || record() == reached);
        assert_eq!(site[2].send("POST", "/v1/tasks/net/cancel", None).unwrap().status, 202);
        eventually("the run has ended", || {
            let tasks = site[1].tasks().unwrap_or_default();
            let events = tasks.get("net").and_then(|task| task.events.clone()).unwrap_or_default();
            let cancelled = |error: &quorate::http::reply::Message| error.message.starts_with("cancelled by ");
            events.len() == round && events.iter().all(|event| event.error.as_ref().is_some_and(cancelled))
        });
        let names = state(&site, 1)["resources"].to_string();
        assert!(names.contains("\"it\""), "{names}");
        if round == 1 {
            assert_eq!(site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
        }
    }
    site.end();
}

#[test]
fn a_run_that_was_promised_is_made_by_the_next_leader_though_nothing_has_changed() {
    let (mut site, made) = site(0);
    let full = site.path().join("full");
    let busy = format!("[ ! -e {0} ] || exec sleep 600", full.display());
    let busy = format!("task {{\n  name = \"busy\"\n  command = [\"sh\", \"-c\", \"{busy}\"]\n}}\n");
    site.shape.more = format!("max_parallel = 1\n{busy}{}", site.shape.more);
    site.found();
    applied(&site, 0, 1);
    // The only place is taken, so that the run of `net` waits.
    std::fs::write(&full, "").unwrap();
    assert_eq!(site[1].send("POST", "/v1/tasks/busy/run", None).unwrap().status, 202);
    let doing = |site: &Site, task: &str| {
        let body = site[0].get("/v1/cluster/tasks").expect("an answer").body;
        let tasks: Value = serde_json::from_str(&body).unwrap();
        let task = tasks["tasks"].as_array().unwrap().iter().find(|it| it["name"] == task).cloned().unwrap();
        task["activity"]["state"].clone()
    };
    eventually("the place is taken", || doing(&site, "busy") == "running");
    assert_eq!(site[2].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    eventually("the promised run waits", || doing(&site, "net") == "waiting");
    std::fs::remove_file(&full).unwrap();
    site[0].kill_with_guardian();
    site.wait_leader(1, &[1, 2]);
    applied(&site, 1, 2);
    assert_eq!(std::fs::read_to_string(made).unwrap(), "made\nslow\n", "on the same state");
    let body: Value = serde_json::from_str(&site[1].get("/v1/cluster/tasks").expect("an answer").body).unwrap();
    let net = body["tasks"].as_array().unwrap().iter().find(|task| task["name"] == "net").unwrap();
    let by = net["events"][0]["asked_by"].as_str().unwrap();
    assert!(by.starts_with("127.0.0.1:") && by.ends_with(" through a3"), "who asked the leader before: {by}");
    // And it is kept: the leader after it has nothing to do. Changes reach the majority in their order: these are the last.
    for enabled in [false, true] {
        let body = serde_json::json!({ "enabled": enabled });
        assert_eq!(site[1].send("PATCH", "/v1/tasks/busy", Some(&body)).unwrap().status, 200);
    }
    site[1].kill();
    site.start(0);
    site.wait_leader(0, &[0, 2]);
    applied(&site, 0, 2);
    site[0].wait_log("not run: nothing that it depends on has changed");
    site.end();
}

#[test]
fn a_leader_killed_in_mid_apply_leaves_no_lock_and_nothing_is_made_twice_that_was_saved() {
    let (mut site, made) = site(6);
    site.start_all();
    site.wait_leader(0, &[0, 1, 2]);
    let lines = || std::fs::read_to_string(&made).unwrap_or_default();
    eventually("the slow resource is being made", || lines().contains("slow"));
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    applied(&site, 1, 1);
    let found = state(&site, 1);
    assert_eq!(found["resources"].as_array().unwrap().len(), 2);
    // The guardian interrupted Terraform once; it saved what was made before it ended, or left it to the next run.
    let made = lines().matches("made").count();
    assert!((1..=2).contains(&made), "{}", lines());
    let lock = site[1].get("/v1/cluster/state/net/history").unwrap().body;
    assert!(!lock.contains("\"lock\":{"), "{lock}");
    site.end();
}

#[test]
fn the_state_of_a_task_whose_run_was_cut_off_may_be_pushed_by_hand_once_that_run_is_surely_over() {
    let (mut site, made) = site(30);
    site.start_all();
    site.wait_leader(0, &[0, 1, 2]);
    eventually("the slow resource is being made", || {
        std::fs::read_to_string(&made).unwrap_or_default().contains("slow")
    });
    // Nobody says a last word: how long the run lives is not known.
    site[0].kill_with_guardian();
    site.wait_leader(1, &[1, 2]);
    let disabled = || {
        let body = serde_json::json!({"enabled": false});
        site[1].send("PATCH", "/v1/tasks/net", Some(&body)).is_some_and(|answer| answer.status == 200)
    };
    eventually("the task is disabled", disabled);
    let mut state = serde_json::json!({"version": 4, "terraform_version": "1.11.4", "serial": 100,
        "lineage": "0b3d9c3e-5f0e-4f57-9d0e-3b8f1a5c7e11", "outputs": {}, "resources": [], "check_results": null});
    state["lineage"] = site[1]
        .get("/v1/cluster/state/net")
        .filter(|answer| answer.status == 200)
        .and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok())
        .map_or(state["lineage"].clone(), |kept| kept["lineage"].clone());
    let file = site.path().join("pushed.tfstate");
    std::fs::write(&file, state.to_string()).unwrap();
    let file = file.display().to_string();
    eventually("the state is pushed", || {
        let output = site.command(2, &["state", "push", "-force", "net", &file]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || text.contains("in flight") || text.contains("lead"), "{text}");
        output.status.success()
    });
    assert_eq!(self::state(&site, 1)["serial"], 100);
    site.end();
}
