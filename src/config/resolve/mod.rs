//! Raw blocks to settings: defaults filled in, values checked, and checked against each other.
//!
//! Every function here goes on after a mistake with some value, so that all mistakes are found in one go; whoever
//! calls [`settings`] must throw the result away when there was an error.

mod access;
mod address;
mod api_tls;
mod at_rest;
mod audit;
mod buffer;
mod cluster;
mod condition;
mod consul;
mod driver;
mod http_addr;
mod ineffective;
mod limits;
mod notify;
mod policy;
mod provider;
mod query;
mod run_options;
mod runs;
mod seal;
mod secret;
mod service;
mod syslog;
mod task;
mod timing;
mod variables;
mod work;

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use quorate_proto::MemberId;

use super::diagnostic::{Diagnostic, Problems};
use super::raw::RawRoot;
use super::read::{Spanned, nearest};
use super::settings::{EnvNames, LogFormat, LogLevel, LogSettings, Settings};
use super::task_object::ObjectContext;

pub(super) use buffer::api as api_buffer;
pub(super) use task::one as one_task;

/// Runs at a time when nothing is said: the task room's own default.
const MAX_PARALLEL: u16 = 8;

/// What a configuration may depend on besides its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) hostname: &'a str,
    pub(super) cwd: &'a Path,
}

impl World<'_> {
    /// A path of the configuration, absolute and without `.` and `..`, relative to the process directory as in CTS.
    fn path(&self, text: &str) -> PathBuf {
        let mut clean = PathBuf::new();
        for part in self.cwd.join(text).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => drop(clean.pop()),
                Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
            }
        }
        clean
    }
}

/// Resolves everything. `None` only after an error was added.
pub(super) fn settings(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Option<Settings> {
    ineffective::notices(raw, problems);
    service::blocks(raw, problems);
    let http_tls = api_tls::api_tls(raw, world, problems);
    let http_addr = http_addr::http_addr(raw, http_tls.as_ref(), world, problems);
    let data_dir = world.path(raw.data_dir.as_ref().map_or(crate::config::DATA_DIR, |dir| &dir.value));
    let access = access::access(raw, http_tls.as_ref(), &data_dir, problems);
    let insecure = access::exposed(raw, &http_addr, http_tls.as_ref(), access.as_ref(), problems);
    let cluster = cluster::high_availability(raw, world, problems);
    let working_dir = world.path(raw.working_dir.as_ref().map_or("sync-tasks", |dir| &dir.value));
    let mut terraform = driver::terraform(raw, world, problems);
    terraform.providers = provider::providers(raw, problems);
    let context = ObjectContext {
        buffer: buffer::global(raw.buffer_period.as_ref(), problems),
        working_dir: working_dir.clone(),
        cwd: world.cwd.to_owned(),
        in_cluster: cluster.is_some(),
        terraform: terraform.clone(),
    };
    let tasks = task::tasks(raw, &context, world, problems);
    let mode = cluster.as_ref().map(|cluster| cluster.cluster.mode);
    driver::state_notice(raw, &terraform, &tasks, mode, problems);
    let consul = consul::consul(raw.consul.as_ref(), world, problems);
    let vault = consul::vault(raw.vault.as_ref(), world, problems);
    let asks = provider::asks(raw);
    if let (Some(span), None) = (asks.vault, &vault) {
        let message = "detected dynamic configuration using Vault: missing Vault configuration";
        let help = "add vault { address = \"https://vault.example.com:8200\" }, or set VAULT_ADDR";
        problems.add(Diagnostic::error(message).at(&span, "asks Vault").help(help));
    }
    let backend = terraform.backend.as_ref().is_some_and(|backend| backend.kind == "consul");
    let queries = tasks.iter().any(|task| !task.queries().is_empty());
    let asked = raw.consul.is_some() || asks.consul || backend || queries;
    Some(Settings {
        id: id(raw, world, problems)?,
        http_addr,
        http_tls,
        http_limits: limits::limits(raw.limits.as_ref(), problems),
        audit: audit::audit(raw.audit.as_ref(), world, problems),
        notify: notify::notify(raw.notify.as_ref(), world, problems),
        access,
        insecure,
        data_dir,
        working_dir,
        log: log(raw, world, problems),
        cluster,
        tasks,
        terraform,
        consul: asked.then_some(consul),
        vault,
        max_parallel: max_parallel(raw, problems),
        runs: runs::runs(raw.runs.as_ref(), problems),
        objects: context,
        run_env: run_options::run_env(raw.run_env.as_ref(), problems).unwrap_or_default(),
        env_names: EnvNames::default(),
        warnings: Vec::new(),
    })
}

fn max_parallel(raw: &RawRoot, problems: &mut Problems) -> u16 {
    let Some(given) = &raw.max_parallel else { return MAX_PARALLEL };
    if given.value == 0 {
        let diagnostic = Diagnostic::error("`max_parallel` is 1 or more").at(&given.span, "nothing would ever run");
        problems.add(diagnostic.help(format!("leave it out for {MAX_PARALLEL}")));
    }
    given.value
}

fn id(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Option<MemberId> {
    let default = format!("cts-{}", world.hostname);
    let text = raw.id.as_ref().map_or(&default, |id| &id.value);
    match MemberId::new(text.as_str()) {
        Ok(id) => Some(id),
        Err(error) => {
            problems.add(match &raw.id {
                Some(id) => Diagnostic::error(format!("`id` {text:?} is no good: {error}"))
                    .at(&id.span, "expected 1 to 63 of A-Z a-z 0-9 . _ -"),
                None => Diagnostic::error(format!("no `id` can be made of the host name: {error}"))
                    .help("set `id`, for example id = \"cts-01\""),
            });
            None
        }
    }
}

fn log(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> LogSettings {
    let levels = [
        ("TRACE", LogLevel::Trace),
        ("DEBUG", LogLevel::Debug),
        ("INFO", LogLevel::Info),
        ("WARN", LogLevel::Warn),
        ("ERR", LogLevel::Error),
        ("ERROR", LogLevel::Error),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    LogSettings {
        level: choice(raw.log_level.as_ref(), "log_level", &levels, LogLevel::Info, problems),
        format: choice(raw.log_format.as_ref(), "log_format", &formats, LogFormat::Text, problems),
        syslog: syslog::syslog(raw.syslog.as_ref(), world, problems),
    }
}

/// One of some words, without regard to case.
fn choice<T: Copy>(
    raw: Option<&Spanned<String>>,
    name: &str,
    words: &[(&str, T)],
    default: T,
    problems: &mut Problems,
) -> T {
    let Some(raw) = raw else { return default };
    if let Some((_, value)) = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(&raw.value)) {
        return *value;
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let folded: Vec<String> = known.iter().map(|word| word.to_ascii_lowercase()).collect();
    let near = nearest(&raw.value, &folded.iter().map(String::as_str).collect::<Vec<_>>())
        .map(|near| format!("did you mean \"{near}\"?"));
    problems.add(
        Diagnostic::error(format!("`{name}` has no {:?}", raw.value))
            .at(&raw.span, format!("expected one of: {}", known.join(", ")))
            .help(near.unwrap_or_else(|| format!("use one of: {}", known.join(", ")))),
    );
    default
}
