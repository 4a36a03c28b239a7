use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use zip::write::SimpleFileOptions;

use super::super::testing;
use super::*;

const PROGRAM: &[u8] = b"#!/bin/sh\necho '{\"terraform_version\": \"1.9.8\"}'\n";

#[tokio::test]
async fn the_newest_release_is_installed_ready_to_run() {
    let base = serve("1.9.8", &archive("terraform"), None).await;
    let root = tempfile::tempdir().unwrap();
    let into = root.path().join("bin");
    let path = install(&base, None, &into).await.unwrap();
    assert_eq!((path.clone(), std::fs::read(&path).unwrap()), (into.join("terraform"), PROGRAM.to_vec()));
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o100, 0o100);
    assert_eq!(std::fs::read_dir(&into).unwrap().count(), 1, "no draft stays");
}

#[tokio::test]
async fn a_configured_version_is_installed_over_what_is_there() {
    let base = serve("1.2.3", &archive("terraform"), None).await;
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("terraform"), "old").unwrap();
    std::fs::write(root.path().join(".terraform.new"), "left behind").unwrap();
    install(&format!("{base}/"), Some("1.2.3"), root.path()).await.unwrap();
    assert_eq!(std::fs::read(root.path().join("terraform")).unwrap(), PROGRAM);
}

#[tokio::test]
async fn what_has_another_checksum_or_no_program_is_not_installed() {
    let root = tempfile::tempdir().unwrap();
    refuse(&serve("1.9.8", &archive("terraform"), Some("0".repeat(64))).await, root.path(), "but 0000").await;
    refuse(&serve("1.9.8", &archive("../terraform"), None).await, root.path(), "not as it should be").await;
    refuse(&serve("1.9.8", b"no archive", None).await, root.path(), "not as it should be").await;
    refuse(&serve("1.9.8", b"", Some("short".to_owned())).await, root.path(), "does not name").await;
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_way_out_the_error_says_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    refuse("http://127.0.0.1:9", root.path(), "put a terraform or tofu on the PATH").await;
    let base = testing::serve(|_, _| (404, Vec::new())).await;
    refuse(&base, root.path(), "404").await;
}

async fn refuse(base: &str, into: &Path, why: &str) {
    let error = install(base, None, into).await.unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

fn archive(name: &str) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.start_file("LICENSE.txt", SimpleFileOptions::default()).unwrap();
    archive.write_all(b"text").unwrap();
    archive.start_file(name, SimpleFileOptions::default()).unwrap();
    archive.write_all(PROGRAM).unwrap();
    archive.finish().unwrap().into_inner()
}

async fn serve(version: &str, archive: &[u8], sum: Option<String>) -> String {
    let name = format!("terraform_{version}_{}.zip", platform().unwrap());
    let sum = sum.unwrap_or_else(|| hex(&Sha256::digest(archive)));
    let index = r#"{"name": "terraform", "versions": {"0.12.31": {}, "1.9.8": {}, "1.10.0-beta1": {}, "1.2.30": {}}}"#;
    let files = BTreeMap::from([
        ("/terraform/index.json".to_owned(), index.as_bytes().to_vec()),
        (format!("/terraform/{version}/terraform_{version}_SHA256SUMS"), format!("{sum}  {name}\n").into_bytes()),
        (format!("/terraform/{version}/{name}"), archive.to_vec()),
    ]);
    testing::serve(move |path, _| files.get(path).map_or((404, Vec::new()), |body| (200, body.clone()))).await
}
