//! What `quorate config check` prints: what would run, and everything odd about the text.

use std::fmt::Write;

use serde::Serialize;

use super::diagnostic::{Diagnostic, Report};
use super::duration::show;
use super::settings::{HighAvailability, Settings};
use crate::cluster::settings::LeadershipMode;
use crate::http::tls::Tls;
use crate::task::spec::{Condition, TaskSpec, Work};

/// The outcome of a check, for people with [`Check::render`] and for machines with serde.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Whether an agent would start with it.
    pub ok: bool,
    /// What it comes to; `None` when refused.
    pub summary: Option<Summary>,
    /// Errors first, then warnings and notes.
    pub diagnostics: Vec<Finding>,
    /// What an operator of CTS would not expect of this configuration.
    pub differences: Vec<Finding>,
    /// The program that runs modules; `None`: not looked for.
    pub terraform: Option<Program>,
    /// What was resolved, when nothing is wrong.
    #[serde(skip)]
    pub settings: Option<Settings>,
    #[serde(skip)]
    rendered: Vec<Diagnostic>,
}

/// Terraform or OpenTofu on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct Program {
    /// It is there, and new enough.
    pub found: bool,
    /// A task of the configuration runs a module.
    pub needed: bool,
    /// Name, version and place; or why there is none, and what would help.
    pub said: String,
}

/// What a good configuration comes to.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Who the agent is.
    pub id: String,
    /// Where its API listens.
    pub http_addr: String,
    /// `off`, `on`, or `mutual`: clients show a certificate too.
    pub http_tls: &'static str,
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

/// A diagnostic as data.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// Where; a missing place means the whole.
    pub file: Option<String>,
    /// From 1.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// An old way to say it, still read.
    pub deprecated: bool,
}

impl From<&Diagnostic> for Finding {
    fn from(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place();
        Self {
            severity: diagnostic.severity.as_str(),
            message: diagnostic.message.clone(),
            help: diagnostic.help.clone(),
            file: place.map(|(file, ..)| file.to_owned()),
            line: place.map(|(_, line, _)| line),
            column: place.map(|(.., column)| column),
            deprecated: diagnostic.is_deprecated,
        }
    }
}

impl Check {
    /// Of what [`super::load`] answered.
    pub fn new(loaded: &Result<Settings, Report>) -> Self {
        let (settings, rendered) = match loaded {
            Ok(settings) => (Some(settings.clone()), settings.warnings.clone()),
            Err(report) => (None, report.diagnostics.clone()),
        };
        Self {
            ok: settings.is_some(),
            summary: settings.as_ref().map(Summary::from),
            diagnostics: rendered.iter().map(Finding::from).collect(),
            differences: Vec::new(),
            terraform: None,
            settings,
            rendered,
        }
    }

    pub(super) fn with_differences(self, differences: &[Diagnostic]) -> Self {
        Self { differences: differences.iter().map(Finding::from).collect(), ..self }
    }

    /// Findings with their text underlined, what is old and what is different in a list, then what would run.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let boxed = self.rendered.iter().filter(|diagnostic| !diagnostic.is_deprecated);
        let mut out: String = boxed.map(|diagnostic| diagnostic.render(colour, width) + "\n").collect();
        let old = self.diagnostics.iter().filter(|finding| finding.deprecated).collect();
        list(&mut out, "deprecated in CTS, still read", old, width);
        list(&mut out, "different from CTS", self.differences.iter().collect(), width);
        let count = |severity| self.diagnostics.iter().filter(|finding| finding.severity == severity).count();
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        match &self.summary {
            Some(summary) => {
                // Writing into a string does not fail.
                summary.write(&mut out).unwrap_or_default();
                if let Some(program) = &self.terraform {
                    out = out + "driver   " + &program.said + "\n";
                }
                let odd = match (count("warning"), count("note")) {
                    (0, 0) => String::new(),
                    (warnings, 0) => format!(", with {}", plural(warnings, "warning")),
                    (warnings, notes) => {
                        format!(", with {} and {}", plural(warnings, "warning"), plural(notes, "note"))
                    }
                };
                out = out + "\nThe configuration is good" + &odd + ".\n";
                if self.terraform.as_ref().is_some_and(|program| program.needed && !program.found) {
                    out += "Its modules cannot run here: see `driver` above.\n";
                }
            }
            None => out = out + &plural(count("error"), "error") + " in the configuration\n",
        }
        out
    }
}

/// One finding a paragraph: where, what, and what to do.
fn list(out: &mut String, title: &str, findings: Vec<&Finding>, width: usize) {
    if findings.is_empty() {
        return;
    }
    *out = format!("{out}{title}\n");
    for finding in findings {
        let place = match (&finding.file, finding.line, finding.column) {
            (Some(file), Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            _ => "(not configured)".to_owned(),
        };
        *out += &format!("  {place}\n");
        *out += &wrapped(&finding.message, "      ", width);
        if let Some(help) = &finding.help {
            *out += &wrapped(&format!("-> {help}"), "      ", width);
        }
    }
    *out += "\n";
}

/// Words in lines of at most this many columns, each after `indent`.
fn wrapped(text: &str, indent: &str, width: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            out.push('\n');
            column = 0;
        }
        if column == 0 {
            out.push_str(indent);
            column = indent.len();
        } else {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out + "\n"
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
            encrypted: ha.key.is_some(),
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
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (scheme, clients) = match self.http_tls {
            "off" => ("http", ""),
            "on" => ("https", ""),
            _ => ("https", " (clients show a certificate)"),
        };
        writeln!(out, "agent    {}, API on {scheme}://{}{clients}", self.id, self.http_addr)?;
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
        writeln!(
            out,
            "         profile {}: a death is noticed after about {}, lease {}, settle {}",
            self.profile, self.detection, self.lease, self.settle
        )
    }
}
