//! Finds Terraform or OpenTofu and asks it for its version.
//!
//! With `path` configured only that is looked at: an operator who names a place wants no other. Without it the first
//! `terraform` on the PATH is taken, and if there is none the first `tofu`.
//!
//! From 0.13 on every version is accepted: a ceiling would break an agent on the day that its host is updated.
//!
//! What is nowhere is downloaded when the caller wants that ([`find_or_install`]).

use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use super::Settings;
use super::env::WITHHELD;
use super::version::Version;

/// The oldest version whose commands and language we use, as (major, minor).
pub const OLDEST: (u32, u32) = (0, 13);

/// How long `version` may take. It takes tens of milliseconds; a cold disk under load takes seconds.
pub const VERSION_TIMEOUT: Duration = Duration::from_secs(30);

/// `errno` of a file that this machine cannot run: built for another architecture, or no program at all.
const ENOEXEC: i32 = 8;

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// HashiCorp's.
    Terraform,
    /// The Linux Foundation's.
    OpenTofu,
}

impl Kind {
    /// The name of its program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Terraform => "terraform",
            Self::OpenTofu => "tofu",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Terraform => "Terraform",
            Self::OpenTofu => "OpenTofu",
        })
    }
}

/// A program that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// Absolute.
    pub path: PathBuf,
    /// Which.
    pub kind: Kind,
    /// What it says it is.
    pub version: Version,
}

/// Why there is no usable program. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// Install it, or say where it is.
    #[error(
        "no terraform or tofu found (looked at {}): install one of them, or set `path` in driver \"terraform\" to the \
         directory that holds it",
        list(.0)
    )]
    NotFound(Vec<PathBuf>),
    /// Make it executable.
    #[error("{} is not executable: `chmod +x` it, or set `path` in driver \"terraform\" to another", .0.display())]
    NotExecutable(PathBuf),
    /// Install the one for this machine.
    #[error(
        "{} was built for another system or is no program: install the one for {} {}",
        .0.display(), std::env::consts::OS, std::env::consts::ARCH
    )]
    WrongArchitecture(PathBuf),
    /// Starting it failed for another reason.
    #[error("start {}", .path.display())]
    Start {
        /// What was started.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// Perhaps an overloaded machine: trying again is sensible.
    #[error("{} did not answer `version` within {VERSION_TIMEOUT:?}", .0.display())]
    TimedOut(PathBuf),
    /// It is something else, or broken.
    #[error("{} did not tell its version: {said}", .path.display())]
    NoVersion {
        /// What was asked.
        path: PathBuf,
        /// What it said instead.
        said: String,
    },
    /// It is not here and could not be downloaded. Retrying is sensible.
    #[error("{missing}; {why}")]
    Install {
        /// Where it was looked for.
        missing: Box<BinaryError>,
        /// Why it could not be.
        why: Box<super::install::InstallError>,
    },
    /// Install a newer one.
    #[error(
        "{} is version {version}, but at least {}.{} is needed: install a newer one",
        .path.display(), OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// Which.
        path: PathBuf,
        /// Its version.
        version: Version,
    },
}

fn list(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "an empty PATH".to_owned();
    }
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Finds the program and asks for its version. `path_env` is the value of `PATH`.
pub async fn find(settings: &Settings, path_env: &str) -> Result<Binary, BinaryError> {
    let path = locate(settings.path.as_deref(), path_env)?;
    let output = run_version(&path, &["version", "-json"]).await?;
    let version = match parse_version(&output.stdout) {
        Some(version) => version,
        // 0.12 and older know no -json; ask again, only to be able to say which version it is.
        None => parse_version(&run_version(&path, &["version"]).await?.stdout)
            .ok_or_else(|| BinaryError::NoVersion { path: path.clone(), said: said(&output) })?,
    };
    if !version.at_least(OLDEST.0, OLDEST.1) {
        return Err(BinaryError::TooOld { path, version });
    }
    Ok(Binary { kind: kind(&path), path, version })
}

