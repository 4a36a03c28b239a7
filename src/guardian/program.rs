//! Which program is started as the guardian.
//!
//! `quorate guardian` always works. Beside it lies `quorate-guardian`, which is the same code without the rest of the agent:
//! most of what a resident process of a large program costs are the pages of that program. It is taken only when it was built
//! from the same sources ([`BUILT_FROM`]), because agent and guardian speak without versions.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Beside the agent's own program.
const NAME: &str = "quorate-guardian";
/// What asks a guardian for the sources that it was built from: it exits with 0 when they are these.
pub(super) const IS_FROM: &str = "--is-from";

/// A number for the sources of the guardian.
pub(super) const BUILT_FROM: u64 = number(&[
    env!("CARGO_PKG_VERSION").as_bytes(),
    include_bytes!("bounds.rs"),
    include_bytes!("cgroup.rs"),
    include_bytes!("clock.rs"),
    include_bytes!("environment.rs"),
    include_bytes!("frames.rs"),
    include_bytes!("launch.rs"),
    include_bytes!("message.rs"),
    include_bytes!("mod.rs"),
    include_bytes!("order.rs"),
    include_bytes!("signals.rs"),
    include_bytes!("tree.rs"),
    include_bytes!("../cluster/clock.rs"),
    include_bytes!("../../proto/src/codec.rs"),
    include_bytes!("../../proto/src/ids.rs"),
    include_bytes!("server/agent.rs"),
    include_bytes!("server/authority.rs"),
    include_bytes!("server/mod.rs"),
    include_bytes!("server/output.rs"),
    include_bytes!("server/phase.rs"),
    include_bytes!("server/release.rs"),
    include_bytes!("server/run.rs"),
    include_bytes!("server/spawn.rs"),
]);

/// FNV-1a: it only has to tell builds apart.
const fn number(sources: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut source = 0;
    while source < sources.len() {
        let mut at = 0;
        while at < sources[source].len() {
            hash = (hash ^ sources[source][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        source += 1;
    }
    hash
}

/// The program to start as the guardian of an agent whose own program is `exe`.
pub(super) fn choose(exe: &Path) -> PathBuf {
    let small = exe.with_file_name(NAME);
    let mut ask = Command::new(&small);
    ask.arg("guardian").arg(IS_FROM).arg(BUILT_FROM.to_string());
    ask.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Not there, of another build, for another machine: all the same.
    if ask.status().is_ok_and(|status| status.success()) { small } else { exe.to_owned() }
}

/// The answer of a guardian that is asked.
pub(super) fn is_from(number: Option<&OsStr>) -> bool {
    number.is_some_and(|number| *number == *BUILT_FROM.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_the_guardian_is_counted() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guardian");
        let own = include_str!("program.rs");
        let names = |dir: &Path| {
            let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
            let sources = entries.filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "rs"));
            sources.map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        let server = names(&dir.join("server")).into_iter().map(|name| format!("server/{name}"));
        // These are the agent's side.
        let agents = ["client.rs", "orphans.rs", "program.rs"];
        let here = names(&dir).into_iter().filter(|name| !agents.contains(&name.as_str()));
        for file in server.chain(here) {
            assert!(own.contains(&format!("include_bytes!(\"{file}\")")), "{file} is not part of BUILT_FROM");
        }
    }

    #[test]
    fn other_sources_have_another_number() {
        let of = |text: &str| number(&[b"0.1.0", text.as_bytes()]);
        assert_ne!(of("a"), of("b"));
        assert!(is_from(Some(OsStr::new(&BUILT_FROM.to_string()))));
        assert!(!is_from(Some(OsStr::new("1"))) && !is_from(None));
    }

    #[test]
    fn without_a_small_program_the_agent_takes_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let exe = dir.path().join("quorate");
        assert_eq!(choose(&exe), exe);
    }
}
