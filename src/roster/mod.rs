//! Which tasks there are: those of the configuration files, and what was changed at run time. Pure.
//!
//! A task of the files is owned by the files: the leader's files say what it is, and a change comes by a reload. What the API
//! changes is kept in one record per task, replicated: tasks it made, tasks it deleted, enabled flags. [`Roster`] puts the two
//! together and says which records to write.
//!
//! # Rules
//!
//! - A task that only the API knows lives until it is deleted.
//! - A flag set at run time stands until the file itself says another value than it said then.
//! - A task of the files that was deleted at run time stays deleted, on every agent, until a file that is reloaded defines it
//!   differently than that agent's file did before.
//! - A task of the API whose name the files define too: the files own it, unless the API made it in place of the one of the
//!   files that was deleted before; that one stands like a deletion.
//! - Files of agents may differ. The leader's count; what differs is named ([`Roster::differences`]), never merged.
//!
//! # Not here
//!
//! How records travel (`runtime`), what a task does (`task`).

mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::task::TaskSpec;
pub use record::{Changed, Hash, Origin, Record, hash};

/// One record to write; `None` deletes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Name of the task.
    pub task: String,
    /// What is to be remembered of it.
    pub record: Option<Record>,
}

impl Write {
    /// The same write, which remembers who made it.
    #[must_use]
    pub fn noting(mut self, what: &str, by: &str, at: i64) -> Self {
        if let Some(record) = &mut self.record {
            record.changed = Some(Changed { what: what.to_owned(), by: by.to_owned(), at });
        }
        self
    }
}

/// A change that is not possible. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// CTS's words.
    #[error("task with name {0} already exists")]
    Exists(String),
    /// CTS's words.
    #[error("a task with name '{0}' does not exist or has not been initialized yet")]
    Unknown(String),
}

/// What a reload changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Tasks that are new.
    pub added: Vec<String>,
    /// Tasks that are defined differently now.
    pub changed: Vec<String>,
    /// Tasks that are gone.
    pub removed: Vec<String>,
    /// In the files, but deleted at run time: they stay deleted.
    pub still_deleted: Vec<String>,
}

impl Difference {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// How a task of an agent's files differs from what the leader's files say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Differs {
    /// Defined differently.
    Changed,
    /// Only in this agent's files.
    OnlyHere,
    /// Not in this agent's files.
    MissingHere,
}

impl Differs {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "defined differently",
            Self::OnlyHere => "only in this agent's files",
            Self::MissingHere => "not in this agent's files",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    files: Vec<TaskSpec>,
    records: BTreeMap<String, Record>,
    version: u64,
}

impl Roster {
    /// Of this agent's files and the records as they are now.
    pub fn new(files: Vec<TaskSpec>, records: BTreeMap<String, Record>) -> Self {
        Self { files, records, version: 0 }
    }

    /// This agent's files.
    pub fn files(&self) -> &[TaskSpec] {
        &self.files
    }

    /// The records, as far as known here.
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// Takes the records as they are now, in place of what was known.
    pub fn set_records(&mut self, records: BTreeMap<String, Record>) {
        self.records = records;
        self.version += 1;
    }

    /// Every task there is, with the flag that counts: the files' in their order, then the API's in order of creation.
    pub fn tasks(&self) -> Vec<TaskSpec> {
        let task = |(spec, record): (&TaskSpec, Option<&Record>)| {
            let enabled = record.map_or(spec.enabled, |record| record.enabled_of(spec));
            TaskSpec { enabled, ..spec.clone() }
        };
        self.there().into_iter().map(task).collect()
    }

    /// Whether there is a task of this name.
    pub fn has(&self, name: &str) -> bool {
        match self.records.get(name) {
            Some(record) if matches!(record.origin, Origin::Api { .. }) => true,
            Some(record) if record.hides() => false,
            _ => self.files.iter().any(|spec| spec.name == name),
        }
    }

    /// Grows with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Every task as it is defined, with its record.
    fn there(&self) -> Vec<(&TaskSpec, Option<&Record>)> {
        let files = self.files.iter().map(|spec| (spec, self.records.get(&spec.name)));
        let mut there: Vec<_> = files.filter(|(_, record)| !record.is_some_and(Record::hides)).collect();
        let names: BTreeSet<&str> = there.iter().map(|(spec, _)| spec.name.as_str()).collect();
        let mut made = Vec::new();
        for (name, record) in &self.records {
            if let Origin::Api { order, spec, .. } = &record.origin
                && !names.contains(name.as_str())
            {
                made.push((*order, (&**spec, Some(record))));
            }
        }
        made.sort_by(|a, b| (a.0, &a.1.0.name).cmp(&(b.0, &b.1.0.name)));
        there.extend(made.into_iter().map(|(_, task)| task));
        there
    }

    /// This agent leads now: the records that say what its files say. Tasks of other agents' files stay remembered.
    pub fn adopt(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        for spec in self.files.clone() {
            let record = match self.records.get(&spec.name) {
                Some(record) if record.hides() => continue,
                Some(record) => record.followed_by(&spec),
                None => Record::of_files(&spec),
            };
            self.put(&spec.name, Some(record), &mut writes);
        }
        writes
    }

