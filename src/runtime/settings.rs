//! What the runtime is told: everything resolved, nothing read from files or the environment here.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use quorate_proto::MemberId;
use quorate_proto::seal::Key;

use crate::cluster;
use crate::task::spec::TaskSpec;
use crate::terraform;

/// How this agent takes part in a cluster.
#[derive(Debug, Clone)]
pub struct Network {
    /// Gossip (UDP) and control connections (TCP).
    pub bind: SocketAddr,
    /// What others are told; `None`: derived.
    pub advertise: Option<SocketAddr>,
    /// Seals all traffic.
    pub key: Option<Key>,
}

/// Settings of an agent.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its name.
    pub id: MemberId,
    /// Where its API listens.
    pub api_addr: SocketAddr,
    /// What people are told about its API's host; may be empty.
    pub address: String,
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
    /// This program, to start the guardian from.
    pub exe: PathBuf,
    /// The environment that runs inherit from, filtered by an allow-list.
    pub environment: Vec<(OsString, OsString)>,
}

/// How long the shutdown waits for a successor to lead before it goes anyway.
pub const SUCCESSOR_WAIT: Duration = Duration::from_secs(2);
