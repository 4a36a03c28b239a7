//! What a configuration comes to: every room's settings, resolved, and what was odd about the text.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use quorate_proto::MemberId;
use quorate_proto::at_rest::Keys;

use super::diagnostic::Diagnostic;
use super::task_object::ObjectContext;
use crate::http::tls::Tls;
use crate::http::{Addr, Limits};
use crate::source::{consul, vault};
use crate::{access, audit, cluster, notify, task, terraform};

/// Port of the API.
pub const HTTP_PORT: u16 = 8558;
/// Port of gossip (UDP) and control (TCP).
pub const GOSSIP_PORT: u16 = 8559;
/// The data directory when nobody says.
pub const DATA_DIR: &str = "quorate-data";
/// The local administrator's socket, in the data directory.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Name of a cluster that was given none.
pub const CLUSTER_NAME: &str = "quorate";
/// Where the API listens by default: nobody else can reach it.
pub const HTTP_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HTTP_PORT);

/// A whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Who this agent is.
    pub id: MemberId,
    /// Where the API listens.
    pub http_addr: Addr,
    /// `None`: the API speaks plain HTTP.
    pub http_tls: Option<Tls>,
    /// How many connections the API takes.
    pub http_limits: Limits,
    /// `None`: nobody writes down who changed what.
    pub audit: Option<audit::Settings>,
    /// Who is told what happens.
    pub notify: Vec<notify::Settings>,
    /// `None`: whoever reaches the API may do everything.
    pub access: Option<access::Rules>,
    /// Whoever reaches the API from elsewhere may change everything, and `insecure = true` says that this is meant.
    pub insecure: bool,
    /// Where the promise and the replicated state live; absolute.
    pub data_dir: PathBuf,
    /// Parent of the tasks' directories; absolute.
    pub working_dir: PathBuf,
    /// What is logged, and how.
    pub log: LogSettings,
    /// `None`: a single agent that leads at once, as CTS.
    pub cluster: Option<HighAvailability>,
    /// In order of configuration.
    pub tasks: Vec<task::spec::TaskSpec>,
    /// The driver and its providers.
    pub terraform: terraform::Settings,
    /// Consul, when there is a block for it or something configured asks it.
    pub consul: Option<consul::Settings>,
    /// Vault, when an address is known.
    pub vault: Option<vault::Settings>,
    /// Most runs at a time.
    pub max_parallel: u16,
    /// What is kept of the logs of runs.
    pub runs: task::LogBounds,
    /// Which variables of the environment runs see, for all tasks.
    pub run_env: task::spec::RunEnv,
    /// Variables of the environment that are taken as secrets.
    pub env_names: EnvNames,
    /// What task objects of the API are read against.
    pub objects: ObjectContext,
    /// Warnings and notes; none of them stops the agent.
    pub warnings: Vec<Diagnostic>,
}

/// Names of variables of the environment that templates take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvNames {
    /// For the agent's own keys: no run needs them.
    pub own: BTreeSet<String>,
    /// For what runs are given.
    pub of_runs: BTreeSet<String>,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// From which level on.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
    /// A copy for the syslog of the machine.
    pub syslog: Option<Syslog>,
}

/// `syslog`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    /// Its number in RFC 3164, section 4.1.1.
    pub facility: u8,
    /// As whom messages are sent.
    pub name: String,
    /// The socket, absolute. `None`: where the machine has it.
    pub path: Option<PathBuf>,
}

/// CTS's levels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For a hunt.
    Debug,
    /// The story.
    Info,
    /// Look at it tomorrow.
    Warn,
    /// Look at it now.
    Error,
}

impl LogLevel {
    /// Its word, as `tracing` knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `high_availability`: the cluster this agent belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighAvailability {
    /// For the core.
    pub cluster: cluster::Settings,
    /// Which profile the timing came from.
    pub profile: cluster::settings::Profile,
    /// Where gossip and control listen.
    pub bind: SocketAddr,
    /// Where others reach them. `None`: bind is unspecified, so the runtime takes the first address of this machine
    /// that is not loopback.
    pub advertise: Option<SocketAddr>,
    /// What seals all traffic, and more keys that open it; empty: nothing is encrypted.
    pub keys: Vec<ClusterKey>,
    /// How that which the agents keep is kept from whoever reads a disk; `None`: it is not.
    pub at_rest: Option<AtRest>,
    /// `instance { address }`: what others are told about the API's host; empty when not configured.
    pub instance_address: String,
    /// `take_over = "all"`: a new leader runs every task once, not only those whose data changed.
    pub take_over_all: bool,
    /// What a follower does with a request that only the leader can answer.
    pub follower_requests: FollowerRequests,
}

/// The cluster's shared key. Never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClusterKey([u8; 32]);

impl ClusterKey {
    /// Takes the bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the seal.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKey(..)")
    }
}

/// How what is kept is sealed. No key is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AtRest {
    file: Option<Vec<[u8; 32]>>,
    seals: bool,
}

impl AtRest {
    /// By keys of a file, of which the first seals and each opens; `None`: by those of the cluster. Without `seals` they only
    /// open what was sealed.
    pub fn new(file: Option<Vec<[u8; 32]>>, seals: bool) -> Self {
        Self { file, seals }
    }

    /// Whether anything is sealed; else the keys only open what was.
    pub fn seals(&self) -> bool {
        self.seals
    }

    /// The keys of the file. `None`: those of the cluster count.
    pub fn file(&self) -> Option<Keys> {
        self.file.as_ref().map(|keys| Keys::new(keys, self.seals))
    }
}

impl fmt::Debug for AtRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AtRest(file {:?}, seals {})", self.file.as_ref().map(Vec::len), self.seals)
    }
}

/// What a follower does with a request for the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowerRequests {
    /// Asks the leader and passes its answer on.
    Forward,
    /// Answers 400 with the leader's address, as CTS Enterprise.
    Redirect,
}
