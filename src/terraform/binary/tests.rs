use std::fs;

use super::*;

const ANSWER: &str = "#!/bin/sh\necho '{\"terraform_version\": \"1.9.2\", \"platform\": \"x\"}'\n";

#[tokio::test]
async fn the_configured_directory_is_the_only_one_looked_at() {
    let here = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    program(elsewhere.path(), "terraform", ANSWER, 0o755);
    let error = find(&at(here.path()), elsewhere.path().to_str().unwrap()).await.unwrap_err();
    assert!(matches!(&error, BinaryError::NotFound(looked) if looked == &[here.path().to_owned()]), "{error}");
    assert!(error.to_string().contains("set `path`"), "{error}");

    program(here.path(), "tofu", ANSWER, 0o755);
    let found = find(&at(here.path()), "").await.unwrap();
    assert_eq!((found.kind, found.version.to_string()), (Kind::OpenTofu, "1.9.2".to_owned()));
    let same = find(&at(&here.path().join("tofu")), "").await.unwrap();
    assert_eq!(same, found, "the file itself may be named");
}

#[tokio::test]
async fn terraform_anywhere_on_the_path_goes_before_tofu() {
    let first = tempfile::tempdir().unwrap();
    let second = tempfile::tempdir().unwrap();
    program(first.path(), "tofu", ANSWER, 0o755);
    let path = format!(":{}:{}", first.path().display(), second.path().display());
    assert_eq!(find(&Settings::default(), &path).await.unwrap().kind, Kind::OpenTofu);
    program(second.path(), "terraform", ANSWER, 0o755);
    assert_eq!(find(&Settings::default(), &path).await.unwrap().path, second.path().join("terraform"));
    let error = find(&Settings::default(), "").await.unwrap_err().to_string();
    assert!(error.contains("an empty PATH"), "{error}");
}

#[tokio::test]
async fn a_program_that_cannot_be_used_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path();
    program(dir, "terraform", ANSWER, 0o644);
    assert!(matches!(find(&at(dir), "").await, Err(BinaryError::NotExecutable(_))));

    program(dir, "terraform", "\u{7f}ELF of another machine", 0o755);
    let error = find(&at(dir), "").await.unwrap_err();
    assert!(matches!(error, BinaryError::WrongArchitecture(_)), "{error:?}");

    program(dir, "terraform", "#!/bin/sh\necho 'Terraform v0.12.31'\n", 0o755);
    let error = find(&at(dir), "").await.unwrap_err();
    assert!(matches!(error, BinaryError::TooOld { .. }), "{error:?}");

    program(dir, "terraform", "#!/bin/sh\necho hello there; exit 3\n", 0o755);
    let error = find(&at(dir), "").await.unwrap_err().to_string();
    assert!(error.contains("hello there") && error.contains('3'), "{error}");
}

#[tokio::test]
async fn no_version_is_too_new() {
    let directory = tempfile::tempdir().unwrap();
    program(directory.path(), "terraform", "#!/bin/sh\necho '{\"terraform_version\": \"7.1.0-beta1\"}'\n", 0o755);
    let found = find(&at(directory.path()), "").await.unwrap();
    assert_eq!(found.version.to_string(), "7.1.0-beta1");
    let wanted = Settings { version: Some("1.5.0".to_owned()), ..Settings::default() };
    assert!(version_warning(&wanted, &found).unwrap().contains("configured is 1.5.0"));
    assert_eq!(version_warning(&Settings::default(), &found), None);
}

#[tokio::test]
async fn what_is_nowhere_is_downloaded_and_what_is_here_is_not() {
    let root = tempfile::tempdir().unwrap();
    let error = find_or_install(&at(root.path()), "", "http://127.0.0.1:9").await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, BinaryError::Install { .. }), "{text}");
    assert!(
        text.contains("no terraform or tofu found") && text.contains("cannot download http://127.0.0.1:9"),
        "{text}"
    );
    program(root.path(), "terraform", ANSWER, 0o755);
    let found = find_or_install(&at(root.path()), "", "http://127.0.0.1:9").await.unwrap();
    assert_eq!(found.version.to_string(), "1.9.2");
}

fn at(path: &Path) -> Settings {
    Settings { path: Some(path.to_owned()), ..Settings::default() }
}

/// Written through another process: a file that this one still had open for writing while another test forks could
/// not be started (ETXTBSY).
fn program(directory: &Path, name: &str, text: &str, mode: u32) {
    let path = directory.join(name);
    let draft = directory.join("draft");
    fs::write(&draft, text).unwrap();
    let copied = std::process::Command::new("cp").arg(&draft).arg(&path).status().unwrap();
    assert!(copied.success());
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}
