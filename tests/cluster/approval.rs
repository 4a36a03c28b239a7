//! Plans that wait for a person, across failovers, with a real Terraform. Needs `terraform` or `tofu` on the PATH. Profile `lan`.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{Site, eventually};

/// Each of these resources writes its name when it is made.
fn resource(name: &str, made: &str) -> String {
    format!(
        r#"
resource "terraform_data" "{name}" {{
  input = "{name}"
  provisioner "local-exec" {{ command = "echo made {name} >> '{made}'" }}
}}
"#
    )
}

struct Net {
    site: Site,
    module: PathBuf,
    made: PathBuf,
}

impl Net {
    /// Three agents with one task; `more`: lines of it.
    fn found(more: &str, resources: &[&str]) -> Self {
        let mut site = Site::new(3, "lan", "3200ms", Vec::new());
        let (module, made) = (site.path().join("module"), site.path().join("made"));
        std::fs::create_dir_all(&module).unwrap();
        site.shape.more = format!(
            "task {{\n  name = \"net\"\n  module = \"{}\"\n  {more}\n}}\ndriver \"terraform\" {{}}\n",
            module.display()
        );
        let net = Self { site, module, made };
        net.write(resources);
        let mut net = net;
        net.site.found();
        net
    }

    fn write(&self, resources: &[&str]) {
        let made = self.made.display().to_string();
        let text: String = resources.iter().map(|name| resource(name, &made)).collect();
        std::fs::write(self.module.join("main.tf"), format!("variable \"services\" {{}}\n{text}")).unwrap();
    }

    fn made(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.made).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn task(&self, agent: usize) -> Option<Value> {
        let answer = self.site[agent].get("/v1/cluster/tasks").filter(|answer| answer.status == 200)?;
        let tasks: Value = answer.json();
        tasks["tasks"].as_array()?.iter().find(|task| task["name"] == "net").cloned()
    }

    /// Until a plan waits that is another one than these.
    fn waits(&self, agent: usize, but: &[&str]) -> String {
        let mut id = String::new();
        eventually("a plan waits", || {
            let Some(task) = self.task(agent) else { return false };
            let plan = &task["plan"];
            let idle = task["activity"]["state"] == "idle" && plan["decision"].is_null();
            plan["id"].as_str().unwrap_or_default().clone_into(&mut id);
            idle && !id.is_empty() && !but.contains(&id.as_str())
        });
        id
    }

    fn decide(&self, agent: usize, what: &str, plan: &str) -> (u16, String) {
        let answer = self.site[agent].send("POST", &format!("/v1/tasks/net/{what}?plan={plan}"), None).unwrap();
        (answer.status, answer.body)
    }

    fn eventually_made(&self, lines: &[&str]) {
        eventually(&format!("{lines:?} is done"), || self.made() == lines);
    }

    /// Until no plan is there and the task rests; the outcome of its newest run.
    fn rests(&self, agent: usize) -> String {
        let mut outcome = String::new();
        eventually("nothing waits", || {
            let Some(task) = self.task(agent) else { return false };
            task["events"][0]["outcome"].as_str().unwrap_or_default().clone_into(&mut outcome);
            task["activity"]["state"] == "idle" && task["plan"].is_null()
        });
        outcome
    }
}

