//! A disk that refuses. Profile `lan`.

use std::process::{Command, Stdio};

use crate::harness::processes::Process;
use crate::harness::{Site, Task, eventually};

#[test]
fn a_leader_whose_disk_fails_stops_with_a_clear_error_and_the_others_elect() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::once("one"), Task::ticking("tick")]);
    site.found();
    let pid = site[0].pid();
    site[0].find_guardian();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-o"]);
    strace.arg(site.path().join("strace")).args(["-p", &pid.to_string()]).stdin(Stdio::null());
    let mut strace = strace.spawn().expect("the test of a failing disk needs strace: install the package strace");
    site.wait_leader(1, &[1, 2]);
    let status = site[0].wait_end();
    // It ends with the process that it traces.
    strace.wait().unwrap();
    assert_eq!(status.code(), Some(11));
    let log = site[0].log();
    let words = log.lines().rfind(|line| line.contains("failed to write to the data directory")).unwrap_or_default();
    assert!(words.contains("Input/output error"), "{log}");
    println!("the agent says: {words}");
    site.wait_all_ran(1);
    assert!(!Process::of(pid).is_some_and(Process::is_alive));
    // With a disk that works it verifies what is there and comes back.
    site.start(0);
    site.wait_leader(0, &[0, 1, 2]);
    eventually("all are alive", || site.view(2).is_some_and(|view| view.members.iter().all(|m| m.healthy)));
    site.end();
}

/// A file system of its own on a directory, gone with the value.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(path: &std::path::Path, mebibytes: u32) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).status();
        assert!(mounted.unwrap().success(), "the test of a full disk needs root, to mount a small tmpfs");
        Self(path.to_owned())
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

#[test]
fn a_leader_whose_disk_is_full_hands_over_and_takes_part_again_when_there_is_room() {
    let mut site = Site::new(3, "lan", "3200ms", vec![Task::ticking("tick")]);
    let data = site[0].data();
    let _small = Tmpfs::mount(&data, 24);
    site.found();
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![0; 18 << 20]).unwrap();
    site.wait_leader(1, &[1, 2]);
    let not_ready = |site: &Site| site[0].door().get("/readyz").is_some_and(|answer| answer.status == 503);
    eventually("/readyz says no", || not_ready(&site));
    let reasons = site[0].get("/readyz").unwrap().json::<serde_json::Value>()["reasons"].clone();
    let disk = reasons.as_array().unwrap().iter().find(|it| it["check"] == "disk");
    assert!(disk.is_some_and(|it| it["reason"].as_str().unwrap().contains("full")), "{reasons}");
    assert_eq!(site[0].get("/livez").unwrap().status, 200);
    site.wait_view(0, "an alarm names the disk", |view| view.alarms.iter().any(|alarm| alarm.contains("is full")));
    assert_eq!(site[0].log().matches("neither votes nor leads").count(), 1);
    std::fs::remove_file(&ballast).unwrap();
    site[0].wait_log("there is room on the disk again");
    eventually("/readyz says yes", || !not_ready(&site));
    // It has caught up and has the lower id.
    site.wait_leader(0, &[0, 1, 2]);
    site.end();
}
