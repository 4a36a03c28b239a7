//! The `task` commands against an agent with real Terraform: the scenarios of `reference/cts.md` 8.2, and those of 8.3
//! that need no Consul. Needs Terraform on the PATH.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{Agent, Place, eventually};

/// Writes a file at each change of `text`.
const MODULE: &str = r#"variable "services" {}
variable "out" {}
variable "text" { default = "none" }
resource "terraform_data" "file" {
  triggers_replace = [var.text]
  provisioner "local-exec" { command = "echo ${var.text} > ${var.out}" }
}
"#;
/// Fails when it is applied, not before.
const BROKEN: &str = "variable \"services\" {}\nvariable \"out\" {}\nresource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" { command = \"exit 3\" }\n}\n";
const NEVER: &str = "0 0 1 1 *";
const EVERY_SECOND: &str = "* * * * * * *";

#[test]
fn wrong_use_and_refusals_have_their_texts_and_codes() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    for command in ["enable", "disable", "delete"] {
        let check = |args: &[&str], expected: i32, words: &[&str]| {
            let out = cli(&place, &agent, &[&["task", command], args].concat(), "yes\n");
            assert_eq!(out.status.code(), Some(expected), "{command} {args:?}: {out:?}");
            let said = stderr(&out);
            assert!(words.iter().all(|part| said.contains(part)), "{command} {args:?}: {said}");
        };
        check(&[], 13, &["Error: this command requires one argument", "For additional help try"]);
        check(&["a", "b"], 13, &["All flags are required to appear before positional arguments"]);
        check(&["-unknown", "a"], 14, &["Error: unsupported arguments in flags"]);
        check(&["-http-addr=http://127.0.0.1:1", "a"], 11, &["connection refused"]);
        let refused = if command == "delete" { "404 Not Found: a task with name" } else { "returned 404 status code" };
        check(&["none"], 11, &[refused, "none"]);
    }
    assert_eq!(agent.get("/v1/tasks")["tasks"], json!([]));
}

#[test]
fn a_task_is_enabled_with_a_yes_without_being_asked_or_not_at_all() {
    let place = place();
    let tasks: String =
        ["asked", "told", "left"].iter().map(|name| task(&place, name, NEVER, "enabled = false")).collect();
    let agent = place.start(&tasks);
    eventually(|| (agent.call("GET", "/v1/tasks/left", None).0 == 200).then_some(()));

    let no = cli(&place, &agent, &["task", "enable", "left"], "no\n");
    assert_eq!(no.status.code(), Some(0), "{no:?}");
    assert!(stdout(&no).contains("Plan: 1 to add, 0 to change, 0 to destroy."), "{no:?}");
    assert!(stdout(&no).ends_with("==> Cancelled enabling task 'left'\n"), "{no:?}");
    assert!(!made(&place, "left").exists() && !enabled(&agent, "left"));

    let yes = cli(&place, &agent, &["task", "enable", "asked"], "yes\n");
    let question = "Do you want to perform these actions for 'asked'?";
    assert!(stdout(&yes).contains(question) && stdout(&yes).ends_with("==> 'asked' enable complete!\n"), "{yes:?}");
    assert!(made(&place, "asked").exists() && enabled(&agent, "asked"), "{yes:?}");

    let told = cli(&place, &agent, &["task", "enable", "-auto-approve", "told"], "");
    assert!(told.status.success() && !stdout(&told).contains("Do you want"), "{told:?}");
    assert!(made(&place, "told").exists() && enabled(&agent, "told"), "{told:?}");

    // Nothing left to change: not asked, not run.
    let events = agent.events("told").len();
    let again = cli(&place, &agent, &["task", "enable", "told"], "");
    assert!(again.status.success() && stdout(&again).contains("No changes."), "{again:?}");
    assert_eq!(agent.events("told").len(), events);
}

#[test]
fn a_disabled_task_rests_until_it_is_enabled_again() {
    let place = place();
    let agent = place.start(&task(&place, "clock", EVERY_SECOND, ""));
    eventually(|| (agent.events("clock").len() > 1).then_some(()));
    let out = cli(&place, &agent, &["task", "disable", "clock"], "");
    assert_eq!((out.status.code(), stdout(&out).as_str()), (Some(0), "==> 'clock' disable complete!\n"));
    assert!(!enabled(&agent, "clock") && made(&place, "clock").exists());
    let newest = quiet(&agent, "clock");
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(agent.event("clock")["id"], newest, "no run after it was disabled");
    let out = cli(&place, &agent, &["task", "enable", "clock"], "");
    assert!(out.status.success() && enabled(&agent, "clock"), "{out:?}");
    eventually(|| (agent.event("clock")["id"] != newest).then_some(()));
}

