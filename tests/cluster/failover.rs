//! What happens to leadership and runs when the leader is killed, stopped or asked to go. Profile `lan`.

use rustix::process::Signal;

use crate::harness::agent::tail;
use crate::harness::processes::{self, Process};
use crate::harness::resource::{between, now};
use crate::harness::site::LeaderWatch;
use crate::harness::{Site, Task, eventually};

#[test]
fn a_killed_leader_is_followed_by_the_next_and_gets_leadership_back_by_hand_over() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::once("two"), Task::ticking("tick")]);
    site.found();
    site.wait_all_told(0);
    let killed = now();
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    site.wait_all_ran(1);
    let first = site.resource.runs_of("one")[1].first;
    println!("SIGKILL of the leader: the next one's first run began after {:.3?}", between(killed, first));
    once_per_leader(&site, &["a1", "a2"]);

    let watch = LeaderWatch::start(&site, &[0, 1, 2]);
    site.start(0);
    site.wait_view(0, "a2 leads on when a1 is back", |view| view.leader.as_deref() == Some("a2"));
    assert!(!site[0].leads());
    let back = site.wait_leader(0, &[0, 1, 2]);
    let gap = watch.stop("a1");
    site.wait_all_ran(0);
    println!("back under the same id: leads again after {back:.2?}, at most {gap:.3?} without an answer of a leader");
    site[1].wait_log("handing leadership over");
    once_per_leader(&site, &["a1", "a2", "a1"]);
    assert_eq!(site.view(2).unwrap().epoch, 3);
    site.end();
}

#[test]
fn without_a_last_word_of_the_guardian_the_failure_is_detected() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    site.wait_all_told(0);
    let killed = now();
    site[0].kill_with_guardian();
    site.wait_leader(1, &[1, 2]);
    site.wait_all_ran(1);
    let first = site.resource.runs_of("one")[1].first;
    println!("SIGKILL of leader and guardian: the next one's first run began after {:.3?}", between(killed, first));
    once_per_leader(&site, &["a1", "a2"]);
    site.end();
}

#[test]
fn an_agent_that_loses_its_guardian_ends_and_its_run_is_waited_for() {
    let long = Task { stubborn: true, ..Task::long("long") };
    let mut site = Site::new(3, "lan", "3200ms", vec![long]);
    site.found();
    wait_orphan(&site, "a1");
    site[0].find_guardian().expect("a guardian").signal(Signal::KILL);
    site.wait_leader(1, &[1, 2]);
    assert_ne!(site[0].wait_end().code(), Some(0));
    site.wait_all_ran(1);
    let runs = site.resource.runs_of("long");
    let [first, second] = &runs[..] else { panic!("not two runs: {runs:?}") };
    assert!(first.agent == "a1" && second.agent == "a2" && first.last < second.first, "{runs:?}");
    assert_eq!(of_runs(&site, "a1"), [], "the agent has ended what its guardian left");
    let log = site[1].log();
    assert!(log.contains("waiting for the interrupted run of a1 (epoch 1)"), "{}", tail(&log, 30));
    site.end();
}

#[test]
fn a_leader_that_is_killed_again_and_again_is_followed_by_its_release_every_time() {
    let mut site = Site::new(3, "lan", "1h", vec![Task::ticking("tick")]);
    site.found();
    let mut leader = 0;
    for round in 0..8_usize {
        let next = usize::from(leader == 0);
        // A panic ends with SIGABRT, the OOM killer sends SIGKILL, and a guardian can be killed as well.
        match round % 4 {
            0 | 1 => site[leader].signal(Signal::KILL),
            2 => site[leader].signal(Signal::ABORT),
            _ => site[leader].find_guardian().expect("a guardian").signal(Signal::KILL),
        }
        site.wait_leader(next, &[next, 2]);
        site.wait_all_ran(next);
        site[leader].wait_end();
        site.start(leader);
        let id = site[next].id.clone();
        for number in 0..3 {
            site.wait_view(number, "all are alive and follow the new leader", |view| {
                view.leader.as_ref() == Some(&id) && view.members.iter().filter(|member| member.healthy).count() == 3
            });
        }
        // A voter that has just restarted waits until leases from before are surely over.
        eventually("the agent that came back takes part", || {
            site[leader].door().get("/readyz").is_some_and(|answer| answer.status == 200)
        });
        leader = next;
    }
    for number in 0..3 {
        let log = site[number].log();
        // No claim had to wait until a promise had run out.
        assert!(!log.contains("did not grant it in time"), "a{}: {}", number + 1, tail(&log, 60));
    }
    site.end();
}

