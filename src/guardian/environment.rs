//! Which variables of the agent's environment a run may see.
//!
//! The agent's environment may hold tokens that no task asked for. By an allow-list, what a run needs to work at all (where
//! programs, homes, certificates and proxies are, how to print) passes, and everything else must be named in the configuration.
//! Or all of it passes, as in CTS, whose providers read their credentials there; what the agent took for itself does not.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// Holds the run's id; on every process of a run, and what orphans are recognised by.
pub const RUN_ID: &str = "QUORATE_RUN_ID";
/// Holds the task's name.
pub(super) const TASK: &str = "QUORATE_TASK";
/// Holds the epoch, the fencing token.
pub(super) const EPOCH: &str = "QUORATE_EPOCH";

/// The token that commands of ours show to an agent. A run gets it by name only.
const TOKEN: &str = "QUORATE_TOKEN";

/// Pass always. Proxies are written in either case by custom.
const ALWAYS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// The variables of `given` that a run may see: with `all` everything but `own`, else the fixed list; and what `names` names
/// (`NAME` or `PREFIX*`). What is the agent's own passes only by its exact name: who writes `*` has not thought of it. The three
/// that the guardian sets itself (run id, task, epoch) never pass.
pub fn run_env<S: AsRef<str>>(
    given: impl IntoIterator<Item = (OsString, OsString)>,
    all: bool,
    names: &[S],
    own: &BTreeSet<String>,
) -> Vec<(OsString, OsString)> {
    let may_pass = |name: &str| {
        let is_own = own.contains(name) || name == TOKEN;
        let passes = if is_own {
            names.iter().any(|exact| exact.as_ref() == name)
        } else {
            all || ALWAYS.iter().copied().chain(names.iter().map(AsRef::as_ref)).any(|pattern| matches(pattern, name))
        };
        passes && ![RUN_ID, TASK, EPOCH].contains(&name)
    };
    // A name that is no text cannot be named, so it passes with the others only.
    given.into_iter().filter(|(name, _)| name.to_str().map_or(all, may_pass)).collect()
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(given: &[&str], all: bool, pass: &[&str]) -> Vec<String> {
        let given = given.iter().map(|name| (OsString::from(name), OsString::from("x")));
        let own = BTreeSet::from(["GOSSIP_KEY".to_owned()]);
        run_env(given, all, pass, &own).into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn secrets_do_not_pass_unless_named() {
        let given = ["PATH", "VAULT_TOKEN", "LC_ALL", "https_proxy", "CONSUL_HTTP_TOKEN"];
        assert_eq!(names(&given, false, &[]), ["PATH", "LC_ALL", "https_proxy"]);
        assert_eq!(
            names(&given, false, &["CONSUL_HTTP_TOKEN"]),
            ["PATH", "LC_ALL", "https_proxy", "CONSUL_HTTP_TOKEN"]
        );
    }

    #[test]
    fn everything_passes_but_what_the_agent_took_for_itself() {
        let given = ["PATH", "VAULT_TOKEN", "GOSSIP_KEY", "QUORATE_TOKEN", "X"];
        assert_eq!(names(&given, true, &[]), ["PATH", "VAULT_TOKEN", "X"]);
        assert_eq!(names(&given, true, &["GOSSIP_KEY"]), ["PATH", "VAULT_TOKEN", "GOSSIP_KEY", "X"]);
    }

    #[test]
    fn what_the_agent_took_for_itself_passes_by_its_exact_name_only() {
        let given = ["GOSSIP_KEY", "QUORATE_TOKEN", "QUORATE_TOKENS"];
        for all in [false, true] {
            assert_eq!(names(&given, all, &["*"]), ["QUORATE_TOKENS"], "{all}");
            assert_eq!(names(&given, all, &["QUORATE_*", "GOSSIP_KEY*"]), ["QUORATE_TOKENS"], "{all}");
            assert_eq!(names(&given, all, &["*", "QUORATE_TOKEN"]), ["QUORATE_TOKEN", "QUORATE_TOKENS"], "{all}");
        }
    }

    #[test]
    fn a_star_stands_for_any_ending_and_nothing_else() {
        assert_eq!(names(&["AWS_REGION", "AWS", "XAWS_A"], false, &["AWS_*"]), ["AWS_REGION"]);
        assert_eq!(names(&["PATHOLOGY", "LC"], false, &[]), Vec::<String>::new());
    }

    #[test]
    fn an_inherited_run_id_never_passes() {
        let given = ["QUORATE_RUN_ID", "QUORATE_EPOCH", "QUORATE_INPUT"];
        assert_eq!(names(&given, false, &["QUORATE_*"]), ["QUORATE_INPUT"]);
        assert_eq!(names(&given, true, &[]), ["QUORATE_INPUT"]);
    }
}
