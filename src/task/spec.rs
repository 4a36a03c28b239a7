//! What a task is: resolved settings, no text of a configuration file left in it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A task: when to run what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// `[A-Za-z_][A-Za-z0-9_-]*`, at most 64, unique without regard to case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it runs at all.
    pub enabled: bool,
    /// What makes it run.
    pub condition: Condition,
    /// Also feed it the cluster's members, without a trigger (`module_input "members"`).
    pub members_input: bool,
    /// What runs.
    pub work: Work,
    /// How triggers are gathered; `None`: each runs at once. Always `None` for `schedule`.
    pub buffer: Option<Buffer>,
    /// How a failed run is repeated.
    pub retry: Retry,
    /// How long a run has between SIGINT and SIGKILL.
    pub grace: Duration,
    /// Longest a run may take, if limited.
    pub timeout: Option<Duration>,
    /// Directory of its workspace.
    pub working_dir: PathBuf,
}

/// What makes a task run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A cron timetable in CTS's dialect (`reference/cts.md` 1.8), local time.
    Schedule {
        /// As configured, checked.
        cron: String,
    },
    /// A change of the cluster's own membership.
    Members {
        /// Also give the members to the task as input.
        use_as_module_input: bool,
    },
    /// Nothing: it runs when a leader begins, and by hand.
    None,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// An argument vector, no shell. Input as JSON on stdin and in the file `QUORATE_INPUT`.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// A Terraform module.
    Terraform(TerraformWork),
}

/// A Terraform module with its inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerraformWork {
    /// Module source; a local path is absolute here.
    pub module: String,
    /// Registry module version; empty when none.
    pub version: String,
    /// `name` or `name.alias` of providers.
    pub providers: Vec<String>,
    /// Variables: name to the literal text of an HCL/JSON value.
    pub variables: BTreeMap<String, String>,
}

/// Buffer period (`reference/cts.md` 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buffer {
    /// Restarted by each trigger.
    pub min: Duration,
    /// Never later than this after the first trigger.
    pub max: Duration,
}

/// Retries of a failed run (`reference/cts.md` 1.5): CTS's policy by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries after the first: 2.
    pub retries: u32,
    /// First wait: 1 s, doubling, plus up to half of itself at random.
    pub base: Duration,
    /// Longest wait: 15 min.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 2, base: Duration::from_secs(1), cap: Duration::from_mins(15) }
    }
}
