//! The directory of a task: made safely, and files in it replaced whole.
//!
//! A run may have fewer rights than the agent, and its user may put into the directory what they like: a link there must not
//! lead the agent elsewhere, and a pipe must not hold it up. The parent is opened as the operator named it, links and all;
//! from there on no link is followed, and everything goes through open handles, so that one which is put there later has no
//! effect.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};

/// Largest generated file that is read back to be compared; a larger one is simply written again.
const COMPARE_MAX: u64 = 64 * 1024 * 1024;

/// Why a directory or a file in it could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Nothing was changed.
    #[error("task name {0:?} cannot be a directory: use letters, digits, `_` and `-`")]
    Name(String),
    /// The last part of the path is a link, or no directory at all. Nothing was changed.
    #[error("{} is a link or a file, not a directory: remove it, or name the place it leads to", .0.display())]
    NotOurs(PathBuf),
    /// The system refused. What was there before is still there.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// `working_dir/<task>`, if the name is one component that cannot lead elsewhere.
pub fn below(working_dir: &Path, task: &str) -> Result<PathBuf, DirectoryError> {
    let plain = task.len() <= 64 && super::hcl::is_identifier(task);
    if plain { Ok(working_dir.join(task)) } else { Err(DirectoryError::Name(task.to_owned())) }
}

/// An open task directory.
#[derive(Debug)]
pub struct Directory {
    handle: File,
    path: PathBuf,
}

impl Directory {
    /// Makes it (0750, parents too) if it is missing, and opens it.
    pub fn open(dir: &Path) -> Result<Self, DirectoryError> {
        let refused = |what, source: io::Error| DirectoryError::Io { what, path: dir.to_owned(), source };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let Some(name) = dir.file_name() else {
            // `/` or `..`: it is there, and its name cannot be swapped.
            let handle = rustix::fs::open(dir, flags, Mode::empty());
            let handle = handle.map_err(|error| refused("open directory", error.into()))?;
            return Ok(Self { handle: handle.into(), path: dir.to_owned() });
        };
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o750);
        builder.recursive(true).create(parent).map_err(|e| refused("create the parent of", e))?;

        let parent =
            rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| refused("open the parent of", e.into()))?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o750)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(refused("create directory", error.into())),
        }
        match rustix::fs::openat(&parent, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(handle) => Ok(Self { handle: handle.into(), path: dir.to_owned() }),
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Err(DirectoryError::NotOurs(dir.to_owned())),
            Err(error) => Err(refused("open directory", error.into())),
        }
    }

    /// Opens it when it is there. The last part of the path is no link.
    pub fn existing(dir: &Path) -> io::Result<Self> {
        Self::at(rustix::fs::CWD, dir, OFlags::NOFOLLOW, dir.to_owned())
    }

    /// The same wherever a link leads: for a directory that is not the run's.
    pub(super) fn followed(dir: &Path) -> io::Result<Self> {
        Self::at(rustix::fs::CWD, dir, OFlags::empty(), dir.to_owned())
    }

    /// A directory in it.
    pub(super) fn inside(&self, name: &str) -> io::Result<Self> {
        Self::at(&self.handle, Path::new(name), OFlags::NOFOLLOW, self.path.join(name))
    }

    fn at(parent: impl AsFd, name: &Path, more: OFlags, path: PathBuf) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY | more;
        Ok(Self { handle: rustix::fs::openat(parent, name, flags, Mode::empty())?.into(), path })
    }

    /// Names of what is in it, in any order.
    pub(super) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>>> {
        let name = |entry: rustix::io::Result<rustix::fs::DirEntry>| {
            Ok(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned())
        };
        Ok(rustix::fs::Dir::read_from(&self.handle)?.map(name))
    }

    /// What is in a regular file of at most so many bytes. A link is none.
    pub fn read(&self, name: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
        regular(&self.handle, name.as_ref(), OFlags::NOFOLLOW, bytes_max)
    }

    /// The same for a file that people may have put there as a link. It counts where only the agent's own user can make one.
    pub(super) fn read_configuration(&self, name: impl AsRef<Path>, bytes_max: u64) -> io::Result<Vec<u8>> {
        let about = rustix::fs::fstat(&self.handle)?;
        let is_ours = about.st_uid == rustix::process::geteuid().as_raw() && about.st_mode & 0o022 == 0;
        let links = if is_ours { OFlags::empty() } else { OFlags::NOFOLLOW };
        regular(&self.handle, name.as_ref(), links, bytes_max)
    }

    /// Gives a file in it another name, there too; one that has that name already goes.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Replaces a file by this content (0640), by a new file that takes its name. `false`: it was so already.
    pub fn replace(&self, name: &str, content: &[u8]) -> Result<bool, DirectoryError> {
        if self.holds(name, content) {
            return Ok(false);
        }
        let draft = format!(".{name}.new");
        let written = self
            .write_new(&draft, content)
            .and_then(|()| rustix::fs::renameat(&self.handle, &draft, &self.handle, name).map_err(io::Error::from));
        written.map(|()| true).map_err(|e| self.refused("write", name, e))
    }

    /// Removes a file. `false`: it was not there.
    pub fn remove(&self, name: &str) -> Result<bool, DirectoryError> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(self.refused("remove", name, error.into())),
        }
    }

    fn refused(&self, what: &'static str, name: &str, source: io::Error) -> DirectoryError {
        DirectoryError::Io { what, path: self.path.join(name), source }
    }

    fn write_new(&self, draft: &str, content: &[u8]) -> io::Result<()> {
        // A draft that an earlier agent left behind, or a link that somebody put there, goes.
        match rustix::fs::unlinkat(&self.handle, draft, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file: File = rustix::fs::openat(&self.handle, draft, flags, Mode::from_raw_mode(0o640))?.into();
        file.write_all(content)
    }

    /// Whether a regular file has exactly this content.
    fn holds(&self, name: &str, content: &[u8]) -> bool {
        let size = content.len() as u64;
        size <= COMPARE_MAX && self.read(name, size).is_ok_and(|found| found == content)
    }
}

