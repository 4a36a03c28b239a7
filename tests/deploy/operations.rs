//! The commands of `docs/operations.md` exist and have the flags that stand there. What they do is tested elsewhere.

use std::collections::BTreeSet;
use std::process::Command;

use super::agent::text;

/// Lines of the page's shell blocks that call the program, without what comes behind a `#`.
fn calls(page: &str) -> Vec<String> {
    let mut calls = Vec::new();
    let mut inside = false;
    let mut begun = String::new();
    for line in page.lines() {
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            inside = kind == "sh";
            continue;
        }
        if !inside {
            continue;
        }
        begun.push_str(line.split(" #").next().unwrap().trim());
        if let Some(open) = begun.strip_suffix('\\') {
            begun = open.to_owned();
            continue;
        }
        calls.extend(std::mem::take(&mut begun).split(['|', ';']).flat_map(|part| part.split("&&")).filter_map(call));
    }
    calls
}

/// From the program's name on.
fn call(part: &str) -> Option<String> {
    let words: Vec<&str> = part.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "quorate" || *word == "./quorate")?;
    // Not `systemctl restart quorate` and the like.
    let before =
        words[..at].iter().all(|word| word.contains('=') || ["sudo", "-u", "quorate", "until", "do"].contains(word));
    (before && at + 1 < words.len()).then(|| words[at + 1..].join(" "))
}

/// The words of a command: `task logs`, `status`.
fn help(words: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_quorate")).args(words).arg("-help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_commands_of_the_page_exist_with_their_flags() {
    let page = text("docs/operations.md");
    let calls = calls(&page);
    assert!(calls.len() > 35, "only {calls:#?} were found");
    let groups = ["task", "state", "token", "config", "keyring"];
    let mut wrong = BTreeSet::new();
    for call in calls {
        let words: Vec<&str> = call.split_whitespace().collect();
        let depth = if groups.contains(&words[0]) { 2 } else { 1 };
        if words.len() < depth || words[0] == "keygen" || words[0] == "version" {
            if words.len() < depth {
                wrong.insert(format!("{call}: it lacks a word"));
            }
            continue;
        }
        let Some(help) = help(&words[..depth]) else {
            wrong.insert(format!("{call}: there is no such command"));
            continue;
        };
        for flag in words[depth..].iter().filter(|word| word.starts_with('-') && word.len() > 1) {
            let name = flag.trim_start_matches('-').split('=').next().unwrap();
            let known = help.contains(&format!("--{name} "))
                || help.contains(&format!("--{name}\n"))
                || help.contains(&format!("--{name}["));
            if !known && !help.contains(&format!("--{name}]")) {
                wrong.insert(format!("{call}: -{name} is not one of its flags"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
