//! Downloads Terraform as configured: the release index names versions, the checksum file what the archive must be.
//!
//! The archive is checked against `SHA256SUMS` from the same place before anything is written, and the program takes its
//! name only when it is complete.
//!
//! # Not here
//!
//! The signature of the checksums: what is trusted is the address, by TLS. A mirror is trusted as configured.

use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quorate_proto::hex;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::binary::OLDEST;
use super::version::Version;
use crate::tls;

/// Where releases come from, unless a mirror is named.
pub const RELEASES: &str = "https://releases.hashicorp.com";
/// The environment variable that names a mirror with the same layout.
pub const RELEASES_VARIABLE: &str = "QUORATE_RELEASES_URL";

/// Longest download and largest files: the archive has about 30 MB, the program 100 MB, the index some MB.
const TIMEOUT: Duration = Duration::from_mins(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DOWNLOAD_MAX: usize = 256 * 1024 * 1024;
const PROGRAM_MAX: u64 = 1024 * 1024 * 1024;

/// Why Terraform could not be installed. What was there before is still there.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// No such file, or no way out.
    #[error(
        "cannot download {url}: {why}; put a terraform or tofu on the PATH, or name its place with `path` in driver \"terraform\""
    )]
    Download {
        /// What.
        url: String,
        /// Why not.
        why: String,
    },
    /// It is not what it should be.
    #[error("{url} is not as it should be: {why}")]
    Content {
        /// What.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// No release is built for this machine.
    #[error("no Terraform is released for {0}; build it, and name its place with `path` in driver \"terraform\"")]
    Platform(String),
    /// The disk.
    #[error("cannot write {}: {why}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why not.
        why: std::io::Error,
    },
}

/// Installs `terraform` into a directory, made if missing: this version, or the newest release. Answers its path.
pub async fn install(base: &str, version: Option<&str>, into: &Path) -> Result<PathBuf, InstallError> {
    let base = base.trim_end_matches('/');
    let platform = platform()?;
    let http = client(base)?;
    let version = match version {
        Some(version) => version.trim_start_matches('v').to_owned(),
        None => newest(&http, base).await?.to_string(),
    };
    let name = format!("terraform_{version}_{platform}.zip");
    let sums_url = format!("{base}/terraform/{version}/terraform_{version}_SHA256SUMS");
    let sums = get(&http, &sums_url).await?;
    let wanted = checksum(&sums, &name)
        .ok_or_else(|| InstallError::Content { url: sums_url, why: format!("it does not name {name}") })?;
    let url = format!("{base}/terraform/{version}/{name}");
    let archive = get(&http, &url).await?;
    let found = hex(&Sha256::digest(&archive));
    if found != wanted {
        return Err(InstallError::Content { url, why: format!("its SHA-256 is {found}, but {wanted} is published") });
    }
    let into = into.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || unpack(&url, archive, &into)).await;
    unpacked.map_err(|error| InstallError::Content { url: name, why: error.to_string() })?
}

fn platform() -> Result<String, InstallError> {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "arm" => "arm",
        other => return Err(InstallError::Platform(other.to_owned())),
    };
    let system = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    Ok(format!("{system}_{processor}"))
}

fn client(base: &str) -> Result<reqwest::Client, InstallError> {
    let failed = |why: String| InstallError::Download { url: base.to_owned(), why };
    let tls = tls::Client::default().config().map_err(|error| failed(error.to_string()))?;
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
    builder.tls_backend_preconfigured(tls).build().map_err(|error| failed(error.to_string()))
}

async fn get(http: &reqwest::Client, url: &str) -> Result<Vec<u8>, InstallError> {
    let failed = |error: reqwest::Error| {
        let why = tls::explain(&error).unwrap_or_else(|| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("{}{cause}", error.without_url())
        });
        InstallError::Download { url: url.to_owned(), why }
    };
    let mut answer = http.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > DOWNLOAD_MAX {
            let why = format!("it is larger than {DOWNLOAD_MAX} bytes");
            return Err(InstallError::Content { url: url.to_owned(), why });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[derive(Deserialize)]
struct Index {
    versions: serde_json::Map<String, serde_json::Value>,
}

/// The newest release; previews do not count.
async fn newest(http: &reqwest::Client, base: &str) -> Result<Version, InstallError> {
    let url = format!("{base}/terraform/index.json");
    let index = get(http, &url).await?;
    let wrong = |why: String| InstallError::Content { url: url.clone(), why };
    let index: Index = serde_json::from_slice(&index).map_err(|error| wrong(error.to_string()))?;
    let releases = index.versions.keys().filter(|name| !name.contains(['-', '+'])).filter_map(|name| name.parse().ok());
    let newest = releases.filter(|version: &Version| version.at_least(OLDEST.0, OLDEST.1)).max();
    newest.ok_or_else(|| wrong("it names no release".to_owned()))
}

/// The checksum of a file in the text of `SHA256SUMS`: lines of `<hex>  <name>`.
fn checksum(sums: &[u8], name: &str) -> Option<String> {
    let line = |line: &str| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        let is_sum = sum.len() == 64 && sum.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_sum && file.trim() == name).then(|| sum.to_ascii_lowercase())
    };
    std::str::from_utf8(sums).ok()?.lines().find_map(line)
}

fn unpack(url: &str, archive: Vec<u8>, into: &Path) -> Result<PathBuf, InstallError> {
    let wrong = |why: String| InstallError::Content { url: url.to_owned(), why };
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(|error| wrong(error.to_string()))?;
    let entry = archive.by_name("terraform").map_err(|error| wrong(error.to_string()))?;
    let mut program = Vec::new();
    entry.take(PROGRAM_MAX + 1).read_to_end(&mut program).map_err(|error| wrong(error.to_string()))?;
    if program.len() as u64 > PROGRAM_MAX {
        return Err(wrong(format!("the program in it is larger than {PROGRAM_MAX} bytes")));
    }
    let (draft, path) = (into.join(".terraform.new"), into.join("terraform"));
    let failed = |why| InstallError::Write { path: path.clone(), why };
    std::fs::create_dir_all(into).map_err(failed)?;
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&draft).map_err(failed)?;
    file.write_all(&program).and_then(|()| file.sync_all()).map_err(failed)?;
    drop(file);
    std::fs::rename(&draft, &path).map_err(failed)?;
    Ok(path)
}

#[cfg(test)]
mod tests;
