//! PEM files: certificates, private keys, directories of them.

use std::fs;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::Authorities;

/// Largest file that is read: the bundle of all public authorities has a quarter of a megabyte.
pub const FILE_MAX: u64 = 4 << 20;

/// A file or directory that cannot be used. Nothing was connected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {}: {why}", .path.display())]
pub struct FileError {
    /// What it is called in a configuration.
    pub key: &'static str,
    /// Which.
    pub path: PathBuf,
    /// In words.
    pub why: String,
}

impl FileError {
    pub(super) fn new(key: &'static str, path: &Path, why: String) -> Self {
        Self { key, path: path.to_owned(), why }
    }
}

/// The files of authorities, in order of their names.
pub(super) fn of(authorities: &Authorities) -> Result<Vec<PathBuf>, FileError> {
    let dir = match authorities {
        Authorities::File(path) => return Ok(vec![path.clone()]),
        Authorities::Directory(dir) => dir,
    };
    let paths = || -> std::io::Result<Vec<PathBuf>> {
        let paths: Result<Vec<_>, _> = fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.path())).collect();
        let mut files: Vec<PathBuf> = paths?.into_iter().filter(|path| path.is_file()).collect();
        files.sort();
        Ok(files)
    };
    paths().map_err(|error| FileError::new(authorities.key(), dir, error.to_string()))
}

/// All certificates of a file; what else is in it is passed over. `key` is what it is called in a configuration.
pub fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text = read(key, path)?;
    let all: Result<_, _> = CertificateDer::pem_slice_iter(&text).collect();
    all.map_err(|error| FileError::new(key, path, error.to_string()))
}

/// The private key of a file.
pub fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let sealed = text.windows(9).any(|word| word == b"ENCRYPTED");
        let why = match error {
            _ if sealed => "the key needs a passphrase; store it without one, readable to the agent only".to_owned(),
            rustls::pki_types::pem::Error::NoItemsFound => "there is no private key in PEM form in it".to_owned(),
            error => error.to_string(),
        };
        FileError::new("key", path, why)
    })
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    let wrong = |why: String| FileError::new(key, path, why);
    let meta = fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !meta.is_file() {
        return Err(wrong("it is not a regular file".to_owned()));
    }
    if meta.len() > FILE_MAX {
        return Err(wrong(format!("it is larger than {} MiB", FILE_MAX >> 20)));
    }
    fs::read(path).map_err(|error| wrong(error.to_string()))
}
