//! Holds the floors of ARCHITECTURE.md: a room names only rooms below it, and the pure rooms stay pure.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the sources shall stop")]

use std::fs;
use std::path::{Path, PathBuf};

/// Room, and the rooms it may name besides itself.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("cluster", &[]),
    ("task", &["cluster"]), // Only `cluster::Now`, see below.
    ("roster", &["task"]),
    ("state", &[]),
    ("keyring", &[]),
    ("tls", &[]),
    ("access", &[]),
    ("store", &["cluster"]),
    ("guardian", &["cluster"]),
    ("audit", &[]),
    ("notify", &["tls"]),
    ("terraform", &["task", "tls"]),
    ("source", &["cluster", "task", "tls"]),
    (
        "runtime",
        &[
            "access",
            "cluster",
            "keyring",
            "state",
            "task",
            "roster",
            "store",
            "guardian",
            "notify",
            "terraform",
            "source",
        ],
    ),
    ("http", &["access", "audit", "runtime", "cluster", "keyring", "roster", "state", "task", "tls"]),
    ("config", &["access", "audit", "cluster", "http", "keyring", "notify", "source", "task", "terraform", "tls"]),
    (
        "cli",
        &[
            "access",
            "audit",
            "cluster",
            "keyring",
            "notify",
            "source",
            "state",
            "task",
            "terraform",
            "runtime",
            "http",
            "config",
            "guardian",
            "tls",
        ],
    ),
];

/// Words that have no place in a pure room, outside comments.
const IMPURE: &[&str] = &[
    "Instant::now",
    "SystemTime",
    "async fn",
    ".await",
    "tokio::",
    "std::fs",
    "std::net::Udp",
    "Mutex<",
    "RwLock<",
    "thread::",
    "HashMap",
    "HashSet",
    "rand::rng(",
    "std::env",
];

#[test]
fn rooms_name_only_rooms_below_them() {
    let mut wrong = Vec::new();
    for (room, may) in MAY_NAME {
        for (file, line, text) in lines_of(&format!("src/{room}")) {
            for named in rooms_named(&text) {
                let known = MAY_NAME.iter().any(|(name, _)| *name == named);
                if known && named != *room && !may.contains(&named.as_str()) {
                    wrong.push(format!("{}:{line}: {room} names {named}: {}", file.display(), text.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "an arrow points up:\n{}", wrong.join("\n"));
}

#[test]
fn the_task_room_knows_nothing_of_the_cluster_but_its_clock() {
    let named = |text: &str| text.contains("crate::cluster") && !text.contains("crate::cluster::Now");
    let wrong: Vec<_> = lines_of("src/task").into_iter().filter(|(_, _, text)| named(text)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn the_pure_rooms_are_pure() {
    let mut wrong = Vec::new();
    for room in ["src/access", "src/cluster", "src/keyring", "src/state", "src/task", "proto/src"] {
        for (file, line, text) in lines_of(room) {
            let code = text.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                wrong.push(format!("{}:{line}: {word}: {}", file.display(), text.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "impure:\n{}", wrong.join("\n"));
}

#[test]
fn only_the_codec_names_bincode_in_code() {
    let allowed =
        ["proto/src/codec.rs", "proto/src/lib.rs", "proto/src/ids.rs", "proto/src/identity.rs", "proto/src/message.rs"];
    let uses = |text: &str| text.split("//").next().is_some_and(|code| code.contains("bincode::"));
    let wrong: Vec<_> = ["src", "proto/src"]
        .iter()
        .flat_map(|dir| lines_of(dir))
        .filter(|(file, _, text)| uses(text) && !allowed.iter().any(|a| file.ends_with(a)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn what_scripts_test_may_leave_out_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let needs = fs::read_to_string(root.join("tests/needs.txt")).unwrap();
    let script = fs::read_to_string(root.join("scripts/test")).unwrap();
    let mut wrong = Vec::new();
    for line in needs.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<_> = line.split(' ').collect();
        let [need, binary, pattern] = words[..] else {
            panic!("{line:?} is not: what is needed, the test binary, which tests")
        };
        let known = [format!("missing+=({need})"), format!("tool {need} ")].iter().any(|text| script.contains(text));
        let dir = root.join("tests").join(binary);
        let (module, test) = pattern.split_once("::").unwrap_or((pattern, pattern));
        let files = [dir.with_extension("rs"), dir.join("main.rs"), dir.join(format!("{module}.rs"))];
        let text: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
        let is_there = match pattern {
            "*" => !text.is_empty(),
            _ => text.contains(&format!("fn {test}(")) || text.contains(&format!("mod {test};")),
        };
        if !known || !is_there {
            wrong.push(line.to_owned());
        }
    }
    assert!(wrong.is_empty(), "tests/needs.txt names what is not there: {wrong:#?}");
}

/// `binary: test` in backticks; `unit` stands for the tests beside the code, and those of the crate `proto`.
#[test]
fn the_proofs_of_the_security_page_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let proofs: Vec<(&str, &str)> =
        page.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(": ")).collect();
    let mut wrong = Vec::new();
    for (binary, test) in &proofs {
        let mut files = Vec::new();
        if *binary == "unit" {
            sources(&root.join("src"), &mut files);
            sources(&root.join("proto/src"), &mut files);
        } else {
            let dir = root.join("tests").join(binary);
            files.push(dir.with_extension("rs"));
            if dir.is_dir() {
                sources(&dir, &mut files);
            }
        }
        let function = format!("fn {test}(");
        let is_in = |file: &PathBuf| fs::read_to_string(file).is_ok_and(|text| text.contains(&function));
        if !files.iter().any(is_in) {
            wrong.push(format!("{binary}: {test}"));
        }
    }
    assert!(proofs.len() > 30, "only {} proofs were found: has their form changed?", proofs.len());
    assert!(wrong.is_empty(), "docs/security.md names tests that do not exist: {wrong:#?}");
}

/// Every source below a folder, tests included.
fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

/// The first segment of each `crate::x` in a line of code.
fn rooms_named(text: &str) -> Vec<String> {
    let code = text.split("//").next().unwrap_or_default();
    let after = code.split("crate::").skip(1);
    after.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

/// Every line of product code below a folder: test modules are left out.
fn lines_of(dir: &str) -> Vec<(PathBuf, usize, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&root.join(dir), &mut files);
    assert!(!files.is_empty(), "{dir} has no sources");
    let mut lines = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let name = file.strip_prefix(root).unwrap().to_owned();
        lines.extend(product.lines().enumerate().map(|(n, line)| (name.clone(), n + 1, line.to_owned())));
    }
    lines
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, files);
        } else if Path::new(&name).extension().is_some_and(|ending| ending == "rs")
            && name != "tests.rs"
            && name != "testing.rs"
        {
            files.push(path);
        }
    }
}
