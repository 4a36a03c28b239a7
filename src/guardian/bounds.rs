//! What the processes of a run may use, all together: cgroups with limits, of either version.
//!
//! With version 2 the limited run has one cgroup beside those of other runs. Its controllers have to be passed on by the cgroup
//! that the agent was started in, which the kernel allows only while no process is in it: so the agent moves one step down
//! first. Other processes are left where they are: with them there, the agent has no cgroup of its own, and that is told. With version 1, or where a controller is there only, each controller has a hierarchy of its
//! own, and the run a directory in each.
//!
//! A limit that cannot be set is an error, and the run does not begin.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cgroup;
use super::message::Bounds;

/// Where a process is when it had to leave the cgroup that it was started in.
const AGENT: &str = "quorate-agent";
/// Over which CPU time is counted, in microseconds.
const PERIOD: u64 = 100_000;

/// The cgroups of one limited run.
#[derive(Debug)]
pub(super) struct Bounded {
    /// To enter, in this order.
    pub(super) dirs: Vec<PathBuf>,
    /// The only one, of version 2: it holds all of the run.
    pub(super) whole: Option<PathBuf>,
    /// Counts what the kernel killed for want of memory.
    kills: Option<PathBuf>,
}

/// One setting: which controller, the file and value of version 2, those of version 1. A file that need not be there comes
/// with `false`.
struct Setting {
    controller: &'static str,
    second: Vec<(&'static str, String, bool)>,
    first: Vec<(&'static str, String, bool)>,
}

fn settings(bounds: &Bounds) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(memory) = bounds.memory {
        let bytes = memory.to_string();
        settings.push(Setting {
            controller: "memory",
            second: vec![
                ("memory.max", bytes.clone(), true),
                ("memory.swap.max", "0".to_owned(), false),
                ("memory.oom.group", "1".to_owned(), false),
            ],
            first: vec![("memory.limit_in_bytes", bytes.clone(), true), ("memory.memsw.limit_in_bytes", bytes, false)],
        });
    }
    if let Some(percent) = bounds.cpu_percent {
        let quota = u64::from(percent) * PERIOD / 100;
        settings.push(Setting {
            controller: "cpu",
            second: vec![("cpu.max", format!("{quota} {PERIOD}"), true)],
            first: vec![("cpu.cfs_period_us", PERIOD.to_string(), true), ("cpu.cfs_quota_us", quota.to_string(), true)],
        });
    }
    if let Some(pids) = bounds.pids {
        let file = || vec![("pids.max", pids.to_string(), true)];
        settings.push(Setting { controller: "pids", second: file(), first: file() });
    }
    settings
}

impl Bounded {
    /// Makes what these bounds need. `number` tells the runs of this guardian apart. The error is for people.
    pub(super) fn make(bounds: &Bounds, number: u64) -> Result<Self, String> {
        let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path} cannot be read: {error}"));
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        let name = format!("{}{}-limited-{number}", cgroup::PREFIX, std::process::id());
        let mut made = Self { dirs: Vec::new(), whole: None, kills: None };
        let mut second = Vec::new();
        for setting in settings(bounds) {
            let Some(parent) = first_version(&mounts, &own, setting.controller) else {
                second.push(setting);
                continue;
            };
            if let Err(why) = made.limit_first(&parent, &name, &setting) {
                made.remove();
                return Err(why);
            }
        }
        if !second.is_empty() {
            let made_second = cgroup::own_path(&mounts, &own)
                .ok_or_else(|| "no cgroup (v2) can be reached here".to_owned())
                .and_then(|own| made.limit_second(&base(&own), &name, &second));
            if let Err(why) = made_second {
                made.remove();
                let names: Vec<&str> = second.iter().map(|setting| setting.controller).collect();
                return Err(format!("limits of {} cannot be set: {why}", names.join(", ")));
            }
        }
        Ok(made)
    }

    fn limit_first(&mut self, parent: &Path, name: &str, setting: &Setting) -> Result<(), String> {
        let Setting { controller, first, .. } = setting;
        let failed = |what: String, error: io::Error| format!("limits of {controller} cannot be set: {what}: {error}");
        cgroup::remove_stale(parent);
        let dir = parent.join(name);
        fs::create_dir(&dir).map_err(|error| failed(format!("make {}", dir.display()), error))?;
        self.dirs.push(dir.clone());
        write_all(&dir, first).map_err(|(what, error)| failed(what, error))?;
        if *controller == "memory" {
            self.kills = Some(dir.join("memory.oom_control"));
        }
        Ok(())
    }

    fn limit_second(&mut self, own: &Path, name: &str, settings: &[Setting]) -> Result<(), String> {
        for setting in settings {
            pass_on(own, setting.controller)?;
        }
        let dir = own.join(name);
        fs::create_dir(&dir).map_err(|error| format!("make {}: {error}", dir.display()))?;
        self.dirs.push(dir.clone());
        self.whole = Some(dir.clone());
        for setting in settings {
            write_all(&dir, &setting.second).map_err(|(what, error)| format!("{what}: {error}"))?;
            if setting.controller == "memory" {
                self.kills = Some(dir.join("memory.events"));
            }
        }
        Ok(())
    }

    /// Whether the kernel has killed something of the run for want of memory.
    pub(super) fn ran_out_of_memory(&self) -> bool {
        let text = self.kills.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        oom_kills(&text) > 0
    }

    /// Removes them when they are empty; the next guardian removes what is left.
    pub(super) fn remove(&self) {
        self.dirs.iter().for_each(|dir| drop(fs::remove_dir(dir)));
    }
}

