//! A cgroup (v2) for each run, where one can be made: then nothing of it escapes, and one write kills all of it.
//!
//! The guardian itself waits in the cgroup of the next run: what it starts is born inside, so there is no moment at which it
//! could fork outside, and then the guardian moves on into a new one. To move takes the kernel milliseconds, which so lie after
//! the start of a run and not before it. No controller is used (`bounds` has those), so it works in a cgroup that processes live in, if it may be written
//! (as root, or delegated by systemd). Where not, `tree` has to do alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Followed by the guardian's process id and the run's id.
pub(super) const PREFIX: &str = "quorate-";

/// The cgroup that the guardian was started in, below which those of runs are made.
#[derive(Debug)]
pub(super) struct Cgroups {
    own: PathBuf,
    /// Where the guardian is: the cgroup of the next run.
    next: Option<PathBuf>,
    made: u64,
}

/// The cgroup of one run.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: PathBuf,
    /// The guardian could not move back out of it, so it must not be killed as a whole.
    holds_guardian: bool,
}

impl Cgroups {
    /// Finds out whether cgroups can be made here, by doing it; also removes empty ones that an earlier guardian left.
    pub(super) fn probe() -> Option<Self> {
        let own = own_path(
            &fs::read_to_string("/proc/self/mountinfo").ok()?,
            &fs::read_to_string("/proc/self/cgroup").ok()?,
        )?;
        fs::read_dir(&own).ok()?;
        remove_stale(&own);
        let mut cgroups = Self { own, next: None, made: 0 };
        let moved = cgroups.move_on();
        let works = moved.is_ok()
            && cgroups.next.as_ref().is_some_and(|next| fs::exists(next.join("cgroup.kill")).unwrap_or(false));
        // Otherwise it goes back where it was.
        works.then_some(cgroups)
    }

    /// Makes the cgroup of the next run and enters it. On an error the guardian is where it was.
    fn move_on(&mut self) -> io::Result<()> {
        self.made += 1;
        let path = self.own.join(format!("{PREFIX}{}-{}", std::process::id(), self.made));
        fs::create_dir(&path)?;
        if let Err(error) = enter(&path) {
            drop(fs::remove_dir(&path));
            return Err(error);
        }
        self.next = Some(path);
        Ok(())
    }

    /// Calls `spawn`: what it starts is in a cgroup of its own, if one can be made.
    pub(super) fn born_inside<T, E>(&mut self, spawn: impl FnOnce() -> Result<T, E>) -> Result<(T, Option<Cgroup>), E> {
        if self.next.is_none() {
            // It failed when the last run was started; that may be over.
            drop(self.move_on());
        }
        let spawned = spawn()?;
        let Some(path) = self.next.take() else { return Ok((spawned, None)) };
        let has_moved = self.move_on().is_ok() || enter(&self.own).is_ok();
        Ok((spawned, Some(Cgroup { path, holds_guardian: !has_moved })))
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        if let Some(next) = &self.next
            && enter(&self.own).is_ok()
        {
            drop(fs::remove_dir(next));
        }
    }
}

impl Cgroup {
    /// A cgroup known by its path, to kill what a guardian that is gone left in it.
    pub(super) fn at(path: &str) -> Self {
        Self { path: PathBuf::from(path), holds_guardian: false }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the guardian is stuck in it.
    pub(super) fn holds_guardian(&self) -> bool {
        self.holds_guardian
    }

    /// The processes in it, those in cgroups that they made below it too.
    pub(super) fn pids(&self) -> Vec<i32> {
        let mut pids = Vec::new();
        let mut open = vec![self.path.clone()];
        while let Some(path) = open.pop() {
            let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            open.extend(below(&path));
        }
        pids
    }

    /// SIGKILL to all of it at once.
    pub(super) fn kill(&self) {
        if !self.holds_guardian {
            // Refused only when it is gone; the sweep that follows does not rely on it.
            drop(fs::write(self.path.join("cgroup.kill"), "1"));
        }
    }

    /// Removes it when it is empty. Not essential: the next guardian removes what is left.
    pub(super) fn remove(&self) {
        remove(&self.path);
    }
}

/// Removes what guardians that are gone have left in a cgroup.
pub(super) fn remove_stale(own: &Path) {
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let of = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once('-')?.0.parse::<u32>().ok());
        if of.is_some_and(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true)) {
            // Refused for one that holds a process.
            remove(&entry.path());
        }
    }
}

fn remove(path: &Path) {
    for inner in below(path) {
        remove(&inner);
    }
    drop(fs::remove_dir(path));
}

fn below(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

fn enter(path: &Path) -> io::Result<()> {
    fs::write(path.join("cgroup.procs"), "0")
}

/// The directory of the own v2 cgroup, from the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn own_path(mountinfo: &str, cgroup: &str) -> Option<PathBuf> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, mount) = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        (after.split(' ').next() == Some("cgroup2")).then_some((fields.next()?, fields.next()?))
    })?;
    // Relative to the root of the mount; one that is outside of it (`/..`) cannot be reached.
    let relative = Path::new(own).strip_prefix(root).ok()?;
    let inside = relative.components().all(|part| part != std::path::Component::ParentDir);
    inside.then(|| Path::new(mount).join(relative))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(mountinfo: &str, cgroup: &str, expected: Option<&str>) {
        assert_eq!(own_path(mountinfo, cgroup), expected.map(PathBuf::from));
    }

    #[test]
    fn the_own_cgroup_is_found_below_its_mount() {
        let whole = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw";
        check(whole, "0::/system.slice/q.service\n", Some("/sys/fs/cgroup/system.slice/q.service"));
        check(whole, "0::/\n", Some("/sys/fs/cgroup/"));
        let part = "30 24 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup rw";
        check(part, "1:cpu:/\n0::/box/in\n", Some("/sys/fs/cgroup/in"));
        check(part, "0::/other\n", None);
        check(part, "0::/../x\n", None);
        check("30 24 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", "1:cpu:/\n", None);
    }
}
