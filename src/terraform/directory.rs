//! The directory of a task: made safely, and files in it replaced whole.
//!
//! A run may have fewer rights than the agent, and its user may put into the directory what they like: a link there must not
//! lead the agent elsewhere, and a pipe must not hold it up. The parent is opened as the operator named it, links and all;
//! from there on no link is followed, and everything goes through open handles, so that one which is put there later has no
//! effect.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
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
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(handle) = rustix::fs::openat(&self.handle, name, flags, Mode::empty()) else { return false };
        let file = File::from(handle);
        let same_size = file.metadata().is_ok_and(|metadata| {
            metadata.is_file() && metadata.len() == content.len() as u64 && metadata.len() <= COMPARE_MAX
        });
        let mut found = Vec::new();
        same_size && file.take(COMPARE_MAX).read_to_end(&mut found).is_ok() && found == content
    }
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
}
