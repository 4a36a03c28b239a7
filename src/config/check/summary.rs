//! What a good configuration comes to: who the agent is, which cluster it belongs to, what its tasks do.

use std::fmt::Write;

use serde::Serialize;

use crate::cluster::settings::LeadershipMode;
use crate::config::duration::show;
use crate::config::settings::{AtRest, HighAvailability, Settings};
use crate::http::tls::Tls;
use crate::task::spec::{Condition, TaskSpec, Work};

/// What a good configuration comes to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Who the agent is.
    pub id: String,
    /// Where its API listens.
    pub http_addr: String,
    /// `off`, `on`, or `mutual`: clients show a certificate too.
    pub http_tls: &'static str,
    /// What anonymous callers may do: `deny`, `read`, or `write`.
    pub access: &'static str,
    /// `access` is controlled.
    pub tokens: bool,
    /// Absolute.
    pub data_dir: String,
    /// Absolute.
    pub working_dir: String,
    /// `None`: a single agent.
    pub cluster: Option<ClusterSummary>,
    /// In order.
    pub tasks: Vec<TaskSummary>,
}

/// The cluster it belongs to.
#[derive(Debug, Clone, Serialize)]
pub struct ClusterSummary {
    /// Name.
    pub name: String,
    /// `quorum` or `alive`.
    pub leadership: &'static str,
    /// Founders.
    pub expect: u16,
    /// `host:port`, sorted.
    pub join: Vec<String>,
    /// Where gossip listens.
    pub bind: String,
    /// Where others reach it; `None`: found out at start.
    pub advertise: Option<String>,
    /// Whether traffic is sealed.
    pub encrypted: bool,
    /// Whether Terraform state is sealed on disks.
    pub state_encrypted: bool,
    /// Name of the profile.
    pub profile: String,
    /// Longest pause of a leader that costs nothing, and about how long its death goes unnoticed: P + S.
    pub detection: String,
    /// Length of the lease.
    pub lease: String,
    /// How long a returning lower id waits.
    pub settle: String,
}

/// One task.
#[derive(Debug, Clone, Serialize)]
pub struct TaskSummary {
    /// Name.
    pub name: String,
    /// Whether it may run.
    pub enabled: bool,
    /// When it runs, in words.
    pub condition: String,
    /// What it runs, in words.
    pub runs: String,
    /// `5s to 20s`, or `none`.
    pub buffer: String,
}

impl From<&Settings> for Summary {
    fn from(settings: &Settings) -> Self {
        Self {
            id: settings.id.to_string(),
            http_addr: settings.http_addr.to_string(),
            http_tls: match &settings.http_tls {
                None => "off",
                Some(Tls { clients: None, .. }) => "on",
                Some(_) => "mutual",
            },
            access: settings.access.as_ref().map_or("write", |rules| rules.default.as_str()),
            tokens: settings.access.is_some(),
            data_dir: settings.data_dir.display().to_string(),
            working_dir: settings.working_dir.display().to_string(),
            cluster: settings.cluster.as_ref().map(ClusterSummary::from),
            tasks: settings.tasks.iter().map(TaskSummary::from).collect(),
        }
    }
}

impl From<&HighAvailability> for ClusterSummary {
    fn from(ha: &HighAvailability) -> Self {
        let timing = &ha.cluster.timing;
        Self {
            name: ha.cluster.name.clone(),
            leadership: match ha.cluster.mode {
                LeadershipMode::Quorum => "quorum",
                LeadershipMode::Alive => "alive",
            },
            expect: ha.cluster.expect,
            join: ha.cluster.seeds.clone(),
            bind: ha.bind.to_string(),
            advertise: ha.advertise.map(|addr| addr.to_string()),
            encrypted: !ha.keys.is_empty(),
            state_encrypted: ha.at_rest.as_ref().is_some_and(AtRest::seals),
            profile: ha.profile.to_string(),
            detection: show(timing.gossip.probe_period.saturating_add(timing.gossip.suspect_to_down)),
            lease: show(timing.lease.grant),
            settle: show(timing.lease.settle),
        }
    }
}

