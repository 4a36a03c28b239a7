//! Configuration files as an operator would write them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use super::resource::Resource;

/// `leadership`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Quorum,
    Alive,
}

/// What all agents of a site have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) key: Option<String>,
    pub(crate) profile: &'static str,
    pub(crate) settle: &'static str,
    pub(crate) expect: usize,
    pub(crate) mode: Mode,
    pub(crate) tasks: Vec<Task>,
    /// More text at the end of each file.
    pub(crate) more: String,
    /// More text in the block `cluster`.
    pub(crate) in_cluster: String,
}

/// A task that leaves its mark on the resource.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) name: &'static str,
    pub(crate) milliseconds: u64,
    /// With a grandchild that leaves the session and ignores SIGINT and SIGTERM.
    pub(crate) stubborn: bool,
    pub(crate) grace: &'static str,
    /// Seven fields; `None`: runs when a leader begins.
    pub(crate) cron: Option<&'static str>,
}

impl Task {
    /// Runs once for every leader, and ends quickly.
    pub(crate) fn once(name: &'static str) -> Self {
        Self { name, milliseconds: 100, stubborn: false, grace: "1s", cron: None }
    }

    /// Runs every second.
    pub(crate) fn ticking(name: &'static str) -> Self {
        Self { cron: Some("* * * * * * *"), ..Self::once(name) }
    }

    /// Runs for longer than any test lasts.
    pub(crate) fn long(name: &'static str) -> Self {
        Self { milliseconds: 600_000, ..Self::once(name) }
    }
}

/// Where one agent is.
pub(crate) struct Place<'a> {
    pub(crate) id: &'a str,
    pub(crate) dir: &'a Path,
    pub(crate) http: SocketAddr,
    pub(crate) gossip: SocketAddr,
    pub(crate) join: &'a [String],
}

impl Shape {
    /// The file of one agent.
    pub(crate) fn render(&self, place: &Place<'_>, resource: &Resource) -> String {
        let Place { id, dir, http, gossip, join } = place;
        let mode = match self.mode {
            Mode::Quorum => "quorum",
            Mode::Alive => "alive",
        };
        let key = self.key.as_ref().map_or(String::new(), |key| format!("encrypt    = \"{key}\""));
        let mut text = format!(
            r#"id          = "{id}"
http_addr   = "{http}"
data_dir    = "{dir}/data"
working_dir = "{dir}/tasks"

high_availability {{
  cluster {{
    name = "{name}"
    {in_cluster}
    gossip {{
      bind       = "{gossip}"
      join       = {join:?}
      expect     = {expect}
      leadership = "{mode}"
      profile    = "{profile}"
      settle     = "{settle}"
      {key}
    }}
  }}
}}
"#,
            dir = dir.display(),
            name = self.name,
            in_cluster = self.in_cluster,
            expect = self.expect,
            profile = self.profile,
            settle = self.settle,
        );
        for task in &self.tasks {
            let mut command = vec![resource.work.display().to_string(), resource.record.display().to_string()];
            command.extend([(*id).to_owned(), task.milliseconds.to_string()]);
            command.extend(task.stubborn.then(|| "stubborn".to_owned()));
            let condition =
                task.cron.map_or(String::new(), |cron| format!("condition \"schedule\" {{ cron = \"{cron}\" }}"));
            write!(
                text,
                "\ntask {{\n  name    = \"{}\"\n  command = {command:?}\n  grace   = \"{}\"\n  {condition}\n}}\n",
                task.name, task.grace
            )
            .expect("text");
        }
        text.push_str(&self.more);
        text
    }
}
