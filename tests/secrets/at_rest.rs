//! What the agents keep, sealed before it leaves the leader: Terraform state, tasks made at run time, events. Needs Terraform.

use serde_json::json;

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
    events_of(site, number, "net")
}

fn events_of(site: &Site, number: usize, task: &str) -> Vec<(bool, String)> {
    let Some(tasks) = site[number].tasks() else { return Vec::new() };
    let events = tasks.get(task).and_then(|task| task.events.clone()).unwrap_or_default();
    events.iter().map(|event| (event.success, format!("{:?}", event.error))).collect()
}

/// What the task says and what its runs say: none of it may be found on a disk.
const TOLD: [&str; 3] = ["mark-description-Hq3", "mark-argument-Wd8", "mark-output-Xc5"];

/// A task of the API that fails with a long text, and one that waits for its timetable.
fn make_tasks(site: &Site, number: usize) {
    let [description, argument, output] = TOLD;
    let (before, after) = output.split_once("-output").expect("a mark");
    // The text of the event is nowhere in the task.
    let shell = format!("for i in $(seq 200); do echo {before}\"-out\"put{after} >&2; done; exit 3");
    let made = |name: &str, cron: &str, command: serde_json::Value| {
        let task = json!({"name": name, "description": description, "command": command,
            "condition": {"schedule": {"cron": cron}}});
        let answer = site[number].send("POST", "/v1/tasks", Some(&json!({"task": task}))).expect("an answer");
        assert!(answer.status < 300, "{} {}", answer.status, answer.body);
    };
    made("fails", "* * * * * * *", json!(["sh", "-c", shell, argument]));
    made("rests", "0 0 1 1 *", json!(["true", argument]));
    eventually("the task has failed, and says why", || {
        events_of(site, number, "fails").first().is_some_and(|event| !event.0 && event.1.contains(output))
    });
}

/// Whether this agent shows the tasks that were made, and what became of them.
fn knows_tasks(site: &Site, number: usize) -> bool {
    let shown = site[number].get("/v1/tasks/rests").is_some_and(|answer| answer.body.contains(TOLD[0]));
    shown && events_of(site, number, "fails").iter().any(|event| event.1.contains(TOLD[2]))
}

