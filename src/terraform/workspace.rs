//! The generated files of a task: a Terraform root module of one module (`reference/cts.md` 3).
//!
//! | file | holds |
//! |---|---|
//! | `main.tf` | the terraform block, the providers, the module |
//! | `variables.tf` | declarations of what the agent renders and of the providers' values |
//! | `terraform.tfvars` | what the agent renders: data, rewritten before a run when it changed |
//! | `terraform.tfvars.tmpl` | how it does: for people, never read back |
//! | `providers.auto.tfvars` | values of the providers, in plain text, but for those that templates fill in |
//! | `variables.module.tf`, `variables.auto.tfvars` | the task's own variables, when it has some |
//!
//! Every file begins with the notice that it is generated. All are functions of their arguments; only [`write()`] touches
//! the disk, and it leaves a file alone whose bytes would stay the same.

mod main_tf;
mod names;
mod rendered;
mod template;
mod tfvars;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::task::consul_data::Query;
use crate::task::spec::{TaskSpec, TerraformWork};

use super::backend::Chosen;
use super::directory::{Directory, DirectoryError};
use super::hcl::Body;
use super::inputs::Inputs;
use super::literal::LiteralError;
use super::{Binary, Settings};

/// The oldest Terraform that a workspace accepts. There is no ceiling: see [`super::binary`].
const REQUIRED_VERSION: &str = ">= 0.13.0";

/// What [`write()`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Names of the files that were written or removed; the others were already right.
    pub changed: BTreeSet<&'static str>,
}

impl Written {
    /// Whether what the module is given (`terraform.tfvars`) has changed.
    pub fn inputs_changed(&self) -> bool {
        self.changed.contains(TFVARS)
    }
}

/// Largest value of a variable of the environment, in bytes; the kernel takes 128 KiB with the name.
const ENV_MAX: usize = 120 << 10;

const TFVARS: &str = "terraform.tfvars";

