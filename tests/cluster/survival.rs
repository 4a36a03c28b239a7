//! Losing more than one agent. Profile `lan`.

use std::time::Duration;

use crate::harness::{Mode, Site, Task, eventually};

#[test]
fn a_leader_without_a_majority_stops_says_why_and_leads_again_when_one_returns() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    site[1].kill();
    site[2].kill();
    let stopped = eventually("the survivor stops leading", || !site[0].leads());
    println!("loss of two of three: the survivor stopped leading after {stopped:.2?}");
    site.wait_view(0, "there is no quorum", |view| view.leader.is_none() && view.reason.contains("no quorum"));
    let view = site.view(0).unwrap();
    assert_eq!((view.quorum.voters, view.quorum.needed, view.quorum.held), (3, 2, false));
    println!("it says: {}", view.reason);
    let answer = site[0].get("/v1/status/tasks").unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.retry_after.is_some_and(|after| after.parse::<u32>().is_ok_and(|after| after > 0)));
    assert!(answer.body.contains("no quorum"), "{}", answer.body);
    assert_eq!(site[0].get("/leader").unwrap().status, 503);
    // Its timetable has an entry every second.
    let lines = site.resource.lines().len();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(site.resource.lines().len(), lines, "nothing runs without a majority");
    let epoch = view.epoch;
    site.start(2);
    site.wait_leader(0, &[0, 2]);
    site.wait_all_ran(0);
    assert!(site.view(0).unwrap().epoch > epoch);
    site.end();
}

#[test]
fn a_cluster_that_was_killed_whole_goes_on_where_it_was() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    let before = site.view(2).unwrap().epoch;
    for number in 0..3 {
        site[number].kill();
    }
    let took = site.found();
    println!("all killed and started again: the first leads after {took:.2?}");
    let view = site.view(2).unwrap();
    assert!(view.epoch > before, "{view:?}");
    for number in 0..3 {
        let formed = site[number].log().matches("the cluster is formed").count();
        assert_eq!(formed, 1, "a cluster is founded once");
        site.wait_view(number, "all three vote", |view| view.members.iter().filter(|m| m.voter).count() == 3);
    }
    site.end();
}

#[test]
fn in_mode_alive_the_last_one_leads_and_the_lowest_again_after_healing() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.shape.mode = Mode::Alive;
    site.found();
    site[2].wait_log("no majority is needed");
    site[0].kill();
    site[1].kill();
    let took = site.wait_leader(2, &[2]);
    site.wait_all_ran(2);
    println!("mode alive, two of three killed: the last one leads after {took:.2?}");
    let view = site.view(2).unwrap();
    assert_eq!((view.quorum.mode.as_str(), view.quorum.needed, view.quorum.held), ("alive", 1, true));
    site.start(0);
    site.start(1);
    let took = site.wait_leader(0, &[0, 1, 2]);
    site.wait_all_ran(0);
    println!("mode alive, healed: the lowest leads again after {took:.2?}");
    site.end();
}