fn write_all(dir: &Path, files: &[(&str, String, bool)]) -> Result<(), (String, io::Error)> {
    for (file, value, needed) in files {
        let path = dir.join(file);
        match fs::write(&path, value) {
            Ok(()) => {}
            Err(_) if !needed => {}
            Err(error) => return Err((format!("write {value} to {}", path.display()), error)),
        }
    }
    Ok(())
}

/// The cgroup that limits are made below: the agent's own, or the one above, once the agent had to move down.
fn base(own: &Path) -> PathBuf {
    let below = |path: &Path| path.file_name().is_some_and(|name| name == AGENT);
    let inside = own.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(cgroup::PREFIX));
    match own.parent() {
        // The guardian itself waits in the cgroup of the next run.
        Some(parent) if inside && !below(own) => base(parent),
        Some(parent) if below(own) => parent.to_owned(),
        _ => own.to_owned(),
    }
}

/// Has a cgroup pass a controller on to those below it.
fn pass_on(own: &Path, controller: &str) -> Result<(), String> {
    let has = |file: &str| {
        let text = fs::read_to_string(own.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    if has("cgroup.subtree_control") {
        return Ok(());
    }
    if !has("cgroup.controllers") {
        return Err(format!(
            "{} has no controller {controller}; under systemd write Delegate=yes in the unit",
            own.display()
        ));
    }
    let file = own.join("cgroup.subtree_control");
    let passed = fs::write(&file, format!("+{controller}"));
    if passed.as_ref().is_err_and(|error| error.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error())) {
        move_down(own).map_err(|error| format!("the agent cannot leave {}: {error}", own.display()))?;
        return fs::write(&file, format!("+{controller}")).map_err(|error| {
            format!(
                "{} cannot pass {controller} on: {error}; are other processes in it? The agent needs a cgroup of its own, as a \
                 unit of systemd with Delegate=yes",
                own.display()
            )
        });
    }
    passed.map_err(|error| format!("write +{controller} to {}: {error}", file.display()))
}

/// Moves the agent one step down, into a cgroup of its own; the guardian waits in one already.
fn move_down(own: &Path) -> io::Result<()> {
    let below = own.join(AGENT);
    match fs::create_dir(&below) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let Some(agent) = rustix::process::getppid() else { return Ok(()) };
    fs::write(below.join("cgroup.procs"), agent.as_raw_nonzero().to_string())?;
    Ok(())
}

/// Where this process is in the hierarchy of one controller of version 1, from the texts of `/proc/self`.
fn first_version(mountinfo: &str, cgroup: &str, controller: &str) -> Option<PathBuf> {
    let own = cgroup.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|one| one == controller).then_some(path)
    })?;
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut about = after.split(' ');
        let (kind, _, options) = (about.next()?, about.next()?, about.next()?);
        let mut fields = before.split(' ').skip(3);
        let is = kind == "cgroup" && options.split(',').any(|option| option == controller);
        is.then_some((fields.next()?, fields.next()?))
    })?;
    let relative = Path::new(own).strip_prefix(root).ok()?;
    let inside = relative.components().all(|part| part != std::path::Component::ParentDir);
    inside.then(|| Path::new(mount).join(relative))
}

/// The count in `memory.events` (v2) or `memory.oom_control` (v1).
fn oom_kills(text: &str) -> u64 {
    let of = |line: &str| line.strip_prefix("oom_kill ").and_then(|count| count.trim().parse().ok());
    text.lines().find_map(of).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_of_the_first_version_is_found_below_its_mount() {
        let mounts = "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        let own = "4:memory:/box/in\n2:cpu,cpuacct:/\n0::/x\n";
        let found = |controller| first_version(mounts, own, controller);
        assert_eq!(found("memory"), Some("/sys/fs/cgroup/memory/box/in".into()));
        assert_eq!(found("cpu"), Some("/sys/fs/cgroup/cpu,cpuacct/".into()));
        assert_eq!(found("pids"), None);
    }

    #[test]
    fn the_cgroup_of_the_agent_is_the_base_wherever_the_guardian_waits() {
        for own in [
            "/c/q.service",
            "/c/q.service/quorate-7-3",
            "/c/q.service/quorate-agent",
            "/c/q.service/quorate-agent/quorate-7-1",
        ] {
            assert_eq!(base(Path::new(own)), Path::new("/c/q.service"), "{own}");
        }
    }

    #[test]
    fn kills_are_counted_in_both_forms() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\noom_group_kill 1\n"), 2);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(oom_kills("oom_kill 0\n"), 0);
        assert_eq!(oom_kills(""), 0);
    }

    #[test]
    fn files_of_the_second_version_are_written_and_a_missing_controller_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path();
        fs::write(own.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        fs::write(own.join("cgroup.subtree_control"), "memory cpu\n").unwrap();
        let bounds = Bounds { memory: Some(64 << 20), cpu_percent: Some(50), pids: None };
        let mut made = Bounded { dirs: Vec::new(), whole: None, kills: None };
        made.limit_second(own, "run", &settings(&bounds)).unwrap();
        let read = |file: &str| fs::read_to_string(own.join("run").join(file)).unwrap();
        assert_eq!((read("memory.max").as_str(), read("cpu.max").as_str()), ("67108864", "50000 100000"));
        assert!(!made.ran_out_of_memory());
        fs::write(own.join("run/memory.events"), "oom_kill 1\n").unwrap();
        assert!(made.ran_out_of_memory());
        fs::write(own.join("cgroup.controllers"), "cpu\n").unwrap();
        let why = pass_on(own, "pids").unwrap_err();
        assert!(why.contains("has no controller pids") && why.contains("Delegate=yes"), "{why}");
    }
}