/// Why a workspace could not be written. Files that came before the failing one may have been.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// The directory or a file.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A name that cannot stand in a Terraform file. Nothing was changed.
    #[error(
        "{what} {name:?} is not a Terraform name: start with a letter or `_`, go on with letters, digits, `_`, `-`"
    )]
    Name {
        /// What is named.
        what: &'static str,
        /// As configured.
        name: String,
    },
    /// A name that has another meaning here. Nothing was changed.
    #[error("{what} {name:?} is taken: {why}; choose another name")]
    Taken {
        /// What is named.
        what: &'static str,
        /// As configured.
        name: String,
        /// By what.
        why: &'static str,
    },
    /// A variable of the task. Nothing was changed.
    #[error("variable {name:?}: {source}")]
    Variable {
        /// Which.
        name: String,
        /// What is wrong with its value.
        source: LiteralError,
    },
    /// Two instances of one provider. Nothing was changed.
    #[error("provider {0:?} is named twice: only one provider instance per task")]
    ProviderTwice(String),
    /// A value that goes by the environment. Nothing was changed.
    #[error("{0:?} is larger than 120 KiB: what is sensitive is given in the environment, which takes no more")]
    TooLarge(String),
    /// The backend does not go with this Terraform. Nothing was changed.
    #[error("{0}")]
    Backend(&'static str),
    /// The task is fed something that nobody has asked Consul for, or that has not been answered. Nothing was changed.
    #[error("no data has arrived yet for {0:?}")]
    NoData(Box<Query>),
    /// The data at hand is of another kind than its question. Nothing was changed.
    #[error("the data at hand for {0} is of another kind")]
    WrongData(&'static str),
    /// A value nested so deeply that it is surely a mistake. Nothing was changed.
    #[error("{what} {name:?} is nested deeper than {} levels", super::hcl::DEPTH_MAX)]
    Depth {
        /// What holds it.
        what: &'static str,
        /// Its name.
        name: String,
    },
}

/// Writes or completes the directory of a task: made with 0750, files with 0640, each replaced whole. Blocks on the
/// disk. `state` is what [`super::backend::choose`] chose.
pub fn write(
    dir: &Path,
    task: &TaskSpec,
    work: &TerraformWork,
    inputs: &Inputs,
    binary: &Binary,
    settings: &Settings,
    state: &Chosen,
) -> Result<Written, WorkspaceError> {
    put(dir, files(task, work, inputs, binary, settings, state)?)
}

/// As [`write()`], but what Consul has to say is left out: for a task that is disabled.
pub fn prepare(
    dir: &Path,
    task: &TaskSpec,
    work: &TerraformWork,
    binary: &Binary,
    settings: &Settings,
    state: &Chosen,
) -> Result<Written, WorkspaceError> {
    put(dir, without_data(task, work, binary, settings, state)?)
}

fn put(dir: &Path, files: Vec<(&'static str, Option<String>)>) -> Result<Written, WorkspaceError> {
    let directory = Directory::open(dir)?;
    let mut changed = BTreeSet::new();
    for (name, text) in files {
        let differs = match text {
            Some(text) => directory.replace(name, text.as_bytes())?,
            None => directory.remove(name)?,
        };
        if differs {
            changed.insert(name);
        }
    }
    Ok(Written { changed })
}

/// All files of a task with their text; `None`: the file must not be there.
pub(super) fn files(
    task: &TaskSpec,
    work: &TerraformWork,
    inputs: &Inputs,
    binary: &Binary,
    settings: &Settings,
    state: &Chosen,
) -> Result<Vec<(&'static str, Option<String>)>, WorkspaceError> {
    let mut files = without_data(task, work, binary, settings, state)?;
    files.push((TFVARS, Some(header(task).to_text() + &rendered::body(task, inputs)?.to_text())));
    Ok(files)
}

fn without_data(
    task: &TaskSpec,
    work: &TerraformWork,
    binary: &Binary,
    settings: &Settings,
    state: &Chosen,
) -> Result<Vec<(&'static str, Option<String>)>, WorkspaceError> {
    if let Some(why) = state.refusal(&binary.version) {
        return Err(WorkspaceError::Backend(why));
    }
    let parts = names::check(task, work, settings, &state.backend)?;
    let (header, sensitive) = (header(task), &task.run.sensitive);
    let text = |body: Body| Some(header.to_text() + &body.to_text());
    Ok(vec![
        ("main.tf", text(main_tf::body(task, work, &parts, settings, &state.backend))),
        ("variables.tf", text(variables::rendered(task, &parts, binary))),
        ("terraform.tfvars.tmpl", Some(header.to_text() + &template::text(task))),
        ("providers.auto.tfvars", text(tfvars::providers(&parts))),
        (
            "variables.module.tf",
            (!parts.variables.is_empty()).then(|| variables::own(&parts, sensitive, binary)).and_then(text),
        ),
        ("variables.auto.tfvars", (!parts.variables.is_empty()).then(|| tfvars::own(&parts, sensitive)).and_then(text)),
    ])
}

/// What is given to Terraform in its environment because it shall be on no disk: sensitive variables of the task, and
/// providers with values from elsewhere.
pub fn by_env(
    task: &TaskSpec,
    work: &TerraformWork,
    settings: &Settings,
) -> Result<BTreeMap<String, String>, WorkspaceError> {
    let parts = names::check(task, work, settings, &Chosen::default().backend)?;
    let values = tfvars::by_env(&parts, &task.run.sensitive);
    match values.iter().find(|(_, value)| value.len() > ENV_MAX) {
        Some((name, _)) => Err(WorkspaceError::TooLarge(name.trim_start_matches("TF_VAR_").to_owned())),
        None => Ok(values),
    }
}

fn header(task: &TaskSpec) -> Body {
    let mut body = Body::default();
    body.comment(
        "Generated by Quorate from its configuration. Changes made here are lost: the file is\n\
         written again whenever the task is set up or its inputs change.\n",
    );
    body.comment(&format!("Task: {}", task.name)).comment(&format!("Description: {}", task.description)).blank();
    body
}

#[cfg(test)]
mod tests;
