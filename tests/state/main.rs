//! Terraform state kept by the cluster: the real program against the real listener and decisions, over registers in memory.
//!
//! Needs `terraform` or `tofu` on the PATH: without one these tests fail, unless scripts/test leaves them out (tests/needs.txt).
//! The modules use only what is built in, so nothing is downloaded.
#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;

use quorate::cluster::settings::LeadershipMode;
use quorate::http::state::answer;
use quorate::runtime::handle::{ApiRequest, Caller};
use quorate::state::{ALIVE_MODE, CONTENT_MAX, Caller, Content, Request, SetAside, StateAnswer};
use quorate::terraform::backend_http;

use self::support::{Agent, Cluster, Module, call, id, text, token, wait_until};

const INIT: [&str; 3] = ["init", "-no-color", "-input=false"];
const APPLY: [&str; 4] = ["apply", "-no-color", "-auto-approve", "-input=false"];
const ONE: &str = "resource \"terraform_data\" \"it\" { input = 1 }\n";
const PATH: &str = "/v1/state/edge";

/// Waits in the middle of an apply until the file `go` is there; makes `begun` first.
const SLOW: &str = "resource \"terraform_data\" \"it\" {\n  provisioner \"local-exec\" {\n    command = \"touch begun; while [ ! \
                    -e go ]; do sleep 0.05; done\"\n  }\n}\n";

#[test]
fn a_second_run_on_another_agent_begins_at_apply_and_changes_nothing() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let (a1, a2) = (Agent::start("a1", &cluster), Agent::start("a2", &cluster));
    let module = Module::new(ONE);
    let first = a1.begin(&cluster, token(6, 1));
    module.ok(&a1, &first, &INIT);
    assert!(module.ok(&a1, &first, &APPLY).contains("1 added, 0 changed, 0 destroyed"));
    let summary = cluster.summary();
    assert_eq!(
        (summary.lock, summary.versions[0].epoch, summary.current),
        (None, Some(6), Some(summary.versions[0].version))
    );

    // What init remembers of the backend holds neither the address nor the secret.
    let remembered = fs::read_to_string(module.path(".terraform/terraform.tfstate")).unwrap();
    for secret in [&first.username, &first.password, &a1.addr().to_string()] {
        assert!(!remembered.contains(secret.as_str()), "{remembered}");
    }
    assert!(!module.path("terraform.tfstate").exists() && !module.path("errored.tfstate").exists());

    // Another address, user and password, and no init.
    cluster.lead("a2", 7);
    let second = a2.begin(&cluster, token(7, 2));
    assert!(module.ok(&a2, &second, &APPLY).contains("0 added, 0 changed, 0 destroyed"));
    let lineage = &summary.versions[0].lineage;
    assert!(cluster.summary().versions.iter().all(|version| version.lineage == *lineage));
}

#[test]
fn a_second_holder_of_the_lock_is_refused() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    let module = Module::new(ONE);
    let run = agent.begin(&cluster, token(6, 1));
    module.ok(&agent, &run, &INIT);
    let info = br#"{"ID":"11111111-2222-3333-4444-555555555555","Operation":"OperationTypeApply","Who":"me"}"#;
    assert_eq!(call(agent.addr(), Some(&run), "LOCK", PATH, "", info).status, 200);
    assert_eq!(call(agent.addr(), Some(&run), "LOCK", PATH, "", info).status, 200, "repeated");
    let output = module.run(&agent, &run, &APPLY);
    assert!(!output.status.success());
    let said = text(&output);
    assert!(said.contains("Error acquiring the state lock"), "{said}");
    assert!(said.contains("11111111-2222-3333-4444-555555555555"), "{said}");
    let other = br#"{"ID":"other"}"#;
    let refused = call(agent.addr(), Some(&run), "LOCK", PATH, "", other);
    assert_eq!((refused.status, refused.body.as_slice()), (423, &info[..]));
    assert_eq!(call(agent.addr(), Some(&run), "UNLOCK", PATH, "", other).status, 423);
    assert_eq!(call(agent.addr(), Some(&run), "POST", "/v1/state/edge?ID=other", "", b"{}").status, 423);
    assert_eq!(call(agent.addr(), Some(&run), "UNLOCK", PATH, "", info).status, 200);
    assert!(module.ok(&agent, &run, &APPLY).contains("1 added"));
}

