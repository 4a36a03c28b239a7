//! Members that were away while the key was changed.

use crate::harness::{Shape, eventually};
use crate::support::{all_is_well, founded, install_and_use, keyring, metric, primary, stop, wait_list};

#[test]
fn a_member_that_was_away_comes_back_by_the_old_key_while_it_is_in_the_ring() {
    let mut site = founded();
    let old = primary(&site, 0);
    stop(&mut site, 2);
    site.wait_view(0, "a3 is gone", |view| view.members.iter().any(|member| member.id == "a3" && !member.healthy));
    let (_, new) = install_and_use(&site, [0, 1]);
    site.start(2);
    all_is_well(&site);
    wait_list(&site, 1, "the new key as everybody's", |listed| {
        listed.keys[0].fingerprint == new && listed.keys[0].primary_on.len() == 3
    });
    let told = keyring(&site, 0, &["remove", &old]).unwrap();
    assert!(told.contains("every member that is here has forgotten the key"), "{told}");
    assert_eq!(site.view(0).unwrap().epoch, 1, "nobody had to be elected again");
    all_is_well(&site);
    site.end();
}

#[test]
fn a_member_that_missed_the_removal_is_refused_and_told_and_comes_back_with_the_new_key() {
    let mut site = founded();
    let old = primary(&site, 0);
    stop(&mut site, 2);
    site.wait_view(0, "a3 is gone", |view| view.members.iter().any(|member| member.id == "a3" && !member.healthy));
    let (file, _) = install_and_use(&site, [1, 0]);
    let told = keyring(&site, 1, &["remove", &old]).unwrap();
    println!("{told}");
    assert!(told.contains("a3 is away") && told.contains("encrypt_file"), "{told}");

    site.start(2);
    site[2].wait_log("put the current key in its encrypt_file");
    eventually("a1 or a2 logs a datagram of a3", || {
        (0..2).any(|number| site[number].log().contains("sealed with a key that is not in the ring"))
    });
    let unknown = "quorate_packets_dropped_total{reason=\"unknown_key\"}";
    assert!((0..2).any(|number| metric(&site, number, unknown) > 0));
    let view = site.view(0).unwrap();
    assert!(view.members.iter().any(|member| member.id == "a3" && !member.healthy), "it is a stranger");
    assert_eq!(site.view(2).unwrap().leader, None);
    for number in 0..3 {
        for line in site[number].log().lines().filter(|line| line.contains("encrypt_file")) {
            println!("{}: {line}", site[number].id);
        }
    }

    // As the log says: the current key in its file.
    stop(&mut site, 2);
    let key = std::fs::read_to_string(file).unwrap().trim().to_owned();
    let shape = Shape { key: Some(key), ..site.shape.clone() };
    site.configure_as(2, &shape);
    site[2].start();
    site[2].wait_up();
    all_is_well(&site);
    wait_list(&site, 2, "one key on three members", |listed| {
        listed.keys.len() == 1 && listed.keys[0].primary_on.len() == 3
    });
    site.end();
}
