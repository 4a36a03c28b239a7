//! What the operator says about Terraform: where it is, what it logs, where state goes, which providers there are.
//!
//! `config/` translates the blocks `driver "terraform"` and `terraform_provider` into this. Argument values are JSON
//! values (strings, numbers, booleans, lists, objects): in the configuration they are literals, never expressions, so
//! nothing more is needed. Object keys keep the order of the file.
//!
//! # Not here
//!
//! Templates in provider arguments (`{{ env ".." }}`) are resolved before they come here. Which backends are allowed
//! is checked by `config/`, which knows the line to point at.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value};

/// `driver "terraform"` and all `terraform_provider` blocks. The default is what no block at all means.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Directory with a `terraform` or `tofu`, or that file itself. `None`: the first on the PATH.
    pub path: Option<PathBuf>,
    /// The version that the operator expects (`x.y.z`). A different one is a warning, never an error.
    pub version: Option<String>,
    /// Copy what Terraform prints to the agent's log.
    pub log: bool,
    /// Have Terraform write its trace log to `terraform.log` in the task's directory. Slow and large: for a hunt.
    pub persist_log: bool,
    /// Where Terraform keeps state. `None`: files in the task's directory.
    pub backend: Option<Backend>,
    /// Source and version per provider name; only those that a task uses are written for it.
    pub required_providers: BTreeMap<String, RequiredProvider>,
    /// Configured provider instances, in the order of the file.
    pub providers: Vec<Provider>,
}

/// `backend "<kind>" { .. }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// Terraform's name for it: `consul`, `local`, `s3`, ...
    pub kind: String,
    /// Its arguments. An object is a value (`assume_role = {..}`), but for the few that Terraform wants as blocks
    /// (`exec` of `kubernetes`, `workspaces` of `remote`).
    pub body: Map<String, Value>,
}

/// One entry of `required_providers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequiredProvider {
    /// Registry address, `acme/fw`.
    pub source: Option<String>,
    /// Version constraint, `~> 1.2`.
    pub version: Option<String>,
}

/// One `terraform_provider "<name>" { .. }`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Provider {
    /// Label of the block.
    pub name: String,
    /// `alias`: makes the instance `name.alias`.
    pub alias: Option<String>,
    /// All arguments other than `alias` and `task_env`. An object becomes a block of the provider, a list of objects
    /// a block for each; what is nested deeper stays a value.
    pub args: Map<String, Value>,
    /// `task_env`: given to Terraform in its environment, never written to a file.
    pub task_env: BTreeMap<String, String>,
    /// The arguments hold what came from elsewhere: they are given in the environment too, and written to no file.
    pub by_env: bool,
}

impl Provider {
    /// What a task's `providers` list calls it: `name` or `name.alias`.
    pub fn id(&self) -> String {
        match &self.alias {
            Some(alias) => format!("{}.{alias}", self.name),
            None => self.name.clone(),
        }
    }
}

impl Settings {
    /// The instance that a task's list names, if configured.
    pub fn provider(&self, id: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.id() == id)
    }
}
