//! What we depend on: licences, sources and crates in two versions, by the lists of `deny.toml`.
//!
//! `scripts/deny` runs cargo-deny itself, which also looks for known vulnerabilities. That program takes minutes to build,
//! so the tests check the rest of its lists by themselves.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the manifest shall stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every crate of a build on Linux, tests included.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn rules() -> toml::Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deny.toml");
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn name_of(package: &Value) -> String {
    format!("{}@{}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
}

#[test]
fn every_licence_is_one_that_we_accept() {
    let rules = rules();
    let accepted: BTreeSet<&str> =
        rules["licenses"]["allow"].as_array().unwrap().iter().map(|licence| licence.as_str().unwrap()).collect();
    let is_accepted = |said: &str| {
        let expression = spdx::Expression::parse_mode(said, spdx::ParseMode::LAX).unwrap();
        expression.evaluate(|need| {
            need.addition.is_none() && need.license.id().is_some_and(|licence| accepted.contains(licence.name))
        })
    };
    let mut refused = Vec::new();
    for package in packages() {
        let said = package["license"].as_str().unwrap_or("none");
        if said == "none" || !is_accepted(said) {
            refused.push(format!("{}: {said}", name_of(&package)));
        }
    }
    assert!(refused.is_empty(), "licences that deny.toml does not list: {refused:#?}");
}

#[test]
fn every_crate_comes_from_crates_io() {
    let elsewhere: Vec<String> = packages()
        .iter()
        .filter(|package| package["source"].as_str().is_some_and(|source| source != CRATES_IO))
        .map(|package| format!("{}: {}", name_of(package), package["source"]))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:#?}");
}

#[test]
fn a_crate_in_two_versions_is_listed_with_the_reason() {
    let rules = rules();
    let listed: BTreeSet<String> = rules["bans"]["skip"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skip| {
            assert!(!skip["reason"].as_str().unwrap().is_empty());
            skip["crate"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package["name"].as_str().unwrap().to_owned()).or_default().push(name_of(&package));
    }
    let doubled: Vec<&Vec<String>> = versions.values().filter(|versions| versions.len() > 1).collect();
    for versions in &doubled {
        let unlisted: Vec<&String> = versions.iter().filter(|name| !listed.contains(*name)).collect();
        assert!(unlisted.len() <= 1, "list in deny.toml why there are several versions of one crate: {versions:?}");
    }
    let all: BTreeSet<&String> = doubled.into_iter().flatten().collect();
    let gone: Vec<&String> = listed.iter().filter(|name| !all.contains(name)).collect();
    assert!(gone.is_empty(), "deny.toml lists what is there once or not at all: {gone:?}");
}

#[test]
fn no_dependency_takes_any_version() {
    let mut loose = Vec::new();
    for package in packages().iter().filter(|package| package["source"].is_null()) {
        for needed in package["dependencies"].as_array().unwrap() {
            if needed["req"] == "*" && needed["path"].is_null() {
                loose.push(format!("{} in {}", needed["name"], name_of(package)));
            }
        }
    }
    assert!(loose.is_empty(), "{loose:?}");
}
