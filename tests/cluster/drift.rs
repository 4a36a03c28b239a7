//! Looking for drift with a real Terraform, across a failover. Needs `terraform` or `tofu` on the PATH. Profile `lan`.

use serde_json::Value;

use crate::harness::{Site, eventually};

const MODULE: &str = "variable \"services\" {}\nresource \"terraform_data\" \"it\" { input = \"as configured\" }\n";

/// Three agents with one task that has been applied.
fn applied(action: &str) -> Site {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let module = site.path().join("module");
    std::fs::create_dir_all(&module).unwrap();
    std::fs::write(module.join("main.tf"), MODULE).unwrap();
    site.shape.more = format!(
        "task {{\n  name = \"net\"\n  module = \"{}\"\n  drift {{ every = \"10s\" action = \"{action}\" }}\n}}\ndriver \
         \"terraform\" {{}}\n",
        module.display()
    );
    site.found();
    eventually("it is applied", || task(&site, 0).is_some_and(|task| task["events"][0]["outcome"] == "success"));
    site
}

fn task(site: &Site, agent: usize) -> Option<Value> {
    let answer = site[agent].get("/v1/cluster/tasks").filter(|answer| answer.status == 200)?;
    answer.json::<Value>()["tasks"].as_array()?.first().cloned()
}

/// Somebody changes what the task made.
fn tamper(site: &Site) {
    let pulled = site.command(1, &["state", "pull", "net"]);
    let text = String::from_utf8(pulled.stdout).unwrap();
    let mut state: Value = serde_json::from_str(&text.replace("as configured", "by hand")).unwrap();
    state["serial"] = Value::from(state["serial"].as_u64().unwrap() + 1);
    let file = site.path().join("tampered.tfstate");
    std::fs::write(&file, state.to_string()).unwrap();
    let pushed = site.command(1, &["state", "push", "net", file.to_str().unwrap()]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
}

#[test]
fn drift_is_told_is_still_known_after_a_failover_and_goes_with_the_next_run() {
    let mut site = applied("report");
    eventually("it is looked", || task(&site, 1).is_some_and(|task| task["drift"]["checked"].is_string()));
    assert!(task(&site, 1).unwrap()["drift"]["found"].is_null());
    tamper(&site);
    let mut found = Value::Null;
    eventually("the drift is found", || {
        found = task(&site, 2).map(|task| task["drift"]["found"].clone()).unwrap_or_default();
        found.is_object()
    });
    let text = found["text"].as_str().unwrap();
    assert!(text.contains("Plan: 0 to add, 1 to change, 0 to destroy."), "{text}");
    assert_eq!(task(&site, 1).unwrap()["events"].as_array().unwrap().len(), 1, "nothing was run");
    let list = site.command(1, &["task", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("drift"), "{}", String::from_utf8_lossy(&list.stdout));
    let run = found["run"].as_str().unwrap();
    let mut log = String::new();
    eventually("the log of the look is there", || {
        log = site[1].get(&format!("/v1/runs/{run}/log")).map(|answer| answer.body).unwrap_or_default();
        log.contains("by hand") && log.contains("drift-check")
    });
    assert!(site[0].get("/metrics").unwrap().body.contains("quorate_task_drifted{task=\"net\"} 1"));

    // It is shown a moment before a majority has it; a look later it certainly has.
    eventually("it is looked once more", || {
        task(&site, 2).is_some_and(|task| task["drift"]["found"]["run"] != found["run"])
    });
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    eventually("the next leader knows it", || {
        task(&site, 2).is_some_and(|task| task["drift"]["found"]["since"] == found["since"])
    });
    assert_eq!(site[2].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    eventually("the run has made it as it should be", || {
        task(&site, 2).is_some_and(|task| task["drift"]["found"].is_null() && task["activity"]["state"] == "idle")
    });
    site.end();
}

#[test]
fn drift_is_corrected_when_the_task_says_so() {
    let site = applied("correct");
    tamper(&site);
    eventually("it is corrected", || {
        let task = task(&site, 1).unwrap_or_default();
        task["events"][0]["trigger"] == "drift" && task["events"][0]["outcome"] == "success"
    });
    let pulled = site.command(1, &["state", "pull", "net"]);
    assert!(String::from_utf8_lossy(&pulled.stdout).contains("as configured"));
    assert!(task(&site, 1).unwrap()["drift"]["found"].is_null());
    site.end();
}
