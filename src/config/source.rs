//! Where configuration text comes from: files, directories, the command line.
//!
//! A path is a file or a directory (not searched further down); a directory's files are taken in order of their
//! names. Files that are empty or end in neither `.hcl` nor `.json` are skipped, as CTS does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Problems};
use super::span::{Format, SourceFile};

/// Largest file that is read. A configuration is some kilobytes; more is a mistake of the path.
const FILE_MAX: u64 = 4 << 20;

/// Reads all sources in order. What cannot be read is a problem; the rest is returned all the same.
pub(super) fn collect(paths: &[PathBuf], cwd: &Path, problems: &mut Problems) -> Vec<Arc<SourceFile>> {
    let mut files = Vec::new();
    for path in paths {
        let place = cwd.join(path);
        match fs::metadata(&place) {
            Err(error) => problems.add(unreadable(path, &error)),
            Ok(meta) if meta.is_dir() => directory(path, &place, &mut files, problems),
            Ok(meta) if meta.is_file() => files.extend(file(path, &place, problems)),
            Ok(_) => problems.add(strange(path)),
        }
    }
    files
}

fn directory(path: &Path, place: &Path, files: &mut Vec<Arc<SourceFile>>, problems: &mut Problems) {
    let names: Result<Vec<_>, _> =
        fs::read_dir(place).and_then(|entries| entries.map(|entry| entry.map(|entry| entry.file_name())).collect());
    match names {
        Err(error) => problems.add(unreadable(path, &error)),
        Ok(mut names) => {
            names.sort();
            for name in names {
                let (path, place) = (path.join(&name), place.join(&name));
                match fs::metadata(&place) {
                    Ok(meta) if meta.is_dir() => {}
                    Ok(meta) if meta.is_file() => files.extend(file(&path, &place, problems)),
                    // What is no configuration by its name is passed over, whatever it is.
                    _ if format(&path).is_none() => {}
                    Ok(_) => problems.add(strange(&path)),
                    Err(error) => problems.add(unreadable(&path, &error)),
                }
            }
        }
    }
}

fn file(path: &Path, place: &Path, problems: &mut Problems) -> Option<Arc<SourceFile>> {
    let format = format(path)?;
    let text = text(path, place, problems)?;
    let blank = text.trim_start_matches('\u{feff}').trim().is_empty();
    (!blank).then(|| SourceFile::new(path.display().to_string(), text, format))
}

/// By the end of its name.
fn format(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "hcl" => Some(Format::Hcl),
        "json" => Some(Format::Json),
        _ => None,
    }
}

/// The text of a file of a sane size, or a problem.
pub(super) fn text(path: &Path, place: &Path, problems: &mut Problems) -> Option<String> {
    let read = fs::metadata(place).and_then(|meta| {
        if meta.len() > FILE_MAX {
            return Err(std::io::Error::other(format!("larger than {} MiB", FILE_MAX >> 20)));
        }
        fs::read(place)
    });
    match read.map(String::from_utf8) {
        Ok(Ok(text)) => Some(text),
        Ok(Err(error)) => {
            let at = error.utf8_error().valid_up_to();
            problems.add(
                Diagnostic::error(format!("{} is not a text file: byte {at} is not UTF-8", path.display()))
                    .help("is this the right file? a configuration is text in HCL or JSON"),
            );
            None
        }
        Err(error) => {
            problems.add(unreadable(path, &error));
            None
        }
    }
}

fn strange(path: &Path) -> Diagnostic {
    Diagnostic::error(format!("unknown filetype: {} is neither a file nor a directory", path.display()))
        .help("give a regular file that ends in .hcl or .json, or a directory of such files")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::error(format!("failed to read {}: {error}", path.display()))
}
