//! Whether a task's directory is still as `init` left it, so that a run can begin at `apply`.
//!
//! `init`, both `workspace` steps and `validate` read the configuration, the module tree, the lock file and the
//! program. A hash of all these is kept beside what `init` made, in `.terraform`; while it is unchanged the four steps
//! would do nothing. The module tree is the one that Terraform itself wrote down (`modules.json`): it names every
//! directory that modules are read from, local ones too, so an edited module is seen.
//!
//! A wrong "yes" is harmless: `apply` itself refuses to start on what is not initialised, and the run then begins again
//! from `init` (see [`super::run`]). A wrong "no" costs the four steps.

use std::io;
use std::path::Path;

use serde::Deserialize;

use super::Binary;
use super::directory::{Directory, DirectoryError};

/// Where Terraform keeps what `init` makes.
const INSIDE: &str = ".terraform";

/// The file that remembers, in there: removing that directory forgets it.
const FILE: &str = "quorate-initialised";

/// Largest file and most files that are hashed. Beyond them a directory never counts as initialised.
const FILE_MAX: u64 = 16 * 1024 * 1024;
const FILES_MAX: usize = 10_000;

/// Whether `init` and what follows it can be skipped. `task` is the workspace that must be selected; `None` for a backend
/// without workspaces. Reads the disk.
pub fn is_initialised(dir: &Path, task: Option<&str>, binary: &Binary) -> bool {
    let Ok(inside) = Directory::existing(dir).and_then(|directory| directory.inside(INSIDE)) else { return false };
    let workspace = inside.read("environment", FILE_MAX).unwrap_or_default();
    let remembered = inside.read(FILE, FILE_MAX).unwrap_or_default();
    let selected = task.is_none_or(|task| workspace.trim_ascii() == task.as_bytes());
    selected && fingerprint(dir, binary).is_ok_and(|now| now.as_bytes() == remembered.as_slice())
}

/// Notes that the directory is initialised as it is now.
pub fn remember(dir: &Path, binary: &Binary) -> Result<(), DirectoryError> {
    let failed = |source| DirectoryError::Io { what: "read the modules of", path: dir.to_owned(), source };
    let now = fingerprint(dir, binary).map_err(failed)?;
    let inside = Directory::existing(dir).and_then(|directory| directory.inside(INSIDE)).map_err(failed)?;
    inside.replace(FILE, now.as_bytes()).map(|_| ())
}

#[derive(Deserialize)]
struct Modules {
    #[serde(rename = "Modules")]
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Dir")]
    dir: String,
}

fn fingerprint(dir: &Path, binary: &Binary) -> io::Result<String> {
    let mut hash = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hash.update(&(bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    add(binary.path.as_os_str().as_encoded_bytes());
    add(binary.version.to_string().as_bytes());
    let directory = Directory::existing(dir)?;
    add(&directory.read_configuration(".terraform.lock.hcl", FILE_MAX).or_else(absent)?);
    let tree = directory.inside(INSIDE)?.inside("modules")?.read("modules.json", FILE_MAX)?;
    add(&tree);
    let tree: Modules = serde_json::from_slice(&tree)?;
    let mut count = 0;
    for module in tree.modules {
        // The directory of the task itself is `.` and holds what we generated.
        for (name, content) in configuration(&Directory::followed(&dir.join(&module.dir))?)? {
            count += 1;
            if count > FILES_MAX {
                return Err(io::Error::other(format!("more than {FILES_MAX} files")));
            }
            add(&name);
            add(&content);
        }
    }
    Ok(hash.finalize().to_hex().to_string())
}

fn absent(error: io::Error) -> io::Result<Vec<u8>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) }
}

