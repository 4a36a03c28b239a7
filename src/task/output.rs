//! All that this room can ask of the world, and the words it uses for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use quorate_proto::Epoch;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::consul_data::{Data, Instance, Query};
use super::history::Fingerprint;
use super::run_data::{Subject, parts};
use super::spec::{Services, TaskSpec};

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Start this now, under the lease of this epoch; report its end once to `handle_run_finished`.
    Start(Start),
    /// What `reports` says has changed.
    Changed,
    /// What is kept of this task has changed: [`super::Tasks::kept`].
    Recorded(String),
    /// The run that this ticket of [`super::Tasks::trigger`] waited for is over, with all its tries. What is kept of the task
    /// is told right after it.
    Served {
        /// Which.
        ticket: u64,
        /// Of which task.
        task: String,
        /// Why it did not go well, for people.
        error: Option<String>,
    },
    /// To be logged.
    Log(Log),
}

/// One try of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Name of the task.
    pub task: String,
    /// The run. Its tries share it; they never overlap.
    pub run: RunId,
    /// The leadership it was decided under. Refuse it if the lease at hand has another.
    pub epoch: Epoch,
    /// Why it runs.
    pub trigger: Trigger,
    /// 0, then the number of the retry.
    pub attempt: u32,
    /// What to run, as configured when it was decided.
    pub spec: Arc<TaskSpec>,
    /// What to feed it.
    pub inputs: Inputs,
    /// Not needed if it depends on exactly this: then answer [`Outcome::Unchanged`]. Of a look for drift: what the newest run
    /// depended on, so that what follows from other inputs is no drift.
    pub unless: Option<Fingerprint>,
}

impl Start {
    /// The input of a command: one JSON object with `task`, `epoch`, `run_id`, `trigger` and what [`Inputs::document`] holds.
    pub fn document(&self) -> Value {
        let mut fields = Map::new();
        fields.insert("task".to_owned(), self.task.clone().into());
        fields.insert("epoch".to_owned(), self.epoch.0.into());
        fields.insert("run_id".to_owned(), self.run.to_string().into());
        fields.insert("trigger".to_owned(), self.trigger.as_str().into());
        fields.extend(self.inputs.document(&self.spec));
        Value::Object(fields)
    }
}

/// The newest of what a task is fed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// The members as [`super::members::render`] gives them; `None`: this task is not fed them.
    pub members: Option<Value>,
    /// Consul's answers, one for each query of the task.
    pub data: BTreeMap<Query, Arc<Data>>,
}

impl Inputs {
    /// What a command is given, under the names of the variables that a module would get: `services`, `catalog_services`,
    /// `consul_kv`, `members`, each in the same shape.
    pub fn document(&self, task: &TaskSpec) -> Map<String, Value> {
        let mut fields = Map::new();
        for part in parts(task).into_iter().filter(|part| part.rendered) {
            let value = match part.subject {
                Subject::Members => self.members.clone(),
                Subject::Services(services) => Some(self.services(services)),
                Subject::Catalog(query) => self.answer(&Query::Catalog(query.clone())),
                Subject::Kv(query) => self.answer(&Query::Kv(query.clone())),
            };
            if let Some(value) = value {
                fields.insert(part.subject.variable().to_owned(), value);
            }
        }
        fields
    }

    fn answer(&self, query: &Query) -> Option<Value> {
        match self.data.get(query)?.as_ref() {
            Data::Catalog(names) => serde_json::to_value(names).ok(),
            Data::Kv(pairs) => serde_json::to_value(pairs).ok(),
            Data::Services(_) => None,
        }
    }

    fn services(&self, services: &Services) -> Value {
        let mut all = Map::new();
        let mut add = |query: &Query, meta: &BTreeMap<String, String>| {
            if let Some(Data::Services(instances)) = self.data.get(query).map(AsRef::as_ref) {
                all.extend(instances.iter().map(|instance| (instance.key(), object(instance, meta))));
            }
        };
        match services {
            Services::Names(names) => {
                for named in names {
                    add(&Query::Service(named.query.clone()), &named.meta);
                }
            }
            Services::Regexp { query, meta } => add(&Query::Services(query.clone()), meta),
        }
        Value::Object(all)
    }
}

/// An instance as a module gets it.
fn object(instance: &Instance, meta: &BTreeMap<String, String>) -> Value {
    let mut value = serde_json::to_value(instance).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("revision");
        fields.insert("cts_user_defined_meta".to_owned(), serde_json::to_value(meta).unwrap_or_default());
    }
    value
}

/// Names one run for ever: a version 4 UUID, also the id of its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What made a task run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trigger {
    /// This agent began to lead.
    TakeOver,
    /// Its timetable.
    Schedule,
    /// The members it is fed changed.
    Members,
    /// What Consul says about its services changed.
    Services,
    /// The set of service names changed.
    CatalogServices,
    /// A key changed.
    ConsulKv,
    /// Its configuration changed.
    Reload,
    /// Somebody asked.
    Request,
    /// It is time to look for drift: nothing is changed.
    DriftCheck,
    /// Drift was found, and the task corrects it.
    Drift,
}

impl Trigger {
    /// The word in events, inputs and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TakeOver => "take-over",
            Self::Schedule => "schedule",
            Self::Members => "members",
            Self::Services => "services",
            Self::CatalogServices => "catalog-services",
            Self::ConsulKv => "consul-kv",
            Self::Reload => "reload",
            Self::Request => "request",
            Self::DriftCheck => "drift-check",
            Self::Drift => "drift",
        }
    }
}

/// How a try ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Success,
    /// It was not needed: everything it depends on is as it was when it last went well.
    Unchanged,
    /// It went well up to its plan, which waits for a person; what that changes, for people.
    Planned(String),
    /// A look for drift has found some; what, for people.
    Drifted(String),
    /// It ran and failed; the cause, for people.
    Failure(String),
    /// It was stopped, or never started, because its authority ended: the task is not to blame. Why, for people.
    Interrupted(String),
    /// It was stopped, or not started any more, because somebody cancelled it; who, for people.
    Cancelled(String),
    /// It was stopped because it took longer than its `timeout`; for people.
    TimedOut(String),
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Who must wake up.
    pub level: Level,
    /// Which task it is about.
    pub task: String,
    /// Which run, if one.
    pub run: Option<RunId>,
    /// What happened, a lowercase fragment.
    pub text: String,
}

/// Level of a [`Log`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Belongs to the story.
    Info,
    /// Somebody should look at it in daylight.
    Warn,
    /// A task failed.
    Error,
}

#[cfg(test)]
mod tests {
    use super::super::spec::ModuleInput;
    use super::super::tests::command;
    use super::*;

    #[test]
    fn the_document_names_members_only_when_they_are_fed() {
        let mut start = Start {
            task: "render".to_owned(),
            run: RunId(Uuid::nil()),
            epoch: Epoch(7),
            trigger: Trigger::TakeOver,
            attempt: 0,
            spec: Arc::new(TaskSpec { inputs: vec![ModuleInput::Members], ..command("render") }),
            inputs: Inputs::default(),
            unless: None,
        };
        let bare =
            r#"{"task":"render","epoch":7,"run_id":"00000000-0000-0000-0000-000000000000","trigger":"take-over""#;
        assert_eq!(start.document().to_string(), format!("{bare}}}"));
        start.inputs.members = Some(Value::Object(Map::new()));
        assert_eq!(start.document().to_string(), format!("{bare},\"members\":{{}}}}"));
    }
}
