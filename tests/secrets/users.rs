//! Runs as another user, and without a way to more rights. Needs root, Terraform and setpriv.

use std::os::unix::fs::MetadataExt as _;

use super::agent::Place;

const SCHEDULE: &str = "condition \"schedule\" { cron = \"0 0 1 1 *\" }";
/// A user that every machine has.
const USER: &str = "nobody";

fn place() -> Place {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    // Others must come through to what is theirs.
    std::fs::set_permissions(place.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    place
}

#[test]
fn a_command_has_the_ids_of_its_user_and_no_others() {
    let place = place();
    let agent = place.start(&format!(
        "task {{\n  name = \"who\"\n  command = [\"sh\", \"-c\", \"id; grep -E '^(Uid|Gid|Groups|NoNewPrivs):' /proc/self/status; env; cat \
         $QUORATE_INPUT >/dev/null && echo read; exit 7\"]\n  run_as = \"{USER}\"\n  no_new_privs = true\n  policy {{ retries = 0 \
         }}\n  {SCHEDULE}\n}}\ntask {{\n  name = \"lost\"\n  command = [\"true\"]\n  run_as = \"no-such-user\"\n  policy {{ \
         retries = 0 }}\n  {SCHEDULE}\n}}\n"
    ));
    agent.ready();
    let event = agent.event("who");
    let said = event["error"]["message"].as_str().unwrap().replace('\t', " ");
    for part in [
        "ended with exit code 7",
        "uid=65534(nobody)",
        "Uid: 65534 65534 65534 65534",
        "NoNewPrivs: 1",
        "HOME=/nonexistent",
        "USER=nobody",
        "read",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("(root)"), "{said}");
    let error = agent.event("lost")["error"]["message"].as_str().unwrap().to_owned();
    assert!(error.contains("task \"lost\" cannot run: run_as \"no-such-user\": there is no user"), "{error}");
    assert!(agent.stop().success());
}

#[test]
fn terraform_runs_as_its_user_in_a_directory_of_theirs_also_when_that_was_the_agents_before() {
    let place = place();
    place.file(
        "module/main.tf",
        "variable \"services\" {}\nresource \"terraform_data\" \"x\" {\n  triggers_replace = [timestamp()]\n  provisioner \
         \"local-exec\" { command = \"id -u > uid\" }\n}\n",
    );
    let config =
        |more: &str| format!("task {{\n  name = \"net\"\n  module = \"./module\"\n  {more}\n  {SCHEDULE}\n}}\n");
    for (more, uid) in [("", "0"), ("run_as = \"nobody\"", "65534"), ("run_as = \"1:1\"\n  no_new_privs = true", "1")] {
        let agent = place.start(&config(more));
        agent.ready();
        let first = agent.event("net");
        assert_eq!(first["success"], true, "{more}: {first}");
        let ran = agent.run_now(&place, "net");
        assert_eq!(ran["success"], true, "{more}: {ran}");
        let found = std::fs::read_to_string(place.path("sync-tasks/net/uid")).unwrap();
        assert_eq!(found.trim(), uid);
        let dir = std::fs::metadata(place.path("sync-tasks/net")).unwrap();
        assert_eq!(dir.uid().to_string(), uid, "the directory is theirs");
        assert!(agent.stop().success());
        std::fs::remove_file(place.path("sync-tasks/net/uid")).unwrap();
        // From one user to the next the operator clears away what the first has left.
        if uid == "65534" {
            std::fs::remove_dir_all(place.path("sync-tasks/net")).unwrap();
        }
    }
}

#[test]
fn what_the_user_puts_in_place_of_the_input_leads_the_agent_nowhere_and_does_not_hold_it_up() {
    let place = place();
    let victim = place.file("victim", "precious");
    std::fs::set_permissions(&victim, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let names = "input.json input.json.new .input.json.new";
    let task = |name: &str, put: &str| {
        let script =
            format!("cd $(dirname $QUORATE_INPUT) && rm -f {names} && for name in {names}; do {put} $name; done");
        format!(
            "task {{\n  name = \"{name}\"\n  command = [\"sh\", \"-c\", {script:?}]\n  run_as = \"{USER}\"\n  policy {{ retries = 0 \
             }}\n  {SCHEDULE}\n}}\n"
        )
    };
    let link = format!("ln -s {}", victim.display());
    let agent = place.start(&[task("link", &link), task("pipe", "mkfifo")].concat());
    agent.ready();
    for name in ["link", "pipe"] {
        let first = agent.event(name);
        assert_eq!(first["success"], true, "{first}");
        let dir = place.path("sync-tasks").join(name);
        assert!(!std::fs::symlink_metadata(dir.join("input.json.new")).unwrap().is_file(), "{name} has put it there");
        let again = agent.run_now(&place, name);
        assert_eq!(again["success"], true, "{again}");
    }
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(std::fs::metadata(&victim).unwrap().uid(), 0, "it was not given away either");
    assert!(agent.stop().success());
}
