//! What a run needs of files, the environment and Vault: asked for when it starts, known for as long as it runs.
//!
//! Both the workspace and the hash of what the run depends on are made of it, so it is asked once for both: a secret that
//! Vault makes anew for everyone who asks is the same in both.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use super::Runner;
use super::exec::Stopped;
use super::mask::Mask;
use super::run_user::RunUser;
use crate::guardian::{Bounds, Launch, run_env};
use crate::task::spec::{Inherit, Limits, RunEnv, TaskSpec, TerraformWork, Work};
use crate::task::{RunId, Start};
use crate::terraform::dynamic::RunTexts;
use crate::terraform::{self, literal};

/// Of one run.
#[derive(Debug)]
pub(super) struct RunSecrets {
    /// The driver, with everything of the task's providers and of the backend filled in.
    pub(super) settings: terraform::Settings,
    /// The task, with all its variables filled in.
    pub(super) spec: TaskSpec,
    /// What is set in the environment.
    pub(super) set: BTreeMap<String, String>,
    /// Hides them all.
    pub(super) mask: Mask,
    /// Whose rights the run has; `None`: the agent's.
    pub(super) account: Option<RunUser>,
}

impl RunSecrets {
    /// What is done to each process of the run before its program begins.
    pub(super) fn launch(&self) -> Launch {
        let options = &self.spec.run;
        let Limits { memory, cpu_percent, pids } = options.limits;
        Launch {
            user: self.account.as_ref().map(|account| account.user.clone()),
            no_new_privs: options.no_new_privs,
            bounds: Bounds { memory, cpu_percent, pids },
        }
    }

    /// Gives the directory of the task to whom the run is. Blocks on the disk.
    pub(super) fn give(&self) -> Result<(), String> {
        self.account.as_ref().map_or(Ok(()), |account| account.give(&self.spec.working_dir))
    }

    /// The module that runs. Only for tasks that run one.
    pub(super) fn work<'a>(&'a self, given: &'a TerraformWork) -> &'a TerraformWork {
        match &self.spec.work {
            Work::Terraform(work) => work,
            Work::Command { .. } => given,
        }
    }
}

/// Of all runs under way.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Known(Mutex<BTreeMap<RunId, Arc<RunSecrets>>>);

impl Known {
    fn of(&self, run: RunId) -> Option<Arc<RunSecrets>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&run).cloned()
    }

    fn set(&self, run: RunId, secrets: Arc<RunSecrets>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, secrets);
    }

    /// The run is over.
    pub(super) fn forget(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }
}

impl Runner {
    /// What the run needs, asked for the first time or known from it.
    pub(super) async fn secrets(&self, start: &Start) -> Result<Arc<RunSecrets>, Stopped> {
        if let Some(known) = self.known.of(start.run) {
            return Ok(known);
        }
        let account = match &start.spec.run.run_as {
            Some(run_as) => {
                let run_as = run_as.clone();
                // It may ask a directory service.
                let found = tokio::task::spawn_blocking(move || RunUser::find(&run_as)).await;
                let found = found.unwrap_or_else(|error| Err(error.to_string()));
                Some(found.map_err(|why| Stopped::Failed(format!("task {:?} cannot run: {why}", start.task)))?)
            }
            None => None,
        };
        let texts = self.texts(&start.spec);
        let (variables, providers) = (texts.templated_variables(), texts.templated_providers());
        let fill = async { self.fill_in.fill(&texts).await.map_err(Stopped::Failed) };
        let filled = self.leashed(start, fill).await?;
        let mut texts = filled.texts;
        texts.quote(&variables);
        let mut spec = TaskSpec::clone(&start.spec);
        spec.run.sensitive.extend(variables);
        let mut secrets = filled.secrets;
        if let Work::Terraform(work) = &mut spec.work {
            work.variables = texts.variables;
            let hidden = work.variables.iter().filter(|(name, _)| spec.run.sensitive.contains(*name));
            hidden.filter_map(|(_, text)| literal::from_text(text).ok()).for_each(|value| leaves(&value, &mut secrets));
        }
        for provider in texts.settings.providers.iter_mut().filter(|provider| providers.contains(&provider.name)) {
            provider.by_env = true;
        }
        let mask =
            Mask::of(&secrets).map_err(|why| Stopped::Failed(format!("task {:?} cannot run: {why}", start.task)))?;
        let secrets = Arc::new(RunSecrets { settings: texts.settings, spec, set: texts.set, mask, account });
        self.known.set(start.run, secrets.clone());
        Ok(secrets)
    }

    /// Hides what the run knows; nothing before it knows.
    pub(super) fn mask(&self, run: RunId) -> Mask {
        self.known.of(run).map(|known| known.mask.clone()).unwrap_or_default()
    }

    /// Every text of a run that may be a template.
    fn texts(&self, spec: &TaskSpec) -> RunTexts {
        let (settings, variables) = match &spec.work {
            Work::Command { .. } => (terraform::Settings::default(), BTreeMap::new()),
            Work::Terraform(work) => {
                let mut settings = self.terraform.clone();
                settings.providers.retain(|provider| work.providers.contains(&provider.id()));
                (settings, work.variables.clone())
            }
        };
        RunTexts { task: spec.name.clone(), settings, variables, set: self.env_of(spec).set }
    }

    fn env_of(&self, spec: &TaskSpec) -> RunEnv {
        spec.run.env.clone().unwrap_or_default().under(&self.run_env)
    }

    /// What the run sees of the agent's environment, and what is set besides.
    pub(super) fn base(&self, spec: &TaskSpec, secrets: &RunSecrets) -> Vec<(OsString, OsString)> {
        let env = self.env_of(spec);
        let usual = match &spec.work {
            Work::Command { .. } => Inherit::Listed,
            Work::Terraform(_) => Inherit::All,
        };
        let all = env.inherit.unwrap_or(usual) == Inherit::All;
        let mut base = run_env(self.environment.iter().cloned(), all, &env.names, &self.own_secrets);
        if let Some(RunUser { name, home, .. }) = &secrets.account {
            base.retain(|(variable, _)| !["HOME", "USER", "LOGNAME"].iter().any(|own| variable == own));
            base.extend(
                [("HOME", home), ("USER", name), ("LOGNAME", name)].map(|(own, value)| (own.into(), value.into())),
            );
        }
        base.retain(|(name, _)| name.to_str().is_none_or(|name| !secrets.set.contains_key(name)));
        base.extend(secrets.set.iter().map(|(name, value)| (name.into(), value.into())));
        base
    }
}

/// The task as far as it is known without asking anybody: what is to be filled in has a place and no value.
pub(super) fn unfilled(spec: &TaskSpec, settings: &terraform::Settings) -> (TaskSpec, terraform::Settings) {
    let mut spec = spec.clone();
    let mut texts = RunTexts { settings: settings.clone(), ..RunTexts::default() };
    if let Work::Terraform(work) = &mut spec.work {
        texts.variables.clone_from(&work.variables);
        let (variables, providers): (BTreeSet<_>, _) = (texts.templated_variables(), texts.templated_providers());
        texts.quote(&variables);
        work.variables = texts.variables;
        spec.run.sensitive.extend(variables);
        for provider in texts.settings.providers.iter_mut().filter(|provider| providers.contains(&provider.name)) {
            provider.by_env = true;
        }
    }
    (spec, texts.settings)
}

/// Every text and number inside of a value.
fn leaves(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Number(number) => found.push(number.to_string()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, found)),
        serde_json::Value::Object(items) => items.values().for_each(|item| leaves(item, found)),
        serde_json::Value::Null | serde_json::Value::Bool(_) => {}
    }
}
