//! The one place that reads the environment.
//!
//! What an agent is given as a secret does not stay in the environment of its process, which every process of the same user
//! can read for as long as it lives (`/proc/PID/environ` shows what a program was started with, whatever it does later).
//! So `quorate start` starts itself once more, in the same process: without these variables, and with their values on its
//! standard input, in memory that has no name. From there they are read, and the input is closed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::sync::OnceLock;

use rustix::fs::{MemfdFlags, memfd_create};

/// Name of the memory that the values travel in, and what the kernel calls it then.
const MEMORY: &str = "quorate-environment";
const MEMORY_LINK: &str = "/memfd:quorate-environment";
/// Names that end so are secrets, whether or not anybody asks for them.
const ENDS: [&str; 8] = ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "_KEY", "_AUTH", "CREDENTIALS", "_PASS"];
/// Names that begin so are: Terraform's tokens for registries.
const BEGINS: &str = "TF_TOKEN_";

/// What was taken out of the environment of this process.
static TAKEN: OnceLock<Vec<(OsString, OsString)>> = OnceLock::new();

/// A variable, unless absent, empty or not text.
pub(super) fn read(name: &str) -> Option<String> {
    let all = all();
    let found = all.into_iter().find(|(found, _)| found == name);
    found.and_then(|(_, value)| value.into_string().ok()).filter(|value| !value.is_empty())
}

/// Every variable, also those that were taken out.
pub(super) fn all() -> Vec<(OsString, OsString)> {
    let taken = TAKEN.get().into_iter().flatten();
    std::env::vars_os().chain(taken.cloned()).collect()
}

/// Every variable that is text.
pub(super) fn texts() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    all().into_iter().filter_map(text).collect()
}

/// What a configuration is read against.
#[derive(Debug)]
pub(super) struct World {
    /// Variables that are text.
    pub(super) env: BTreeMap<String, String>,
    /// Of this machine; `localhost` when it has none.
    pub(super) hostname: String,
    /// Relative paths start here.
    pub(super) cwd: std::path::PathBuf,
}

impl World {
    /// As it is now.
    pub(super) fn read() -> Self {
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self {
            env: texts(),
            hostname: if hostname.is_empty() { "localhost".to_owned() } else { hostname },
            cwd: std::env::current_dir().unwrap_or_default(),
        }
    }
}

/// Takes over what this process has hidden from its own environment. Call it first.
pub(super) fn take_over() {
    let input = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    if !input.to_string_lossy().starts_with(MEMORY_LINK) {
        return;
    }
    let mut bytes = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut bytes);
    let closed = std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
    if let Err(error) = read.and(closed) {
        eprintln!("the hidden part of the environment cannot be read: {error}");
    }
    // Nobody has set it: this is the first thing that is done.
    let _set = TAKEN.set(parse(&bytes));
}

/// Starts this program again without secrets in its environment, if there are any; `named` are some that only the
/// configuration knows to be such. Returns when there are none, or with the reason why it could not be done.
pub(super) fn hide(named: &BTreeSet<String>) -> io::Result<()> {
    if TAKEN.get().is_some() {
        return Ok(());
    }
    let (secrets, rest): (Vec<_>, Vec<_>) =
        std::env::vars_os().partition(|(name, _)| name.to_str().is_some_and(|name| is_secret(name, named)));
    if secrets.is_empty() {
        return Ok(());
    }
    let mut memory = std::fs::File::from(memfd_create(MEMORY, MemfdFlags::CLOEXEC)?);
    memory.write_all(&text(&secrets))?;
    io::Seek::rewind(&mut memory)?;
    let exe = std::env::current_exe()?;
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_else(|| exe.clone().into());
    // Returns only when it fails.
    Err(std::process::Command::new(exe).arg0(called).args(args).env_clear().envs(rest).stdin(memory).exec())
}

fn is_secret(name: &str, named: &BTreeSet<String>) -> bool {
    let upper = name.to_ascii_uppercase();
    named.contains(name) || ENDS.iter().any(|end| upper.ends_with(end)) || upper.starts_with(BEGINS)
}

/// `NAME=value`, each ended by a NUL, which neither can hold.
fn text(variables: &[(OsString, OsString)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in variables {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            bytes.extend_from_slice(part);
        }
    }
    bytes
}

fn parse(bytes: &[u8]) -> Vec<(OsString, OsString)> {
    let one = |entry: &[u8]| {
        // A name may begin with the sign itself, as some of Windows's do.
        let sign = 1 + entry.get(1..)?.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(&entry[..sign]).to_owned(), OsString::from_vec(entry[sign + 1..].to_vec())))
    };
    bytes.split(|byte| *byte == 0).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_comes_back_byte_by_byte() {
        let pair = |name: &[u8], value: &[u8]| (OsString::from_vec(name.into()), OsString::from_vec(value.into()));
        let all = vec![pair(b"A_TOKEN", b"a=b\nc"), pair(b"EMPTY_KEY", b""), pair(b"ODD_SECRET", b"\xff\xfe")];
        assert_eq!(parse(&text(&all)), all);
        assert_eq!(parse(b""), []);
    }

    #[test]
    fn names_tell_secrets_and_the_configuration_names_more() {
        let named = BTreeSet::from(["GOSSIP".to_owned()]);
        for name in
            ["VAULT_TOKEN", "AWS_SECRET_ACCESS_KEY", "db_password", "CONSUL_HTTP_AUTH", "GOSSIP", "TF_TOKEN_x_io"]
        {
            assert!(is_secret(name, &named), "{name}");
        }
        for name in ["PATH", "HOME", "SSH_AUTH_SOCK", "KEYBOARD", "VAULT_TOKEN_FILE", "GOSSIP_ADDR"] {
            assert!(!is_secret(name, &named), "{name}");
        }
    }
}
