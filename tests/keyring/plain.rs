//! A cluster without a key.

use crate::harness::site::new_key;
use crate::harness::{Site, Task};
use crate::support::keyring;

#[test]
fn a_cluster_without_a_key_says_so_and_how_to_encrypt() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("once")]);
    site.shape.key = None;
    site.found();
    let file = site.path().join("some.key");
    std::fs::write(&file, new_key()).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let made = site.path().join("made.key");
    let made_name = made.to_str().unwrap().to_owned();
    for words in
        [&["list"][..], &["install", &file], &["install", "-generate", &made_name], &["use", "0123456789abcdef"]]
    {
        for number in [0, 2] {
            let why = keyring(&site, number, words).unwrap_err();
            assert!(why.contains("is not encrypted") && why.contains("quorate keygen"), "{why}");
        }
    }
    println!("{}", keyring(&site, 0, &["list"]).unwrap_err());
    assert!(!made.exists(), "no key was made");
    site.end();
}
