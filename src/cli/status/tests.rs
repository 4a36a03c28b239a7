//! What the screen shows.

use super::super::table::WIDTH;
use super::samples::{sample, sample_tasks};
use super::*;
use crate::http::reply::{AccessNow, ConsulFaultNow, Quorum};

const NO_COLOUR: Paint = Paint { colour: false };

#[test]
fn consul_is_told_of_when_it_cannot_be_read() {
    let (cluster, now) = sample();
    let fault = |queries: &[&str]| ConsulFaultNow {
        error: "cannot reach Consul at localhost:8500: connection refused".to_owned(),
        queries: queries.iter().map(|query| (*query).to_owned()).collect(),
        since: "2026-11-23T02:04:05Z".to_owned(),
    };
    let consul = |faults, waiting| ConsulNow { address: "localhost:8500".to_owned(), watched: 3, waiting, faults };
    let screen = |consul| render(&cluster, &Ok(TasksNow { consul: Some(consul), ..sample_tasks() }), now, NO_COLOUR);
    let away = screen(consul(vec![fault(&["service \"web\"", "key \"a\""])], 0));
    assert!(away.contains("Consul   at localhost:8500: 2 of 3 queries not read for 1h59m"), "{away}");
    let one = screen(consul(vec![fault(&["service \"web\""])], 0));
    assert!(one.contains("service \"web\" not read for 1h59m"), "{one}");
    assert!(screen(consul(Vec::new(), 2)).contains("2 of 3 queries wait for their first answer"));
    assert!(!screen(consul(Vec::new(), 0)).contains("Consul"), "nothing to tell");
}