#[test]
fn a_plan_outlives_its_leader_and_what_is_applied_is_that_plan() {
    let mut net = Net::found("approval = \"always\"", &["one"]);
    let plan = net.waits(1, &[]);
    assert_eq!(net.made(), [""; 0]);
    let shown: Value = net.site[2].get("/v1/tasks/net/plan").unwrap().json();
    assert_eq!(shown["plan"]["summary"]["text"], "+1 ~0 -0", "{shown}");
    assert!(shown["text"].as_str().unwrap().contains("Plan: 1 to add, 0 to change, 0 to destroy."), "{shown}");
    assert_eq!(shown["changes"]["resource_changes"][0]["change"]["actions"][0], "create");
    assert_eq!(net.task(1).unwrap()["events"][0]["outcome"], "planned");

    net.site[0].kill();
    net.site.wait_leader(1, &[1, 2]);
    assert_eq!(net.waits(2, &[]), plan, "the same plan waits");
    let (status, text) = net.decide(2, "approve", "00000000-0000-0000-0000-000000000007");
    assert!(status == 409 && text.contains("is not the newest"), "{text}");
    let (status, text) = net.decide(2, "approve", &plan);
    assert_eq!(status, 202, "{text}");
    net.eventually_made(&["made one"]);
    assert_eq!(net.rests(1), "success");
    let (status, text) = net.decide(2, "approve", &plan);
    assert!(status == 409 && text.contains("no plan of task 'net' waits"), "{text}");
    assert_eq!(net.site[2].get("/v1/tasks/net/plan").unwrap().status, 404);
    let event = net.task(2).unwrap()["events"][0].clone();
    assert!(event["asked_by"].as_str().unwrap().ends_with("through a3"), "{event}");

    // A take-over of what is applied plans nothing.
    net.site[1].kill();
    net.site.start(0);
    net.site.wait_leader(0, &[0, 2]);
    assert_eq!(net.rests(0), "success");
    assert_eq!(net.made(), ["made one"]);
    net.site.end();
}

#[test]
fn an_approval_that_was_acknowledged_holds_though_the_leader_dies_at_once() {
    let mut net = Net::found("approval = \"always\"", &["one"]);
    let plan = net.waits(0, &[]);
    assert_eq!(net.decide(1, "approve", &plan).0, 202);
    net.site[0].kill();
    net.site.wait_leader(1, &[1, 2]);
    net.eventually_made(&["made one"]);
    // The run may have ended before the kill was felt, or be made by the next leader: the plan is not there in either case.
    net.rests(1);
    assert_eq!(net.made(), ["made one"]);
    net.site.end();
}

