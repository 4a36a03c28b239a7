//! The directories of tasks that are disabled: written when this agent begins to lead, as CTS does at its start, so that
//! an operator sees what would run. Nothing is run, and nothing that Consul has to say is needed.

use tracing::{debug, warn};

use super::Runner;
use super::secrets::unfilled;
use crate::task::spec::{TaskSpec, Work};
use crate::terraform::{Chosen, DefaultBackend, backend, backend_http, workspace};

impl Runner {
    /// Writes them, one after the other. What cannot be written is said; the task may still be enabled, and fails then.
    pub(in crate::runtime) async fn prepare_disabled(&self, tasks: Vec<TaskSpec>) {
        for task in tasks.into_iter().filter(|task| !task.enabled) {
            let Work::Terraform(work) = task.work.clone() else { continue };
            let binary = match self.terraform_binary().await {
                Ok(binary) => binary,
                Err(stopped) => {
                    let why = stopped.text();
                    return warn!(task = task.name, "the directory of a disabled task is not prepared: {why}");
                }
            };
            let (task, settings) = unfilled(&task, &self.terraform);
            let work = if let Work::Terraform(work) = task.work.clone() { work } else { work };
            let (name, state) = (task.name.clone(), self.state_of_disabled());
            // A run of the same task, should it be enabled now, writes the same files.
            let _alone = self.workspaces.write().await;
            let write = move || workspace::prepare(&task.working_dir, &task, &work, &binary, &settings, &state);
            match tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string()) {
                Ok(Ok(_)) => debug!(task = name, "the directory of a disabled task is prepared"),
                Ok(Err(error)) => warn!(task = name, "the directory of a disabled task is not prepared: {error}"),
                Err(error) => warn!(task = name, error, "the directory of a disabled task is not prepared"),
            }
        }
    }

    /// The backend as a run would have it, without a credential: there is no run.
    fn state_of_disabled(&self) -> Chosen {
        let configured = self.terraform.backend.as_ref();
        let default = if configured.is_none() && self.state.kept {
            DefaultBackend::Cluster(Chosen { backend: backend_http::backend(), ..Chosen::default() })
        } else {
            self.state.consul.clone().map_or(DefaultBackend::Local, DefaultBackend::Consul)
        };
        backend::choose(configured, self.state.consul.as_ref(), &default)
    }
}
