//! A file of lines: appended to, for its owner alone, rotated by size.
//!
//! `trail.log` is the file that is written; `trail.log.1` the one before, and so on. What cannot be rotated is written on: a
//! line in a file that is too large is better than none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::{FileSettings, Sink};

/// See the module.
#[derive(Debug)]
pub struct LogFile {
    settings: FileSettings,
    file: File,
    /// Of the file; `None`: it is none that grows, such as a terminal.
    size: Option<u64>,
    /// The last line did not get out whole and could not be taken back.
    torn: bool,
}

impl LogFile {
    /// Opens it, or makes it.
    pub fn open(settings: FileSettings) -> io::Result<Self> {
        let (file, size) = open(&settings.path)?;
        Ok(Self { settings, file, size, torn: false })
    }

    /// Whether it could be opened. Nothing is changed: a file that is not there is not made.
    pub fn check(settings: &FileSettings) -> io::Result<()> {
        if settings.path.exists() {
            return open(&settings.path).map(drop);
        }
        let parent = settings.path.parent().unwrap_or(Path::new("/"));
        if !parent.is_dir() {
            let why = format!("there is no directory {}", parent.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        rustix::fs::access(parent, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(io::Error::from)
    }

    fn rotate_for(&mut self, more: u64) {
        let (Some(size), Some(max)) = (self.size, self.settings.rotate_bytes) else { return };
        if size == 0 || size + more <= max {
            return;
        }
        if let Err(error) = self.rotate() {
            tracing::warn!(%error, path = %self.settings.path.display(), "the audit trail cannot be rotated");
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        let path = self.settings.path.clone();
        // Somebody has moved it away, or the last try got no further than this: archives have moved on already.
        if !path.exists() {
            return self.reopen();
        }
        match self.settings.rotate_max_files {
            0 => std::fs::remove_file(&path)?,
            keep => {
                for number in (1..keep).rev() {
                    match std::fs::rename(numbered(&path, number), numbered(&path, number + 1)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                        Ok(()) | Err(_) => {}
                    }
                }
                std::fs::rename(&path, numbered(&path, 1))?;
            }
        }
        self.reopen()
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// The file and its size.
fn open(path: &Path) -> io::Result<(File, Option<u64>)> {
    // Without waiting: of a pipe that nobody reads we are told at once.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(flags.bits().cast_signed());
    let file = options.open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() {
        return Ok((file, Some(meta.len())));
    }
    if meta.file_type().is_char_device() {
        return Ok((file, None));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"))
}

impl Sink for LogFile {
    fn name(&self) -> &'static str {
        "file"
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let mut text = String::with_capacity(line.len() + 2);
        if self.torn {
            text.push('\n');
        }
        text.push_str(line);
        text.push('\n');
        self.rotate_for(text.len() as u64);
        match self.file.write_all(text.as_bytes()) {
            Ok(()) => {
                self.torn = false;
                self.size = self.size.map(|size| size + text.len() as u64);
                Ok(())
            }
            Err(error) => {
                // Half a line would spoil the next one.
                if let Some(size) = self.size {
                    self.torn = self.file.set_len(size).is_err();
                }
                Err(error)
            }
        }
    }

    fn reopen(&mut self) -> io::Result<()> {
        let (file, size) = open(&self.settings.path)?;
        (self.file, self.size, self.torn) = (file, size, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(path: &Path, rotate_bytes: Option<u64>, keep: u32) -> FileSettings {
        FileSettings { path: path.to_owned(), rotate_bytes, rotate_max_files: keep }
    }

    #[test]
    fn a_file_is_its_owners_and_rotated_by_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trail");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let mut file = LogFile::open(settings(&path, Some(10), 2)).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        for line in ["one", "two", "three", "a line that is longer than all", "four"] {
            file.write(line).unwrap();
        }
        assert_eq!(read("trail"), "four\n");
        assert_eq!(read("trail.1"), "a line that is longer than all\n");
        assert_eq!(read("trail.2"), "three\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "two old ones are kept");
        std::fs::rename(&path, dir.path().join("moved")).unwrap();
        file.write("five").unwrap();
        file.reopen().unwrap();
        file.write("six").unwrap();
        assert_eq!((read("moved"), read("trail")), ("four\nfive\n".to_owned(), "six\n".to_owned()));
    }

    #[test]
    fn a_file_that_is_there_is_appended_to_and_without_old_ones_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trail");
        std::fs::write(&path, "before\n").unwrap();
        let mut file = LogFile::open(settings(&path, None, 0)).unwrap();
        file.write("after").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
        let mut file = LogFile::open(settings(&path, Some(15), 0)).unwrap();
        file.write("new").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
    }

    #[test]
    fn a_file_that_is_gone_is_begun_anew_and_old_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trail");
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        let mut file = LogFile::open(settings(&path, Some(10), 2)).unwrap();
        for line in ["one line", "two line", "three"] {
            file.write(line).unwrap();
        }
        std::fs::remove_file(&path).unwrap();
        for line in ["a fourth", "a fifth"] {
            file.write(line).unwrap();
        }
        assert_eq!(
            (read("trail.2"), read("trail.1"), read("trail")),
            ("two line\n".into(), "a fourth\n".into(), "a fifth\n".into())
        );
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let full = settings(Path::new("/dev/full"), Some(10), 1);
        LogFile::check(&full).unwrap();
        let mut file = LogFile::open(full).unwrap();
        assert_eq!(file.write("x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        let dir = tempfile::tempdir().unwrap();
        let nowhere = settings(&dir.path().join("none/trail"), None, 0);
        assert!(LogFile::check(&nowhere).unwrap_err().to_string().contains("there is no directory"));
        assert!(LogFile::open(nowhere).is_err());
        assert!(LogFile::check(&settings(dir.path(), None, 0)).is_err(), "a directory is no file");
        let fresh = settings(&dir.path().join("trail"), None, 0);
        LogFile::check(&fresh).unwrap();
        assert!(!fresh.path.exists(), "a check makes nothing");
    }
}
