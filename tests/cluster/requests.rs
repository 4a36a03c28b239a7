//! What the API of any agent says about the cluster, its leader and its tasks. Profile `lan`.

use std::time::{Duration, Instant};

use quorate::http::reply::Cluster;

use crate::harness::{Site, Task};

#[test]
fn followers_forward_and_an_operator_moves_leadership() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::once("two")]);
    site.found();
    let leads: Vec<u16> = (0..3).map(|n| site[n].get("/leader").unwrap().status).collect();
    assert_eq!(leads, [200, 503, 503]);
    site.wait_all_told(0);
    let told = site[0].tasks().unwrap();
    assert_eq!(told.len(), 2);
    let runs = site.resource.runs();
    for task in told.values() {
        let ids: Vec<&str> = task.events.as_ref().unwrap().iter().map(|event| event.id.as_str()).collect();
        let seen: Vec<&str> = runs.iter().filter(|run| run.task == task.task_name).map(|run| run.id.as_str()).collect();
        assert_eq!(ids, seen, "what is told is what the resource saw");
    }
    for follower in [1, 2] {
        assert_eq!(site[follower].tasks().unwrap(), told, "a follower passes the leader's answer on");
    }
    let begun = Instant::now();
    let output = site.command(2, &["step-down"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    site.wait_leader(1, &[0, 1, 2]);
    println!("step-down: the next leads and all know after {:.3?}", begun.elapsed());
    let leads: Vec<u16> = (0..3).map(|n| site[n].get("/leader").unwrap().status).collect();
    assert_eq!(leads, [503, 200, 503]);
    site.wait_all_ran(1);
    site.end();
}

#[test]
fn a_long_poll_answers_at_a_failover() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one")]);
    site.found();
    let door = site[2].door();
    let poll = move |index: u64| -> Cluster {
        let path = format!("/status/cluster?index={index}&wait=10s");
        door.ask("GET", &path, Duration::from_secs(20)).unwrap().json()
    };
    let index = site.view(2).unwrap().index;
    let poller = std::thread::spawn(move || {
        let mut view = poll(index);
        let first = Instant::now();
        while view.leader.as_deref() != Some("a2") {
            view = poll(view.index);
        }
        (first, Instant::now(), view)
    });
    // The poll is on its way; if it came too late, its first answer would be the change itself.
    std::thread::sleep(Duration::from_millis(300));
    let killed = Instant::now();
    site[0].kill();
    let (first, last, view) = poller.join().unwrap();
    println!(
        "a long poll answered {:.3?} after the kill, and told the new leader after {:.3?}",
        first - killed,
        last - killed
    );
    assert!(view.index > index && first - killed < Duration::from_secs(9), "the change ended the wait, not the clock");
    site.end();
}
