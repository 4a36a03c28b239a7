//! Who votes later on. Profile `lan`.

use quorate::http::reply::Cluster;

use crate::harness::{Site, Task, eventually};

#[test]
fn later_agents_become_voters_and_one_that_leaves_is_none_any_more() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let (a4, a5) = (site.add(), site.add());
    site.start(a4);
    site.start(a5);
    let seen = site.wait_view(2, "five are alive and three vote", |view| alive(view) == 5 && voters(view).len() == 3);
    println!("two later agents are members everywhere after {seen:.2?}");
    let all: Vec<usize> = (0..5).collect();
    let voted = eventually("all five vote, for everybody", || {
        all.iter().all(|n| site.view(*n).is_some_and(|view| voters(&view).len() == 5))
    });
    println!("and voters after {voted:.2?} more (settle is 3.2 s)");

    let output = site.command(a4, &["leave"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(site[a4].wait_end().code(), Some(0));
    for number in [0, 1, 2, a5] {
        site.wait_view(number, "a4 has left", |view| {
            let left = view.members.iter().any(|m| m.id == "a4" && m.state == "left" && !m.voter);
            left && voters(view) == ["a1", "a2", "a3", "a5"]
        });
    }

    // The leader leaves for good: a hand-over first.
    let output = site.command(0, &["leave"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(site[0].wait_end().code(), Some(0));
    site.wait_leader(1, &[1, 2, a5]);
    site.wait_view(1, "a1 is no voter", |view| voters(view) == ["a2", "a3", "a5"]);
    site.wait_all_ran(1);
    site.end();
}

#[test]
fn an_agent_that_lost_its_disk_comes_back_as_a_learner_and_votes_again() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    site[2].kill();
    std::fs::remove_dir_all(site[2].data()).unwrap();
    site.start(2);
    site.wait_view(2, "it follows", |view| view.leader.as_deref() == Some("a1"));
    site.wait_view(0, "a3 is back and does not vote", |view| alive(view) == 3 && !voters(view).contains(&"a3"));
    let again = eventually("it votes again, for everybody", || {
        (0..3).all(|n| site.view(n).is_some_and(|view| voters(&view) == ["a1", "a2", "a3"] && alive(&view) == 3))
    });
    println!("a lost disk: a voter again after {again:.2?}");
    // Without its vote there would be no majority now.
    site[0].kill();
    site.wait_leader(1, &[1, 2]);
    site.wait_all_ran(1);
    site.end();
}

fn voters(view: &Cluster) -> Vec<&str> {
    view.members.iter().filter(|m| m.voter).map(|m| m.id.as_str()).collect()
}

fn alive(view: &Cluster) -> usize {
    view.members.iter().filter(|m| m.healthy).count()
}
