//! When a task should run, and what a finished run means. Pure.
//!
//! [`Tasks`] is told that this agent leads, what changed, what the time is and how runs ended; it answers with
//! [`Output`]s, above all [`Start`]. The runtime pairs each `Start` with the live lease, runs it, and reports its end
//! exactly once.
//!
//! # Invariants
//!
//! - Without a lease nothing starts.
//! - One task never runs twice at once; a run of an earlier lease that still ends counts.
//! - A trigger while leading is followed by a run that starts after it, with the newest inputs. Many triggers make one run.
//! - A run that was cancelled is not tried again, neither by this leader nor by the next; what was triggered after it runs.
//!
//! # Not here
//!
//! Authority (the lease is checked where the effect is), journalling, parking of tasks that fail again and again, sharing
//! tasks among members.

pub mod consul_data;
pub mod cron;
pub mod drift;
pub mod duration;
mod history;
mod log_bounds;
pub mod members;
pub mod output;
pub mod report;
pub mod review;
pub mod run_data;
mod run_options;
mod slot;
pub mod spec;
mod tasks;
#[cfg(test)]
mod tests;

pub use consul_data::{Data, Query};
pub use cron::{Cron, CronError};
pub use history::{CancelledRun, Fingerprint, Kept};
pub use log_bounds::LogBounds;
pub use members::MemberInput;
pub use output::{Inputs, Level, Log, Outcome, Output, RunId, Start, Trigger};
pub use report::TaskReport;
pub use spec::TaskSpec;
pub use tasks::{Cancelling, Conclusion, Settings, TaskError, Tasks, Unfinished};
