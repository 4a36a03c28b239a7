//! A key is changed while everything goes on.

use crate::harness::site::new_key;
use crate::support::{all_is_well, founded, install_and_use, keyring, list, primary, stop, undisturbed, wait_list};

#[test]
fn a_key_is_changed_while_a_task_ticks_and_nobody_notices() {
    let mut site = founded();
    let old = primary(&site, 2);
    let before = site.resource.runs().len();
    let (file, new) = install_and_use(&site, [1, 0]);
    assert_ne!(old, new);
    let refused = keyring(&site, 1, &["remove", &new]).unwrap_err();
    assert!(refused.contains("is the primary key"), "{refused}");
    let told = keyring(&site, 2, &["remove", &old[..6]]).unwrap();
    println!("{told}");
    assert!(told.contains("every member that is here has forgotten the key"), "{told}");
    let listed = list(&site, 0);
    assert_eq!(listed.keys.len(), 1);
    assert_eq!((&listed.keys[0].fingerprint, listed.keys[0].primary_on.len()), (&new, 3));
    println!("{}", keyring(&site, 0, &["list"]).unwrap());
    site.wait_all_told(0);
    crate::harness::eventually("the task goes on", || site.resource.runs().len() > before + 3);
    undisturbed(&site);

    // A member comes back by what it has stored: its file still has the old key.
    stop(&mut site, 2);
    site.wait_view(0, "a3 is gone", |view| view.members.iter().any(|member| member.id == "a3" && !member.healthy));
    site.start(2);
    all_is_well(&site);
    site[2].wait_log("was removed from the cluster's ring and is not used");
    wait_list(&site, 2, "one key on three members", |listed| {
        listed.keys.len() == 1 && listed.keys[0].installed_on.len() == 3
    });
    // So does the whole cluster.
    for number in 0..3 {
        site[number].kill();
    }
    site.start_all();
    all_is_well(&site);
    assert_eq!(primary(&site, 1), new);

    // No key was told to anybody.
    let secret = std::fs::read_to_string(&file).unwrap();
    for number in 0..3 {
        assert!(!site[number].log().contains(secret.trim()), "the log of {} holds the key", site[number].id);
    }
    assert!(!site[0].get("/v1/keyring").unwrap().body.contains(secret.trim()));
    site.end();
}

#[test]
fn what_cannot_be_is_refused_and_said_clearly() {
    let site = founded();
    let old = primary(&site, 0);
    let unknown = keyring(&site, 1, &["use", "0123456789abcdef"]).unwrap_err();
    assert!(unknown.contains("404") && unknown.contains("quorate keyring list"), "{unknown}");
    assert!(keyring(&site, 1, &["remove", &old]).unwrap_err().contains("is the primary key"));
    let file = site.path().join("some.key");
    std::fs::write(&file, "not a key\n").unwrap();
    let wrong = keyring(&site, 1, &["install", file.to_str().unwrap()]).unwrap_err();
    assert!(wrong.contains("32 bytes in base64") && !wrong.contains("not a key\n"), "{wrong}");
    for number in 0..7 {
        std::fs::write(&file, format!("# key {number}\n{}\n", new_key())).unwrap();
        keyring(&site, number % 3, &["install", file.to_str().unwrap()]).unwrap();
    }
    let again = keyring(&site, 0, &["install", file.to_str().unwrap()]).unwrap();
    assert!(again.contains("is installed already"), "{again}");
    std::fs::write(&file, format!("{}\n", new_key())).unwrap();
    assert!(keyring(&site, 2, &["install", file.to_str().unwrap()]).unwrap_err().contains("8 keys"));
    undisturbed(&site);
    site.end();
}

#[test]
fn a_file_with_several_keys_seals_with_the_first_and_opens_with_all() {
    let mut site = founded();
    let old = site.shape.key.clone().unwrap();
    let file = site.path().join("keys");
    let new = new_key();
    // Without `keyring`, by restarts: first everybody opens with both, then everybody seals with the new one.
    for keys in [format!("{old}\n# soon\n{new}\n"), format!("{new}\n{old}\n"), format!("{new}\n")] {
        std::fs::write(&file, keys).unwrap();
        for number in 0..3 {
            stop(&mut site, number);
            let text = std::fs::read_to_string(site[number].config()).unwrap();
            let line = text.lines().find(|line| line.trim().starts_with("encrypt")).unwrap().to_owned();
            let text = text.replace(&line, &format!("encrypt_file = {:?}", file.to_str().unwrap()));
            std::fs::write(site[number].config(), text).unwrap();
            site[number].start();
            site[number].wait_up();
            for other in 0..3 {
                site.wait_view(other, "three members are well and somebody leads", |view| {
                    view.leader.is_some() && view.members.len() == 3 && view.members.iter().all(|m| m.healthy)
                });
            }
        }
    }
    assert_eq!(list(&site, 0).keys.len(), 1);
    site.end();
}
