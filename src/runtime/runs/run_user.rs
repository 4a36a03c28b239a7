//! Another user for the runs of a task: who that is, and what is theirs.
//!
//! The agent prepares the directory of a task with its own rights and gives it away before the run begins. The user may then
//! put there what they like, so nothing that is given away is followed: links are left alone, and so is a file that has a
//! second name somewhere else.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::unistd::{self, Gid, Group, Uid};
use rustix::fs::{Mode, OFlags};

use crate::guardian::User;
use crate::task::spec::RunAs;

/// Most entries of a directory that are given away; a directory with more is no task's.
const ENTRIES_MAX: usize = 1_000_000;
/// Deepest nesting of directories.
const DEPTH_MAX: usize = 64;

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunUser {
    /// For the guardian.
    pub(super) user: User,
    /// Its name; a number that has none is its own.
    pub(super) name: String,
    /// Its home.
    pub(super) home: String,
}

impl RunUser {
    /// Who is meant, as the system knows it now. The error is for people.
    pub(super) fn find(run_as: &RunAs) -> Result<Self, String> {
        let failed = |why: String| format!("run_as {run_as:?}: {why}", run_as = run_as.to_string());
        if !rustix::process::geteuid().is_root() {
            return Err(failed("only an agent that runs as root can start runs as another user".to_owned()));
        }
        let system = |error: nix::Error| failed(format!("the users of this machine cannot be read: {error}"));
        let found = match run_as.user.parse::<u32>() {
            Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)).map_err(system)?,
            Err(_) => unistd::User::from_name(&run_as.user).map_err(system)?,
        };
        let (uid, own_group, name, home) = match (found, run_as.user.parse::<u32>()) {
            (Some(user), _) => (user.uid, Some(user.gid), user.name, user.dir.to_string_lossy().into_owned()),
            // A number needs no name, but then there is no group of its own.
            (None, Ok(uid)) if run_as.group.is_some() => (Uid::from_raw(uid), None, uid.to_string(), "/".to_owned()),
            (None, Ok(_)) => {
                return Err(failed("there is no such user; write \"user:group\" for a number without".to_owned()));
            }
            (None, Err(_)) => return Err(failed(format!("there is no user {:?} on this machine", run_as.user))),
        };
        let gid = match (&run_as.group, own_group) {
            (None, Some(gid)) => gid,
            (Some(group), _) => match group.parse::<u32>() {
                Ok(gid) => Gid::from_raw(gid),
                Err(_) => match Group::from_name(group).map_err(system)? {
                    Some(group) => group.gid,
                    None => return Err(failed(format!("there is no group {group:?} on this machine"))),
                },
            },
            (None, None) => return Err(failed("no group".to_owned())),
        };
        let called = CString::new(name.as_bytes()).map_err(|_| failed("its name is no name".to_owned()))?;
        let groups = match own_group {
            Some(_) => unistd::getgrouplist(&called, gid).map_err(system)?,
            None => vec![gid],
        };
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Ok(Self { user: User { uid: uid.as_raw(), gid: gid.as_raw(), groups }, name, home })
    }

    /// Gives a task's directory away with all that the agent has put there. Its parent becomes passable, if it is the agent's.
    pub(super) fn give(&self, dir: &Path) -> Result<(), String> {
        let failed = |error: io::Error| format!("{} cannot be given to user {}: {error}", dir.display(), self.name);
        let own = rustix::process::geteuid().as_raw();
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        // By its handle: what was looked at is what is changed.
        if let Some(parent) = dir.parent()
            && let Ok(handle) = rustix::fs::open(parent, flags, Mode::empty())
            && let Ok(about) = rustix::fs::fstat(&handle)
            && about.st_uid == own
            && about.st_mode & 0o001 == 0
        {
            let passable = Mode::from_raw_mode(about.st_mode & 0o7777 | 0o011);
            rustix::fs::fchmod(&handle, passable).map_err(|error| failed(error.into()))?;
        }
        let handle = rustix::fs::open(dir, flags | OFlags::NOFOLLOW, Mode::empty());
        let handle = handle.map_err(|error| failed(error.into()))?;
        let mut left = ENTRIES_MAX;
        self.give_all(handle.as_fd(), own, 0, &mut left).map_err(failed)
    }

    fn give_all(&self, dir: std::os::fd::BorrowedFd<'_>, own: u32, depth: usize, left: &mut usize) -> io::Result<()> {
        self.give_one(dir)?;
        for entry in rustix::fs::Dir::read_from(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            *left = left.checked_sub(1).ok_or_else(|| io::Error::other("there are too many files in it"))?;
            let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY | OFlags::NONBLOCK;
            // Links, sockets, what has gone meanwhile: not ours to give.
            let Ok(inner) = rustix::fs::openat(dir, name, flags, Mode::empty()) else { continue };
            let about = rustix::fs::fstat(&inner)?;
            if about.st_uid != own {
                continue;
            }
            match rustix::fs::FileType::from_raw_mode(about.st_mode) {
                rustix::fs::FileType::Directory if depth < DEPTH_MAX => {
                    self.give_all(inner.as_fd(), own, depth + 1, left)?;
                }
                rustix::fs::FileType::RegularFile if about.st_nlink == 1 => self.give_one(inner.as_fd())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn give_one(&self, file: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
        let (uid, gid) = (rustix::fs::Uid::from_raw(self.user.uid), rustix::fs::Gid::from_raw(self.user.gid));
        Ok(rustix::fs::fchown(file, Some(uid), Some(gid))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_as(user: &str, group: Option<&str>) -> RunAs {
        RunAs { user: user.to_owned(), group: group.map(ToOwned::to_owned) }
    }

    #[test]
    fn who_is_not_there_is_told() {
        if !rustix::process::geteuid().is_root() {
            let why = RunUser::find(&run_as("root", None)).unwrap_err();
            assert!(why.contains("only an agent that runs as root"), "{why}");
            return;
        }
        for (user, group, why) in [
            ("no-such-user", None, "there is no user \"no-such-user\" on this machine"),
            ("root", Some("no-such-group"), "there is no group \"no-such-group\""),
            ("4123123", None, "write \"user:group\" for a number without"),
        ] {
            let said = RunUser::find(&run_as(user, group)).unwrap_err();
            assert!(said.starts_with("run_as ") && said.contains(why), "{said}");
        }
        let number = RunUser::find(&run_as("4123123", Some("7"))).unwrap();
        assert_eq!(number.user, User { uid: 4_123_123, gid: 7, groups: vec![7] });
        let root = RunUser::find(&run_as("root", None)).unwrap();
        assert_eq!((root.user.uid, root.user.gid, root.name.as_str()), (0, 0, "root"));
    }
}
