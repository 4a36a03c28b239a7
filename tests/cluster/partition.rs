//! A leader whose network is cut, both ways and one way. Each agent has a network namespace. Profile `lan`.

use crate::harness::resource::{between, now};
use crate::harness::{Site, Task, eventually};

#[test]
fn a_leader_cut_off_both_ways_stops_and_the_others_elect() {
    cut("both ways", |site| {
        for other in [1, 2] {
            site.net.as_ref().unwrap().deafen(0, other);
            site.net.as_ref().unwrap().deafen(other, 0);
        }
    });
}

#[test]
fn a_leader_that_can_send_but_not_hear_stops_and_the_others_elect() {
    cut("the leader is deaf", |site| {
        for other in [1, 2] {
            site.net.as_ref().unwrap().deafen(0, other);
        }
    });
}

#[test]
fn a_leader_that_can_hear_but_not_send_stops_and_the_others_elect() {
    cut("the leader is mute", |site| {
        for other in [1, 2] {
            site.net.as_ref().unwrap().deafen(other, 0);
        }
    });
}

fn cut(what: &str, fault: impl Fn(&Site)) {
    let mut site = Site::on_hosts(3, "lan", "3200ms", vec![Task::long("long"), Task::ticking("tick")]);
    site.found();
    let begun = now();
    fault(&site);
    site.wait_leader(1, &[1, 2]);
    eventually("the old leader does not lead", || !site[0].leads());
    site.wait_all_ran(1);
    assert_ne!(site.view(0).unwrap().leader.as_deref(), Some("a1"));
    let runs = site.resource.runs_of("long");
    let [old, new] = &runs[..] else { panic!("not two runs: {runs:?}") };
    assert!(old.agent == "a1" && old.interrupted, "{runs:?}");
    assert!(new.agent == "a2" && new.epoch > old.epoch, "{runs:?}");
    println!(
        "{what}: the old leader's run ended {:.3?} after the cut, the new leader's began {:.3?}",
        between(begun, old.last),
        between(begun, new.first)
    );
    site.net.as_ref().unwrap().heal();
    let healed = site.wait_leader(0, &[0, 1, 2]);
    site.wait_all_ran(0);
    println!("{what}: after healing the lowest leads again after {healed:.2?}");
    for number in 0..3 {
        site.wait_view(number, "all are alive again", |view| view.members.iter().all(|m| m.state == "alive"));
    }
    site.end();
}
