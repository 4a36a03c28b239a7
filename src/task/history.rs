//! The last events of one task, its status, and the text of a failure.

use std::collections::VecDeque;

use super::report::{EVENTS_MAX, RunEvent, Status};

/// Newest first, at most [`EVENTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct History {
    events: VecDeque<RunEvent>,
}

impl History {
    pub(super) fn record(&mut self, event: RunEvent) {
        self.events.push_front(event);
        self.events.truncate(EVENTS_MAX);
    }

    pub(super) fn events(&self) -> Vec<RunEvent> {
        self.events.iter().cloned().collect()
    }

    /// CTS's rule.
    pub(super) fn status(&self) -> Status {
        match self.events.front() {
            None => Status::Unknown,
            Some(newest) if newest.success => Status::Successful,
            Some(_) if self.events.iter().skip(1).any(|event| !event.success) => Status::Critical,
            Some(_) => Status::Errored,
        }
    }
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
    fn only_the_last_five_are_kept_newest_first() {
        let mut history = History::default();
        for n in 0..7 {
            history.record(RunEvent { epoch: n, ..event(true) });
        }
        assert_eq!(history.events().iter().map(|event| event.epoch).collect::<Vec<_>>(), [6, 5, 4, 3, 2]);
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
            history.record(event(*success));
        }
        assert_eq!(history.status(), expected, "{outcomes:?}");
    }

    fn event(success: bool) -> RunEvent {
        let time = DateTime::UNIX_EPOCH.with_timezone(&Local);
        RunEvent {
            id: Uuid::nil(),
            success,
            start_time: time,
            end_time: time,
            error: None,
            epoch: 1,
            trigger: "take-over".to_owned(),
        }
    }
}
