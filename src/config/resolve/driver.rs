//! `driver "terraform"`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::World;
use crate::cluster::settings::LeadershipMode;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::{RawRoot, RawTerraformDriver};
use crate::config::read::{Labelled, Read, Spanned, nearest};
use crate::config::tree::Entry;
use crate::task::spec::{TaskSpec, Work};
use crate::terraform::{Backend, RequiredProvider, Settings};

/// CTS's list, and Terraform's standard `http`.
const BACKENDS: [&str; 10] = ["azurerm", "consul", "cos", "gcs", "http", "kubernetes", "local", "manta", "pg", "s3"];
/// The oldest Terraform that is driven. CTS has a ceiling as well; we do not.
const OLDEST: (u32, u32, u32) = (0, 13, 0);

/// The driver, without the providers.
pub(super) fn terraform(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Settings {
    let mut settings = Settings::default();
    for entry in raw.driver.iter().flat_map(|driver| &driver.value.0) {
        match entry.key.as_str() {
            "terraform" => {
                if let Some(raw) = RawTerraformDriver::read(&entry.value, "driver.terraform", problems) {
                    settings = translate(&raw, world, problems);
                }
            }
            "terraform-cloud" => problems.add(
                Diagnostic::error("`driver \"terraform-cloud\"` is not supported: it is a service of HashiCorp")
                    .at(&entry.key_span, "CTS Enterprise only")
                    .help("use `driver \"terraform\"`, which runs Terraform or OpenTofu on the agents"),
            ),
            other => {
                let help = nearest(other, &["terraform"]).map_or("the driver is called", |_| "did you mean");
                problems.add(
                    Diagnostic::error(format!("unknown driver {other:?}"))
                        .at(&entry.key_span, "no such driver")
                        .help(format!("{help} \"terraform\"; a task with `command` needs none")),
                );
            }
        }
    }
    settings
}

fn translate(raw: &RawTerraformDriver, world: &World<'_>, problems: &mut Problems) -> Settings {
    if let Some(version) = &raw.version {
        check_version(version, problems);
    }
    if let Some(removed) = &raw.working_dir {
        let message = "`working_dir` of the driver was removed from CTS in 0.5";
        let help = "set `working_dir` at the top level, or in a task";
        problems.add(Diagnostic::error(message).at(&removed.key, "remove this").help(help));
    }
    let set = |raw: &Option<Spanned<bool>>| raw.as_ref().is_some_and(|raw| raw.value);
    Settings {
        path: raw.path.as_ref().map(|path| world.path(&path.value)),
        version: raw.version.as_ref().map(|version| version.value.clone()),
        log: set(&raw.log),
        persist_log: set(&raw.persist_log),
        backend: raw.backend.as_ref().and_then(|backend| self::backend(&backend.value, raw.version.as_ref(), problems)),
        required_providers: required(raw),
        providers: Vec::new(),
    }
}

fn required(raw: &RawTerraformDriver) -> BTreeMap<String, RequiredProvider> {
    let text = |raw: &Option<Spanned<String>>| raw.as_ref().map(|raw| raw.value.clone());
    let one = |raw: &super::super::raw::RawRequiredProvider| RequiredProvider {
        source: text(&raw.source),
        version: text(&raw.version),
    };
    raw.required_providers
        .iter()
        .flat_map(|map| &map.value)
        .map(|(name, raw)| (name.clone(), one(&raw.value)))
        .collect()
}

fn numbers(version: &str) -> Option<(u32, u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok().filter(|_| !part.starts_with('+')));
    let three = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(three)
}

fn check_version(version: &Spanned<String>, problems: &mut Problems) {
    let text = &version.value;
    match numbers(text) {
        None => problems.add(
            Diagnostic::error(format!("`version` {text:?} is not an exact version"))
                .at(&version.span, "expected x.y.z")
                .help("provide the exact Terraform version to install, for example \"1.9.8\""),
        ),
        Some(three) if three < OLDEST => problems.add(
            Diagnostic::error(format!("Terraform {text} is not supported")).at(&version.span, "supported: >= 0.13.0"),
        ),
        Some(_) => {}
    }
}

fn backend(labels: &Labelled, version: Option<&Spanned<String>>, problems: &mut Problems) -> Option<Backend> {
    let (first, more) = labels.0.split_first()?;
    if let Some(second) = more.first() {
        let message = "only one 'backend' can be configured";
        problems.add(Diagnostic::error(message).at(&second.key_span, "and this").at(&first.key_span, "this one"));
    }
    if !BACKENDS.contains(&first.key.as_str()) {
        let help = nearest(&first.key, &BACKENDS)
            .map_or_else(|| format!("supported: {}", BACKENDS.join(", ")), |near| format!("did you mean \"{near}\"?"));
        let message = format!("unsupported Terraform backend by Sync {:?}", first.key);
        problems.add(Diagnostic::error(message).at(&first.key_span, "not supported").help(help));
    }
    let old = version.and_then(|version| numbers(&version.value)).is_some_and(|three| three < (0, 14, 0));
    if first.key == "pg" && old {
        let message = "backend \"pg\" needs Terraform 0.14 or newer";
        problems.add(Diagnostic::error(message).at(&first.key_span, "not with the configured version"));
    }
    Some(Backend { kind: first.key.clone(), body: body(first) })
}

fn body(entry: &Entry) -> Map<String, Json> {
    match entry.value.to_json() {
        Json::Object(map) => map,
        _ => Map::new(),
    }
}

/// In a cluster, state in files of one machine does not follow the leader.
pub(super) fn state_notice(
    raw: &RawRoot,
    settings: &Settings,
    tasks: &[TaskSpec],
    mode: LeadershipMode,
    problems: &mut Problems,
) {
    // Without a backend the cluster keeps the state itself, as long as a majority elects its leader.
    let kept = mode == LeadershipMode::Quorum;
    let local = settings.backend.as_ref().map_or(!kept, |backend| backend.kind == "local");
    let needed = tasks.iter().any(|task| matches!(task.work, Work::Terraform(_)));
    if !(local && needed) {
        return;
    }
    let message = "Terraform's state stays on the agent that ran: the next leader would start without it";
    let warning = Diagnostic::warning(message);
    let warning = match raw.driver.as_ref().and_then(|driver| driver.value.0.first()) {
        Some(driver) => warning.at(&driver.key_span, "state in local files"),
        None => warning,
    };
    problems
        .add(warning.help("leave the backend out, then the cluster keeps the state itself (leadership = \"quorum\"); or name one that all agents reach (consul, s3, pg, ..) in `driver \"terraform\"`"));
}
