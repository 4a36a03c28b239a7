//! What a task is: resolved settings, no text of a configuration file left in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::consul_data::{CatalogQuery, KvQuery, Query, RegexpQuery, ServiceQuery};
pub use super::drift::Drift;
pub use super::review::{Approval, Review};
pub use super::run_options::{HIDDEN, Inherit, Limits, RunAs, RunEnv, RunOptions};

/// A task: when to run what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// `[A-Za-z_][A-Za-z0-9_-]*`, at most 64, unique without regard to case.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it runs at all.
    pub enabled: bool,
    /// What makes it run.
    pub condition: Condition,
    /// What else it is fed, without a trigger (`module_input`).
    pub inputs: Vec<ModuleInput>,
    /// What runs.
    pub work: Work,
    /// How triggers are gathered; `None`: each runs at once. Always `None` for `schedule`.
    pub buffer: Option<Buffer>,
    /// How a failed run is repeated.
    pub retry: Retry,
    /// When a task that fails again and again is left alone for a while; `None`: never, as CTS.
    pub park: Option<Park>,
    /// Which changes of its data are too odd to act on.
    pub guards: Guards,
    /// How long a run has between SIGINT and SIGKILL.
    pub grace: Duration,
    /// Longest a run may take, if limited.
    pub timeout: Option<Duration>,
    /// Directory of its workspace.
    pub working_dir: PathBuf,
    /// How its runs are started; not stored when nothing is said.
    #[serde(default, skip_serializing_if = "RunOptions::is_default")]
    pub run: RunOptions,
}

impl TaskSpec {
    /// Whether it is fed the cluster's members.
    pub fn takes_members(&self) -> bool {
        matches!(self.condition, Condition::Members { use_as_module_input: true })
            || self.inputs.contains(&ModuleInput::Members)
    }

    /// Every query it needs answers of, each once, in the order of the variables file: the condition's first.
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = self.condition.queries();
        for query in self.inputs.iter().flat_map(ModuleInput::queries) {
            if !queries.contains(&query) {
                queries.push(query);
            }
        }
        queries
    }
}

/// What makes a task run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// A cron timetable in CTS's dialect (`reference/cts.md` 1.8), local time.
    Schedule {
        /// As configured, checked.
        cron: String,
    },
    /// A change of the cluster's own membership.
    Members {
        /// Also give the members to the task as input.
        use_as_module_input: bool,
    },
    /// Any change in the answers about services.
    Services {
        /// Which services.
        services: Services,
        /// Also give them to the task as input.
        use_as_module_input: bool,
    },
    /// A change of the set of service names.
    CatalogServices {
        /// Which names.
        catalog: CatalogQuery,
        /// Also give names and tags to the task as input.
        use_as_module_input: bool,
    },
    /// A change of a key, or of any key under a prefix.
    ConsulKv {
        /// Which keys.
        kv: KvQuery,
        /// Also give the pairs to the task as input.
        use_as_module_input: bool,
    },
    /// Nothing: it runs when a leader begins, and by hand.
    None,
}

impl Condition {
    /// What it watches in Consul.
    pub fn queries(&self) -> Vec<Query> {
        match self {
            Self::Services { services, .. } => services.queries(),
            Self::CatalogServices { catalog, .. } => vec![Query::Catalog(catalog.clone())],
            Self::ConsulKv { kv, .. } => vec![Query::Kv(kv.clone())],
            Self::Schedule { .. } | Self::Members { .. } | Self::None => Vec::new(),
        }
    }

    /// Its type as CTS writes it; `None` for no condition.
    pub fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Schedule { .. } => Some("schedule"),
            Self::Members { .. } => Some("members"),
            Self::Services { .. } => Some("services"),
            Self::CatalogServices { .. } => Some("catalog-services"),
            Self::ConsulKv { .. } => Some("consul-kv"),
            Self::None => None,
        }
    }
}

/// Data that a task is fed and that does not make it run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleInput {
    /// The cluster's members.
    Members,
    /// Services with their instances.
    Services(Services),
    /// Keys and values.
    ConsulKv(KvQuery),
}

impl ModuleInput {
    /// What it needs of Consul.
    pub fn queries(&self) -> Vec<Query> {
        match self {
            Self::Members => Vec::new(),
            Self::Services(services) => services.queries(),
            Self::ConsulKv(kv) => vec![Query::Kv(kv.clone())],
        }
    }
}

/// Which services a task watches or is fed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Services {
    /// These, each with its own query. `names = [..]` gives all of them the same options; the deprecated `services` list
    /// of a task may give each its own, by `service` blocks.
    Names(Vec<NamedService>),
    /// All whose name matches.
    Regexp {
        /// Which names.
        query: RegexpQuery,
        /// `cts_user_defined_meta`, copied to every service.
        meta: BTreeMap<String, String>,
    },
}

/// One service with what CTS lets the user add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedService {
    /// Which.
    pub query: ServiceQuery,
    /// `cts_user_defined_meta`, copied to each of its instances.
    pub meta: BTreeMap<String, String>,
}

impl Services {
    /// One query a name, or the one for all.
    pub fn queries(&self) -> Vec<Query> {
        match self {
            Self::Names(services) => services.iter().map(|it| Query::Service(it.query.clone())).collect(),
            Self::Regexp { query, .. } => vec![Query::Services(query.clone())],
        }
    }
}

/// When a task that keeps failing is left alone: it gathers triggers meanwhile, and runs once when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Park {
    /// Failed runs in a row (each with all its retries) before it is parked.
    pub after: u32,
    /// First time, doubling with each further failed run.
    pub base: Duration,
    /// Longest time.
    pub cap: Duration,
}

/// Changes of services that a task does not act on. Off by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guards {
    /// Fewer instances in all than this are not applied.
    pub min_instances: Option<u32>,
    /// A change that removes more than this share of the instances that were applied last is not applied, in percent.
    pub max_change_percent: Option<u8>,
}

/// What runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// An argument vector, no shell. Input as JSON on stdin and in the file `QUORATE_INPUT`.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// A Terraform module.
    Terraform(TerraformWork),
}

/// A Terraform module with its inputs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerraformWork {
    /// Module source; a local path is absolute here.
    pub module: String,
    /// Registry module version; empty when none.
    pub version: String,
    /// `name` or `name.alias` of providers.
    pub providers: Vec<String>,
    /// Variables: name to the literal text of an HCL/JSON value, or to a template, whose text is the value.
    pub variables: BTreeMap<String, String>,
}

impl fmt::Debug for TerraformWork {
    /// Without the values of variables.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variables: Vec<&String> = self.variables.keys().collect();
        let mut shown = f.debug_struct("TerraformWork");
        shown.field("module", &self.module).field("version", &self.version).field("providers", &self.providers);
        shown.field("variables", &variables).finish()
    }
}

/// Buffer period (`reference/cts.md` 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Buffer {
    /// Restarted by each trigger.
    pub min: Duration,
    /// Never later than this after the first trigger.
    pub max: Duration,
}

/// Retries of a failed run (`reference/cts.md` 1.5): CTS's policy by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first: 2.
    pub retries: u32,
    /// First wait: 1 s, doubling, plus up to half of itself at random.
    pub base: Duration,
    /// Longest wait: 15 min.
    pub cap: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { retries: 2, base: Duration::from_secs(1), cap: Duration::from_mins(15) }
    }
}
