//! HCL or JSON text to the settings of every room, with exact diagnostics.
//!
//! ```text
//! files, command line -> text -> tree -> raw blocks -> Settings
//!        source         hcl1/json   read, raw   resolve
//! ```
//!
//! A *tree* is what HCL and JSON have in common, each value with its place. *Raw* mirrors the file: everything may be
//! missing, unknown keys are refused. Several files are merged there: a later scalar wins, blocks merge field by field,
//! tasks and providers are appended, and the command line comes last. [`Settings`] is complete and checked.
//!
//! All mistakes are reported at once, each with its file, line, column, the text underlined, and what would be right.
//! Only a mistake of syntax hides what depends on that file.
//!
//! # Not here
//!
//! Reading the environment, the host name and the current directory: they are arguments of [`load`].

mod check;
mod diagnostic;
mod differences;
pub mod duration;
pub mod fuzzing;
mod hcl1;
mod json;
mod overrides;
mod raw;
mod read;
mod repeated;
mod resolve;
mod settings;
mod source;
mod task_file;
pub mod task_object;
mod templates;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use check::{Check, ClusterSummary, Finding, Program, Summary, TaskSummary};
pub use diagnostic::{Diagnostic, Report, Severity};
pub use overrides::Overrides;
pub use settings::{
    AtRest, CLUSTER_NAME, ClusterKey, EnvNames, FollowerRequests, GOSSIP_PORT, HTTP_ADDR, HTTP_PORT, HighAvailability,
    LogFormat, LogLevel, LogSettings, Settings, Syslog,
};
pub use task_file::task_file;
pub use task_object::ObjectContext;

use diagnostic::Problems;
use raw::RawRoot;
use read::Read;
use resolve::World;
use source::{Format, SourceFile};

/// Every key with its default and what it trades, as a configuration.
pub const DEFAULT: &str = include_str!("default.hcl");

/// Reads files and directories in order, lays the command line over them, and checks the whole.
///
/// Paths are relative to `cwd`; `env` answers `{{ env ".." }}` of providers; `hostname` makes the default id.
/// The error holds every mistake found; nothing has happened then.
pub fn load(
    sources: &[PathBuf],
    overrides: &Overrides,
    env: &BTreeMap<String, String>,
    hostname: &str,
    cwd: &Path,
) -> Result<Settings, Report> {
    read(sources, overrides, &World { env, hostname, cwd }).0
}

fn read(sources: &[PathBuf], overrides: &Overrides, world: &World<'_>) -> (Result<Settings, Report>, RawRoot) {
    let mut problems = Problems::default();
    let files = source::collect(sources, world.cwd, &mut problems);
    if files.is_empty() && !problems.any_error() && (overrides.is_empty() || !sources.is_empty()) {
        problems.add(nothing(sources));
    }
    resolve(&files, overrides, world, problems)
}

/// The same for a text that is already here; `name` ends in `.hcl` or `.json` and is what diagnostics call it.
pub fn load_text(
    name: &str,
    text: &str,
    overrides: &Overrides,
    env: &BTreeMap<String, String>,
    hostname: &str,
    cwd: &Path,
) -> Result<Settings, Report> {
    let json = Path::new(name).extension().is_some_and(|extension| extension == "json");
    let format = if json { Format::Json } else { Format::Hcl };
    let file = SourceFile::new(name, text, format);
    resolve(&[file], overrides, &World { env, hostname, cwd }, Problems::default()).0
}

/// What `quorate config check` says about the same arguments: besides, what an operator of CTS would not expect.
pub fn check(
    sources: &[PathBuf],
    overrides: &Overrides,
    env: &BTreeMap<String, String>,
    hostname: &str,
    cwd: &Path,
) -> Check {
    let world = World { env, hostname, cwd };
    let (loaded, raw) = read(sources, overrides, &world);
    let differences = loaded.as_ref().map(|settings| differences::of(&raw, settings, &world)).unwrap_or_default();
    Check::new(&loaded).with_differences(&differences)
}

fn nothing(sources: &[PathBuf]) -> Diagnostic {
    if sources.is_empty() {
        return Diagnostic::error("no config file provided").help("give one with -config-file or -config-dir");
    }
    let names: Vec<String> = sources.iter().map(|path| path.display().to_string()).collect();
    Diagnostic::error(format!("no configuration files found in {}", names.join(", "))).help(
        "files that are empty or end in neither .hcl nor .json are skipped; directories are not searched further down",
    )
}

fn resolve(
    files: &[Arc<SourceFile>],
    overrides: &Overrides,
    world: &World<'_>,
    mut problems: Problems,
) -> (Result<Settings, Report>, RawRoot) {
    let mut raw = RawRoot::default();
    let mut env_names = EnvNames::default();
    // What an unread file would have said is unknown: rules that look at the whole would accuse the innocent.
    let mut whole = !problems.any_error();
    for file in files {
        let parsed = match file.format {
            Format::Json => json::parse(file),
            Format::Hcl | Format::Plain => hcl1::parse(file),
        };
        match parsed {
            Ok(mut object) => {
                templates::look(&object, &mut env_names, &mut problems);
                repeated::settle(&mut object, &mut problems);
                raw.absorb(RawRoot::from_object(&object, "", &mut problems));
            }
            Err(problem) => {
                problems.add(problem);
                whole = false;
            }
        }
    }
    raw.absorb(overrides.to_raw(&mut problems));
    let settings = if whole { resolve::settings(&raw, world, &mut problems) } else { None };
    let failed = problems.any_error();
    let loaded = match settings {
        Some(settings) if !failed => Ok(Settings { warnings: problems.into_sorted(), env_names, ..settings }),
        _ => Err(Report { diagnostics: problems.into_sorted() }),
    };
    (loaded, raw)
}

#[cfg(test)]
mod consul_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod typing_tests;
