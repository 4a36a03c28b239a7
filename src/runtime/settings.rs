//! What the runtime is told: everything resolved, nothing read from files or the environment here.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use quorate_proto::MemberId;
use quorate_proto::seal::Ring;

use super::at_rest;
use super::handle::TaskObjects;
use crate::task::LogBounds;
use crate::task::spec::{RunEnv, TaskSpec};
use crate::terraform;
use crate::terraform::dynamic::{Filled, RunTexts};
use crate::{access, cluster, source};

/// Reads the configuration again, for a reload. Implemented where files are read.
pub trait Reload: std::fmt::Debug + Send + Sync {
    /// The tasks that the files define now, or why they cannot be read (the text of a report; nothing changes then).
    fn load(&self) -> Result<Reloaded, String>;
}

/// Fills in what a run needs of files, the environment and Vault. Implemented where all of these are known.
pub trait Secrets: std::fmt::Debug + Send + Sync {
    /// The texts of one run as they are to be used now. The error is for people: where the text stands and what is wrong.
    fn fill<'a>(&'a self, texts: &'a RunTexts) -> BoxFuture<'a, Result<Filled<RunTexts>, String>>;
}

/// What the files say now.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// The tasks, in order of configuration.
    pub tasks: Vec<TaskSpec>,
    /// Settings other than tasks that differ from those this process runs with: they need a restart.
    pub needs_restart: Vec<String>,
}

/// How this agent takes part in a cluster.
#[derive(Debug, Clone)]
pub struct Network {
    /// Gossip (UDP) and control connections (TCP).
    pub bind: SocketAddr,
    /// What others are told; `None`: derived.
    pub advertise: Option<SocketAddr>,
    /// The keys of the configuration, which seal and open all traffic until the cluster agrees on others; `None`: nothing is
    /// encrypted.
    pub ring: Option<Ring>,
}

/// What an agent is for (`reference/cts.md` 1.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Mode {
    /// It watches and runs tasks until it is stopped.
    #[default]
    Daemon,
    /// It runs every task once and stops.
    Once,
    /// It plans these tasks (empty: all), changes nothing, and stops.
    Inspect(BTreeSet<String>),
}

/// Settings of an agent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What it is for.
    pub mode: Mode,
    /// Its name.
    pub id: MemberId,
    /// Where its API listens.
    pub api_addr: SocketAddr,
    /// What people are told about its API's host; may be empty.
    pub address: String,
    /// Who may do what; `None`: everybody everything.
    pub access: Option<access::Rules>,
    /// Its durable state.
    pub data_dir: PathBuf,
    /// The cluster it belongs to; a cluster of one without `network`.
    pub cluster: cluster::Settings,
    /// `None`: a single agent that talks to nobody.
    pub network: Option<Network>,
    /// What to run.
    pub tasks: Vec<TaskSpec>,
    /// How to run modules.
    pub terraform: terraform::Settings,
    /// A new leader runs every task, also what has not changed.
    pub take_over_all: bool,
    /// What seals that which is kept on disks.
    pub at_rest: at_rest::Source,
    /// Runs at a time.
    pub max_parallel: usize,
    /// What is kept of runs.
    pub runs: LogBounds,
    /// How Terraform reaches Consul for its state, when that is used.
    pub consul_backend: Option<terraform::ConsulAccess>,
    /// Who is told what happens.
    pub notify: Vec<crate::notify::Settings>,
    /// Consul, for the tasks that ask it.
    pub consul: Option<source::consul::Settings>,
    /// Task objects of the API.
    pub objects: Arc<dyn TaskObjects>,
    /// Reads the files again; `None`: there are none.
    pub reload: Option<Arc<dyn Reload>>,
    /// This program, to start the guardian from.
    pub exe: PathBuf,
    /// The environment that runs inherit from, as far as they may.
    pub environment: Vec<(OsString, OsString)>,
    /// Names of variables that are the agent's own secrets: a run gets them only by name.
    pub own_secrets: BTreeSet<String>,
    /// What `run_env` says for all tasks.
    pub run_env: RunEnv,
    /// Fills in templates.
    pub secrets: Arc<dyn Secrets>,
}

/// How long the shutdown waits for a successor to lead before it goes anyway.
pub const SUCCESSOR_WAIT: Duration = Duration::from_secs(2);
