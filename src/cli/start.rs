//! `quorate start`: the flags of an agent.

mod credentials;
mod settings;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgAction, Args};
use quorate_proto::seal::RingError;
use quorate_proto::{BootNonce, Instance};
use tokio_util::sync::CancellationToken;

use super::env::{self, World};
use super::exit::Exit;
use super::objects::Objects;
use super::obstacle::{Obstacle, chain};
use super::output::{Failure, complain};
use super::preflight::{self, Uses};
use super::providers;
use super::registration;
use super::reload::Files;
use super::service_manager::{self, ServiceManager};
use super::{descriptors, logging, signals, trail};
use crate::cluster::settings::LeadershipMode;
use crate::config::{self, Overrides};
use crate::http;
use crate::runtime::agent::Seeds;
use crate::runtime::settings::Mode;
use crate::runtime::{self, Agent};
use crate::source::consul;

/// Threads for everything but gossip, the disk and HTTP.
const WORKERS: usize = 2;
/// Threads for what blocks: names, files of workspaces.
const BLOCKING: usize = 16;
/// Stack of each.
const STACK: usize = 1 << 20;

/// Flags of `start`. They override the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct StartArgs {
    /// File or directory of the configuration; repeatable, in order
    #[arg(long = "config-file", visible_alias = "config-dir", value_name = "PATH")]
    pub config: Vec<PathBuf>,
    /// Name of this agent; the lowest alive leads
    #[arg(long)]
    pub id: Option<String>,
    /// Where the API listens; also unix:///path
    #[arg(long, value_name = "HOST:PORT")]
    pub http_addr: Option<String>,
    /// Where gossip listens, UDP and TCP
    #[arg(long, value_name = "HOST:PORT")]
    pub gossip_addr: Option<String>,
    /// Where others reach the gossip of this agent
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
    /// Seeds to find the cluster by; repeatable, or with commas
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub join: Vec<String>,
    /// How many agents found the cluster
    #[arg(long, value_name = "N")]
    pub expect: Option<u16>,
    /// Directory of the promise and the replicated state
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Parent of the directories of tasks
    #[arg(long, value_name = "DIR")]
    pub working_dir: Option<PathBuf>,
    /// TRACE, DEBUG, INFO, WARN or ERR
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Run every task once, then stop
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false,
          action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub once: bool,
    /// Plan every task and apply nothing, then stop
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false,
          action = ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    pub inspect: bool,
    /// Plan this task only; repeatable
    #[arg(long, value_name = "NAME")]
    pub inspect_task: Vec<String>,
}

/// Starts an agent and runs it to its end.
pub fn run(args: &StartArgs) -> ExitCode {
    env::take_over();
    let world = World::read();
    let settings = match config::load(&args.config, &args.overrides(), &world.env, &world.hostname, &world.cwd) {
        Ok(settings) => settings,
        Err(report) => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            complain(&report.render(colour, super::config::WIDTH));
            let none = args.config.is_empty();
            return if none { Exit::Missing } else { Exit::Config }.into();
        }
    };
    // Before there is a second thread, and before anything is opened.
    let mut names: BTreeSet<String> = settings.env_names.own.union(&settings.env_names.of_runs).cloned().collect();
    names.extend(service_manager::VARIABLES.map(str::to_owned));
    let hidden = env::hide(&names);
    runtime::fail_stop::on_panic();
    let guards = logging::start(&settings.log);
    if let Err(error) = hidden {
        tracing::warn!(%error, "secrets stay in the environment of this process, where processes of its user can read them");
    }
    for warning in &settings.warnings {
        warn(warning);
    }
    let mode = args.mode();
    if let Some(why) = refused(&mode, &settings) {
        Failure::new(why).complain();
        return Exit::Config.into();
    }
    if let Some(exit) = stopped_by(&preflight::obstacles(&settings, &world.env, mode_uses(&mode))) {
        drop(guards);
        return exit.into();
    }
    let objects = Objects::new(settings.objects.clone(), settings.consul.is_some());
    let manager = ServiceManager::find();
    let reload = Files::new(args.config.clone(), args.overrides(), &settings, manager.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_stack_size(STACK)
        .thread_name("agent")
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => {
            let exit = match mode {
                Mode::Daemon => runtime.block_on(serve(settings, objects, reload, manager)),
                mode => runtime.block_on(sequence(settings, objects, mode)),
            };
            runtime.shutdown_timeout(Duration::from_secs(1));
            exit
        }
        Err(error) => {
            tracing::error!(%error, "the agent cannot start its threads");
            Exit::Error
        }
    };
    drop(guards);
    exit.into()
}

/// A daemon opens its data directory next, and says itself what is wrong with that. Once and inspect have one of their own.
fn mode_uses(mode: &Mode) -> Uses {
    Uses { data_dir: false, listens: *mode == Mode::Daemon }
}

