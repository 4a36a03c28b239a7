//! `quorate start`: the flags of an agent.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args};

use super::output::Failure;

/// Flags of `start`. They override the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct StartArgs {
    /// File or directory of the configuration; repeatable, in order
    #[arg(long = "config-file", visible_alias = "config-dir", value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// Name of this agent; the lowest alive leads
    #[arg(long)]
    pub id: Option<String>,
    /// Where the API listens
    #[arg(long, value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// Where gossip listens, UDP and TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub gossip_addr: Option<String>,
    /// Where others reach the gossip of this agent
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Seeds to find the cluster by; repeatable, or with commas
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub join: Vec<String>,
    /// How many agents found the cluster
    #[arg(long, value_name = "N")]
    pub expect: Option<u16>,
    /// Directory of the promise and the replicated state
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Parent of the directories of tasks
    #[arg(long, value_name = "DIR")]
    pub working_dir: Option<PathBuf>,
    /// TRACE, DEBUG, INFO, WARN or ERR
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Run every task once, then stop (not supported yet)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false,
          action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub once: bool,
    /// Plan every task and apply nothing (not supported yet)
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false,
          action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub inspect: bool,
    /// Plan this task only; repeatable (not supported yet)
    #[arg(long, value_name = "NAME")]
    pub inspect_task: Vec<String>,
}

/// Starts an agent and runs it to its end.
pub fn run(args: StartArgs) -> ExitCode {
    let failure = match unsupported(&args) {
        Some(flag) => Failure::new(format!("{flag} is not supported yet")),
        None => begin(args),
    };
    failure.complain();
    failure.exit.into()
}

/// Why the agent did not start.
fn begin(args: StartArgs) -> Failure {
    drop(args);
    Failure::new("this build cannot start an agent yet")
}

/// The modes of CTS that are not there yet: refused, so that nobody believes that they ran.
fn unsupported(args: &StartArgs) -> Option<&'static str> {
    match args {
        StartArgs { once: true, .. } => Some("-once"),
        StartArgs { inspect: true, .. } => Some("-inspect"),
        StartArgs { inspect_task, .. } if !inspect_task.is_empty() => Some("-inspect-task"),
        _ => None,
    }
}
