//! The backend of a task whose state the cluster keeps: Terraform's `http`, pointed at the agent that starts the run.
//!
//! The block is empty, the same for every task, agent and run; all that differs comes in the environment. Terraform
//! remembers a hash of the block alone, so no run needs `init` because of it, and no file holds an address or a secret.
//! Workspaces do not exist in this backend: the steps about them are left out (there is one state per task anyway).

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Map;

use super::Backend;
use super::directory::Directory;

/// What the variables begin with that point Terraform at a state.
const VARIABLES: &str = "TF_HTTP_";

/// Where Terraform keeps what it could not write, in the directory of the task.
const ERRORED: &str = "errored.tfstate";

/// Largest such file that is picked up; a larger one stays where it is.
const ERRORED_MAX: u64 = 64 << 20;

/// The block: `backend "http" {}`.
pub fn backend() -> Backend {
    Backend { kind: "http".to_owned(), body: Map::new() }
}

/// Whether a backend of this kind has workspaces: with `http` the steps about them are left out.
pub fn has_workspaces(kind: &str) -> bool {
    kind != "http"
}

/// The environment of a run's steps, with what it finds its task's state with. Of `base` nothing is kept that says where
/// a state is (a method or a certificate that somebody exported for their own shell).
///
/// `address` is the agent's listener for runs. The agent itself tries again while nobody leads, so Terraform's own tries
/// (after 1 s, then 2 s) are for the rest.
pub fn env_for_run(
    base: Vec<(String, String)>,
    address: SocketAddr,
    task: &str,
    username: &str,
    password: &str,
) -> Vec<(String, String)> {
    let url = format!("http://{address}/v1/state/{task}");
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let own = [
        set("TF_HTTP_ADDRESS", &url),
        set("TF_HTTP_LOCK_ADDRESS", &url),
        set("TF_HTTP_PASSWORD", password),
        set("TF_HTTP_RETRY_MAX", "2"),
        set("TF_HTTP_RETRY_WAIT_MAX", "5"),
        set("TF_HTTP_UNLOCK_ADDRESS", &url),
        set("TF_HTTP_USERNAME", username),
    ];
    base.into_iter().filter(|(name, _)| !name.starts_with(VARIABLES)).chain(own).collect()
}

/// A state that a run could not write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errored {
    /// Its new name: a later one does not overwrite it, and it is not picked up again.
    pub path: PathBuf,
    /// What is in it.
    pub content: Vec<u8>,
}

/// Picks up `errored.tfstate` after a run, under a name of its own (`errored-<run>.tfstate`). `Ok(None)`: there is none.
/// Blocks on the disk.
pub fn pick_up_errored(dir: &Path, run: &str) -> io::Result<Option<Errored>> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let directory = match Directory::existing(dir) {
        Err(error) if absent(&error) => return Ok(None),
        found => found?,
    };
    // What is looked at is what was opened: the user of the run may put something else there at any time.
    let content = match directory.read(ERRORED, ERRORED_MAX) {
        Err(error) if absent(&error) => return Ok(None),
        Err(error) => return Err(io::Error::other(format!("{}: {error}", dir.join(ERRORED).display()))),
        Ok(content) => content,
    };
    let name = format!("errored-{run}.tfstate");
    directory.rename(ERRORED, &name)?;
    Ok(Some(Errored { path: dir.join(name), content }))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_block_says_nothing_and_the_environment_everything() {
        assert!(backend().body.is_empty() && !has_workspaces(&backend().kind) && has_workspaces("consul"));
        let base = ["TF_HTTP_UPDATE_METHOD", "HOME"].map(|name| (name.to_owned(), "x".to_owned())).to_vec();
        let env = env_for_run(base, "127.0.0.1:40000".parse().unwrap(), "fw", "u", "p");
        let of = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        for name in ["TF_HTTP_ADDRESS", "TF_HTTP_LOCK_ADDRESS", "TF_HTTP_UNLOCK_ADDRESS"] {
            assert_eq!(of(name), Some("http://127.0.0.1:40000/v1/state/fw"));
        }
        assert_eq!((of("TF_HTTP_USERNAME"), of("TF_HTTP_PASSWORD")), (Some("u"), Some("p")));
        assert_eq!((of("TF_HTTP_UPDATE_METHOD"), of("HOME")), (None, Some("x")));
    }

    #[test]
    fn what_was_set_aside_is_picked_up_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(pick_up_errored(dir.path(), "07").unwrap(), None);
        fs::write(dir.path().join(ERRORED), "x").unwrap();
        let errored = pick_up_errored(dir.path(), "07").unwrap().unwrap();
        assert_eq!((errored.path.clone(), errored.content), (dir.path().join("errored-07.tfstate"), b"x".to_vec()));
        assert!(errored.path.exists());
        assert_eq!(pick_up_errored(dir.path(), "07").unwrap(), None);
    }

    #[test]
    fn what_is_no_file_of_the_run_is_left_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let secret = root.path().join("secret");
        fs::write(&secret, "{}").unwrap();
        let dir = root.path().join("edge");
        assert_eq!(pick_up_errored(&dir, "07").unwrap(), None, "no directory");
        fs::create_dir(&dir).unwrap();
        std::os::unix::fs::symlink(&secret, dir.join(ERRORED)).unwrap();
        let error = pick_up_errored(&dir, "07").unwrap_err().to_string();
        assert!(error.contains(ERRORED), "{error}");
        fs::remove_file(dir.join(ERRORED)).unwrap();
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, dir.join(ERRORED), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(pick_up_errored(&dir, "07").unwrap_err().to_string().contains("no regular file"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing has another name");
    }
}
