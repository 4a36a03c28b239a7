//! The last events of one task, its status, and the text of a failure.

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Local};

use super::drift::DriftState;
use super::report::{CutShort, ERROR_MAX, EVENTS_MAX, EVENTS_SHOWN, RunEvent, Status};

/// Names everything that a run depends on: inputs, module, configuration. Equal fingerprints, equal outcome.
pub type Fingerprint = [u8; 32];

/// What outlives a leader of one task: given to the next by [`super::Tasks::restore`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept {
    /// Events that there ever were.
    pub count: u64,
    /// Newest first, at most [`EVENTS_MAX`].
    pub events: VecDeque<RunEvent>,
    /// What the last run that went well depended on, if that is known.
    pub last_success: Option<Fingerprint>,
    /// Hashed names of the instances that the last run that went well was fed; kept for tasks whose guards compare.
    pub applied: Option<BTreeSet<u64>>,
    /// When its flag was set last at run time, in seconds since 1970.
    pub enabled_at: Option<i64>,
    /// What the newest look for drift came to.
    pub drift: Option<DriftState>,
    /// Its newest run, if that was cancelled.
    pub cancelled: Option<CancelledRun>,
}

/// A run that was cancelled: a take-over does not start its task again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelledRun {
    /// Its event, made by whoever comes first to it.
    pub event: RunEvent,
    /// What its condition saw then, hashed: a change after that is a new trigger.
    pub watched: Fingerprint,
    /// A trigger was queued behind it: that one runs.
    pub queued: bool,
}

/// What a run was made of, kept when it goes well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Basis {
    /// All that it depends on, if that is known.
    pub(super) fingerprint: Option<Fingerprint>,
    /// Its instances, if the task's guards compare them.
    pub(super) instances: Option<BTreeSet<u64>>,
}

/// Newest first, at most [`EVENTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct History {
    kept: Kept,
    /// Grows with every change.
    revision: u64,
}

impl History {
    pub(super) fn restore(&mut self, kept: Kept) {
        self.kept = kept;
        self.kept.events.truncate(EVENTS_MAX);
        self.revision += 1;
    }

    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Takes an event; of a run that went well also what it depended on.
    pub(super) fn record(&mut self, mut event: RunEvent, basis: Basis) {
        if event.success {
            self.kept.last_success = basis.fingerprint;
            self.kept.applied = basis.instances;
            if event.cut_short.is_none()
                && let Some(drift) = &mut self.kept.drift
            {
                // All is as it should be again.
                (drift.found, drift.error) = (None, None);
            }
        }
        self.revision += 1;
        event.error = event.error.map(end_of);
        // A run has one event. It is here already when a majority knew of it before this leadership began.
        if self.kept.events.front().is_some_and(|newest| newest.id == event.id) {
            self.kept.events.pop_front();
        } else {
            self.kept.count += 1;
        }
        self.kept.events.push_front(event);
        self.kept.events.truncate(EVENTS_MAX);
    }

    /// What it would be with this event.
    pub(super) fn kept_with(&self, event: RunEvent, basis: Basis) -> Kept {
        let mut with = Self { kept: self.kept.clone(), revision: 0 };
        with.record(event, basis);
        with.kept
    }

    /// Takes what a look for drift came to.
    pub(super) fn record_drift(&mut self, drift: DriftState) {
        self.kept.drift = Some(drift);
        self.revision += 1;
    }

    /// From when on the next look for drift may come; `None`: not while its newest run did not come to a good end of its own.
    pub(super) fn drift_basis(&self) -> Option<DateTime<Local>> {
        let newest = self.newest().filter(|event| event.success && event.cut_short.is_none())?;
        let checked = self.kept.drift.as_ref().map(|drift| drift.checked);
        Some(checked.map_or(newest.end_time, |checked| checked.max(newest.end_time)))
    }

    /// The newest event.
    pub(super) fn newest(&self) -> Option<&RunEvent> {
        self.kept.events.front()
    }

    /// What the newest run depended on, if it went well.
    pub(super) fn unchanged_since(&self) -> Option<Fingerprint> {
        self.kept.events.front().filter(|event| event.success).and(self.kept.last_success)
    }

    /// What the last run that went well was fed, if that is kept.
    pub(super) fn applied(&self) -> Option<&BTreeSet<u64>> {
        self.kept.applied.as_ref()
    }

    /// Whether the newest run went well.
    pub(super) fn is_well(&self) -> bool {
        self.kept.events.front().is_some_and(|event| event.success)
    }

    /// The newest run when that was cancelled.
    pub(super) fn cancelled(&self) -> Option<&CancelledRun> {
        // One that was over before the cancel came to it has ended as its event says.
        let newest = self.newest().filter(|event| event.cut_short == Some(CutShort::Cancelled)).map(|event| event.id);
        self.kept.cancelled.as_ref().filter(|run| newest == Some(run.event.id))
    }

    /// Makes the event of a cancelled run whose leader did not come to it. Returns whether there was one to make.
    pub(super) fn record_cancelled(&mut self) -> bool {
        let Some(CancelledRun { event, .. }) = self.kept.cancelled.clone() else { return false };
        if self.kept.events.iter().any(|known| known.id == event.id) {
            return false;
        }
        self.record(event, Basis::default());
        true
    }

