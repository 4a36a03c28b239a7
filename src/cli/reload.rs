//! `quorate reload`, and how a running agent reads its files again.

use std::path::PathBuf;

use clap::Args;

use super::address::Address;
use super::client::Client;
use super::config::WIDTH;
use super::env::World;
use super::output::{Failure, pretty, say};
use super::paint::clean;
use super::service_manager::ServiceManager;
use crate::config::{self, Overrides, Settings};
use crate::http::reply::Reloaded as Body;
use crate::runtime::settings::{Reload, Reloaded};

/// Flags of `reload`.
#[derive(Debug, Args)]
pub(super) struct ReloadArgs {
    #[command(flatten)]
    address: Address,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ReloadArgs) -> Result<(), Failure> {
    let client = Client::new(&args.address)?;
    let value = client.post("/v1/cluster/reload");
    let value = value.map_err(|error| Failure::new(format!("unable to reload\n{error}")))?;
    let body: Body = client.typed(&value)?;
    say(&if args.json { pretty(&value) } else { text(&body) })
}

fn text(body: &Body) -> String {
    let agent = clean(&body.agent);
    let mut lines = vec![format!("==> {agent} has read its configuration again")];
    let mut list = |what: &str, tasks: &[String]| {
        if !tasks.is_empty() {
            lines.push(format!("    {what}: {}", clean(&tasks.join(", "))));
        }
    };
    list("added", &body.added);
    list("changed", &body.changed);
    list("removed", &body.removed);
    list("in the files, but deleted at run time (they stay deleted)", &body.still_deleted);
    list("changed, but needs a restart", &body.needs_restart);
    let differs: Vec<String> = body.differs.iter().map(|(task, how)| format!("{task} ({})", how.as_str())).collect();
    list("different from the leader's files", &differs);
    if !body.leading {
        lines.push(format!("    {agent} does not lead: the tasks of the leader's files count, reload the leader too"));
    } else if body.added.is_empty() && body.changed.is_empty() && body.removed.is_empty() {
        lines.push("    no task changed".to_owned());
    }
    lines.join("\n") + "\n"
}

/// Where the configuration came from, to read it again.
#[derive(Debug)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    overrides: Overrides,
    /// What this process runs with, without tasks and warnings.
    running: Settings,
    manager: ServiceManager,
}

impl Files {
    pub(super) fn new(paths: Vec<PathBuf>, overrides: Overrides, running: &Settings, manager: ServiceManager) -> Self {
        Self { paths, overrides, running: without_tasks(running.clone()), manager }
    }
}

impl Reload for Files {
    fn load(&self) -> Result<Reloaded, String> {
        let loaded = self.read();
        self.manager.ready();
        loaded
    }
}

impl Files {
    fn read(&self) -> Result<Reloaded, String> {
        let world = World::read();
        let settings = config::load(&self.paths, &self.overrides, &world.env, &world.hostname, &world.cwd)
            .map_err(|report| report.render(false, WIDTH))?;
        let tasks = settings.tasks.clone();
        Ok(Reloaded { tasks, needs_restart: changed(&self.running, &without_tasks(settings)) })
    }
}

fn without_tasks(settings: Settings) -> Settings {
    Settings { tasks: Vec::new(), warnings: Vec::new(), ..settings }
}

/// Which settings a restart would change, in the words of the configuration.
fn changed(running: &Settings, now: &Settings) -> Vec<String> {
    let differs = [
        ("id", running.id != now.id),
        ("http_addr", running.http_addr != now.http_addr),
        ("tls", running.http_tls != now.http_tls),
        ("limits", running.http_limits != now.http_limits),
        ("audit", running.audit != now.audit),
        ("notify", running.notify != now.notify),
        ("access", running.access != now.access),
        ("insecure", running.insecure != now.insecure),
        ("data_dir", running.data_dir != now.data_dir),
        ("working_dir", running.working_dir != now.working_dir),
        ("log_level", running.log != now.log),
        ("high_availability", running.cluster != now.cluster),
        ("consul", running.consul != now.consul),
        ("vault", running.vault != now.vault),
        ("run_env", running.run_env != now.run_env),
        ("max_parallel", running.max_parallel != now.max_parallel),
        ("runs", running.runs != now.runs),
        ("driver or terraform_provider", running.terraform != now.terraform),
    ];
    let named: Vec<String> =
        differs.iter().filter(|(_, differs)| *differs).map(|(name, _)| (*name).to_owned()).collect();
    // A setting that is not in the list above is named as well.
    if named.is_empty() && running != now { vec!["other settings".to_owned()] } else { named }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::http::reply::Differs;

    #[test]
    fn a_leader_says_what_changed_and_a_follower_what_differs() {
        let quiet = Body { agent: "a1".to_owned(), leading: true, ..Body::default() };
        assert_eq!(text(&quiet), "==> a1 has read its configuration again\n    no task changed\n");
        let body = Body { added: vec!["x".to_owned(), "y".to_owned()], ..quiet.clone() };
        assert_eq!(text(&body), "==> a1 has read its configuration again\n    added: x, y\n");
        let differs = BTreeMap::from([("x".to_owned(), Differs::OnlyHere)]);
        let body = Body { leading: false, differs, ..quiet };
        assert!(
            text(&body)
                .contains("different from the leader's files: x (only in this agent's files)\n    a1 does not lead")
        );
    }
}