#[test]
fn the_screen_is_as_it_is() {
    let (cluster, now) = sample();
    let expected = "\
Cluster  edge, as cts-02 sees it
Leader   cts-01 since 04:00:01 (3m12s), epoch 7: lowest id alive, after cts-03 went down
Quorum   held: 2 of 3 voters alive, 2 needed

MEMBER  STATE  FOR    VOTER  API ADDRESS    VERSION
cts-01  alive  3m12s  yes    10.0.0.1:8558  0.1.0    leader
cts-02  alive  6h50m  yes    10.0.0.2:8558  0.1.0    this agent
cts-03  down   -      yes    10.0.0.3:8558  0.1.0

TASK  STATUS      LAST RUN              TOOK   TRIGGER    NOW
web   successful  04:00:02 (3m10s ago)  1.2s   take-over  idle, next at 04:05:00
db    errored     04:01:13 (2m0s ago)   1m12s  take-over  tries again in 7s
    last error, 04:01:13 (2m0s ago): exit status 1 [31mcannot reach the firewall
new   unknown     never                                   disabled
dns   unknown     never                                   running for 12s
";
    assert_eq!(render(&cluster, &Ok(sample_tasks()), now, NO_COLOUR), expected);
}

#[test]
fn trouble_comes_first_and_says_why() {
    let (mut cluster, now) = sample();
    cluster.leader = None;
    cluster.reason = "2 of 3 voters are down".to_owned();
    cluster.alarms = vec!["two agents use the id cts-02".to_owned()];
    cluster.quorum.alive = 1;
    cluster.quorum.held = false;
    cluster.members.truncate(1);
    let tasks = Err("no agent leads at the moment: 2 of 3 voters are down".to_owned());
    let expected = "\
ALARM    two agents use the id cts-02

Cluster  edge, as cts-02 sees it
Leader   none: 2 of 3 voters are down
Quorum   lost: 1 of 3 voters alive, 2 needed

MEMBER  STATE  FOR    VOTER  API ADDRESS    VERSION
cts-01  alive  3m12s  yes    10.0.0.1:8558  0.1.0    leader

Tasks    not known: no agent leads at the moment
";
    assert_eq!(render(&cluster, &tasks, now, NO_COLOUR), expected);
}

#[test]
fn without_a_leader_the_tasks_are_shown_as_they_were_known_last() {
    let (mut cluster, now) = sample();
    cluster.leader = None;
    cluster.reason = "2 of 3 voters are down".to_owned();
    let stale = TasksNow {
        answered_by: "cts-02".to_owned(),
        stale_since: Some("2026-11-23T04:02:00Z".to_owned()),
        ..sample_tasks()
    };
    let text = render(&cluster, &Ok(stale), now, NO_COLOUR);
    let line = "\nTasks    as cts-02 knew them last, at 04:02:00 (1m13s ago): nobody leads, so nothing runs\nTASK ";
    assert!(text.contains(line) && text.contains("\nweb   successful"), "{text}");
}

#[test]
fn a_long_reason_to_wait_stands_below_its_task() {
    let (cluster, now) = sample();
    let mut tasks = sample_tasks();
    tasks.tasks.truncate(2);
    let whys = ["for the next leader", "waiting for the interrupted run of cts-01 (epoch 6)"];
    for (task, why) in tasks.tasks.iter_mut().zip(whys) {
        task.events.clear();
        task.activity.state = "waiting".to_owned();
        task.activity.why = Some(why.to_owned());
        task.activity.until = None;
    }
    tasks.tasks[1].activity.until = Some((now + chrono::TimeDelta::seconds(3)).to_rfc3339());
    let text = render(&cluster, &Ok(tasks), now, NO_COLOUR);
    assert!(text.contains("waits for the next leader\n"), "{text}");
    assert!(text.contains("  waits\n    waits for the interrupted run of cts-01 (epoch 6), 3s left\n"), "{text}");
}

#[test]
fn a_founding_is_no_lost_quorum_and_says_once_what_it_waits_for() {
    let (mut cluster, now) = sample();
    cluster.leader = None;
    cluster.reason = "founding: the seed a:1 is not here yet".to_owned();
    cluster.quorum = Quorum { alive: 0, held: false, ..cluster.quorum };
    if let Some(details) = &mut cluster.details {
        details.formed = false;
        details.not_ready = Some(cluster.reason.clone());
    }
    let tasks = Err(format!("no agent leads at the moment: {}", cluster.reason));
    let text = render(&cluster, &tasks, now, NO_COLOUR);
    assert!(text.contains("\nQuorum   not yet: 3 agents found the cluster\n"), "{text}");
    assert_eq!(text.matches("the seed a:1").count(), 1, "{text}");
}

#[test]
fn a_single_agent_and_the_mode_alive_are_named() {
    let (mut cluster, now) = sample();
    if let Some(details) = &mut cluster.details {
        details.high_availability = false;
    }
    cluster.quorum.mode = "alive".to_owned();
    let text = render(&cluster, &Ok(sample_tasks()), now, NO_COLOUR);
    assert!(text.starts_with("Cluster  none: cts-02 is a single agent\n"), "{text}");
    assert!(text.contains("Quorum   not asked for (leadership = \"alive\"): while the network is cut"), "{text}");
}

#[test]
fn everything_fits_whatever_the_names() {
    let (mut cluster, now) = sample();
    let mut tasks = sample_tasks();
    cluster.reason = "word ".repeat(200);
    cluster.members[0].id = "x".repeat(63);
    cluster.members[0].api_address = "[2001:db8:1111:2222:3333:4444:5555:6666]:65535".to_owned();
    for task in &mut tasks.tasks {
        task.name = "y".repeat(64);
        task.activity.state = "waiting".to_owned();
        task.activity.why = Some("z".repeat(300));
        for run in &mut task.events {
            run.error = run.error.as_ref().map(|_| "e".repeat(5000));
        }
    }
    let text = render(&cluster, &Ok(tasks), now, NO_COLOUR);
    assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
}

#[test]
fn access_is_told_when_it_is_controlled() {
    let (mut cluster, now) = sample();
    let mut line = |enabled: bool, anonymous: &str| {
        let access = AccessNow { enabled, anonymous: anonymous.to_owned(), insecure: false };
        cluster.details.as_mut().unwrap().access = Some(access);
        let text = render(&cluster, &Ok(sample_tasks()), now, NO_COLOUR);
        text.lines().find_map(|line| line.strip_prefix("Access   ").map(str::to_owned))
    };
    assert_eq!(line(false, "write"), None);
    assert_eq!(line(true, "deny").as_deref(), Some("by token or certificate only"));
    assert!(line(true, "read").unwrap().ends_with("callers may read"));
}