#[test]
fn a_task_is_created_from_a_file_after_a_yes() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    place.file("asked.hcl", task(&place, "asked", NEVER, ""));
    let no = cli(&place, &agent, &["task", "create", "-task-file=asked.hcl"], "no\n");
    assert_eq!(no.status.code(), Some(0), "{no:?}");
    for part in [
        "    Request ID: '",
        "    Request Payload:\n    {\n",
        "\"name\": \"asked\"",
        "    Plan:\n",
        "Plan: 1 to add, 0 to change, 0 to destroy.",
        "Creating the task will perform the actions described above.",
        "==> Cancelled creating task 'asked'\n",
    ] {
        assert!(stdout(&no).contains(part), "{part}\n{}", stdout(&no));
    }
    assert!(agent.call("GET", "/v1/tasks/asked", None).0 == 404 && !made(&place, "asked").exists());

    let yes = cli(&place, &agent, &["task", "create", "-task-file=asked.hcl"], "yes\n");
    assert!(yes.status.success() && stdout(&yes).contains("==> Task 'asked' created\n    Request ID: '"), "{yes:?}");
    assert!(made(&place, "asked").exists() && agent.events("asked").len() == 1);

    let exists = cli(&place, &agent, &["task", "create", "-task-file", "asked.hcl"], "yes\n");
    assert_eq!(exists.status.code(), Some(11));
    let said = stderr(&exists);
    assert!(said.starts_with("==> Error: unable to generate plan for 'asked'\n    400 Bad Request: "), "{said}");
    let words = ["task with name asked already exists", ", see logs for more details (Request ID: "];
    assert!(words.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn variables_of_a_created_task_are_files_of_the_client() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    // Where the client is, not where the agent is.
    let out = made(&place, "filed");
    place.file("client/one.tfvars", format!("out = \"{}\"\ntext = \"first\"\n", out.display()));
    place.file("client/two.tfvars", "text = \"second\"\n");
    let module = place.path("module");
    let text = format!(
        "task {{\n  name = \"filed\"\n  module = \"{}\"\n  variable_files = [\"one.tfvars\", \"two.tfvars\"]\n  condition \
         \"schedule\" {{ cron = \"{NEVER}\" }}\n}}\n",
        module.display()
    );
    place.file("client/task.hcl", text);
    let command = &["task", "create", "-auto-approve", "-task-file=task.hcl"];
    let address = format!("http://{}", agent.addr);
    let mut command = place.command(command);
    let created = command.current_dir(place.path("client")).env("CTS_ADDRESS", address).stdin(Stdio::null());
    let created = created.output().unwrap();
    assert!(created.status.success() && !stdout(&created).contains("Do you want"), "{created:?}");
    assert_eq!(std::fs::read_to_string(out).unwrap(), "second\n");
    assert_eq!(agent.get("/v1/tasks/filed")["task"]["variables"]["text"], "\"second\"");
}

#[test]
fn files_that_are_no_single_task_of_today_are_refused() {
    let place = place();
    let one = task(&place, "one", NEVER, "");
    for (text, words) in [
        (one.clone() + &task(&place, "two", NEVER, ""), "cannot contain more than 1 task, contains 2 tasks"),
        ("log_level = \"INFO\"\n".to_owned(), "does not contain a task"),
        (
            task(&place, "old", NEVER, "services = [\"web\"]"),
            "the 'services' field in the task block is no longer supported",
        ),
    ] {
        place.file("task.hcl", &text);
        // Refused before an agent is asked.
        let out = place.run(&["task", "create", "-http-addr=http://127.0.0.1:1", "-task-file=task.hcl"]);
        assert_eq!(out.status.code(), Some(15), "{out:?}");
        assert!(stderr(&out).contains(words), "{}", stderr(&out));
    }
}

#[test]
fn a_task_is_deleted_after_a_yes() {
    let place = place();
    let agent = place.start(&(task(&place, "asked", NEVER, "") + &task(&place, "told", NEVER, "")));
    agent.event("asked");
    agent.event("told");
    let no = cli(&place, &agent, &["task", "delete", "asked"], "\n");
    assert!(no.status.success() && stdout(&no).ends_with("==> Cancelled deleting task 'asked'\n"), "{no:?}");
    assert_eq!(agent.call("GET", "/v1/tasks/asked", None).0, 200);
    let marked = "has been marked for deletion and will be deleted when not running.\n";
    let yes = cli(&place, &agent, &["task", "delete", "asked"], "yes\n");
    assert!(stdout(&yes).contains("Do you want to delete 'asked'?") && stdout(&yes).ends_with(marked), "{yes:?}");
    let told = cli(&place, &agent, &["task", "delete", "-auto-approve", "told"], "");
    assert_eq!(stdout(&told), format!("==> Task 'told' {marked}"));
    eventually(|| (agent.get("/v1/tasks")["tasks"] == json!([])).then_some(()));
    assert!(made(&place, "asked").exists(), "what it made stays");
}

#[test]
fn a_name_is_used_again_and_each_creation_is_one_event() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    place.file("task.hcl", task(&place, "again", NEVER, ""));
    for _ in 0..2 {
        let created = cli(&place, &agent, &["task", "create", "-auto-approve", "-task-file=task.hcl"], "");
        assert!(created.status.success(), "{created:?}");
        assert_eq!(agent.events("again").len(), 1);
        let deleted = cli(&place, &agent, &["task", "delete", "-auto-approve", "again"], "");
        assert!(deleted.status.success(), "{deleted:?}");
        eventually(|| (agent.call("GET", "/v1/tasks/again", None).0 == 404).then_some(()));
    }
}