    /// Runs that failed since the last that went well, as far as events are kept. Those that somebody cancelled do not count.
    pub(super) fn failures(&self) -> u32 {
        let failed = self.kept.events.iter().take_while(|event| !event.success);
        let failures = failed.filter(|event| event.cut_short != Some(CutShort::Cancelled)).count();
        u32::try_from(failures).unwrap_or(u32::MAX)
    }

    /// Takes the success of a run that had nothing to do: what the one before depended on stays true.
    pub(super) fn record_idle(&mut self, event: RunEvent) {
        let basis = Basis { fingerprint: self.kept.last_success, instances: self.kept.applied.clone() };
        self.record(event, basis);
    }

    /// The newest, as many as a report shows.
    pub(super) fn events(&self) -> Vec<RunEvent> {
        self.kept.events.iter().take(EVENTS_SHOWN).cloned().collect()
    }

    /// CTS's rule.
    pub(super) fn status(&self) -> Status {
        let mut events = self.kept.events.iter().take(EVENTS_SHOWN);
        match events.next() {
            None => Status::Unknown,
            Some(newest) if newest.success => Status::Successful,
            Some(_) if events.any(|event| !event.success) => Status::Critical,
            Some(_) => Status::Errored,
        }
    }
}

/// The end of a long text, which is where the reason stands.
fn end_of(text: String) -> String {
    if text.len() <= ERROR_MAX {
        return text;
    }
    let from = text.ceil_char_boundary(text.len() - ERROR_MAX);
    format!("(the first {from} bytes are left out) {}", &text[from..])
}

/// The error of an event, as CTS words it: the retries newest first, without the first try; that one stands alone when
/// there was no retry. (The log has them all.)
pub(super) fn failure_text(causes: &[String]) -> String {
    let Some((first, retries)) = causes.split_first() else { return String::new() };
    if retries.is_empty() {
        return first.clone();
    }
    let texts: Vec<_> = retries
        .iter()
        .enumerate()
        .rev()
        .map(|(n, cause)| format!("retry attempt #{} failed '{cause}'", n + 1))
        .collect();
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use chrono::{DateTime, Local};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn status_follows_the_newest_and_counts_other_failures() {
        check(&[], Status::Unknown);
        check(&[true], Status::Successful);
        check(&[false, false, true], Status::Successful);
        check(&[true, true, false], Status::Errored);
        check(&[false, true, true, false], Status::Critical);
        // The old failure has fallen out of the last five.
        check(&[false, true, true, true, true, false], Status::Errored);
        check(&[true, false, true, true, true, false], Status::Critical);
    }

    #[test]
    fn the_last_hundred_are_kept_and_five_are_shown_newest_first() {
        let mut history = History::default();
        for n in 0..107 {
            history.record(RunEvent { epoch: n, ..event(true) }, Basis::default());
        }
        assert_eq!(history.events().iter().map(|event| event.epoch).collect::<Vec<_>>(), [106, 105, 104, 103, 102]);
        assert_eq!((history.kept().count, history.kept().events.len()), (107, 100));
    }

    #[test]
    fn only_the_newest_success_says_that_nothing_changed() {
        let mut history = History::default();
        assert_eq!(history.unchanged_since(), None);
        history.record(event(true), Basis { fingerprint: Some([7; 32]), ..Basis::default() });
        assert_eq!(history.unchanged_since(), Some([7; 32]));
        history.record(event(false), Basis::default());
        assert_eq!(history.unchanged_since(), None, "a failure came after it");
        history.record(event(true), Basis::default());
        assert_eq!(history.unchanged_since(), None, "what it depended on is not known");
    }

    #[test]
    fn a_long_error_keeps_its_end() {
        let mut history = History::default();
        let text = "\u{e9}".repeat(ERROR_MAX) + " at the end";
        history.record(RunEvent { error: Some(text), ..event(false) }, Basis::default());
        let error = history.events()[0].error.clone().unwrap();
        assert!(error.len() < ERROR_MAX + 64 && error.ends_with(" at the end") && error.starts_with("(the first "));
    }

    #[test]
    fn a_failure_names_its_retries_newest_first() {
        let causes = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(failure_text(&causes[..1]), "a");
        assert_eq!(failure_text(&causes[..2]), "retry attempt #1 failed 'b'");
        assert_eq!(failure_text(&causes), "retry attempt #2 failed 'c': retry attempt #1 failed 'b'");
    }

    /// Oldest first.
    fn check(outcomes: &[bool], expected: Status) {
        let mut history = History::default();
        for success in outcomes {
            history.record(event(*success), Basis::default());
        }
        assert_eq!(history.status(), expected, "{outcomes:?}");
    }

    static EVENTS: AtomicU64 = AtomicU64::new(1);

    fn event(success: bool) -> RunEvent {
        let time = DateTime::UNIX_EPOCH.with_timezone(&Local);
        RunEvent {
            id: Uuid::from_u128(u128::from(EVENTS.fetch_add(1, Ordering::Relaxed))),
            success,
            start_time: time,
            end_time: time,
            error: None,
            epoch: 1,
            trigger: "take-over".to_owned(),
            cut_short: None,
            asked_by: None,
        }
    }

    #[test]
    fn an_event_that_is_there_already_is_not_counted_twice() {
        let mut history = History::default();
        history.record(event(true), Basis::default());
        let newest = event(false);
        let kept = history.kept_with(newest.clone(), Basis::default());
        assert_eq!((kept.count, history.kept().count), (2, 1));
        history.restore(kept.clone());
        history.record(newest, Basis::default());
        assert_eq!(*history.kept(), kept);
    }
}