#[test]
fn a_state_of_ten_mebibytes_is_kept_and_one_above_sixteen_is_not() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    // Input and output of the resource: five mebibytes each.
    let module = Module::new(&format!(
        "resource \"terraform_data\" \"it\" {{ input = join(\"\", [for i in range(1024) : \"{}\"]) }}\n",
        "x".repeat(5 * 1024)
    ));
    let run = agent.begin(&cluster, token(6, 1));
    module.ok(&agent, &run, &INIT);
    assert!(module.ok(&agent, &run, &APPLY).contains("1 added"));
    let size = cluster.summary().versions[0].size;
    assert!(size > 10 << 20, "{size}");
    let second = agent.begin(&cluster, token(6, 2));
    assert!(module.ok(&agent, &second, &APPLY).contains("0 added, 0 changed, 0 destroyed"));

    let length = format!("Content-Length: {}\r\n", CONTENT_MAX + 1);
    assert_eq!(call(agent.addr(), Some(&second), "POST", PATH, &length, b"").status, 413);
}

#[test]
fn a_body_that_was_damaged_on_its_way_is_refused() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    let run = agent.begin(&cluster, token(6, 1));
    assert_eq!(call(agent.addr(), Some(&run), "LOCK", PATH, "", br#"{"ID":"l"}"#).status, 200);
    let state = br#"{"version":4,"serial":1,"lineage":"l"}"#;
    let of_another = "Content-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==\r\n";
    let refused = call(agent.addr(), Some(&run), "POST", "/v1/state/edge?ID=l", of_another, state);
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("Content-MD5"));
    assert_eq!(cluster.current(), None);
    assert_eq!(call(agent.addr(), Some(&run), "POST", "/v1/state/edge?ID=l", "", state).status, 200);
    let got = call(agent.addr(), Some(&run), "GET", PATH, "", b"");
    assert_eq!((got.status, got.body.as_slice()), (200, &state[..]));
    assert!(got.head.to_ascii_lowercase().contains("content-md5: "), "{}", got.head);
}

#[test]
fn a_deposed_run_keeps_its_state_aside_and_a_person_pushes_it() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    let module = Module::new(SLOW);
    let run = agent.begin(&cluster, token(6, 1));
    module.ok(&agent, &run, &INIT);
    let apply = module.start(&agent, &run, &APPLY);
    wait_until("the apply has begun", || module.path("begun").exists());
    // The successor waited W in vain and moved on.
    cluster.lead("a2", 7);
    cluster.journal(token(7, 2), false);
    fs::write(module.path("go"), "").unwrap();
    let output = apply.wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("errored.tfstate"), "{}", text(&output));

    let refused = call(agent.addr(), Some(&run), "POST", "/v1/state/edge?ID=x", "", b"{}");
    assert_eq!(refused.status, 409);
    let body = refused.json();
    assert_eq!((body["leader"].as_str(), body["epoch"].as_u64()), (Some("a2"), Some(7)));
    let why = body["error"]["message"].as_str().unwrap();
    assert!(why.ends_with("its newest run was started in epoch 7; a2 leads with epoch 7"), "{why}");

    let errored = backend_http::pick_up_errored(module.path("").as_path(), "01").unwrap().unwrap();
    let content = Content::of(&errored.content).unwrap();
    let file = errored.path.to_str().unwrap().to_owned();
    let aside = SetAside::of(&content, token(6, 1), id("a1"), file.clone(), 0);
    assert_eq!(cluster.ask(Caller::Agent(id("a1")), Request::SetAside(aside)), StateAnswer::Done);
    let shown = &cluster.summary().errored[0];
    assert_eq!((shown.lineage.as_str(), shown.serial, shown.epoch), (content.lineage.as_str(), content.serial, 6));
    assert!(shown.text.contains(&format!("quorate state push edge {file}")), "{}", shown.text);

    let before = cluster.current();
    let push =
        |force: bool| people(&cluster, "PUT", &format!("/v1/cluster/state/edge?force={force}"), &errored.content);
    let (status, body) = push(true);
    assert_eq!(status, 409, "a run is in flight");
    assert!(String::from_utf8_lossy(&body).contains("in flight"));
    assert_eq!(cluster.current(), before, "never by itself");
    cluster.journal(token(7, 2), true);
    assert_eq!(push(false).0, 200);
    let after = cluster.summary();
    // It was the first run: it could not look for a state, so what it kept has no lineage, and gets one.
    assert_eq!((content.lineage.as_str(), after.versions[0].lineage.len(), after.errored), ("", 36, vec![]));

    // The next run finds the resource: nothing is created twice.
    let next = agent.begin(&cluster, token(7, 3));
    assert!(module.ok(&agent, &next, &APPLY).contains("0 added, 0 changed, 0 destroyed"));
}

