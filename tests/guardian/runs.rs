//! Starting runs: what they get, what comes back, and what is refused.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use quorate::guardian::{Cause, Containment, Exit, GuardianError, Launch, Notice, Refusal, RunKey};
use quorate::runtime::clock;
use quorate_proto::Epoch;
use rustix::io::FdFlags;

use crate::support::{Agent, BOTH, LIMIT, alive, eventually, exists, lease, long_lease, marker, shell, state};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_reports_its_output_and_its_exit_code() {
    for containment in BOTH {
        let mut agent = Agent::start(containment);
        let ended = agent.run(shell("echo out; echo err >&2; exit 3")).await;
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("out\n", "err\n"));
        assert_eq!((ended.exit, ended.by, ended.swept, ended.lost), (Exit::Code(3), Cause::Itself, 0, 0));
        assert!(agent.guardian.running().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_arrives_whole_and_ends() {
    let mut agent = Agent::start(Containment::Best);
    let mut spawn = shell("wc -c");
    spawn.stdin = vec![b'x'; 1_000_000];
    assert_eq!(agent.run(spawn).await.stdout.trim(), "1000000");
    let mut unread = shell("exec true");
    unread.stdin = vec![b'x'; 1_000_000];
    assert_eq!(agent.run(unread).await.exit, Exit::Code(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_is_what_was_given_and_the_three_marks() {
    let mut agent = Agent::start(Containment::Best);
    let mut spawn = shell("env | sort");
    spawn.env.push((OsString::from("COLOUR"), OsString::from("blue")));
    spawn.env.push((OsString::from("QUORATE_EPOCH"), OsString::from("forged")));
    let (id, task) = (spawn.run.id(), spawn.run.task.clone());
    let ended = agent.run(spawn).await;
    let mut names: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    assert_eq!(names, ["COLOUR", "PATH", "QUORATE_EPOCH", "QUORATE_RUN_ID", "QUORATE_TASK"]);
    for line in ["QUORATE_EPOCH=1".to_owned(), format!("QUORATE_TASK={task}"), format!("QUORATE_RUN_ID={id}")] {
        assert!(ended.stdout.lines().any(|found| found == line), "{line} in {}", ended.stdout);
    }
}

/// The loader says which program it starts when it is asked to: it must not be asked while the program is ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_of_a_run_with_fewer_rights_reaches_its_program_and_not_what_starts_it() {
    let mut agent = Agent::start(Containment::Best);
    let mut spawn = shell("env");
    for (name, value) in [("LD_DEBUG", "files"), ("COLOUR", "blue"), ("QUORATE_EPOCH", "forged")] {
        spawn.env.push((OsString::from(name), OsString::from(value)));
    }
    spawn.launch = Launch { no_new_privs: true, ..Launch::default() };
    let ended = agent.run(spawn).await;
    assert!(ended.stderr.contains("transferring control: sh\n"), "the program has it: {}", ended.stderr);
    assert!(!ended.stderr.contains("quorate"), "{}", ended.stderr);
    let mut names: Vec<&str> = ended.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["COLOUR", "LD_DEBUG", "PATH", "QUORATE_EPOCH", "QUORATE_RUN_ID", "QUORATE_TASK"]);
    assert!(ended.stdout.lines().any(|line| line == "QUORATE_EPOCH=1"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_agent_was_started_with_is_not_open_in_a_run() {
    let passed = tempfile::NamedTempFile::new().expect("a file");
    // As a shell leaves it to what it starts.
    rustix::io::fcntl_setfd(passed.as_file(), FdFlags::empty()).expect("pass it on");
    let mut agent = Agent::start(Containment::Best);
    let guardian = format!("/proc/{}/fd", agent.guardian.pid());
    let is_passed = |entry: std::fs::DirEntry| std::fs::read_link(entry.path()).is_ok_and(|to| to == passed.path());
    assert!(std::fs::read_dir(guardian).expect("its descriptors").flatten().any(is_passed), "the guardian has it");
    for no_new_privs in [false, true] {
        let mut spawn = shell("readlink /proc/$$/fd/*");
        spawn.launch = Launch { no_new_privs, ..Launch::default() };
        let ended = agent.run(spawn).await;
        assert!(ended.stdout.contains("pipe:"), "{ended:?}");
        assert!(!ended.stdout.contains(passed.path().to_str().expect("text")), "{}", ended.stdout);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_started_is_refused_with_the_reason() {
    let agent = Agent::start(Containment::Best);
    let mut missing = shell("");
    missing.argv = vec![OsString::from("quorate-no-such-program")];
    let error = agent.spawn(missing, &long_lease()).await.unwrap_err().to_string();
    assert!(error.contains("quorate-no-such-program"), "{error}");
    let mut nowhere = shell("true");
    nowhere.cwd = PathBuf::from("/quorate-no-such-directory");
    let error = agent.spawn(nowhere, &long_lease()).await.unwrap_err().to_string();
    assert!(error.contains("there is no such directory"), "{error}");
    let mut large = shell("true");
    large.stdin = vec![0; 9 * 1024 * 1024];
    assert!(matches!(agent.spawn(large, &long_lease()).await, Err(GuardianError::TooLarge(_))));
    assert!(agent.guardian.running().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_live_lease_nothing_starts() {
    let agent = Agent::start(Containment::Best);
    let over = lease(1, Duration::ZERO);
    assert_eq!(agent.spawn(shell("true"), &over).await, Err(GuardianError::NoLease(Epoch(1))));
    let margin = Duration::from_secs(5);
    let short = agent.guardian.spawn(shell("true"), &lease(1, margin), margin, clock::now()).await;
    assert_eq!(short, Err(GuardianError::NoLease(Epoch(1))));
    // The agent believes in its lease, as one does that was stopped since it looked; the guardian looks itself.
    let before = clock::now();
    let ended = lease(1, Duration::from_millis(1));
    eventually("the lease is over", || !ended.is_live(Duration::ZERO, clock::now()));
    let late = agent.guardian.spawn(shell("true"), &ended, Duration::ZERO, before).await;
    assert_eq!(late, Err(GuardianError::Refused(Refusal::NoAuthority(Epoch(1)))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_epoch_and_a_second_run_of_a_task_are_refused() {
    let mut agent = Agent::start(Containment::Best);
    let spawn = shell("echo up; sleep 1000");
    let key = spawn.run.clone();
    agent.spawn(spawn.clone(), &lease(7, LIMIT)).await.unwrap();
    agent.up().await;
    let mut second = spawn.clone();
    second.run = RunKey::new(key.task.clone(), uuid::Uuid::new_v4());
    for again in [&spawn, &second] {
        assert_eq!(agent.spawn(again.clone(), &lease(7, LIMIT)).await, Err(Refusal::Busy(key.clone()).into()));
    }
    agent.guardian.stop(&key, "told to", None);
    agent.ended(&key).await;
    agent.spawn(spawn, &lease(7, LIMIT)).await.expect("the next step under the same key");
    let old = agent.spawn(shell("true"), &lease(6, LIMIT)).await;
    assert_eq!(old, Err(Refusal::NoAuthority(Epoch(6)).into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_prints_without_end_costs_output_and_nothing_else() {
    let mut agent = Agent::start(Containment::Best);
    let spawn = shell("yes | head -c 30000000; echo; echo last");
    let key = spawn.run.clone();
    agent.spawn(spawn, &long_lease()).await.unwrap();
    // Nobody receives until the run has long ended.
    let guardian = agent.guardian.pid();
    eventually("the run has ended", || alive("head -c 30000000").is_empty());
    let other = shell("exec sleep 1000");
    agent.spawn(other.clone(), &long_lease()).await.expect("the guardian still answers");
    let ended = agent.ended(&key).await;
    assert!(ended.lost > 0, "something was dropped");
    assert_eq!(ended.lost + ended.stdout.len() as u64, 30_000_006, "and every byte is accounted for");
    agent.guardian.stop(&other.run, "told to", None);
    assert_eq!(agent.ended(&other.run).await.exit, Exit::Signal(2));
    let status = std::fs::read_to_string(format!("/proc/{guardian}/status")).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
    assert!(peak.is_some_and(|kib: u64| kib < 16 * 1024), "{status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_bye_the_guardian_is_gone_and_so_is_what_ran() {
    let mut agent = Agent::start(Containment::Best);
    let marker = marker();
    agent.spawn(shell(&format!("echo up; sleep {marker}; sleep {marker}")), &long_lease()).await.unwrap();
    agent.up().await;
    let pid = agent.guardian.pid();
    tokio::time::timeout(LIMIT, agent.guardian.bye()).await.expect("an end");
    assert_eq!(alive(&marker), [0_u32; 0]);
    assert!(!exists(pid), "{:?}", state(pid));
    loop {
        match tokio::time::timeout(LIMIT, agent.notices.recv()).await.expect("an end") {
            Some(Notice::Lost { why }) => panic!("a clean end is no loss: {why}"),
            Some(_) => {}
            None => break,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guardian_whose_handle_is_dropped_stops_its_runs_and_exits() {
    let Agent { guardian, mut notices } = Agent::start(Containment::Best);
    let marker = marker();
    let spawn = shell(&format!("sleep {marker}; sleep {marker}"));
    guardian.spawn(spawn, &long_lease(), Duration::ZERO, clock::now()).await.unwrap();
    let pid = guardian.pid();
    drop(guardian);
    while tokio::time::timeout(LIMIT, notices.recv()).await.expect("an end").is_some() {}
    eventually("the run is gone", || alive(&marker).is_empty());
    eventually("the guardian is gone", || !exists(pid));
}

#[test]
fn only_tests_make_a_lease_from_nothing() {
    let mut open = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut named = Vec::new();
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(path).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if std::fs::read_to_string(&path).unwrap_or_default().contains("fabricated(") {
                named.push(path);
            }
        }
    }
    // Unit tests may; they sit below `mod tests`.
    let product = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        text.split("#[cfg(test)]").next().is_some_and(|text| text.contains("fabricated("))
    };
    named.retain(|path| !path.ends_with("tests.rs") && product(path));
    assert_eq!(named.len(), 1, "{named:?}");
    assert!(named[0].ends_with("cluster/leadership/lease.rs"), "{named:?}");
}