    /// Takes new files while leading: what to write and what it comes to.
    pub fn reload(&mut self, files: Vec<TaskSpec>) -> (Difference, Vec<Write>) {
        let before: BTreeMap<String, TaskSpec> =
            self.tasks().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let mut writes = Vec::new();
        for spec in &files {
            let record = self.records.get(&spec.name);
            let before = self.files.iter().find(|file| file.name == spec.name);
            // What an operator has changed in a file comes back.
            let changed = before.is_none_or(|before| hash(before) != hash(spec));
            let record = match record {
                Some(record) if record.hides() && !changed => continue,
                Some(record) if !record.hides() => record.followed_by(spec),
                _ => Record::of_files(spec),
            };
            self.put(&spec.name, Some(record), &mut writes);
        }
        let named: BTreeSet<&str> = files.iter().map(|spec| spec.name.as_str()).collect();
        let own: BTreeSet<String> = self.files.iter().map(|spec| spec.name.clone()).collect();
        for name in own.iter().filter(|name| !named.contains(name.as_str())) {
            if self.records.get(name).is_some_and(|record| matches!(record.origin, Origin::Files { .. })) {
                self.put(name, None, &mut writes);
            }
        }
        self.files = files;
        self.version += 1;
        let mut difference = Difference::default();
        let after = self.tasks();
        for spec in &after {
            match before.get(&spec.name) {
                None => difference.added.push(spec.name.clone()),
                Some(old) if old != spec => difference.changed.push(spec.name.clone()),
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|name| !after.iter().any(|spec| spec.name == **name));
        difference.removed = gone.cloned().collect();
        let hidden = |spec: &&TaskSpec| self.records.get(&spec.name).is_some_and(|record| record.deleted);
        difference.still_deleted = self.files.iter().filter(hidden).map(|spec| spec.name.clone()).collect();
        (difference, writes)
    }

    /// Takes new files while another leads: they count when this agent leads.
    pub fn set_files(&mut self, files: Vec<TaskSpec>) {
        self.files = files;
        self.version += 1;
    }

    /// A task made at run time. The record is taken when it is on a majority: see [`Roster::apply`].
    pub fn create(&self, spec: TaskSpec) -> Result<Write, RosterError> {
        let name = spec.name.clone();
        if self.there().iter().any(|(task, _)| task.name.eq_ignore_ascii_case(&name)) {
            return Err(RosterError::Exists(name));
        }
        let shadow = self.files.iter().find(|file| file.name == name).map(hash);
        let order = self.records.values().filter_map(Record::order).max().map_or(0, |newest| newest + 1);
        let origin = Origin::Api { order, spec: Box::new(spec), shadow };
        let record = Record { origin, enabled: None, enabled_at: None, deleted: false, changed: None };
        Ok(Write { task: name, record: Some(record) })
    }

    /// A task deleted at run time.
    pub fn delete(&self, name: &str) -> Result<Write, RosterError> {
        if !self.has(name) {
            return Err(RosterError::Unknown(name.to_owned()));
        }
        let file = self.files.iter().find(|spec| spec.name == name);
        // Without a file that would bring it back, nothing needs to be remembered.
        let record = file.map(|spec| Record { deleted: true, ..Record::of_files(spec) });
        Ok(Write { task: name.to_owned(), record })
    }

    /// A flag set at run time; `at`: seconds since 1970.
    pub fn set_enabled(&self, name: &str, enabled: bool, at: i64) -> Result<Write, RosterError> {
        let unknown = || RosterError::Unknown(name.to_owned());
        if !self.has(name) {
            return Err(unknown());
        }
        let file = self.files.iter().find(|spec| spec.name == name);
        let record = self.records.get(name).cloned().or_else(|| file.map(Record::of_files)).ok_or_else(unknown)?;
        Ok(Write {
            task: name.to_owned(),
            record: Some(Record { enabled: Some(enabled), enabled_at: Some(at), ..record }),
        })
    }

    /// A write is on a majority.
    pub fn apply(&mut self, write: Write) {
        self.version += 1;
        match write.record {
            Some(record) => self.records.insert(write.task, record),
            None => self.records.remove(&write.task),
        };
    }

    /// How this agent's files differ from what the records say of the leader's.
    pub fn differences(&self) -> BTreeMap<String, Differs> {
        let mut differences = BTreeMap::new();
        for spec in &self.files {
            match self.records.get(&spec.name).map(|record| &record.origin) {
                Some(Origin::Files { hash: known, .. }) if *known == hash(spec) => {}
                Some(Origin::Api { shadow: Some(known), .. }) if *known == hash(spec) => {}
                Some(_) => drop(differences.insert(spec.name.clone(), Differs::Changed)),
                None => drop(differences.insert(spec.name.clone(), Differs::OnlyHere)),
            }
        }
        for (name, record) in &self.records {
            let of_files = matches!(record.origin, Origin::Files { .. });
            if of_files && !self.files.iter().any(|spec| spec.name == *name) {
                differences.insert(name.clone(), Differs::MissingHere);
            }
        }
        differences
    }

    /// Writes a record that differs from the one known.
    fn put(&mut self, name: &str, record: Option<Record>, writes: &mut Vec<Write>) {
        if self.records.get(name) == record.as_ref() {
            return;
        }
        let write = Write { task: name.to_owned(), record };
        self.apply(write.clone());
        writes.push(write);
    }
}
