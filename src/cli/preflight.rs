//! What stands between a good configuration and a start on this machine: one list, for `start` and for `config check`.
//!
//! Nothing is made, nobody is asked: files are read, addresses are tried and let go. What is only in the way while another
//! process runs (which may be this very agent, checked while it works) is a note; the rest is an error.

use std::collections::BTreeMap;

use super::exit::Exit;
use super::trail;
use crate::config::{Finding, Settings};
use crate::http;
use crate::runtime::{StartError, check};
use crate::source::{consul, vault};
use crate::task::spec::Work;
use crate::terraform::dynamic::{self, DynamicError, Lookup};
use crate::terraform::handler;

/// One of them.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// In the words of the start.
    pub(super) text: String,
    /// With which code a start ends; `None`: it goes on, or finds out for itself whether it still is so.
    pub(super) exit: Option<Exit>,
}

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
        let needed = asked.as_ref().is_ok_and(|all| all.iter().any(|it| matches!(it, Lookup::Secret(_))));
        add(vault::Client::check(vault).map_err(|error| Obstacle {
            text: error.to_string(),
            // Without a secret to read nobody asks it.
            exit: needed.then_some(Exit::Error),
        }));
    }
    add(asked.map(drop).map_err(|error: DynamicError| Obstacle { text: error.to_string(), exit: Some(Exit::Error) }));
    for task in &settings.tasks {
        let Work::Terraform(work) = &task.work else { continue };
        // The run fails with it; a start does not.
        add(handler::for_task(&settings.terraform, work, env)
            .map(drop)
            .map_err(|why| Obstacle { text: format!("task {:?} cannot run: {why}", task.name), exit: None }));
    }
    found
}

fn api(settings: &Settings) -> Result<(), Obstacle> {
    http::listen::check(&settings.http_addr).map_err(|source| {
        let in_use = source.kind() == std::io::ErrorKind::AddrInUse;
        let text = chain(&http::ServeError::Bind { addr: settings.http_addr.clone(), source });
        Obstacle { text, exit: (!in_use).then_some(Exit::Config) }
    })
}

impl Obstacle {
    pub(super) fn error(text: String) -> Self {
        Self { text, exit: Some(Exit::Config) }
    }

    fn of(error: &StartError) -> Self {
        let exit = (!error.is_in_use()).then_some(Exit::Config);
        Self { text: chain(error), exit }
    }

    /// As `config check` shows it.
    pub(super) fn finding(self) -> Finding {
        Finding {
            severity: if self.exit.is_some() { "error" } else { "note" },
            message: self.text,
            help: None,
            file: None,
            line: None,
            column: None,
            deprecated: false,
        }
    }
}

/// An error with its causes, as the log has it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("failed to {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors name their cause in their own words.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
