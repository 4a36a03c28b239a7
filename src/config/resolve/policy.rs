//! How a task that fails is repeated and parked, and which changes of its data it does not act on.

use std::time::Duration;

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::duration::show;
use crate::config::raw::task::{RawPolicy, RawTask};
use crate::config::read::Spanned;
use crate::task::consul_data::Query;
use crate::task::spec::{Guards, Park, Retry};

/// More tries than this for one run hide a broken task for hours.
const RETRIES_MAX: u32 = 100;
/// How long a task is parked first, and at most, when only `park_after` is given.
const PARK: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(1));

/// `policy`: CTS's retries and no parking when nothing is said.
pub(super) fn policy(raw: Option<&Spanned<RawPolicy>>, problems: &mut Problems) -> (Retry, Option<Park>) {
    let default = Retry::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return (default, None) };
    let retries = raw.retries.as_ref().map_or(default.retries, |it| it.value);
    if let Some(given) = raw.retries.as_ref().filter(|given| given.value > RETRIES_MAX) {
        let diagnostic = Diagnostic::error(format!("`retries` is at most {RETRIES_MAX}"));
        problems.add(diagnostic.at(&given.span, "too many").help("use park_after for a task that may fail for long"));
    }
    let (base, cap) =
        range(("base", raw.base.as_ref()), ("cap", raw.cap.as_ref()), (default.base, default.cap), problems);
    let (first, longest) =
        range(("park_base", raw.park_base.as_ref()), ("park_cap", raw.park_cap.as_ref()), PARK, problems);
    let park = match &raw.park_after {
        Some(after) if after.value == 0 => {
            let diagnostic = Diagnostic::error("`park_after` is 1 or more").at(&after.span, "would never run");
            problems.add(diagnostic.help("leave it out: the task is then never parked"));
            None
        }
        Some(after) => Some(Park { after: after.value, base: first, cap: longest }),
        None => {
            if let Some(idle) = raw.park_base.as_ref().or(raw.park_cap.as_ref()) {
                let diagnostic = Diagnostic::error("`park_base` and `park_cap` need `park_after`");
                problems.add(diagnostic.at(&idle.key, "never used").help("for example park_after = 3"));
            }
            None
        }
    };
    (Retry { retries, base, cap }, park)
}

/// A first and a longest wait. A cap that is not given is never below a base that is.
fn range(
    (base_name, base): (&str, Option<&Spanned<Duration>>),
    (cap_name, cap): (&str, Option<&Spanned<Duration>>),
    default: (Duration, Duration),
    problems: &mut Problems,
) -> (Duration, Duration) {
    let first = base.map_or_else(|| cap.map_or(default.0, |cap| default.0.min(cap.value)), |base| base.value);
    let longest = cap.map_or(default.1.max(first), |cap| cap.value);
    if let Some(zero) = base.filter(|base| base.value.is_zero()) {
        let message = format!("`{base_name}` is more than zero");
        problems.add(Diagnostic::error(message).at(&zero.span, "a failing task would be tried without pause"));
    }
    if let Some(cap) = cap.filter(|cap| cap.value < first) {
        let message = format!("`{cap_name}` ({}) is below `{base_name}` ({})", show(cap.value), show(first));
        problems.add(Diagnostic::error(message).at(&cap.span, format!("at least {}", show(first))));
    }
    (first, longest)
}

/// `min_instances` and `max_change_percent`.
pub(super) fn guards(task: &RawTask, queries: &[Query], problems: &mut Problems) -> Guards {
    let percent = task.max_change_percent.as_ref();
    if let Some(given) = percent.filter(|given| !(1..=100).contains(&given.value)) {
        let diagnostic = Diagnostic::error("`max_change_percent` is a number from 1 to 100");
        problems.add(diagnostic.at(&given.span, "percent of the instances that were applied last"));
    }
    let watches = queries.iter().any(|query| matches!(query, Query::Service(_) | Query::Services(_)));
    let keys = [
        ("min_instances", task.min_instances.as_ref().map(|it| &it.key)),
        ("max_change_percent", percent.map(|it| &it.key)),
    ];
    for (name, key) in keys.into_iter().filter_map(|(name, key)| key.map(|key| (name, key))).filter(|_| !watches) {
        let message = format!("`{name}` has no effect on a task without services");
        problems.add(Diagnostic::warning(message).at(key, "counts instances of services"));
    }
    Guards {
        min_instances: task.min_instances.as_ref().map(|it| it.value),
        max_change_percent: percent.map(|it| it.value),
    }
}
