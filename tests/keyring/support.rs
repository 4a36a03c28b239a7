//! What the tests of keys have in common.

use std::path::PathBuf;

use quorate::http::reply::Keyring;
use rustix::process::Signal;

use crate::harness::{Site, Task, eventually};

/// Three agents with one key and a task that ticks.
pub(crate) fn founded() -> Site {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    site.found();
    site
}

/// `quorate keyring WORDS..` at an agent: what it printed, on success.
pub(crate) fn keyring(site: &Site, number: usize, words: &[&str]) -> Result<String, String> {
    let all: Vec<&str> = std::iter::once("keyring").chain(words.iter().copied()).collect();
    let output = site.command(number, &all);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub(crate) fn list(site: &Site, number: usize) -> Keyring {
    site[number].get("/v1/keyring").expect("an answer").json()
}

/// The key that every agent seals with.
pub(crate) fn primary(site: &Site, number: usize) -> String {
    let first = list(site, number).keys.swap_remove(0);
    assert_eq!(first.primary_on.len(), 3, "{first:?}");
    first.fingerprint
}

/// Makes a key, lets everybody open and then seal with it: its file and fingerprint. `through`: the agents that are asked.
pub(crate) fn install_and_use(site: &Site, through: [usize; 2]) -> (PathBuf, String) {
    let file = site.path().join("new.key");
    let told = keyring(site, through[0], &["install", "-generate", file.to_str().unwrap()]).unwrap();
    println!("{told}");
    assert!(told.contains("every member that is here opens with the key"), "{told}");
    let print = told.split_whitespace().find(|word| word.len() == 16).expect("a fingerprint").to_owned();
    let told = keyring(site, through[1], &["use", &print]).unwrap();
    println!("{told}");
    assert!(told.contains("every member that is here seals with the key"), "{told}");
    (file, print)
}

/// A counter of an agent.
pub(crate) fn metric(site: &Site, number: usize, name: &str) -> u64 {
    let text = site[number].get("/metrics").expect("an answer").body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().expect("a number")
}

/// SIGTERM, and away from the cluster.
pub(crate) fn stop(site: &mut Site, number: usize) {
    site[number].signal(Signal::TERM);
    site[number].wait_end();
}

/// Everybody sees three members that are well and the same leader as from the beginning.
pub(crate) fn all_is_well(site: &Site) {
    for number in 0..3 {
        site.wait_view(number, "three members are well and a1 leads", |view| {
            view.leader.as_deref() == Some("a1") && view.members.len() == 3 && view.members.iter().all(|m| m.healthy)
        });
    }
}

/// Nobody was elected and nobody was suspected since the beginning.
pub(crate) fn undisturbed(site: &Site) {
    all_is_well(site);
    for number in 0..3 {
        assert_eq!(site.view(number).unwrap().epoch, 1, "nobody had to be elected again");
        assert_eq!(metric(site, number, "quorate_suspicions_total"), 0, "nobody was suspected by {}", site[number].id);
    }
}

/// Until the list of an agent shows this.
pub(crate) fn wait_list(site: &Site, number: usize, what: &str, condition: impl Fn(&Keyring) -> bool) {
    eventually(&format!("{} lists {what}", site[number].id), || condition(&list(site, number)));
}