#[test]
fn a_draining_run_saves_through_the_new_leader() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    let module = Module::new(SLOW);
    let run = agent.begin(&cluster, token(6, 1));
    module.ok(&agent, &run, &INIT);
    let apply = module.start(&agent, &run, &APPLY);
    wait_until("the apply has begun", || module.path("begun").exists());
    cluster.lose_leader();
    fs::write(module.path("go"), "").unwrap();
    // Longer than Terraform itself would try without an answer: it is the agent that tries again.
    std::thread::sleep(std::time::Duration::from_secs(8));
    cluster.lead("a2", 7);
    let output = apply.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let summary = cluster.summary();
    assert_eq!((summary.versions[0].epoch, summary.lock), (Some(6), None));
    assert!(String::from_utf8(cluster.current().unwrap()).unwrap().contains("terraform_data"));
}

#[test]
fn the_lock_of_a_killed_run_is_taken_over_by_the_next() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let (a1, a2) = (Agent::start("a1", &cluster), Agent::start("a2", &cluster));
    let module = Module::new(SLOW);
    let first = a1.begin(&cluster, token(6, 1));
    module.ok(&a1, &first, &INIT);
    let mut apply = module.start(&a1, &first, &APPLY);
    wait_until("the apply has begun", || module.path("begun").exists());
    apply.kill().unwrap();
    apply.wait().unwrap();
    fs::write(module.path("go"), "").unwrap();
    let lock = cluster.summary().lock.unwrap();
    assert_eq!(lock.epoch, 6);

    cluster.lead("a2", 7);
    let second = a2.begin(&cluster, token(7, 2));
    assert!(module.ok(&a2, &second, &APPLY).contains("1 added"));
    assert_eq!(cluster.summary().lock, None);
    // Not even with the right lock ID.
    let target = format!("/v1/state/edge?ID={}", lock.id);
    let before = cluster.current();
    for method in ["POST", "DELETE", "LOCK", "UNLOCK", "GET"] {
        let body = format!(r#"{{"ID":"{}","version":4,"serial":99,"lineage":"x"}}"#, lock.id);
        assert_eq!(call(a1.addr(), Some(&first), method, &target, "", body.as_bytes()).status, 409, "{method}");
    }
    assert_eq!(cluster.current(), before);
}

#[test]
fn state_in_files_of_the_task_moves_in_by_itself() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let agent = Agent::start("a1", &cluster);
    let module = Module::new(ONE);
    let run = agent.begin(&cluster, token(6, 1));
    // As a task was before: local, in a workspace of its name.
    let main = fs::read_to_string(module.path("main.tf")).unwrap();
    fs::write(module.path("main.tf"), main.replace("\"http\"", "\"local\"")).unwrap();
    module.ok(&agent, &run, &INIT);
    module.ok(&agent, &run, &["workspace", "new", "-no-color", "edge"]);
    assert!(module.ok(&agent, &run, &APPLY).contains("1 added"));

    fs::write(module.path("main.tf"), main).unwrap();
    module.ok(&agent, &run, &["init", "-no-color", "-input=false", "-force-copy"]);
    assert!(module.ok(&agent, &run, &APPLY).contains("0 added, 0 changed, 0 destroyed"));
    assert!(String::from_utf8(cluster.current().unwrap()).unwrap().contains("terraform_data"));
    assert_eq!(cluster.summary().lock, None);
}