/// As [`find`], but what is not there is downloaded: into `path`, or without one into the directory that the process runs
/// in, as CTS. `releases` is where from ([`super::install::RELEASES`] or a mirror).
pub async fn find_or_install(settings: &Settings, path_env: &str, releases: &str) -> Result<Binary, BinaryError> {
    match find(settings, path_env).await {
        Err(missing @ BinaryError::NotFound(_)) => {
            let into = settings.path.clone().unwrap_or_else(|| ".".into());
            let installed = super::install::install(releases, settings.version.as_deref(), &into).await;
            let path =
                installed.map_err(|why| BinaryError::Install { missing: Box::new(missing), why: Box::new(why) })?;
            find(&Settings { path: Some(path), ..settings.clone() }, path_env).await
        }
        found => found,
    }
}

fn locate(configured: Option<&Path>, path_env: &str) -> Result<PathBuf, BinaryError> {
    let directories: Vec<PathBuf> = match configured {
        Some(path) if path.is_file() => return executable(path.to_owned()),
        Some(path) => vec![path.to_owned()],
        None => std::env::split_paths(path_env).filter(|path| !path.as_os_str().is_empty()).collect(),
    };
    // A file on the PATH that is not executable is passed over, as a shell does, but is the error when nothing else
    // is there.
    let mut refused = None;
    for kind in [Kind::Terraform, Kind::OpenTofu] {
        for directory in &directories {
            let path = directory.join(kind.program());
            if path.is_file() {
                match executable(path) {
                    Ok(path) => return Ok(path),
                    Err(error) => refused = refused.or(Some(error)),
                }
            }
        }
    }
    Err(refused.unwrap_or(BinaryError::NotFound(directories)))
}

/// Absolute, because the steps run in the task's directory.
fn executable(path: PathBuf) -> Result<PathBuf, BinaryError> {
    let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o111 == 0 {
        return Err(BinaryError::NotExecutable(path));
    }
    std::path::absolute(&path).map_err(|source| BinaryError::Start { path, source })
}

/// By the name of the file, or of the file that a link leads to.
fn kind(path: &Path) -> Kind {
    let named_tofu = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("tofu"));
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if named_tofu(path) || named_tofu(&target) { Kind::OpenTofu } else { Kind::Terraform }
}

async fn run_version(path: &Path, arguments: &[&str]) -> Result<Output, BinaryError> {
    let mut command = Command::new(path);
    // It must not ask the internet for a newer version: an agent without a way out would wait for it.
    command.args(arguments).current_dir("/").env("CHECKPOINT_DISABLE", "1");
    for name in WITHHELD.iter().chain(&["TF_CLI_ARGS", "TF_CLI_ARGS_version"]) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(VERSION_TIMEOUT, command.output()).await {
        Err(_) => Err(BinaryError::TimedOut(path.to_owned())),
        Ok(Err(error)) if error.raw_os_error() == Some(ENOEXEC) => Err(BinaryError::WrongArchitecture(path.to_owned())),
        Ok(Err(source)) => Err(BinaryError::Start { path: path.to_owned(), source }),
        Ok(Ok(output)) => Ok(output),
    }
}

/// From the JSON answer, else from the first line of the plain one (`Terraform v0.12.31`).
fn parse_version(stdout: &[u8]) -> Option<Version> {
    let text = std::str::from_utf8(stdout).ok()?;
    let json = serde_json::from_str::<serde_json::Value>(text).ok();
    if let Some(version) = json.as_ref().and_then(|json| json.get("terraform_version")?.as_str()) {
        return version.parse().ok();
    }
    let (name, version) = text.lines().next()?.split_once(' ')?;
    matches!(name, "Terraform" | "OpenTofu").then(|| version.trim().parse().ok()).flatten()
}

fn said(output: &Output) -> String {
    let text = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let text: String = String::from_utf8_lossy(text).chars().take(200).collect();
    format!("{} ({})", text.trim().escape_debug(), output.status)
}

/// What an operator is told when `version` in the configuration names another one: a warning, nothing more.
pub fn version_warning(settings: &Settings, binary: &Binary) -> Option<String> {
    let wanted = settings.version.as_ref()?;
    let same = wanted.trim_start_matches('v') == binary.version.to_string();
    (!same).then(|| {
        format!("{} at {} is version {}, configured is {wanted}", binary.kind, binary.path.display(), binary.version)
    })
}

#[cfg(test)]
mod tests;
