//! Terraform and OpenTofu: a task's generated workspace, and the steps that apply it.
//!
//! This room says *what* to run and what an exit means; it starts no long-lived process itself. The runtime starts
//! each step through the guardian, which ends it when the agent's authority ends.

pub mod hcl;
pub mod literal;
pub mod settings;

pub use settings::{Backend, Provider, RequiredProvider, Settings};
