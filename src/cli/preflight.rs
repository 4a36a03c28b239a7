//! What stands between a good configuration and a start on this machine: one list, for `start` and for `config check`.
//!
//! Nothing is made, nobody is asked: files are read, addresses are tried and let go. What is only in the way while another
//! process runs (which may be this very agent, checked while it works) is a note; the rest is an error.

use std::collections::BTreeMap;

use super::exit::Exit;
use super::obstacle::{Obstacle, chain};
use super::trail;
use crate::config::Settings;
use crate::http;
use crate::runtime::{StartError, check};
use crate::source::{consul, vault};
use crate::task::spec::{TaskSpec, Work};
use crate::terraform::dynamic::{self, DynamicError, Lookup, RunTexts, Texts as _};
use crate::terraform::handler;

/// What a start is going to use.
#[derive(Debug, Clone, Copy)]
pub(super) struct Uses {
    /// It opens the data directory: a start does that at once, and says itself what is wrong with it.
    pub(super) data_dir: bool,
    /// It listens, for the API and for other agents.
    pub(super) listens: bool,
}

/// All that is found.
pub(super) fn obstacles(settings: &Settings, env: &BTreeMap<String, String>, uses: Uses) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut add = |outcome: Result<(), Obstacle>| found.extend(outcome.err());
    if uses.data_dir {
        add(check::data_dir(&settings.data_dir, &settings.id).map_err(|error| Obstacle::of(&error)));
    }
    if uses.listens {
        add(api(settings));
        if let Some(ha) = &settings.cluster {
            add(check::network(ha.bind, ha.advertise).map_err(|error| Obstacle::of(&error)));
        }
    }
    if let Some(audit) = settings.audit.as_ref().filter(|_| uses.listens) {
        add(trail::check(audit, settings.log.syslog.as_ref()));
    }
    if settings.tasks.iter().any(|task| matches!(task.work, Work::Terraform(_))) {
        let dir = &settings.working_dir;
        add(check::directory(dir).map_err(|error| {
            Obstacle::error(format!("the directory of the tasks, {}, cannot be used: {error}", dir.display()))
        }));
    }
    if let Some(consul) = &settings.consul {
        add(consul::Client::check(consul).map_err(|error| Obstacle::of(&StartError::Consul(error))));
    }
    let asked = dynamic::lookups(&settings.terraform, settings.vault.is_some());
    if let Some(vault) = &settings.vault {
        let needed = asked.as_ref().is_ok_and(|all| all.keys().any(|it| matches!(it, Lookup::Secret(_))));
        add(vault::Client::check(vault).map_err(|error| Obstacle {
            text: error.to_string(),
            // Without a secret to read nobody asks it.
            exit: needed.then_some(Exit::Error),
            is_met_again: false,
        }));
    }
    add(asked.map(drop).map_err(|error: DynamicError| Obstacle {
        text: error.to_string(),
        exit: Some(Exit::Error),
        is_met_again: false,
    }));
    for task in &settings.tasks {
        // As far as it can be seen without asking anybody.
        for why in secrets_missing(task, settings, env) {
            add(Err(Obstacle {
                text: format!("task {:?} cannot run: {why}", task.name),
                exit: None,
                is_met_again: false,
            }));
        }
    }
    for task in &settings.tasks {
        let Work::Terraform(work) = &task.work else { continue };
        // The run fails with it; a start does not.
        add(handler::for_task(&settings.terraform, work, env).map(drop).map_err(|why| Obstacle {
            text: format!("task {:?} cannot run: {why}", task.name),
            exit: None,
            is_met_again: false,
        }));
    }
    found
}

/// Files and variables of the environment that are to be filled in and are not there.
fn secrets_missing(task: &TaskSpec, settings: &Settings, env: &BTreeMap<String, String>) -> Vec<String> {
    let variables = match &task.work {
        Work::Terraform(work) => work.variables.clone(),
        Work::Command { .. } => BTreeMap::new(),
    };
    let set = task.run.env.clone().unwrap_or_default().under(&settings.run_env).set;
    let mut texts = RunTexts { task: task.name.clone(), variables, set, ..RunTexts::default() };
    let mut found = Vec::new();
    let looked = texts.each(&mut |place, text| {
        let one = (place.clone(), text.clone());
        let here = |lookup: &Lookup| matches!(lookup, Lookup::File(_));
        if dynamic::lookups(&one, true).is_ok_and(|all| all.keys().all(here)) {
            found.extend(dynamic::fill_here(&one, env).err().map(|error| error.to_string()));
        }
        Ok(())
    });
    found.extend(looked.err().map(|error| error.to_string()));
    found
}

fn api(settings: &Settings) -> Result<(), Obstacle> {
    http::listen::check(&settings.http_addr).map_err(|source| {
        let in_use = source.kind() == std::io::ErrorKind::AddrInUse;
        let text = chain(&http::ServeError::Bind { addr: settings.http_addr.clone(), source });
        Obstacle { text, exit: (!in_use).then_some(Exit::Config), is_met_again: in_use }
    })
}
