//! Terraform and OpenTofu: a task's generated workspace, and the steps that apply it.
//!
//! This room says *what* to run and what an exit means; it starts no run itself. The runtime starts each step through
//! the guardian, which ends it when the agent's authority ends.
//!
//! One run, from the runtime's side:
//!
//! 1. at start, once: [`binary::find`];
//! 2. [`workspace::write`] the files of the task into its directory;
//! 3. [`initialised::is_initialised`] says whether `init` can be skipped;
//! 4. [`Run::new`], then as long as [`Run::next`] says [`Action::Exec`]: start that step in the task's directory with
//!    the environment of [`env::env_for`], and give its exit to [`Run::handle_exit`]; at [`Action::Remember`] call
//!    [`initialised::remember`];
//! 5. [`Action::Done`] is what the run came to.
//!
//! # Interrupting Terraform
//!
//! At the first SIGINT it starts nothing new, waits for what is under way, writes its state, releases its lock and
//! exits with 1. At the second it dies at once, and state is lost. So a step is interrupted **once**, given its grace,
//! and then killed as a whole tree. The signal goes to the process group: provider plugins ignore it, while programs
//! of `local-exec` get it too and normally end.

pub mod backend;
pub mod backend_http;
pub mod binary;
pub mod cache;
pub mod dynamic;
pub mod env;
pub mod events;
pub mod fingerprint;
pub mod handler;
pub mod hcl;
pub mod initialised;
pub mod inputs;
pub mod install;
pub mod literal;
pub mod plan_json;
pub mod run;
pub mod settings;
pub mod steps;
pub mod version;
pub mod workspace;

mod diagnostics;
pub mod directory;
#[cfg(test)]
mod testing;

pub use backend::{Chosen, ConsulAccess, ConsulTls, DefaultBackend};
pub use binary::{Binary, BinaryError};
pub use cache::Caches;
pub use inputs::Inputs;
pub use plan_json::Summary;
pub use run::{Action, Exit, Plan, Run};
pub use settings::{Backend, Provider, RequiredProvider, Settings};
pub use steps::{PLAN_FILE, Step, StepKind};
pub use workspace::{WorkspaceError, Written};
