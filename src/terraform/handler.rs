//! What some providers need after `apply` (`reference/cts.md` 1.11): PAN-OS commits its changes, `fake-sync` is for tests.
//!
//! A handler changes the world as `apply` does, so the caller checks its lease before it calls one.

mod panos;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use crate::task::spec::TerraformWork;

use super::{Provider, Settings};
use panos::Panos;

/// The commit is tried again this often, with a wait that doubles from this.
const RETRIES: u32 = 4;
const WAIT: Duration = Duration::from_secs(1);

/// What to do after a task's apply.
#[derive(Debug)]
pub enum Handler {
    /// Commits on PAN-OS.
    Panos(Box<Panos>),
    /// Fails as it is told.
    Fake {
        /// Its `name`.
        name: String,
        /// Fails.
        fails: bool,
        /// But not at the first call.
        succeeds_first: bool,
    },
}

/// The names of handlers that have been called in this process; for `success_first`.
#[derive(Debug, Default)]
pub struct Called(Mutex<BTreeSet<String>>);

/// The handlers of a task's providers, in order. `env` is the agent's environment. An error is one of configuration: the
/// task must be refused.
pub fn for_task(
    settings: &Settings,
    work: &TerraformWork,
    env: &BTreeMap<String, String>,
) -> Result<Vec<Handler>, String> {
    let providers = work.providers.iter().filter_map(|id| settings.provider(id));
    providers.filter_map(|provider| of(provider, env).transpose()).collect()
}

fn of(provider: &Provider, env: &BTreeMap<String, String>) -> Result<Option<Handler>, String> {
    let flag = |name: &str| match provider.args.get(name) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text == "true",
        _ => false,
    };
    match provider.name.as_str() {
        "panos" => {
            let panos = Panos::new(&provider.args, env)?;
            Ok(flag("auto_commit").then(|| Handler::Panos(Box::new(panos))))
        }
        "fake-sync" => match provider.args.get("name").and_then(Value::as_str) {
            Some(name) if !name.is_empty() => Ok(Some(Handler::Fake {
                name: name.to_owned(),
                fails: flag("err"),
                succeeds_first: flag("success_first"),
            })),
            _ => Err("provider \"fake-sync\": `name` is missing".to_owned()),
        },
        _ => Ok(None),
    }
}

impl Handler {
    /// Does it. The error is for people, and makes the run fail.
    pub async fn run(&self, called: &Called) -> Result<(), String> {
        match self {
            Self::Panos(panos) => panos.commit(RETRIES, WAIT).await,
            Self::Fake { name, fails, succeeds_first } => {
                let first = called.0.lock().is_ok_and(|mut names| names.insert(name.clone()));
                if *fails && !(first && *succeeds_first) { Err(format!("error {name}")) } else { Ok(()) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
