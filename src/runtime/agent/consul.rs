//! Consul's part in the loop: what the tasks of this leadership ask is watched, answers go to the tasks, and how it is
//! doing to the faces. A follower watches nothing.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{debug, info, warn};

use super::cycle::Loop;
use crate::runtime::clock;
use crate::runtime::handle::{ConsulFault, ConsulReport};
use crate::source::consul::{Health, Update, Watcher};
use crate::task::consul_data::Query;

/// The watches of this agent.
#[derive(Debug)]
pub(super) struct ConsulWatches {
    watcher: Watcher,
    /// What is watched: nothing while another agent leads.
    asked: BTreeSet<Query>,
    report: ConsulReport,
}

impl ConsulWatches {
    pub(super) fn new(watcher: Watcher, address: String) -> Self {
        Self { watcher, asked: BTreeSet::new(), report: ConsulReport { address, ..ConsulReport::default() } }
    }

    /// How Consul is doing, while something is asked of it.
    pub(super) fn report(&self) -> Option<ConsulReport> {
        (!self.asked.is_empty()).then(|| self.report.clone())
    }

    /// For single requests.
    pub(super) fn client(&self) -> crate::source::consul::Client {
        self.watcher.client().clone()
    }
}

impl Loop {
    /// Watches exactly what the tasks of this leadership ask. To be called after every change of the tasks.
    pub(super) fn watch(&mut self) {
        let queries = self.tasks.queries();
        if let Some(consul) = self.consul.as_mut().filter(|consul| consul.asked != queries) {
            consul.watcher.set_queries(queries.clone());
            consul.asked = queries;
        }
    }

    /// Another agent leads: nobody here needs to know, and what is known grows old.
    pub(super) fn unwatch(&mut self) {
        self.tasks.forget_data();
        if let Some(consul) = &mut self.consul {
            consul.watcher.set_queries(BTreeSet::new());
            consul.asked.clear();
        }
    }

    /// News from the watches.
    pub(super) fn handle_consul(&mut self, update: Update) {
        // Of a watch that has ended meanwhile: what is asked now is answered anew.
        if !self.consul.as_ref().is_some_and(|consul| consul.asked.contains(&update.query)) {
            return;
        }
        match update.data {
            Ok(data) => {
                debug!(query = %update.query, took = ?update.answered.elapsed(), "Consul's answer is taken");
                self.tasks.handle_data(&update.query, &data, clock::now(), clock::wall());
            }
            Err(_) => self.check_consul(),
        }
    }

    /// Tells when Consul has become worse or better.
    pub(super) fn check_consul(&mut self) {
        let Some(consul) = &mut self.consul else { return };
        if consul.asked.is_empty() {
            return;
        }
        let Health { faults, waiting } = consul.watcher.health();
        let before = consul.report.clone();
        consul.report.faults = by_text(&faults, &before.faults);
        (consul.report.watched, consul.report.waiting) = (consul.asked.len(), waiting);
        if consul.report == before {
            return;
        }
        let (report, before) = (consul.report.clone(), before.faults);
        let told: BTreeSet<&str> = before.iter().map(|fault| fault.error.as_str()).collect();
        for fault in report.faults.iter().filter(|fault| !told.contains(fault.error.as_str())) {
            let what: Vec<&str> = fault.queries.iter().take(3).map(String::as_str).collect();
            let more = fault.queries.len().saturating_sub(what.len());
            warn!(
                address = report.address,
                queries = what.join(", "),
                more,
                "Consul cannot be read, trying again without end; what it said last stays true: {}",
                fault.error
            );
        }
        if report.faults.is_empty() && !before.is_empty() {
            info!(address = report.address, "Consul is read again");
        }
        let texts = report
            .faults
            .iter()
            .flat_map(|fault| fault.queries.iter().map(|query| (query.clone(), fault.error.clone())));
        self.tasks.handle_faults(texts.collect());
        self.publish();
    }
}

/// Faults with the same words are one: when Consul is away, every query says so.
fn by_text(faults: &BTreeMap<Query, crate::source::consul::ConsulError>, before: &[ConsulFault]) -> Vec<ConsulFault> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (query, error) in faults {
        all.entry(error.to_string()).or_default().push(query.to_string());
    }
    let since =
        |error: &str| before.iter().find(|fault| fault.error == error).map_or_else(clock::utc, |fault| fault.since);
    all.into_iter().map(|(error, queries)| ConsulFault { since: since(&error), error, queries }).collect()
}