#[test]
fn a_plan_of_what_has_changed_since_is_not_applied() {
    let net = Net::found("approval = \"always\"", &["one"]);
    let first = net.waits(0, &[]);
    // The module is another one now.
    net.write(&["one", "two"]);
    assert_eq!(net.decide(1, "approve", &first).0, 202);
    let second = net.waits(0, &[&first]);
    assert_eq!(net.made(), [""; 0]);
    assert_eq!(net.decide(2, "approve", &second).0, 202);
    eventually("both are made", || net.made().len() == 2);
    assert_eq!(net.rests(0), "success");

    // The state has moved on by another hand: Terraform itself refuses the plan.
    net.write(&["one", "two", "three"]);
    assert_eq!(net.site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    let third = net.waits(0, &[&first, &second]);
    let pulled = net.site.command(1, &["state", "pull", "net"]);
    let mut state: Value = serde_json::from_slice(&pulled.stdout).unwrap();
    state["serial"] = Value::from(state["serial"].as_u64().unwrap() + 1);
    let file = net.site.path().join("pushed.tfstate");
    std::fs::write(&file, state.to_string()).unwrap();
    let pushed = net.site.command(1, &["state", "push", "net", file.to_str().unwrap()]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    assert_eq!(net.decide(1, "approve", &third).0, 202);
    let fourth = net.waits(0, &[&first, &second, &third]);
    net.site[0].wait_log("the approved plan cannot be applied any more");
    assert_eq!(net.made().len(), 2);
    assert_eq!(net.decide(1, "approve", &fourth).0, 202);
    eventually("the third is made", || net.made().last().is_some_and(|line| line == "made three"));
    net.site.end();
}

#[test]
fn a_rejected_plan_is_not_made_again_until_something_asks_for_it() {
    let mut net = Net::found("approval = \"always\"", &["one"]);
    let plan = net.waits(0, &[]);
    assert_eq!(net.decide(1, "reject", &plan).0, 200);
    let (status, text) = net.decide(1, "approve", &plan);
    assert!(status == 409 && text.contains("was rejected by"), "{text}");
    net.site[0].kill();
    net.site.wait_leader(1, &[1, 2]);
    eventually("it is still rejected", || {
        net.task(2).is_some_and(|task| task["plan"]["id"] == plan && task["plan"]["decision"]["approved"] == false)
    });
    assert_eq!(net.site[2].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    let second = net.waits(1, &[&plan]);
    assert_eq!(net.made(), [""; 0]);
    // As an operator does it.
    let show = net.site.command(2, &["task", "show", "net"]);
    let text = String::from_utf8_lossy(&show.stdout).into_owned();
    assert!(text.contains(&format!("+1 ~0 -0 waits for approval, {second}")), "{text}");
    let list = net.site.command(2, &["task", "list"]);
    assert!(String::from_utf8_lossy(&list.stdout).contains("plan +1 ~0 -0 to approve"));
    let approve = net.site.command(2, &["task", "approve", "-auto-approve", "net"]);
    let text = String::from_utf8_lossy(&approve.stdout).into_owned();
    assert!(approve.status.success() && text.contains("Plan: 1 to add") && text.contains("is approved"), "{text}");
    net.eventually_made(&["made one"]);
    net.site.end();
}

#[test]
fn only_what_destroys_waits_when_the_task_says_so() {
    let net = Net::found("approval = \"destroy\"", &["one", "two"]);
    eventually("both are made without a word", || net.made().len() == 2);
    assert_eq!(net.rests(0), "success");
    net.write(&["one"]);
    assert_eq!(net.site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    let plan = net.waits(0, &[]);
    assert_eq!(net.made().len(), 2);
    // It changes its mind: a later run finds nothing to approve, and the plan is gone.
    net.write(&["one", "two"]);
    assert_eq!(net.site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    assert_eq!(net.rests(0), "success");
    assert_eq!(net.decide(1, "approve", &plan).0, 409);
    net.write(&["one"]);
    assert_eq!(net.site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    let plan = net.waits(0, &[&plan]);
    assert_eq!(net.decide(1, "approve", &plan).0, 202);
    assert_eq!(net.rests(0), "success");
    let pulled = net.site.command(1, &["state", "pull", "net"]);
    let state = String::from_utf8_lossy(&pulled.stdout).into_owned();
    assert!(state.contains("\"one\"") && !state.contains("\"two\""), "{state}");
    net.site.end();
}

#[test]
fn a_policy_that_refuses_is_heard_and_one_that_agrees_lets_the_plan_pass() {
    let dir = tempfile::tempdir().unwrap();
    let policy = dir.path().join("policy");
    let script = "#!/bin/sh\nplan=$(cat)\ncase $plan in\n*'\"name\":\"two\"'*) echo 'two is not allowed on fridays' >&2; exit \
                  1 ;;\nesac\n";
    std::fs::write(&policy, script).unwrap();
    std::fs::set_permissions(&policy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let more = format!("policy {{\n command = [\"{}\"]\n retries = 0\n }}", policy.display());
    let net = Net::found(&more, &["one", "two"]);
    eventually("the policy refuses", || {
        let task = net.task(0).unwrap_or_default();
        let error = task["events"][0]["error"].as_str().unwrap_or_default().to_owned();
        error.contains("the policy refuses the plan") && error.contains("two is not allowed on fridays")
    });
    assert_eq!(net.made(), [""; 0]);
    net.write(&["one"]);
    assert_eq!(net.site[1].send("POST", "/v1/tasks/net/run", None).unwrap().status, 202);
    net.eventually_made(&["made one"]);
    assert_eq!(net.rests(0), "success");
    // What the policy is told stands in no log.
    let run = net.task(0).unwrap()["events"][0]["id"].as_str().unwrap().to_owned();
    let log = net.site[0].get(&format!("/v1/runs/{run}/log")).unwrap().body;
    assert!(log.contains("policy: ") && !log.contains("resource_changes"), "{log}");
    let kept = net.site.path().join("a1");
    assert!(!files_below(&kept).iter().any(|file| file.ends_with("quorate.tfplan")), "no plan file stays");
    net.site.end();
}

fn files_below(dir: &std::path::Path) -> Vec<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