/// Says all that is in the way; with which code that ends the start, if it does.
fn stopped_by(obstacles: &[Obstacle]) -> Option<Exit> {
    for obstacle in obstacles.iter().filter(|obstacle| !obstacle.is_met_again) {
        if obstacle.exit.is_some() {
            tracing::error!("{}", obstacle.text);
        } else {
            tracing::warn!("{}", obstacle.text);
        }
    }
    obstacles.iter().find_map(|obstacle| obstacle.exit)
}

/// From the settings to the end of the process.
async fn serve(settings: config::Settings, objects: Objects, reload: Files, manager: ServiceManager) -> Exit {
    announce(&settings);
    let (settings, asked) = match providers::fetched(settings, &env::texts()).await {
        Ok(fetched) => fetched,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return Exit::Error;
        }
    };
    let http = settings::of_http(&settings);
    let before = settings.clone();
    let runtime = match settings::of_runtime(settings, objects, Some(Arc::new(reload)), asked) {
        Ok(runtime) => runtime,
        Err(error) => return no_ring(error),
    };
    let agent = match Agent::start(runtime, seeds()).await {
        Ok(agent) => agent,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return Exit::Config;
        }
    };
    let open = |audit| trail::start(audit, before.log.syslog.as_ref(), agent.handle.metrics.clone());
    let audit = match before.audit.as_ref().map(open).transpose() {
        Ok(audit) => audit,
        Err(error) => {
            tracing::error!("failed to open the audit trail: {error}");
            agent.shutdown.cancel();
            drop(agent.done.await);
            return Exit::Config;
        }
    };
    let http = http::Settings { limits: descriptors::make_room(http.limits), audit: audit.clone(), ..http };
    let stop_http = CancellationToken::new();
    let server = match http::serve(&http, agent.handle.clone(), agent.forwarded, stop_http.clone()) {
        Ok(server) => server,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            agent.shutdown.cancel();
            drop(agent.done.await);
            return Exit::Config;
        }
    };
    tracing::info!(
        address = %server.addr(), tls = http.tls.is_some(),
        "the HTTP API listens; change it with http_addr or -http-addr{}", credentials::asked(&before, &http)
    );
    if http.insecure {
        tracing::warn!(
            address = %server.addr(),
            "INSECURE: whoever reaches the API may run and change everything, as the user of this agent (insecure = true)"
        );
    }
    manager.ready();
    tokio::spawn(manager.clone().keep_told(agent.handle.clone(), agent.pulse.clone()));
    let registered = match registration::register(
        &before,
        server.addr().tcp().map(|addr| addr.port()),
        http.tls.is_some(),
        seed_of_retries(),
    )
    .await
    {
        Ok(registered) => registered,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            None
        }
    };
    let stop_runs = CancellationToken::new();
    match http::state::serve_runs(agent.state.clone(), agent.credentials.clone(), stop_runs.clone()) {
        Ok(listener) => {
            tracing::debug!(address = %listener.addr(), "runs find their Terraform state here");
            agent.runs_heard_at.send_replace(Some(listener.addr()));
        }
        Err(error) => tracing::error!("Terraform state cannot be kept by the cluster: {}", chain(&error)),
    }
    let shutdown = agent.shutdown.clone();
    let signals = tokio::spawn(signals::wait(shutdown, agent.reload.clone(), audit, manager.clone()));
    let ended = agent.done.await;
    signals.abort();
    // Also when it ended by itself.
    manager.stopping();
    stop_runs.cancel();
    if let Some(registered) = registered {
        registered.end().await;
    }
    stop_http.cancel();
    if let Err(error) = server.stopped().await {
        tracing::warn!(%error, "the HTTP API did not stop cleanly");
    }
    told(ended)
}

/// What an operator wants to see first in the log.
fn announce(settings: &config::Settings) {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), id = %settings.id, tasks = settings.tasks.len(), "quorate");
    let Some(ha) = &settings.cluster else {
        tracing::info!("no gossip block: a single agent that leads at once");
        return;
    };
    let timing = &ha.cluster.timing;
    tracing::info!(
        cluster = ha.cluster.name, expect = ha.cluster.expect, profile = %ha.profile, seeds = ha.cluster.seeds.join(","),
        lease = ?timing.lease.grant, settle = ?timing.lease.settle, "high availability is on"
    );
    if ha.cluster.mode == LeadershipMode::Alive {
        tracing::warn!(
            "leadership = \"alive\": no majority is needed, so two agents may run the same task while the network is cut; \
             use it only for tasks that are safe to run twice or whose resource checks the epoch"
        );
    }
    if !ha.at_rest.as_ref().is_some_and(config::AtRest::seals) {
        tracing::info!(
            "what the agents keep (tasks, events, Terraform state) is in plain text on their disks; `at_rest` encrypts it"
        );
    }
    if ha.keys.is_empty() {
        tracing::warn!("traffic between agents is not encrypted (encrypt = \"none\", or loopback without a key)");
    }
}

