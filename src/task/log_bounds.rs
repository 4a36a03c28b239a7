//! What is kept of the logs of runs.

use std::time::Duration;

/// Logs of all tasks together: each costs every agent two hundred bytes of memory, and a take-over its share of time.
const ALL_MAX: usize = 10_000;

/// `runs` of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Logs of a task. None: a log is gone with the next run of its task.
    pub keep: usize,
    /// Bytes of a log, compressed.
    pub max_size: usize,
    /// How long after the end of its run.
    pub max_age: Duration,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { keep: 100, max_size: 1 << 20, max_age: Duration::from_hours(30 * 24) }
    }
}

impl LogBounds {
    /// The same where there are so many tasks.
    #[must_use]
    pub fn for_tasks(self, tasks: usize) -> Self {
        let share = (ALL_MAX / tasks.max(1)).max(1);
        Self { keep: self.keep.min(share), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logs_of_many_tasks_have_a_bound_together() {
        let bounds = LogBounds::default();
        assert_eq!(bounds.for_tasks(0).keep, 100);
        assert_eq!(bounds.for_tasks(100).keep, 100);
        assert_eq!(bounds.for_tasks(1_000).keep, 10);
        assert_eq!(bounds.for_tasks(1_000_000).keep, 1);
        assert_eq!(LogBounds { keep: 3, ..bounds }.for_tasks(1_000).keep, 3);
    }
}
