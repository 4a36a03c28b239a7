//! What Terraform says while it runs: line by line into the log, and how far it is, for people who wait.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::info;

use super::mask::Mask;
use crate::guardian::Stream;
use crate::task::report::Progress;
use crate::terraform::StepKind;
use crate::terraform::events::{self, Changes, Lines};

/// How far the runs under way are, by task.
#[derive(Debug, Default)]
pub(in crate::runtime) struct ProgressTable {
    tasks: Mutex<BTreeMap<String, Progress>>,
    moves: AtomicU64,
}

impl ProgressTable {
    /// Grows whenever something has moved.
    pub(in crate::runtime) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Of one task; none between two steps.
    pub(in crate::runtime) fn of(&self, task: &str) -> Option<Progress> {
        self.tasks.lock().ok().and_then(|tasks| tasks.get(task).copied())
    }

    fn set(&self, task: &str, progress: Option<Progress>) {
        if let Ok(mut tasks) = self.tasks.lock() {
            match progress {
                Some(progress) => tasks.insert(task.to_owned(), progress),
                None => tasks.remove(task),
            };
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
    }
}

/// One step while it runs.
pub(super) struct Listener<'a> {
    task: &'a str,
    step: StepKind,
    /// Its standard output is events, a JSON object a line.
    events: bool,
    /// `log = true` in driver "terraform".
    log: bool,
    lines: [Lines; 2],
    changes: Changes,
    progress: &'a ProgressTable,
    mask: Mask,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.progress.set(self.task, None);
    }
}

impl<'a> Listener<'a> {
    pub(super) fn new(task: &'a str, step: StepKind, events: bool, log: bool, progress: &'a ProgressTable) -> Self {
        let (lines, changes, mask) = Default::default();
        let listener = Self { task, step, events, log, lines, changes, progress, mask };
        listener.show();
        listener
    }

    /// The same, without what must not be logged.
    pub(super) fn hiding(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    fn show(&self) {
        let (done, total) = (self.changes.done(), self.changes.total());
        self.progress.set(self.task, Some(Progress { step: self.step.as_str(), done, total }));
    }

    /// The next bytes of its output; so many before them were lost.
    pub(super) fn handle(&mut self, stream: Stream, bytes: &[u8], lost: u64) {
        let which = usize::from(stream == Stream::Stderr);
        if lost > 0 {
            self.lines[which].skip();
        }
        let lines = self.lines[which].split(bytes);
        self.tell(stream, lines);
    }

    /// It has ended: a last line may lack its end.
    pub(super) fn end(mut self) {
        for (stream, which) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
            let rest = self.lines[which].split(b"\n");
            self.tell(stream, rest);
        }
    }

    fn tell(&mut self, stream: Stream, lines: Vec<Vec<u8>>) {
        let is_events = self.events && stream == Stream::Stdout;
        let mut moved = false;
        for line in lines {
            moved |= is_events && self.changes.handle_line(&line);
            if self.log {
                let line = self.mask.hide(&line);
                let line = String::from_utf8_lossy(&line);
                let text = if is_events { events::message(&line) } else { line };
                let text = text.trim_end();
                if !text.is_empty() {
                    info!(task = self.task, step = self.step.as_str(), "{text}");
                }
            }
        }
        if moved {
            self.show();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_there_while_the_step_runs_and_not_longer() {
        let progress = ProgressTable::default();
        let mut listener = Listener::new("edge", StepKind::Apply, true, false, &progress);
        assert_eq!(progress.of("edge"), Some(Progress { step: "apply", done: 0, total: 0 }));
        let before = progress.moves();
        let plan = br#"{"type":"change_summary","changes":{"add":2,"change":0,"remove":0,"operation":"plan"}}"#;
        listener.handle(Stream::Stdout, &plan[..10], 0);
        listener.handle(Stream::Stderr, b"{\"type\":\"apply_complete\"}\n", 0);
        assert_eq!(progress.moves(), before);
        listener.handle(Stream::Stdout, &plan[10..], 0);
        listener.handle(Stream::Stdout, b"\n{\"type\":\"apply_complete\"}", 0);
        assert_eq!(progress.of("edge"), Some(Progress { step: "apply", done: 0, total: 2 }));
        listener.handle(Stream::Stdout, b"\n", 0);
        assert_eq!(progress.of("edge"), Some(Progress { step: "apply", done: 1, total: 2 }));
        listener.end();
        assert_eq!(progress.of("edge"), None);
        assert!(progress.of("other").is_none() && progress.moves() > before);
    }
}
