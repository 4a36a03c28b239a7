//! `audit`: where it is written down who changed what.

use super::World;
use crate::audit::{FileSettings, Settings};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawAudit;
use crate::config::read::Spanned;

/// A file may grow this large; some 250,000 lines.
const ROTATE_BYTES: u64 = 100 << 20;
/// A file smaller than this would hold only a few lines.
const ROTATE_BYTES_MIN: u64 = 4 << 10;
/// Old files that are kept.
const ROTATE_MAX_FILES: u16 = 10;

/// The block; on when it names where to write.
pub(super) fn audit(raw: Option<&Spanned<RawAudit>>, world: &World<'_>, problems: &mut Problems) -> Option<Settings> {
    let block = raw?;
    let raw = &block.value;
    if raw.enabled.as_ref().is_some_and(|enabled| !enabled.value) {
        return None;
    }
    let syslog = raw.syslog.as_ref().is_some_and(|syslog| syslog.value);
    if let Some(file) = raw.file.as_ref().filter(|file| file.value.trim().is_empty()) {
        problems.add(Diagnostic::error("`file` of `audit` is empty").at(&file.span, "expected a path"));
        return None;
    }
    if raw.file.is_none() && !syslog {
        problems.add(
            Diagnostic::error("`audit` does not say where to write")
                .at(&block.span, "neither `file` nor `syslog`")
                .help("add file = \"/var/log/quorate/audit.log\", or syslog = true, or take the block out"),
        );
        return None;
    }
    for (given, name) in [
        (raw.rotate_bytes.as_ref().map(|it| &it.span), "rotate_bytes"),
        (raw.rotate_max_files.as_ref().map(|it| &it.span), "rotate_max_files"),
    ] {
        if let (Some(span), None) = (given, &raw.file) {
            let warning = Diagnostic::warning(format!("`{name}` of `audit` has no effect without `file`"));
            problems.add(warning.at(span, "only files are rotated"));
        }
    }
    let file = raw.file.as_ref().map(|file| FileSettings {
        path: world.path(&file.value),
        rotate_bytes: rotate_bytes(raw, problems),
        rotate_max_files: u32::from(raw.rotate_max_files.as_ref().map_or(ROTATE_MAX_FILES, |it| it.value)),
    });
    Some(Settings { file, syslog, required: raw.required.as_ref().is_some_and(|required| required.value) })
}

/// 0 is for those who rotate the file themselves.
fn rotate_bytes(raw: &RawAudit, problems: &mut Problems) -> Option<u64> {
    let Some(given) = &raw.rotate_bytes else { return Some(ROTATE_BYTES) };
    let bytes = u64::from(given.value);
    if bytes != 0 && bytes < ROTATE_BYTES_MIN {
        problems.add(
            Diagnostic::error(format!("`rotate_bytes` {bytes} is too small: a line has some hundred bytes"))
                .at(&given.span, format!("expected at least {ROTATE_BYTES_MIN}, or 0 for never"))
                .help(format!("leave it out for {ROTATE_BYTES}")),
        );
    }
    (bytes != 0).then_some(bytes)
}