fn assert_sealed(site: &Site, number: usize) {
    for text in TOLD {
        let found = files_with(&site[number].data(), text);
        assert_eq!(found, Vec::<std::path::PathBuf>::new(), "{text} on the disk of agent {number}");
    }
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
fn what_users_make_is_on_no_disk_and_is_known_to_whoever_leads_with_a_key() {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let keys = site.path().join("keys");
    std::fs::write(&keys, KEYS[0]).unwrap();
    // First the test itself: without `at_rest` all of it is there to be found, on every disk.
    site.found();
    make_tasks(&site, 2);
    for number in 0..3 {
        for text in TOLD {
            eventually("it is there in plain text", || !files_with(&site[number].data(), text).is_empty());
        }
        let blobs = site[number].data().join("blobs");
        eventually("also as a large value", || !files_with(&blobs, TOLD[2]).is_empty());
        site[number].kill();
    }
    for number in 0..3 {
        std::fs::remove_dir_all(site[number].data()).unwrap();
    }
    site.shape.in_cluster = format!("at_rest {{ key_file = \"{}\" }}", keys.display());
    site.found();
    make_tasks(&site, 1);
    (0..3).for_each(|number| assert_sealed(&site, number));
    let answer = site[2].send("POST", "/v1/tasks/rests/run", None).expect("an answer");
    assert_eq!(answer.status, 202, "{}", answer.body);
    eventually("it has run", || events_of(&site, 0, "rests").first().is_some_and(|event| event.0));
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    for number in 1..3 {
        eventually("the next leader knows the tasks", || knows_tasks(&site, number));
        assert_sealed(&site, number);
    }
    site[1].kill();
    // Nobody leads; the one that is left tells what it knows, from its own disk.
    eventually("the copy is read", || {
        let answer = site[2].get("/v1/tasks/rests");
        answer.is_some_and(|answer| answer.status == 200 && answer.body.contains(TOLD[0]))
    });
    assert!(site[2].get("/v1/cluster/status").is_none_or(|answer| !answer.body.contains(KEYS[0])));
}

#[test]
fn keys_installed_at_run_time_seal_and_a_removed_one_is_not_needed_any_more() {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    // First in plain text, then sealed by the key of the configuration.
    site.found();
    make_tasks(&site, 0);
    site.shape.in_cluster = "at_rest {}".to_owned();
    for number in [2, 1, 0] {
        site[number].signal(rustix::process::Signal::TERM);
        site[number].wait_end();
        site.start(number);
    }
    site.wait_leader(0, &[0, 1, 2]);
    eventually("whoever led first has written it anew", || {
        (0..3).any(|number| site[number].log().contains("what is kept was written anew"))
    });
    eventually("the tasks are known", || knows_tasks(&site, 0));

    let keyring = |number: usize, words: &[&str]| {
        let all: Vec<&str> = std::iter::once("keyring").chain(words.iter().copied()).collect();
        let output = site.command(number, &all);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let listed = |number: usize| {
        let listed: quorate::http::reply::Keyring = site[number].get("/v1/keyring").expect("an answer").json();
        listed.keys.into_iter().map(|key| key.fingerprint).collect::<Vec<_>>()
    };
    let old = listed(0).remove(0);
    let file = site.path().join("new.key");
    let told = keyring(1, &["install", "-generate", file.to_str().unwrap()]);
    let new = told.split_whitespace().find(|word| word.len() == 16).expect("a fingerprint").to_owned();
    keyring(2, &["use", &new]);
    // At once: it waits until nothing is sealed with it.
    keyring(0, &["remove", &old]);
    assert_eq!(listed(2), [new]);
    eventually("the tasks are known", || knows_tasks(&site, 2));

    // Every file still has the old key alone; what the cluster agreed on is in the data directories.
    for number in 0..3 {
        site[number].kill();
    }
    site.start_all();
    site.wait_leader(0, &[0, 1, 2]);
    for number in 0..3 {
        eventually("the tasks are known after a restart", || knows_tasks(&site, number));
    }
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    eventually("and to the next leader", || knows_tasks(&site, 2));
}

#[test]
fn an_agent_without_the_key_makes_way_for_one_that_has_it_and_says_so() {
    let mut site = Site::new(3, "lan", "3200ms", Vec::new());
    let keys = site.path().join("keys");
    std::fs::write(&keys, KEYS[0]).unwrap();
    site.shape.in_cluster = format!("at_rest {{ key_file = \"{}\" }}", keys.display());
    site.found();
    make_tasks(&site, 0);
    site[0].signal(rustix::process::Signal::TERM);
    site[0].wait_end();
    site.wait_leader(1, &[1, 2]);

    // It comes back without the key. As the lowest id it is to lead again, and finds that it cannot.
    let mut without = site.shape.clone();
    without.in_cluster = String::new();
    site.configure_as(0, &without);
    site[0].start();
    site[0].wait_up();
    site[0].wait_log("this agent does not lead any more");
    site.wait_leader(1, &[0, 1, 2]);
    eventually("the tasks go on", || knows_tasks(&site, 1));
    let shown = site.view(0).expect("an answer");
    assert!(shown.alarms.iter().any(|alarm| alarm.contains("which this agent does not have")), "{:?}", shown.alarms);

    // With the key it leads again.
    site[0].signal(rustix::process::Signal::TERM);
    site[0].wait_end();
    site.start(0);
    site.wait_leader(0, &[0, 1, 2]);
    eventually("it knows the tasks", || knows_tasks(&site, 0));
    assert!(site.view(0).expect("an answer").alarms.is_empty());
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
    site[0].wait_log("what is kept was written anew");
    eventually("no file holds it in plain text", || files_with(&site[0].data().join("blobs"), MARK).is_empty());
    assert!(state(&site, 0).1.contains(MARK));

    // It does not lead, and tells neither that there is no state nor that there are no tasks.
    std::fs::write(&keys, KEYS[1]).unwrap();
    site[0].signal(rustix::process::Signal::TERM);
    site[0].wait_end();
    site.start(0);
    site[0].wait_log("this agent does not lead any more");
    for path in ["/v1/cluster/state/net", "/v1/tasks/net", "/v1/tasks", "/v1/status/tasks", "/v1/status"] {
        eventually("it says why nobody leads", || {
            let answer = site[0].get(path).expect("an answer");
            let told = answer.body.contains("which this agent does not have") && answer.body.contains("not lost");
            assert!(answer.status >= 400, "{path}: {} {}", answer.status, answer.body);
            told
        });
    }
    let answer = site[0].send("POST", "/v1/tasks/net/run", None).expect("an answer");
    assert!(answer.status == 503 && answer.body.contains("is sealed with key"), "{} {}", answer.status, answer.body);
    let (ready, health) = (site[0].get("/readyz").unwrap(), site[0].get("/v1/health").unwrap());
    assert!(ready.status == 503 && health.status == 503, "{} {}", ready.body, health.body);
    assert!(ready.body.contains("which this agent does not have"), "{}", ready.body);

    std::fs::write(&keys, format!("# new\n{}\n# old\n{}\n", KEYS[1], KEYS[0])).unwrap();
    restart(&mut site, 0);
    assert!(state(&site, 0).1.contains(MARK));
    site[0].wait_log("what is kept was written anew");
    eventually("it is sealed with the new key", || {
        let log = site[0].log();
        log.matches("what is kept was written anew").count() == 2
    });
    std::fs::write(&keys, KEYS[1]).unwrap();
    restart(&mut site, 0);
    assert!(state(&site, 0).1.contains(MARK), "the old key is not needed any more");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "made\n", "nothing was applied again");
}
