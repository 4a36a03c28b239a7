//! What a run would be made of, as one hash: when it is unchanged and the last run went well, a new leader need not run
//! the task again.
//!
//! It covers all generated files (data, configuration, values of providers), what goes by the environment, the program's
//! version, and the content of local modules with the local modules that they call. Modules from a registry or a
//! repository count by their address and version, which stand in the generated files.
//!
//! Secrets are hashed in, so the hash must stay where the secrets may be: in the cluster's own state.
//!
//! # Not here
//!
//! What a module reads from elsewhere while it runs: data sources, files by absolute paths, the time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::task::spec::{TaskSpec, TerraformWork};

use super::directory::read_regular;
use super::{Binary, Chosen, Inputs, Settings, workspace};

/// Most files, bytes and levels of directories of local modules that are read.
const FILES_MAX: usize = 10_000;
const BYTES_MAX: u64 = 64 * 1024 * 1024;
const DEPTH_MAX: usize = 32;

/// The hash of a run, or why it cannot be known: then the task must run. Reads the disk.
pub fn fingerprint(
    task: &TaskSpec,
    work: &TerraformWork,
    inputs: &Inputs,
    binary: &Binary,
    settings: &Settings,
    state: &Chosen,
) -> Result<[u8; 32], String> {
    let mut sum = Sum::default();
    sum.add("program", format!("{} {}", binary.kind, binary.version).as_bytes());
    let files = workspace::files(task, work, inputs, binary, settings, state).map_err(|error| error.to_string())?;
    for (name, text) in files {
        sum.add(name, text.unwrap_or_default().as_bytes());
    }
    for (name, value) in &state.env {
        sum.add(name, value.as_bytes());
    }
    for provider in work.providers.iter().filter_map(|id| settings.provider(id)) {
        for (name, value) in &provider.task_env {
            sum.add(name, value.as_bytes());
        }
    }
    if work.module.starts_with(['/', '.']) {
        let mut waiting = vec![PathBuf::from(&work.module)];
        let mut seen = BTreeSet::new();
        while let Some(dir) = waiting.pop() {
            let real = dir.canonicalize().map_err(|error| format!("{}: {error}", dir.display()))?;
            if seen.insert(real.clone()) {
                sum.directory(&real, Path::new(""), 0, &mut waiting)?;
            }
        }
    }
    Ok(*sum.hash.finalize().as_bytes())
}

/// A call of a module beside this one. Anything else that leads up is a file that we do not know.
static CALL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"source\s*=\s*"(\.\.?/[^"]*)""#).ok());

#[derive(Default)]
struct Sum {
    hash: blake3::Hasher,
    files: usize,
    bytes: u64,
}

impl Sum {
    fn add(&mut self, name: &str, content: &[u8]) {
        for part in [name.as_bytes(), content] {
            self.hash.update(&(part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
    }

    /// Adds `root/inside`, names in order. Modules called from there are appended to `more`.
    fn directory(&mut self, root: &Path, inside: &Path, depth: usize, more: &mut Vec<PathBuf>) -> Result<(), String> {
        let dir = root.join(inside);
        let failed = |path: &Path, error: &std::io::Error| format!("{}: {error}", path.display());
        if depth > DEPTH_MAX {
            return Err(format!("{}: directories are nested deeper than {DEPTH_MAX}", dir.display()));
        }
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&dir).map_err(|error| failed(&dir, &error))? {
            names.push(entry.map_err(|error| failed(&dir, &error))?.file_name());
            if names.len() > FILES_MAX {
                return Err(format!("{}: more than {FILES_MAX} files", dir.display()));
            }
        }
        names.sort();
        for name in names {
            let shown = name.to_string_lossy();
            // What Terraform itself leaves there, and what repositories keep.
            if shown == ".terraform" || shown == ".git" || shown.contains(".tfstate") {
                continue;
            }
            let (path, inner) = (dir.join(&name), inside.join(&name));
            let about = path.metadata().map_err(|error| failed(&path, &error))?;
            if about.is_dir() {
                self.directory(root, &inner, depth + 1, more)?;
                continue;
            }
            self.files += 1;
            self.bytes = self.bytes.saturating_add(about.len());
            if !about.is_file() || self.files > FILES_MAX || self.bytes > BYTES_MAX {
                let limits = format!("{FILES_MAX} files, {} MiB", BYTES_MAX / 1024 / 1024);
                return Err(format!("{}: the module is too large to be compared ({limits})", path.display()));
            }
            let content = read_regular(&path, BYTES_MAX).map_err(|error| failed(&path, &error))?;
            self.add(&inner.to_string_lossy(), &content);
            if shown.ends_with(".tf") || shown.ends_with(".tofu") {
                calls(&dir, &String::from_utf8_lossy(&content), more)
                    .map_err(|why| format!("{}: {why}", path.display()))?;
            }
        }
        Ok(())
    }
}

/// The modules that a file calls by relative paths.
fn calls(dir: &Path, text: &str, more: &mut Vec<PathBuf>) -> Result<(), String> {
    let Some(call) = CALL.as_ref() else { return Err("no pattern".to_owned()) };
    more.extend(call.captures_iter(text).filter_map(|found| Some(dir.join(found.get(1)?.as_str()))));
    if call.replace_all(text, "").contains("../") {
        return Err("it may read files outside of its module".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