fn no_ring(error: RingError) -> Exit {
    tracing::error!("the keys of the cluster (encrypt, encrypt_file) cannot be used: {error}");
    Exit::Config
}

/// All the randomness of this process.
#[expect(clippy::disallowed_methods, reason = "the one place that draws the seeds which are arguments everywhere else")]
fn seeds() -> Seeds {
    Seeds {
        instance: Instance(rand::random()),
        boot: BootNonce(rand::random()),
        session: rand::random(),
        sealing: rand::random(),
        last_words_sealing: rand::random(),
        core: rand::random(),
        tasks: rand::random(),
    }
}

/// Spreads the retries of agents that start together.
fn seed_of_retries() -> u64 {
    u64::from_le_bytes(seeds().session)
}

/// A finding of the configuration as one line of the log, which has its own word for how bad it is.
fn warn(finding: &config::Diagnostic) {
    let help = finding.help.as_deref();
    let place = finding.place().map(|(file, line, column)| format!("{file}:{line}:{column}"));
    if finding.severity == config::Severity::Note {
        tracing::info!(place, help, "configuration: {}", finding.message);
    } else {
        tracing::warn!(place, help, "configuration: {}", finding.message);
    }
}

impl StartArgs {
    fn mode(&self) -> Mode {
        if self.inspect || !self.inspect_task.is_empty() {
            Mode::Inspect(self.inspect_task.iter().cloned().collect())
        } else if self.once {
            Mode::Once
        } else {
            Mode::Daemon
        }
    }

    /// For the configuration, which checks them.
    fn overrides(&self) -> Overrides {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        Overrides {
            id: self.id.clone(),
            http_addr: self.http_addr.clone(),
            gossip_addr: self.gossip_addr.clone(),
            advertise: self.advertise.clone(),
            join: self.join.clone(),
            expect: self.expect,
            data_dir: path(&self.data_dir),
            working_dir: path(&self.working_dir),
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
            ..Overrides::default()
        }
    }
}

/// Once and inspect need no other agent, and their end is no event for one.
fn refused(mode: &Mode, settings: &config::Settings) -> Option<String> {
    if *mode == Mode::Daemon {
        return None;
    }
    if let Some(ha) = &settings.cluster {
        return Some(format!(
            "-once and -inspect are for a single agent, and the configuration has a gossip block (cluster {})\n\
             ask the running cluster instead: quorate task run NAME, or take the block out for this run",
            ha.cluster.name
        ));
    }
    let Mode::Inspect(names) = mode else { return None };
    let unknown = names.iter().find(|name| !settings.tasks.iter().any(|task| task.name == **name))?;
    Some(format!("-inspect-task {unknown}: there is no such task in the configuration"))
}

/// Runs the tasks once, or inspects them: no API, no registration, and nothing is left but what the tasks made.
async fn sequence(mut settings: config::Settings, objects: Objects, mode: Mode) -> Exit {
    if let Some(consul) = &settings.consul {
        let answers = match consul::Client::new(consul).await {
            Ok(client) => consul::watcher::wait_for_leader(&client).await,
            Err(error) => Err(error),
        };
        if let Err(error) = answers {
            tracing::error!("error setting up controller: {error}");
            return Exit::Config;
        }
    }
    let asked;
    (settings, asked) = match providers::fetched(settings, &env::texts()).await {
        Ok(fetched) => fetched,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return Exit::Error;
        }
    };
    let own = std::env::temp_dir().join(format!("quorate-{}", std::process::id()));
    settings.data_dir.clone_from(&own);
    settings.http_addr = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
    let runtime = match settings::of_runtime(settings, objects, None, asked) {
        Ok(runtime) => runtime::Settings { mode, ..runtime },
        Err(error) => return no_ring(error),
    };
    let agent = match Agent::start(runtime, seeds()).await {
        Ok(agent) => agent,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return Exit::Config;
        }
    };
    let signals =
        tokio::spawn(signals::wait(agent.shutdown.clone(), agent.reload.clone(), None, ServiceManager::default()));
    let ended = agent.done.await;
    signals.abort();
    if let Err(error) = std::fs::remove_dir_all(&own) {
        tracing::debug!(%error, "the directory of this run stays: {}", own.display());
    }
    told(ended)
}

/// How the agent ended, in the log and as an exit code.
fn told(ended: Result<Result<(), String>, tokio::task::JoinError>) -> Exit {
    match ended {
        Ok(Ok(())) => {
            tracing::info!("graceful shutdown");
            Exit::Ok
        }
        Ok(Err(why)) => {
            tracing::error!("stopped: {why}");
            Exit::Error
        }
        Err(error) => {
            tracing::error!(%error, "the agent ended without a word");
            Exit::Error
        }
    }
}
