//! Two agents that claim to be one. Profile `lan`.

use crate::harness::{Site, Task, eventually};

#[test]
fn a_second_agent_under_a_taken_id_is_told_and_ends() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let twin = site.add_as("a2", "twin");
    site.configure(twin);
    site[twin].start();
    let status = site[twin].wait_end();
    assert!(!status.success(), "{status}");
    let log = site[twin].log();
    assert!(log.contains("a2") && log.contains("id"), "{log}");
    println!("the newcomer says: {}", log.lines().rfind(|line| line.contains("ERROR")).unwrap_or_default());
    let alarmed = |n: usize| site.view(n).is_some_and(|view| view.alarms.iter().any(|alarm| alarm.contains("a2")));
    eventually("somebody shows the alarm in its status", || (0..3).any(alarmed));
    undisturbed(site);
}

#[test]
fn a_second_agent_on_one_data_directory_is_refused_at_start() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let twin = site.add_as("a2", "twin");
    site.configure(twin);
    let text = std::fs::read_to_string(site[twin].config()).unwrap();
    let (own, taken) = (site[twin].data(), site[1].data());
    std::fs::write(site[twin].config(), text.replace(own.to_str().unwrap(), taken.to_str().unwrap())).unwrap();
    site[twin].start();
    let status = site[twin].wait_end();
    assert!(!status.success(), "{status}");
    let log = site[twin].log();
    assert!(log.contains(taken.to_str().unwrap()), "{log}");
    println!("the second says: {}", log.lines().rfind(|line| line.contains("ERROR")).unwrap_or_default());
    undisturbed(site);
}

fn undisturbed(site: Site) {
    for number in 0..3 {
        site.wait_view(number, "a1 still leads three healthy members", |view| {
            view.leader.as_deref() == Some("a1")
                && view.epoch == 1
                && view.members.len() == 3
                && view.members.iter().all(|m| m.healthy && m.voter)
        });
    }
    assert_eq!(site.view(0).unwrap().members[1].gossip_address, site[1].gossip.to_string());
    site.end();
}

/// Copies everything in a directory, directories inside included.
fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let (entry, target) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            std::fs::copy(&entry, &target).unwrap();
        }
    }
}

#[test]
fn an_old_copy_of_a_data_directory_is_refused_and_harms_nobody() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    let (data, backup) = (site[1].data(), site.path().join("backup"));
    site[1].kill();
    copy(&data, &backup);
    site.start(1);
    site.wait_view(0, "a2 is back", |view| view.members.len() == 3 && view.members.iter().all(|m| m.healthy));
    // The others must have heard of what it has stored since: it acknowledges the journal of every run.
    let runs = site.resource.runs_of("tick").len();
    eventually("two more runs", || site.resource.runs_of("tick").len() >= runs + 2);
    site[1].kill();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    site[1].start();
    let status = site[1].wait_end();
    assert!(!status.success(), "{status}");
    let log = site[1].log();
    assert!(log.contains("is an old copy") && log.contains("move the whole data directory away"), "{log}");
    println!("it says: {}", log.lines().rfind(|line| line.contains("old copy")).unwrap_or_default());
    site.wait_view(0, "a1 still leads", |view| view.leader.as_deref() == Some("a1") && view.epoch == 1);
    // What it was told to do.
    std::fs::remove_dir_all(&data).unwrap();
    site.start(1);
    undisturbed(site);
}
