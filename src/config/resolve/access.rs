//! `access` and `insecure`: who may use the API.

use std::collections::BTreeMap;
use std::path::Path;

use super::choice;
use super::http_addr::SOCKET_MAX;
use crate::access::{Anonymous, CertificateRule, OPENABLE, PATTERNS_MAX, Role, Rules, check_pattern};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::raw::access::{RawAccess, RawByCertificate};
use crate::config::read::{Spanned, nearest};
use crate::http::Addr;
use crate::http::tls::Tls;

/// The block as rules. `None`: access is not controlled.
pub(super) fn access(raw: &RawRoot, tls: Option<&Tls>, data_dir: &Path, problems: &mut Problems) -> Option<Rules> {
    let block = raw.access.as_ref()?;
    let access = &block.value;
    if access.enabled.as_ref().is_some_and(|enabled| !enabled.value) {
        return None;
    }
    let words = [("deny", Anonymous::Deny), ("read", Anonymous::Read), ("write", Anonymous::Write)];
    let socket = data_dir.join(crate::config::ADMIN_SOCKET);
    let length = socket.as_os_str().len();
    if length > SOCKET_MAX {
        let message = format!(
            "the path of {} in `data_dir` has {length} bytes, the system takes {SOCKET_MAX}",
            crate::config::ADMIN_SOCKET
        );
        let at = raw.data_dir.as_ref().map_or(&block.key, |dir| &dir.span);
        problems.add(Diagnostic::error(message).at(at, "too long").help("choose a shorter `data_dir`"));
    }
    Some(Rules {
        default: choice(access.default.as_ref(), "default", &words, Anonymous::Deny, problems),
        open: open(access, problems),
        certificates: access.by_certificate.as_ref().map_or_else(Vec::new, |rules| certificates(rules, tls, problems)),
    })
}

fn open(access: &RawAccess, problems: &mut Problems) -> std::collections::BTreeSet<String> {
    let Some(open) = &access.open else { return Rules::default().open };
    for path in &open.value {
        if OPENABLE.contains(&path.value.as_str()) {
            continue;
        }
        let near = nearest(&path.value, &OPENABLE).map(|near| format!("did you mean \"{near}\"?"));
        let help = near.unwrap_or_else(|| format!("these can be left open: {}", OPENABLE.join(", ")));
        let message = format!("{:?} cannot be left open", path.value);
        problems.add(Diagnostic::error(message).at(&path.span, "not one of those").help(help));
    }
    open.value.iter().map(|path| path.value.clone()).collect()
}

fn certificates(
    rules: &Spanned<BTreeMap<String, Spanned<RawByCertificate>>>,
    tls: Option<&Tls>,
    problems: &mut Problems,
) -> Vec<CertificateRule> {
    if tls.is_none_or(|tls| tls.clients.is_none()) {
        let message = "`by_certificate` has no effect: clients are not asked for certificates";
        let help = "set verify_incoming = true and ca_cert in the `tls` block";
        problems.add(Diagnostic::error(message).at(&rules.key, "whose certificate?").help(help));
    }
    let mut resolved = Vec::new();
    for (pattern, rule) in &rules.value {
        if let Err(why) = check_pattern(pattern) {
            problems.add(Diagnostic::error(format!("the pattern {pattern:?} {why}")).at(&rule.key, "this one"));
        }
        let role = rule.value.role.as_ref().and_then(|role| {
            let known = Role::parse(&role.value);
            if known.is_none() {
                let message = format!("there is no role {:?}", role.value);
                let diagnostic = Diagnostic::error(message).at(&role.span, "expected one of: read, operate, admin");
                problems.add(diagnostic.help("read looks, operate runs and switches, admin does everything"));
            }
            known
        });
        if rule.value.role.is_none() && !rule.value.broken.contains(&"role") {
            let message = format!("`by_certificate {pattern:?}` says no role");
            problems.add(
                Diagnostic::error(message).at(&rule.key, "here").help("role = \"read\", \"operate\" or \"admin\""),
            );
        }
        let tasks = tasks(&rule.value, problems);
        resolved.extend(role.map(|role| CertificateRule::new(pattern.clone(), role, tasks)));
    }
    resolved
}

fn tasks(rule: &RawByCertificate, problems: &mut Problems) -> Vec<String> {
    let Some(tasks) = &rule.tasks else { return Vec::new() };
    if tasks.value.is_empty() || tasks.value.len() > PATTERNS_MAX {
        let message = format!("`tasks` has {} patterns: 1 to {PATTERNS_MAX} are possible", tasks.value.len());
        problems.add(Diagnostic::error(message).at(&tasks.span, "here").help("leave it out for all tasks"));
    }
    for pattern in &tasks.value {
        if let Err(why) = check_pattern(&pattern.value) {
            problems.add(Diagnostic::error(format!("the pattern {:?} {why}", pattern.value)).at(&pattern.span, "here"));
        }
    }
    tasks.value.iter().map(|pattern| pattern.value.clone()).collect()
}

/// Whether strangers may do everything, which somebody must have said. Beyond the loopback, clients show certificates or
/// tokens, or the operator knows.
pub(super) fn exposed(
    raw: &RawRoot,
    addr: &Addr,
    tls: Option<&Tls>,
    rules: Option<&Rules>,
    problems: &mut Problems,
) -> bool {
    let Some(addr) = addr.tcp().filter(|addr| !addr.ip().to_canonical().is_loopback()) else { return false };
    let Some(text) = &raw.http_addr else { return false };
    // A `tls` block with a mistake, which is told already, may be meant to ask for certificates.
    let is_meant = tls.is_none() && raw.tls.is_some() && problems.any_error();
    if is_meant || tls.is_some_and(|tls| tls.clients.is_some()) {
        return false;
    }
    match rules.map(|rules| rules.default) {
        Some(Anonymous::Deny | Anonymous::Read) => {
            if tls.is_none() {
                let message = format!("the API listens on {addr} without TLS: tokens travel as they are");
                let warning =
                    Diagnostic::warning(message).at(&text.span, "who can listen on this network can take them");
                problems.add(warning.help("add a `tls` block, or let it listen on 127.0.0.1"));
            }
            return false;
        }
        Some(Anonymous::Write) | None => {}
    }
    let insecure = raw.insecure.as_ref().filter(|insecure| insecure.value);
    let reach = "who reaches this address can control every task";
    if let Some(insecure) = insecure {
        let message = format!("the API listens on {addr} without credentials");
        let warning = Diagnostic::warning(message).at(&text.span, reach).at(&insecure.key, "allowed here");
        problems.add(warning.help("followers forward requests to the leader, so 127.0.0.1 serves the whole cluster"));
        return true;
    }
    let message = format!("the API would listen on {addr} without credentials");
    let why = if rules.is_some() { "anybody may change everything: access { default = \"write\" }" } else { reach };
    let error = Diagnostic::error(message).at(&text.span, why);
    problems.add(error.help(
        "let it listen on 127.0.0.1 (followers forward requests to the leader), ask clients for certificates (`tls` with \
         verify_incoming) or tokens (`access { default = \"deny\" }`), or say insecure = true",
    ));
    false
}