impl From<&TaskSpec> for TaskSummary {
    fn from(task: &TaskSpec) -> Self {
        Self {
            name: task.name.clone(),
            enabled: task.enabled,
            condition: match &task.condition {
                Condition::Schedule { cron } => format!("schedule {cron}"),
                Condition::Members { .. } => "members change".to_owned(),
                Condition::Services { .. } => "services change".to_owned(),
                Condition::CatalogServices { .. } => "catalog changes".to_owned(),
                Condition::ConsulKv { kv, .. } => format!("key {} changes", kv.path),
                Condition::None => "take-over only".to_owned(),
            },
            runs: match &task.work {
                Work::Command { argv } => argv.join(" "),
                Work::Terraform(work) => format!("module {}", work.module),
            },
            buffer: task
                .buffer
                .map_or_else(|| "none".to_owned(), |buffer| format!("{} to {}", show(buffer.min), show(buffer.max))),
        }
    }
}

impl Summary {
    pub(super) fn write(&self, out: &mut String) -> std::fmt::Result {
        let (scheme, clients) = match self.http_tls {
            _ if self.http_addr.starts_with("unix://") => ("", ""),
            "off" => ("http://", ""),
            "on" => ("https://", ""),
            _ => ("https://", " (clients show a certificate)"),
        };
        writeln!(out, "agent    {}, API on {scheme}{}{clients}", self.id, self.http_addr)?;
        if self.tokens {
            let anybody = match self.access {
                "deny" => "anonymous callers may do nothing",
                "read" => "anonymous callers may read",
                _ => "anonymous callers may do everything but tokens",
            };
            writeln!(out, "         access is controlled, {anybody}")?;
        }
        writeln!(out, "         data in {}", self.data_dir)?;
        writeln!(out, "         tasks in {}", self.working_dir)?;
        match &self.cluster {
            None => writeln!(out, "cluster  none: a single agent, which leads at once")?,
            Some(cluster) => cluster.write(out)?,
        }
        if self.tasks.is_empty() {
            return writeln!(out, "tasks    none");
        }
        let width = self.tasks.iter().map(|task| task.name.len()).max().unwrap_or_default();
        let middle = self.tasks.iter().map(|task| task.condition.len()).max().unwrap_or_default();
        for (i, task) in self.tasks.iter().enumerate() {
            let head = if i == 0 { "tasks" } else { "" };
            let off = if task.enabled { "" } else { " (disabled)" };
            writeln!(out, "{head:8} {:width$}  {:middle$}  {}{off}", task.name, task.condition, task.runs)?;
        }
        Ok(())
    }
}

impl ClusterSummary {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let sealed = if self.encrypted { "encrypted" } else { "not encrypted" };
        writeln!(out, "cluster  {}, gossip on {} ({sealed})", self.name, self.bind)?;
        let advertise = self.advertise.as_deref().unwrap_or("the first address of this machine that is not loopback");
        writeln!(out, "         others reach it at {advertise}")?;
        let founders = if self.expect == 1 { "1 founder".to_owned() } else { format!("{} founders", self.expect) };
        let join = if self.join.is_empty() { "nobody".to_owned() } else { self.join.join(", ") };
        writeln!(out, "         {founders}, joins {join}")?;
        let survives = match self.leadership {
            "quorum" => format!("survives the loss of {} of the founders", (self.expect.max(1) - 1) / 2),
            _ => "two may lead while the network is cut".to_owned(),
        };
        writeln!(out, "         leadership {}: {survives}", self.leadership)?;
        let kept = if self.leadership == "quorum" { "tasks, events and Terraform state" } else { "tasks and events" };
        let how = if self.state_encrypted { "encrypted (at_rest)" } else { "in plain text (see at_rest)" };
        writeln!(out, "         {kept} are on the disk of each agent, {how}")?;
        writeln!(
            out,
            "         profile {}: a death is noticed after about {}, lease {}, settle {}",
            self.profile, self.detection, self.lease, self.settle
        )
    }
}