/// The configuration files of one module, sorted by name.
fn configuration(module: &Directory) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut files = Vec::new();
    for name in module.names()?.take(FILES_MAX) {
        let name = name?;
        let is_configuration = name
            .to_str()
            .is_some_and(|name| [".tf", ".tf.json", ".tofu", ".tofu.json"].iter().any(|end| name.ends_with(end)));
        if is_configuration {
            files.push((name.as_encoded_bytes().to_owned(), module.read_configuration(&name, FILE_MAX)?));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::binary::Kind;
    use super::super::version::Version;
    use super::*;

    #[test]
    fn every_input_of_init_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let (dir, module) = initialised(root.path());
        check_forgets(&dir, &module.join("main.tf"), "an edited module");
        check_forgets(&dir, &module.join("more.tf.json"), "a new file in a module");
        check_forgets(&dir, &dir.join("main.tf"), "a changed configuration");
        check_forgets(&dir, &dir.join(".terraform.lock.hcl"), "a changed lock file");
        check_forgets(&dir, &dir.join(".terraform/environment"), "another workspace");
    }

    #[test]
    fn what_init_does_not_read_is_not_noticed() {
        let root = tempfile::tempdir().unwrap();
        let (dir, module) = initialised(root.path());
        fs::write(module.join("README.md"), "new").unwrap();
        fs::write(dir.join("terraform.tfvars"), "services = {}").unwrap();
        assert!(is_initialised(&dir, Some("edge"), &binary(11)));
    }

    #[test]
    fn another_program_or_task_or_a_removed_directory_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let (dir, _) = initialised(root.path());
        assert!(!is_initialised(&dir, Some("edge"), &binary(12)));
        assert!(!is_initialised(&dir, Some("other"), &binary(11)));
        fs::write(dir.join(".terraform/environment"), "default").unwrap();
        assert!(is_initialised(&dir, None, &binary(11)), "a backend without workspaces");
        fs::remove_dir_all(dir.join(".terraform")).unwrap();
        assert!(!is_initialised(&dir, Some("edge"), &binary(11)));
        assert!(remember(&dir, &binary(11)).is_err(), "there is nothing to remember");
    }

    #[test]
    fn a_pipe_or_a_link_that_the_user_of_the_run_puts_there_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        let (dir, module) = initialised(root.path());
        for file in ["environment", FILE, "modules/modules.json"].map(|name| dir.join(INSIDE).join(name)) {
            let (kept, name) = (root.path().join("kept"), file.display());
            fs::rename(&file, &kept).unwrap();
            std::os::unix::fs::symlink(&kept, &file).unwrap();
            assert!(!is_initialised(&dir, Some("edge"), &binary(11)), "a link for {name}");
            check_pipe(&dir, &file);
            fs::rename(&kept, &file).unwrap();
            assert!(is_initialised(&dir, Some("edge"), &binary(11)), "{name} is back");
        }
        check_pipe(&dir, &dir.join(".terraform.lock.hcl"));
        check_pipe(&dir, &module.join("more.tf"));
        assert!(is_initialised(&dir, Some("edge"), &binary(11)));
        fs::rename(dir.join(INSIDE), root.path().join("inside")).unwrap();
        std::os::unix::fs::symlink(root.path().join("inside"), dir.join(INSIDE)).unwrap();
        assert!(!is_initialised(&dir, Some("edge"), &binary(11)) && remember(&dir, &binary(11)).is_err());
    }

    /// Reading it would wait for ever for somebody who writes.
    fn check_pipe(dir: &Path, file: &Path) {
        fs::remove_file(file).ok();
        rustix::fs::mknodat(rustix::fs::CWD, file, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
        assert!(!is_initialised(dir, Some("edge"), &binary(11)), "a pipe for {}", file.display());
        fs::remove_file(file).unwrap();
    }

    fn check_forgets(dir: &Path, file: &Path, what: &str) {
        let before = fs::read(file).ok();
        assert!(is_initialised(dir, Some("edge"), &binary(11)), "before {what}");
        fs::write(file, "changed").unwrap();
        assert!(!is_initialised(dir, Some("edge"), &binary(11)), "{what}");
        match before {
            Some(before) => fs::write(file, before).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
    }

    /// As Terraform leaves it: a link to the module, a list of directories, the chosen workspace.
    fn initialised(root: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
        let (dir, module) = (root.join("edge"), root.join("module"));
        fs::create_dir_all(dir.join(".terraform/modules")).unwrap();
        fs::create_dir_all(&module).unwrap();
        std::os::unix::fs::symlink(&module, dir.join(".terraform/modules/edge")).unwrap();
        let tree = r#"{"Modules":[{"Key":"","Source":"","Dir":"."},
            {"Key":"edge","Source":"file:///m","Dir":".terraform/modules/edge"}]}"#;
        for (path, text) in [
            (dir.join(".terraform/modules/modules.json"), tree),
            (dir.join(".terraform/environment"), "edge"),
            (dir.join("main.tf"), "main"),
            (module.join("main.tf"), "module"),
        ] {
            fs::write(path, text).unwrap();
        }
        remember(&dir, &binary(11)).unwrap();
        (dir, module)
    }

    fn binary(minor: u32) -> Binary {
        Binary { path: "/bin/terraform".into(), kind: Kind::Terraform, version: Version::new(1, minor, 0) }
    }
}
