//! `syslog`: a copy of the log for the syslog of the machine.

use super::{World, choice};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawSyslog;
use crate::config::read::Spanned;
use crate::config::settings::Syslog;

/// Names and numbers of RFC 3164, section 4.1.1, as syslog(3) names them.
const FACILITIES: [(&str, u8); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];
/// `LOCAL0`
const FACILITY: u8 = 16;
/// Of a message without one; CTS's.
const NAME: &str = "consul-terraform-sync";
/// Longest name that receivers take for one (RFC 3164, section 4.1.3).
const NAME_MAX: usize = 32;

/// The block; on when it is enabled, or when another key is set.
pub(super) fn syslog(raw: Option<&Spanned<RawSyslog>>, world: &World<'_>, problems: &mut Problems) -> Option<Syslog> {
    let raw = &raw?.value;
    let set = raw.facility.is_some() || raw.name.is_some() || raw.path.is_some();
    if !raw.enabled.as_ref().map_or(set, |enabled| enabled.value) {
        return None;
    }
    let facility = choice(raw.facility.as_ref(), "facility", &FACILITIES, FACILITY, problems);
    let fits = |name: &str| {
        (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'[' | b']' | b':'))
    };
    if let Some(name) = raw.name.as_ref().filter(|name| !fits(&name.value)) {
        let message = format!("`name` {:?} cannot name a sender of syslog", name.value);
        let label = format!("expected 1 to {NAME_MAX} characters, without blanks, `[`, `]` and `:`");
        problems.add(Diagnostic::error(message).at(&name.span, label));
    }
    Some(Syslog {
        facility,
        name: raw.name.as_ref().map_or_else(|| NAME.to_owned(), |name| name.value.clone()),
        path: raw.path.as_ref().map(|path| world.path(&path.value)),
    })
}