#[test]
fn a_creation_that_fails_leaves_nothing_behind() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    place.file("bad.hcl", task(&place, "bad", NEVER, "").replace("module\"\n", "broken\"\n"));
    let create =
        |file: &str| cli(&place, &agent, &["task", "create", "-auto-approve", &format!("-task-file={file}")], "");
    let failed = create("bad.hcl");
    assert_eq!(failed.status.code(), Some(11), "{failed:?}");
    let said = stderr(&failed);
    assert!(said.starts_with("==> Error: unable to create 'bad'\n    500 Internal Server Error: "), "{said}");
    assert!(said.contains("see logs for more details (Request ID: "), "{said}");
    assert_eq!(agent.call("GET", "/v1/tasks/bad", None).0, 404);
    assert!(!stdout(&failed).contains("Task 'bad' created"));
    place.file("good.hcl", task(&place, "bad", NEVER, ""));
    let good = create("good.hcl");
    assert!(good.status.success() && made(&place, "bad").exists(), "{good:?}");
}

#[test]
fn a_timetable_begins_with_the_creation_and_ends_with_the_deletion() {
    let place = place();
    let agent = place.start("");
    agent.ready();
    place.file("task.hcl", task(&place, "clock", EVERY_SECOND, ""));
    let create = |answer: &str| cli(&place, &agent, &["task", "create", "-task-file=task.hcl"], answer);
    assert!(stdout(&create("no\n")).ends_with("==> Cancelled creating task 'clock'\n"));
    std::thread::sleep(Duration::from_millis(2200));
    assert!(!agent.log().contains("running task task=\"clock\""), "a cancelled creation schedules nothing");
    assert!(create("yes\n").status.success());
    eventually(|| (agent.events("clock").len() > 2).then_some(()));
    assert!(cli(&place, &agent, &["task", "delete", "-auto-approve", "clock"], "").status.success());
    eventually(|| (agent.call("GET", "/v1/tasks/clock", None).0 == 404).then_some(()));
    let runs = || agent.log().matches("running task task=\"clock\"").count();
    let seen = runs();
    std::thread::sleep(Duration::from_millis(2200));
    assert_eq!(runs(), seen, "a deleted task runs no more");
}

#[test]
fn a_task_runs_when_it_is_asked_to_and_is_listed_and_shown() {
    let place = place();
    let agent = place.start(&task(&place, "net", NEVER, ""));
    let first = agent.event("net")["id"].clone();
    let out = cli(&place, &agent, &["task", "run", "net"], "");
    assert!(out.status.success(), "{out:?}");
    eventually(|| (agent.event("net")["id"] != first).then_some(()));
    let list = cli(&place, &agent, &["task", "list", "-json"], "");
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    assert_eq!(list["tasks"][0]["name"], "net");
    let show = cli(&place, &agent, &["task", "show", "-json", "net"], "");
    let show: Value = serde_json::from_slice(&show.stdout).unwrap();
    assert!(show["events"].as_array().unwrap().len() > 1, "{show}");
}

fn place() -> Place {
    let place = Place::new();
    place.file("module/main.tf", MODULE);
    place.file("broken/main.tf", BROKEN);
    place
}

/// A task block; its module writes the file of [`made`].
fn task(place: &Place, name: &str, cron: &str, more: &str) -> String {
    format!(
        "task {{\n  name = \"{name}\"\n  module = \"{}\"\n  variables = {{ out = \"\\\"{}\\\"\" }}\n  {more}\n  condition \
         \"schedule\" {{ cron = \"{cron}\" }}\n}}\n",
        place.path("module").display(),
        made(place, name).display()
    )
}

fn made(place: &Place, name: &str) -> PathBuf {
    place.path(&format!("{name}.made"))
}

fn enabled(agent: &Agent, name: &str) -> bool {
    agent.get("/v1/status/tasks")[name]["enabled"] == json!(true)
}

/// A command for this agent, with this on standard input.
fn cli(place: &Place, agent: &Agent, args: &[&str], input: &str) -> Output {
    let mut command = place.command(args);
    command.env("CTS_ADDRESS", format!("http://{}", agent.addr)).env_remove("QUORATE_HTTP_ADDR");
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may end without reading.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

fn stdout(out: &Output) -> String {
    String::from_utf8(out.stdout.clone()).unwrap()
}

fn stderr(out: &Output) -> String {
    String::from_utf8(out.stderr.clone()).unwrap()
}

/// Waits until nothing runs, and gives the newest event's id.
fn quiet(agent: &Agent, name: &str) -> Value {
    eventually(|| {
        let now = agent.get("/v1/cluster/tasks");
        let task = now["tasks"].as_array().unwrap().iter().find(|task| task["name"] == name).cloned().unwrap();
        (task["activity"]["state"] != "running").then(|| task["events"][0]["id"].clone())
    })
}