#[test]
fn a_panic_of_any_thread_ends_the_process() {
    if std::env::var_os("QUORATE_TEST_PANICS").is_some() {
        quorate::runtime::fail_stop::on_panic();
        drop(std::thread::spawn(|| panic!("on purpose")).join());
        std::process::exit(0);
    }
    let test = ["--exact", "failover::a_panic_of_any_thread_ends_the_process", "--nocapture"];
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = command.args(test).env("QUORATE_TEST_PANICS", "1").output().unwrap();
    let text = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(6), "{text}");
    assert!(text.contains("on purpose"), "{text}");
}

#[test]
fn a_leader_asked_to_stop_interrupts_its_run_and_hands_over() {
    let long = Task { stubborn: true, ..Task::long("long") };
    let mut site = Site::new(3, "lan", "3200ms", vec![long, Task::once("one")]);
    site.found();
    wait_orphan(&site, "a1");
    let asked = now();
    site[0].signal(Signal::TERM);
    site.wait_leader(1, &[1, 2]);
    site.wait_all_ran(1);
    assert_eq!(site[0].wait_end().code(), Some(0));
    let runs = site.resource.runs_of("long");
    let [first, second] = &runs[..] else { panic!("not two runs: {runs:?}") };
    assert!(first.interrupted && first.agent == "a1" && second.agent == "a2", "{runs:?}");
    println!(
        "SIGTERM in a run that leaves 1 s of grace to a grandchild: its last sign {:.3?} after the signal, the next run {:.3?}",
        between(asked, first.last),
        between(asked, second.first)
    );
    assert!(second.epoch > first.epoch);
    site.wait_view(2, "a1 has left", |view| view.members.iter().any(|m| m.id == "a1" && m.state == "left"));
    site.end();
}

#[test]
fn a_leader_that_stands_still_is_deposed_and_its_run_is_gone_before_it_wakes() {
    let long = Task { stubborn: true, ..Task::long("long") };
    let mut site = Site::new(3, "lan", "3200ms", vec![long, Task::ticking("tick")]);
    site.found();
    wait_orphan(&site, "a1");
    let stopped = now();
    site[0].signal(Signal::STOP);
    site.wait_leader(1, &[1, 2]);
    site.wait_all_ran(1);
    let agent = site[0].pid();
    assert_eq!(processes::state(agent), Some('T'), "the agent is still stopped");
    let runs = site.resource.runs_of("long");
    assert!(runs[0].orphaned && runs[0].interrupted, "{runs:?}");
    assert_eq!(of_runs(&site, "a1"), [], "the guardian has stopped the whole tree");
    println!(
        "SIGSTOP of the leader: the run's last sign {:.3?} after it, the next leader's run {:.3?}",
        between(stopped, runs[0].last),
        between(stopped, runs[1].first)
    );
    let before = site.resource.lines().iter().filter(|line| line.agent == "a1").count();
    site[0].signal(Signal::CONT);
    site.wait_view(0, "it is deposed", |view| view.leader.as_deref() == Some("a2"));
    assert!(!site[0].leads());
    let after = site.resource.lines().iter().filter(|line| line.agent == "a1").count();
    assert_eq!(after, before, "it ran nothing between waking up and following");
    site[0].wait_log("this agent leads no longer");
    // The settle time later it gets leadership back, and nothing of a2's run is left then.
    site.wait_leader(0, &[0, 1, 2]);
    site.wait_all_ran(0);
    let epochs: Vec<u64> = site.resource.runs_of("long").iter().map(|run| run.epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
    site.end();
}

/// A task without a condition runs once for every leader, in this order.
fn once_per_leader(site: &Site, leaders: &[&str]) {
    for task in site.shape.tasks.iter().filter(|task| task.cron.is_none()) {
        let runs = site.resource.runs_of(task.name);
        let agents: Vec<&str> = runs.iter().map(|run| run.agent.as_str()).collect();
        assert_eq!(agents, leaders, "{}: {runs:?}", task.name);
    }
}

/// Until the run of an agent has a grandchild that ignores all that can be ignored.
fn wait_orphan(site: &Site, agent: &str) {
    eventually("the run has its grandchild", || {
        site.resource.lines().iter().any(|line| line.agent == agent && line.what == "orphan")
    });
}

/// Living processes of the runs of an agent.
fn of_runs(site: &Site, agent: &str) -> Vec<Process> {
    let record = site.resource.record.display();
    processes::marked(&format!("{record} {agent} "))
}