/// What is in a regular file of at most so many bytes, wherever a link leads. Anything else is an error and holds nothing up.
pub fn read_regular(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    regular(rustix::fs::CWD, path, OFlags::empty(), bytes_max)
}

fn regular(parent: impl AsFd, name: &Path, more: OFlags, bytes_max: u64) -> io::Result<Vec<u8>> {
    // A pipe without a writer would never open.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | more;
    let file = File::from(rustix::fs::openat(parent, name, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut content = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes, too many to look at")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn only_plain_names_become_directories() {
        assert_eq!(below(Path::new("/w"), "edge-1").unwrap(), Path::new("/w/edge-1"));
        for name in ["", ".", "..", "../x", "a/b", "a\0b", "%2e%2e", "/etc", "a b", &"a".repeat(65)] {
            assert!(matches!(below(Path::new("/w"), name), Err(DirectoryError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn files_are_replaced_whole_and_only_when_they_differ() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("deep/edge");
        let directory = Directory::open(&dir).unwrap();
        assert!(directory.replace("a.tf", b"one").unwrap());
        assert!(!directory.replace("a.tf", b"one").unwrap());
        assert!(directory.replace("a.tf", b"two").unwrap());
        assert_eq!(fs::read(dir.join("a.tf")).unwrap(), b"two");
        let more_than = |path: &Path, mode: u32| fs::metadata(path).unwrap().permissions().mode() & 0o777 & !mode;
        assert_eq!((more_than(&dir.join("a.tf"), 0o640), more_than(&dir, 0o750)), (0, 0));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "no draft stays");
        assert!(directory.remove("a.tf").unwrap() && !directory.remove("a.tf").unwrap());
    }

    #[test]
    fn a_directory_swapped_for_a_link_that_leads_out_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), root.path().join("edge")).unwrap();
        let error = Directory::open(&root.path().join("edge")).unwrap_err();
        assert!(matches!(error, DirectoryError::NotOurs(_)), "{error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_inside_of_the_directory_is_replaced_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let victim = outside.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let directory = Directory::open(root.path()).unwrap();
        symlink(&victim, root.path().join("main.tf")).unwrap();
        symlink(&victim, root.path().join(".main.tf.new")).unwrap();
        assert!(directory.replace("main.tf", b"precious").unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(fs::symlink_metadata(root.path().join("main.tf")).unwrap().is_file());
    }

    #[test]
    fn a_link_put_there_after_opening_has_no_effect() {
        let root = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let dir = root.path().join("edge");
        let directory = Directory::open(&dir).unwrap();
        fs::rename(&dir, root.path().join("moved")).unwrap();
        symlink(outside.path(), &dir).unwrap();
        directory.replace("main.tf", b"x").unwrap();
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        assert!(root.path().join("moved/main.tf").exists());
    }

    #[test]
    fn only_regular_files_are_read_and_links_only_where_nobody_else_makes_them() {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let dir = root.path().join("edge");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("plain"), "plain").unwrap();
        symlink(&secret, dir.join("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.join("pipe"), rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let directory = Directory::existing(&dir).unwrap();
        assert_eq!(directory.read("plain", 5).unwrap(), b"plain");
        assert!(directory.read("plain", 4).unwrap_err().to_string().contains("more than 4 bytes"));
        for other in ["link", "pipe", "..", "none"] {
            assert!(directory.read(other, 99).is_err(), "{other}");
        }
        for (mode, is_read) in [(0o755, true), (0o777, false), (0o775, false)] {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(directory.read_configuration("link", 99).is_ok(), is_read, "{mode:o}");
            assert_eq!(directory.read_configuration("plain", 99).unwrap(), b"plain");
            assert!(directory.read_configuration("pipe", 99).is_err());
        }
        assert!(read_regular(&dir.join("pipe"), 99).is_err() && read_regular(&dir.join("link"), 99).is_ok());
        symlink(&dir, root.path().join("aside")).unwrap();
        let above = Directory::existing(root.path()).unwrap();
        assert!(above.inside("aside").is_err() && Directory::existing(&root.path().join("aside")).is_err());
        assert!(above.inside("edge").is_ok() && Directory::followed(&root.path().join("aside")).is_ok());
    }
}
