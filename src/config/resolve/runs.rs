//! `runs`: what is kept of the logs of runs.

use super::run_options::{bytes, text};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRuns;
use crate::config::read::Spanned;
use crate::task::LogBounds;

/// Logs of a task: the events of a task are a hundred, too.
const KEEP_MAX: u16 = 1000;
/// Less does not hold the head and the tail of anything.
const SIZE_MIN: usize = 4 << 10;
/// A replicated value has at most 16 MiB.
const SIZE_MAX: usize = 8 << 20;

/// The block; what it leaves out is as if there was none.
pub(super) fn runs(raw: Option<&Spanned<RawRuns>>, problems: &mut Problems) -> LogBounds {
    let mut bounds = LogBounds::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return bounds };
    if let Some(keep) = &raw.keep {
        if keep.value > KEEP_MAX {
            let message = format!("`keep` of `runs` is at most {KEEP_MAX}");
            problems.add(Diagnostic::error(message).at(&keep.span, "too many for every agent to hold"));
        }
        bounds.keep = usize::from(keep.value);
    }
    if let Some(size) = &raw.max_size {
        let given = text(&size.value).as_deref().and_then(bytes).and_then(|size| usize::try_from(size).ok());
        match given.filter(|size| (SIZE_MIN..=SIZE_MAX).contains(size)) {
            Some(bytes) => bounds.max_size = bytes,
            None => problems.add(
                Diagnostic::error("`max_size` of `runs` must be a size from \"4KiB\" to \"8MiB\"")
                    .at(&size.span, "not understood, too small or too large")
                    .help("leave it out for \"1MiB\" of compressed text"),
            ),
        }
    }
    if let Some(age) = &raw.max_age {
        if age.value.is_zero() {
            problems.add(
                Diagnostic::error("`max_age` of `runs` must be more than 0")
                    .at(&age.span, "every log would be too old at once")
                    .help("keep = 0 keeps none"),
            );
        }
        bounds.max_age = age.value;
    }
    bounds
}
