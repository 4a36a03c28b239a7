//! `driver "terraform"`.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::World;
use crate::cluster::settings::LeadershipMode;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::{RawRoot, RawTerraformDriver};
use crate::config::read::{Labelled, Read, Spanned, nearest};
use crate::config::span::Span;
use crate::config::tree::{Entry, Kind};
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

/// Backends that are not what they seem, in a cluster and without one.
pub(super) fn state_notice(
    raw: &RawRoot,
    settings: &Settings,
    tasks: &[TaskSpec],
    mode: Option<LeadershipMode>,
    problems: &mut Problems,
) {
    let span = backend_span(raw);
    let modules = || tasks.iter().any(|task| matches!(task.work, Work::Terraform(_)));
    let at = |diagnostic: Diagnostic, label: &str| match &span {
        Some(span) => diagnostic.at(span, label),
        None => diagnostic,
    };
    match settings.backend.as_ref() {
        Some(backend) if backend.kind == "http" => {
            let message = "backend \"http\" is served by whoever you name there, not by the agents";
            let help = "a run that lost its lease can still write there, as no epoch is checked; leave the backend out, \
                        then the agents of a cluster keep the state themselves and refuse such writes";
            problems.add(at(Diagnostic::warning(message), "not in CTS").help(help));
        }
        Some(backend) if backend.kind == "local" && mode.is_some() => {
            let shared =
                backend.body.get("workspace_dir").and_then(Json::as_str).is_some_and(|dir| dir.starts_with('/'));
            let help = "leave the backend out, then the cluster keeps the state itself (leadership = \"quorum\"); or name \
                        one that all agents reach (consul, s3, pg, ..); or, if all agents mount one directory, name it: \
                        workspace_dir = \"/mnt/state\"";
            problems.add(if shared {
                let message = "backend \"local\" in a cluster needs a directory that all agents share";
                at(Diagnostic::warning(message), "the next leader looks for the state here").help(help)
            } else {
                let message = "backend \"local\" keeps the state on the agent that ran: the next leader would start without \
                               it and make everything again";
                at(Diagnostic::error(message), "not in a cluster").help(help)
            });
        }
        // Without a backend the cluster keeps the state itself, as long as a majority elects its leader.
        None if mode == Some(LeadershipMode::Quorum) && raw.consul.is_some() && modules() => {
            let message =
                "the agents keep Terraform's state: what CTS or a single agent has left in Consul is not looked at";
            let help = "backend \"consul\" {} in driver \"terraform\" goes on with it; or take it over once with `quorate \
                        state push`";
            let note = Diagnostic::note(message).help(help);
            problems.add(no_backend(raw, note));
        }
        None if mode == Some(LeadershipMode::Alive) && modules() => {
            let message = "Terraform's state stays on the agent that ran: the next leader would start without it";
            let help = "with leadership = \"alive\" the agents keep no state: name a backend that all of them reach \
                        (consul, s3, pg, ..) in `driver \"terraform\"`";
            problems.add(no_backend(raw, Diagnostic::warning(message).help(help)));
        }
        _ => {}
    }
}

/// Points at the driver that names no backend, when there is one.
fn no_backend(raw: &RawRoot, diagnostic: Diagnostic) -> Diagnostic {
    match &raw.driver {
        Some(driver) => diagnostic.at(&driver.key, "no backend here"),
        None => diagnostic,
    }
}

/// The label of the configured backend.
fn backend_span(raw: &RawRoot) -> Option<Span> {
    let drivers = &raw.driver.as_ref()?.value.0;
    let Kind::Object(driver) = &drivers.iter().find(|entry| entry.key == "terraform")?.value.kind else { return None };
    let Kind::Object(backend) = &driver.entries.iter().find(|entry| entry.key == "backend")?.value.kind else {
        return None;
    };
    backend.entries.first().map(|entry| entry.key_span.clone())
}
