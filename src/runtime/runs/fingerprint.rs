//! What a run depends on, as one hash: a take-over leaves alone what depends on the same as when it last went well.

use std::path::PathBuf;

use tracing::debug;

use super::Runner;
use crate::task::spec::{TerraformWork, Work};
use crate::task::{Fingerprint, Start};
use crate::terraform::directory::read_regular;
use crate::terraform::{self, Chosen, DefaultBackend, backend, backend_http, workspace};

/// A program up to this size counts by its content, a larger one makes the run unknown.
const PROGRAM_MAX: u64 = 64 << 20;

impl Runner {
    /// `None`: not known, so the task must run.
    pub(super) async fn fingerprint(&self, start: &Start) -> Option<Fingerprint> {
        let found = match &start.spec.work {
            Work::Command { argv } => self.of_command(start, argv).await,
            Work::Terraform(work) => self.of_module(start, work).await,
        };
        found.inspect_err(|why| debug!(task = start.task, why, "what the run depends on is not known")).ok()
    }

    /// What a command did may be on this machine alone, so on another agent it runs again.
    async fn of_command(&self, start: &Start, argv: &[String]) -> Result<Fingerprint, String> {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        add(self.me.as_str().as_bytes());
        for word in argv {
            add(word.as_bytes());
        }
        let document = start.inputs.document(&start.spec);
        add(serde_json::to_string(&document).map_err(|error| error.to_string())?.as_bytes());
        let secrets = self.secrets(start).await.map_err(|stopped| stopped.text().to_owned())?;
        for (name, value) in &secrets.set {
            add(name.as_bytes());
            add(value.as_bytes());
        }
        let program = argv.first().map(PathBuf::from).filter(|program| program.components().count() > 1);
        if let Some(program) = program {
            let read =
                move || read_regular(&program, PROGRAM_MAX).map_err(|error| format!("{}: {error}", program.display()));
            add(&tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string()).flatten()?);
        }
        Ok(*hasher.finalize().as_bytes())
    }

    async fn of_module(&self, start: &Start, work: &TerraformWork) -> Result<Fingerprint, String> {
        let secrets = self.secrets(start).await.map_err(|stopped| stopped.text().to_owned())?;
        let configured = secrets.settings.backend.as_ref();
        let in_files = configured.map_or(!self.state.kept && self.state.consul.is_none(), |own| own.kind == "local");
        if self.state.clustered && in_files {
            return Err("the state is in files that other agents may not have".to_owned());
        }
        let default = match (&self.state.consul, self.state.kept) {
            (_, true) => DefaultBackend::Cluster(Chosen { backend: backend_http::backend(), ..Chosen::default() }),
            (Some(access), false) => DefaultBackend::Consul(access.clone()),
            (None, false) => DefaultBackend::Local,
        };
        let mut state = backend::choose(configured, self.state.consul.as_ref(), &default);
        let work = secrets.work(work).clone();
        state
            .env
            .extend(workspace::by_env(&secrets.spec, &work, &secrets.settings).map_err(|error| error.to_string())?);
        let binary = self.terraform_binary().await.map_err(|_| "there is no Terraform".to_owned())?;
        let inputs = Self::inputs(start);
        let (spec, settings) = (secrets.spec.clone(), secrets.settings.clone());
        let hash = move || terraform::fingerprint::fingerprint(&spec, &work, &inputs, &binary, &settings, &state);
        tokio::task::spawn_blocking(hash).await.map_err(|error| error.to_string())?
    }
}
