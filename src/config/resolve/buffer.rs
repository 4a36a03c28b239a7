//! Buffer periods, by the rules of CTS.

use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawBuffer;
use crate::config::read::Spanned;
use crate::task::spec::{Buffer, Condition};

/// CTS's buffer period.
const BUFFER: Buffer = Buffer { min: Duration::from_secs(5), max: Duration::from_secs(20) };

/// `buffer_period` at the top level. A `max` that is not given is four times a `min` that is, as CTS documents (it keeps 20 s
/// there by an accident of merging).
pub(super) fn global(raw: Option<&Spanned<RawBuffer>>, problems: &mut Problems) -> Option<Buffer> {
    let Some(raw) = raw else { return Some(BUFFER) };
    let bounds = &raw.value;
    let on = bounds.enabled.as_ref().is_none_or(|it| it.value);
    on.then(|| {
        let min = bounds.min.as_ref().map_or(BUFFER.min, |it| it.value);
        let max = bounds.min.as_ref().map_or(BUFFER.max, |min| min.value.saturating_mul(4));
        raised(bounds, min, bounds.max.as_ref().map_or(max, |it| it.value), problems)
    })
}

/// Of a task: nothing said is the global one; something said turns it on, with `min` of the global one (or CTS's, when
/// that is off) and `max` four times `min`.
pub(super) fn task(
    raw: Option<&Spanned<RawBuffer>>,
    global: Option<Buffer>,
    condition: &Condition,
    problems: &mut Problems,
) -> Option<Buffer> {
    let off = raw.is_some_and(|raw| raw.value.enabled.as_ref().is_some_and(|it| !it.value));
    if let Condition::Schedule { .. } = condition {
        if let Some(raw) = raw.filter(|_| !off) {
            let warning = Diagnostic::warning("`buffer_period` has no effect on a task with a schedule");
            problems.add(warning.at(&raw.key, "runs at its ticks only"));
        }
        return None;
    }
    let Some(bounds) = raw.map(|raw| &raw.value) else { return global };
    if off {
        return None;
    }
    if bounds.enabled.is_none() && bounds.min.is_none() && bounds.max.is_none() {
        return global;
    }
    let min = bounds.min.as_ref().map_or(global.unwrap_or(BUFFER).min, |it| it.value);
    let max = bounds.max.as_ref().map_or(min.saturating_mul(4), |it| it.value);
    Some(raised(bounds, min, max, problems))
}

/// As the API means it: what is not given is zero, and `max` is never below `min`.
pub(in crate::config) fn api(enabled: Option<bool>, min: Option<Duration>, max: Option<Duration>) -> Option<Buffer> {
    let min = min.unwrap_or_default();
    enabled.unwrap_or(true).then(|| Buffer { min, max: max.unwrap_or_default().max(min) })
}

/// A `max` below `min` is raised to it; said when both are written down.
fn raised(bounds: &RawBuffer, min: Duration, max: Duration, problems: &mut Problems) -> Buffer {
    if let (true, Some(low), Some(high)) = (max < min, &bounds.min, &bounds.max) {
        let warning = Diagnostic::warning("`max` of `buffer_period` is below `min`: `min` is used for both");
        problems.add(warning.at(&high.span, "raised to `min`").at(&low.span, "`min`"));
    }
    Buffer { min, max: max.max(min) }
}
