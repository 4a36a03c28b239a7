//! Limits of memory, CPU and processes, by cgroups of either version. Needs root, and controllers that may be used.

use super::agent::Place;

fn task(name: &str, script: &str, limits: &str) -> String {
    format!(
        "task {{\n  name = \"{name}\"\n  command = [\"sh\", \"-c\", {script:?}]\n  limits {{ {limits} }}\n  policy {{ retries = 0 }}\n  \
         condition \"schedule\" {{ cron = \"0 0 1 1 *\" }}\n}}\n"
    )
}

#[test]
fn a_run_that_needs_more_memory_is_killed_and_told_and_others_have_their_bounds() {
    let place = Place::new();
    let hungry = "echo eats; head -c 300m /dev/zero | tail -c 299m > /dev/null; exit 9";
    let cpu = "grep -E 'cpu' /proc/self/cgroup >&2; cat /proc/self/cgroup >&2; \
               for f in /sys/fs/cgroup/cpu*/$(grep -E ':cpu[:,]' /proc/self/cgroup | cut -d: -f3)/cpu.cfs_quota_us \
               /sys/fs/cgroup$(grep ^0:: /proc/self/cgroup | cut -d: -f3)/cpu.max; do [ -e $f ] && cat $f >&2; done; exit 3";
    let many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do sleep 5 & done; wait; exit 4";
    let tasks = [
        task("hungry", hungry, "memory = \"32MiB\""),
        task("slow", cpu, "cpu = \"50%\""),
        task("many", many, "pids = 8"),
        task("small", "exit 0", "memory = \"64MiB\" cpu = 1 pids = 20"),
    ];
    let agent = place.start(&tasks.concat());
    agent.ready();
    let error = |name: &str| agent.event(name)["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(agent.event("small")["success"], true, "{}", error("small"));
    let hungry = error("hungry");
    assert!(hungry.starts_with("out of memory: the kernel killed a process of the run"), "{hungry}");
    assert!(hungry.contains("limit of 32 MiB"), "{hungry}");
    let slow = error("slow");
    assert!(slow.contains("50000"), "{slow}");
    let many = error("many");
    assert!(many.to_lowercase().contains("fork") || many.contains("Resource temporarily unavailable"), "{many}");
    assert!(agent.stop().success());
}

#[test]
fn limits_that_are_no_limits_are_refused_by_the_configuration() {
    let place = Place::new();
    for (limits, why) in [
        ("memory = \"1MiB\"", "`memory` is at least 8 MiB"),
        ("memory = \"much\"", "`memory` must be an amount of memory"),
        ("cpu = \"0%\"", "`cpu` must be a share of one core"),
        ("pids = 0", "`pids` is 1 or more"),
    ] {
        place.file("bad.hcl", task("x", "true", limits));
        let said = place.run(&["config", "check", "-config-file", "bad.hcl"]);
        let said = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
        assert!(said.contains(why), "{limits}: {said}");
    }
}
