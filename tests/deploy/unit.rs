//! The unit of systemd. Needs systemd-analyze.

use std::process::Command;

const UNIT: &str = include_str!("../../deploy/quorate.service");

#[test]
fn the_unit_is_one_that_systemd_takes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("quorate.service");
    // Neither the program nor the user is on this machine where the unit has them.
    let text = UNIT.replace("/usr/local/bin/quorate", env!("CARGO_BIN_EXE_quorate"));
    let text = text.replace("User=quorate", "User=root").replace("Group=quorate", "Group=root");
    // What stands there to be copied is no worse.
    let copied = |line: &str| {
        let option = line.trim_start_matches("#     ").trim_start_matches("#   ").trim_start_matches('#');
        let is_option =
            line.starts_with('#') && option.contains('=') && !option.starts_with(' ') && !option.contains(' ');
        is_option.then(|| option.to_owned())
    };
    let optional: Vec<String> = UNIT.lines().filter_map(copied).collect();
    assert!(optional.iter().any(|option| option == "NoNewPrivileges=yes"), "{optional:?}");
    assert!(optional.iter().any(|option| option.starts_with("LoadCredential=")), "{optional:?}");
    let strict = text.replace("[Install]", &format!("{}\n[Install]", optional.join("\n")));
    for text in [text, strict] {
        std::fs::write(&file, &text).unwrap();
        let out = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("quorate.service")).collect();
        assert!(out.status.success() && ours.is_empty(), "{said}\n{text}");
    }
}
