//! Agents with something to show.

use std::fs;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::harness::{Site, eventually, send, text};

const NEVER: &str = "condition \"schedule\" { cron = \"0 0 1 1 *\" }";

/// So many agents, with this before their tasks. `talk` waits for the file `gate` in the directory of the site.
pub(crate) fn site(count: usize, head: &str) -> Site {
    let mut site = Site::new(count, "");
    let gate = site.dir.path().join("gate");
    let script = site.dir.path().join("talk.sh");
    let said = format!(
        "printf 'first \\033[1;32mgreen\\033[0m line\\n'\nprintf 'Plan: 3 to add, 1 to change, 0 to destroy.\\n'\n\
         while [ ! -e '{}' ]; do sleep 0.02; done\necho last line\n",
        gate.display()
    );
    fs::write(&script, said).unwrap();
    let tasks = format!(
        "{head}\ntask {{\n  name = \"talk\"\n  description = \"Says what it does\"\n  command = [\"sh\", \"{}\"]\n  timeout = \"0s\"\n  \
         grace = \"1s\"\n  {NEVER}\n}}\ntask {{\n  name = \"fails\"\n  command = [\"sh\", \"-c\", \"echo '<b id=bold>oops</b>' >&2; exit \
         3\"]\n  {NEVER}\n}}\ntask {{\n  name = \"idle\"\n  command = [\"true\"]\n  {NEVER}\n}}\n",
        script.display()
    );
    for agent in 0..count {
        let file = site.home(agent).join("agent.hcl");
        let own = fs::read_to_string(&file).unwrap();
        fs::write(file, own + &tasks).unwrap();
    }
    site.found();
    site
}

pub(crate) fn open_gate(site: &Site) {
    fs::write(site.dir.path().join("gate"), "").unwrap();
}

/// Where the page of an agent is.
pub(crate) fn page(site: &Site, agent: usize, route: &str) -> String {
    format!("http://{}/ui/#/{route}", site.addr(agent))
}

/// The newest run of a task.
#[track_caller]
pub(crate) fn run_of(site: &Site, token: Option<&str>, task: &str) -> String {
    let mut run = String::new();
    eventually(&format!("{task} has a run"), || {
        let (_, body) = site.call(0, "GET", &format!("/v1/runs?task={task}"), token);
        let Some(first) = body["runs"].as_array().and_then(|runs| runs.first()) else { return false };
        run = text(&first["id"]);
        true
    });
    run
}

/// A state of `idle` with a password in it that Terraform marks, and one that is only named like one.
pub(crate) fn push_state(site: &Site, serial: u64, size: &str, password: &str) {
    let attributes = json!({"id": "w1", "size": size, "login": password, "api_token": password, "note": "<i>kept</i>"});
    let instance = json!({
        "schema_version": 0,
        "attributes": attributes,
        "sensitive_attributes": [[{"type": "get_attr", "value": "login"}]],
    });
    let state = json!({
        "version": 4, "serial": serial, "lineage": "3f1c", "terraform_version": "1.9.0",
        "outputs": {"door": {"value": password, "type": "string", "sensitive": true}},
        "resources": [{"mode": "managed", "type": "wall", "name": "north", "provider": "p", "instances": [instance]}],
    });
    let state = state.to_string();
    // Nobody may push under a run.
    eventually("the state is taken", || {
        let answer: Option<(u16, Value)> = send(site.addr(0), "PUT", "/v1/cluster/state/idle", None, Some(&state));
        answer.is_some_and(|(status, body)| {
            assert!(matches!(status, 200 | 409), "{body}");
            status == 200
        })
    });
}

/// Nothing went wrong in the browser, and it asked nobody but these agents.
#[track_caller]
pub(crate) fn assert_quiet(browser: &Browser, ours: &[String]) {
    assert_eq!(browser.errors(), Vec::<String>::new(), "at {}", browser.url());
    let requests = browser.requests();
    assert!(!requests.is_empty(), "requests are seen");
    let strange: Vec<&String> = requests
        .iter()
        .filter(|url| !url.starts_with("data:") && !ours.iter().any(|base| url.starts_with(base)))
        .collect();
    assert!(strange.is_empty(), "the page asked others: {strange:?}");
}
