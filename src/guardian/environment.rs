//! Which variables of the agent's environment a run may see: an allow-list, never the whole.
//!
//! The agent's environment may hold tokens that no task asked for. What a run needs to work at all (where programs, homes,
//! certificates and proxies are, how to print) passes; everything else must be named in the configuration.

use std::ffi::OsString;

/// Holds the run's id; on every process of a run, and what orphans are recognised by.
pub const RUN_ID: &str = "QUORATE_RUN_ID";
/// Holds the task's name.
pub(super) const TASK: &str = "QUORATE_TASK";
/// Holds the epoch, the fencing token.
pub(super) const EPOCH: &str = "QUORATE_EPOCH";

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

/// The variables of `given` that a run may see: the fixed list and those that `pass` names, `NAME` or `PREFIX*`.
/// The three that the guardian sets itself (run id, task, epoch) never pass.
pub fn base_env<S: AsRef<str>>(
    given: impl IntoIterator<Item = (OsString, OsString)>,
    pass: &[S],
) -> Vec<(OsString, OsString)> {
    let may_pass = |name: &str| {
        let listed = ALWAYS.iter().any(|pattern| matches(pattern, name));
        (listed || pass.iter().any(|pattern| matches(pattern.as_ref(), name))) && ![RUN_ID, TASK, EPOCH].contains(&name)
    };
    given.into_iter().filter(|(name, _)| name.to_str().is_some_and(may_pass)).collect()
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

    fn names(given: &[&str], pass: &[&str]) -> Vec<String> {
        let given = given.iter().map(|name| (OsString::from(name), OsString::from("x")));
        base_env(given, pass).into_iter().map(|(name, _)| name.into_string().unwrap()).collect()
    }

    #[test]
    fn secrets_do_not_pass_unless_named() {
        let given = ["PATH", "VAULT_TOKEN", "LC_ALL", "https_proxy", "CONSUL_HTTP_TOKEN"];
        assert_eq!(names(&given, &[]), ["PATH", "LC_ALL", "https_proxy"]);
        assert_eq!(names(&given, &["CONSUL_HTTP_TOKEN"]), ["PATH", "LC_ALL", "https_proxy", "CONSUL_HTTP_TOKEN"]);
    }

    #[test]
    fn a_star_stands_for_any_ending_and_nothing_else() {
        assert_eq!(names(&["AWS_REGION", "AWS", "XAWS_A"], &["AWS_*"]), ["AWS_REGION"]);
        assert_eq!(names(&["PATHOLOGY", "LC"], &[]), Vec::<String>::new());
    }

    #[test]
    fn an_inherited_run_id_never_passes() {
        assert_eq!(names(&["QUORATE_RUN_ID", "QUORATE_EPOCH", "QUORATE_INPUT"], &["QUORATE_*"]), ["QUORATE_INPUT"]);
    }
}
