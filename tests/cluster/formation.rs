//! How agents find each other. Profile `lan`.

use std::time::Duration;

use crate::harness::{Site, Task, eventually};

#[test]
fn agents_started_together_agree_on_the_lowest_id_under_epoch_1() {
    let mut site = site();
    let took = site.found();
    println!("three agents started together: the first leads and all know after {took:.2?}");
    agree(site);
}

#[test]
fn agents_started_one_by_one_from_the_highest_find_a_seed_given_by_host_name() {
    let mut site = site();
    site.join[0] = format!("localhost:{}", site[0].gossip.port());
    for number in [2, 1, 0] {
        site.start(number);
        if number > 0 {
            let view = site.view(number).unwrap();
            assert_eq!(
                (view.leader.as_deref(), view.quorum.held),
                (None, false),
                "nobody leads before all founders are here"
            );
            std::thread::sleep(Duration::from_millis(400));
        }
    }
    agree(site);
}

#[test]
fn an_agent_whose_seeds_do_not_answer_yet_waits_and_says_so() {
    let mut site = site();
    site.start(1);
    // Longer than the first back-off, so that it really has to try again.
    std::thread::sleep(Duration::from_secs(2));
    let view = site.view(1).unwrap();
    assert_eq!((view.leader.as_deref(), view.epoch), (None, 0));
    assert!(!view.reason.is_empty(), "{view:?}");
    let answer = site[1].get("/readyz").unwrap();
    assert_eq!(answer.status, 503);
    let reasons = answer.json::<serde_json::Value>()["reasons"].clone();
    let failed: Vec<&str> = reasons.as_array().unwrap().iter().map(|it| it["check"].as_str().unwrap()).collect();
    assert_eq!(failed, ["majority", "leader"], "{reasons}");
    assert_eq!(site[1].get("/livez").unwrap().status, 200);
    println!("a founder alone: {}", answer.body);
    site.start(0);
    site.start(2);
    agree(site);
}

fn site() -> Site {
    Site::new(3, "lan", "3200ms", vec![Task::once("once"), Task::ticking("tick")])
}

fn agree(site: Site) {
    site.wait_leader(0, &[0, 1, 2]);
    for number in 0..3 {
        site.wait_view(number, "all three vote and are alive", |view| {
            let fine = |m: &quorate::http::reply::Member| m.voter && m.state == "alive" && m.leader == (m.id == "a1");
            view.members.len() == 3 && view.members.iter().all(fine) && view.quorum.voters == 3 && view.quorum.held
        });
        assert_eq!(site.view(number).unwrap().epoch, 1);
        assert_eq!(site[number].leads(), number == 0);
        eventually("every agent is ready", || site[number].get("/readyz").is_some_and(|answer| answer.status == 200));
    }
    for number in 0..3 {
        let all = site[number].get("/readyz?verbose").unwrap().json::<serde_json::Value>();
        let checks = all["checks"].as_array().unwrap();
        let names: Vec<&str> = checks.iter().map(|it| it["check"].as_str().unwrap()).collect();
        assert_eq!(names, ["majority", "leader", "caught-up", "disk", "stopping"], "{all}");
        assert!(checks.iter().all(|it| it["passed"] == true), "{all}");
    }
    site.wait_all_ran(0);
    let ids: Vec<_> = site.resource.runs().into_iter().map(|run| (run.agent, run.epoch)).collect();
    assert!(ids.iter().all(|run| *run == ("a1".to_owned(), 1)), "{ids:?}");
    site.end();
}