#[test]
fn only_the_run_itself_gets_in() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let (a1, a2) = (Agent::start("a1", &cluster), Agent::start("a2", &cluster));
    let run = a1.begin(&cluster, token(6, 1));
    let mut wrong = run.clone();
    wrong.password = "0".repeat(32);
    let status =
        |agent: &Agent, who, path: &str, headers: &str| call(agent.addr(), who, "GET", path, headers, b"").status;
    assert_eq!(status(&a1, Some(&run), PATH, ""), 404, "no state yet");
    assert_eq!(status(&a1, None, PATH, ""), 401);
    assert_eq!(status(&a1, Some(&wrong), PATH, ""), 401);
    assert_eq!(status(&a2, Some(&run), PATH, ""), 401, "a2 did not start it");
    assert_eq!(status(&a1, Some(&run), "/v1/state/other", ""), 403);
    assert_eq!(status(&a1, Some(&run), "/v1/tasks", ""), 404);
    assert_eq!(call(a1.addr(), Some(&run), "PUT", PATH, "", b"{}").status, 405);
    assert_eq!(status(&a1, None, PATH, "Authorization: Bearer x\r\n"), 401);
    a1.credentials.close([1; 16]);
    assert_eq!(status(&a1, Some(&run), PATH, ""), 401, "it is over");
}

#[test]
fn without_a_majority_nothing_is_kept_and_the_reason_is_said() {
    let cluster = Cluster::new(LeadershipMode::Alive);
    let agent = Agent::start("a1", &cluster);
    let run = agent.begin(&cluster, token(6, 1));
    let refused = call(agent.addr(), Some(&run), "LOCK", PATH, "", br#"{"ID":"l"}"#);
    assert_eq!((refused.status, refused.json()["error"]["message"].as_str()), (501, Some(ALIVE_MODE)));
}

#[test]
fn people_list_pull_push_and_restore() {
    let cluster = Cluster::new(LeadershipMode::Quorum);
    let state = |serial: u64| format!(r#"{{"version":4,"serial":{serial},"lineage":"l"}}"#).into_bytes();
    for serial in 1..=3 {
        assert_eq!(people(&cluster, "PUT", "/v1/cluster/state/edge", &state(serial)).0, 200);
    }
    let (status, body) = people(&cluster, "PUT", "/v1/cluster/state/edge", &state(2));
    assert_eq!(status, 409);
    assert!(String::from_utf8_lossy(&body).contains("an older serial"), "{}", String::from_utf8_lossy(&body));
    assert_eq!(people(&cluster, "GET", "/v1/cluster/state/edge?version=2", b""), (200, state(2)));
    assert_eq!(people(&cluster, "POST", "/v1/cluster/state/edge/restore?version=1", b"").0, 200);
    assert_eq!(people(&cluster, "GET", "/v1/cluster/state/edge", b""), (200, state(1)));
    let list: serde_json::Value = serde_json::from_slice(&people(&cluster, "GET", "/v1/cluster/state", b"").1).unwrap();
    let one = &list["states"][0];
    assert_eq!((one["task"].as_str(), one["current"].as_u64()), (Some("edge"), Some(4)));
    assert_eq!(one["versions"].as_array().unwrap().len(), 4);
    assert_eq!(people(&cluster, "GET", "/v1/cluster/state/none", b"").0, 404);
    cluster.lose_leader();
    assert_eq!(people(&cluster, "GET", "/v1/cluster/state", b"").0, 503);
}

fn people(cluster: &Cluster, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
    let request = ApiRequest {
        method: method.to_owned(),
        target: target.to_owned(),
        body: body.to_vec(),
        request_id: "r".to_owned(),
        caller: Caller::unknown(),
    };
    let answer = support::block_on(answer(cluster, &request, &quorate::access::Grants::everything()));
    (answer.status, answer.body)
}
