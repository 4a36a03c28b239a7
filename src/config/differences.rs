//! What an operator who comes from CTS would not expect of their own configuration: each difference with its place, why
//! it is one, and what to write to have it as it was. Said by `quorate config check` only; a start stays quiet.
//!
//! Only what the configuration at hand meets is told. The whole list is `docs/cts-differences.md`.

use super::diagnostic::Diagnostic;
use super::raw::RawRoot;
use super::read::Spanned;
use super::resolve::World;
use super::settings::{HTTP_ADDR, Settings};
use super::span::Span;
use crate::task::spec::{Condition, ModuleInput, Services, Work};

/// All of them, in the order of the file where they have a place.
pub(super) fn of(raw: &RawRoot, settings: &Settings, world: &World<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    api(raw, settings, &mut found);
    files(raw, settings, world, &mut found);
    buffer(raw, &mut found);
    state(raw, settings, &mut found);
    consul(raw, settings, &mut found);
    tasks(raw, settings, &mut found);
    found
}

/// A difference: why, and what to do about it.
fn different(place: Option<&Span>, message: impl Into<String>, help: impl Into<String>) -> Diagnostic {
    let note = Diagnostic::note(message).help(help);
    match place {
        Some(span) => note.at(span, ""),
        None => note,
    }
}

/// Whether a task runs Terraform: others come from nowhere near CTS.
fn modules(settings: &Settings) -> bool {
    settings.tasks.iter().any(|task| matches!(task.work, Work::Terraform(_)))
}

fn api(raw: &RawRoot, settings: &Settings, found: &mut Vec<Diagnostic>) {
    let Some(addr) = settings.http_addr.tcp() else { return };
    if raw.http_addr.is_none() && addr.ip() == HTTP_ADDR.ip() {
        let message = format!(
            "the API listens on {addr} only: CTS listens on all interfaces, and whoever reaches it controls every task"
        );
        let help = format!(
            "http_addr = \"0.0.0.0:{}\" with insecure = true is as in CTS; better with `tls` and verify_incoming, or `access`",
            addr.port()
        );
        found.push(different(raw.port.as_ref().map(|port| &port.key), message, help));
    }
}

fn files(raw: &RawRoot, settings: &Settings, world: &World<'_>, found: &mut Vec<Diagnostic>) {
    if raw.data_dir.is_none() {
        let message = format!(
            "tasks, events and promises are kept in {}: CTS forgets events and what was changed at run time",
            settings.data_dir.display()
        );
        found.push(different(None, message, "give it a disk that survives a restart (data_dir)"));
    }
    if settings.terraform.path.is_none() && modules(settings) && world.cwd.join("terraform").is_file() {
        let message = "the Terraform of the PATH is taken: CTS takes the one in the directory where it is started";
        let help = format!("path = \"{}\" in driver \"terraform\" is as in CTS", world.cwd.display());
        found.push(different(raw.driver.as_ref().map(|driver| &driver.key), message, help));
    }
}

fn buffer(raw: &RawRoot, found: &mut Vec<Diagnostic>) {
    let Some(Spanned { value: buffer, .. }) = &raw.buffer_period else { return };
    if let (Some(min), None) = (&buffer.min, &buffer.max) {
        let message = "`max` is four times `min`, as CTS documents it: CTS itself keeps 20 s";
        found.push(different(Some(&min.key), message, "write max = \"20s\" to have that"));
    }
}

fn state(raw: &RawRoot, settings: &Settings, found: &mut Vec<Diagnostic>) {
    if settings.terraform.backend.is_some() || !modules(settings) {
        return;
    }
    let driver = raw.driver.as_ref().map(|driver| &driver.key);
    // In a cluster the start itself says where state is.
    if settings.cluster.is_none() && settings.consul.is_none() {
        let message = "no backend is named and no Consul is configured, so Terraform's state is in files of the task's \
                       directory: CTS keeps it in the Consul at localhost:8500";
        found.push(different(driver, message, "consul {} at the top level is as in CTS"));
    }
}

fn consul(raw: &RawRoot, settings: &Settings, found: &mut Vec<Diagnostic>) {
    let place = raw.consul.as_ref().map(|consul| &consul.key);
    if settings.consul.is_none() && !modules(settings) {
        return;
    }
    if settings.consul.is_none() {
        let message = "nothing asks Consul, so it is not used and the agent is not registered there: CTS needs a Consul to \
                       start";
        found.push(different(None, message, "consul {} at the top level is as in CTS"));
        return;
    }
    let message = "Consul may be away at the start and for any time later, the agent waits and tries again: CTS ends, or \
                   stops watching after some ten minutes";
    found.push(different(place, message, "watch /readyz or `quorate status` instead of the process"));
}

fn tasks(raw: &RawRoot, settings: &Settings, found: &mut Vec<Diagnostic>) {
    let places: Vec<&Span> = raw.task.iter().flat_map(|tasks| &tasks.value.0).map(|block| &block.key).collect();
    for (i, task) in settings.tasks.iter().enumerate() {
        let place = places.get(i).copied();
        let name = &task.name;
        let mut tell = |message: String, help: &str| found.push(different(place, message, help));
        let mut services: Vec<&Services> = task
            .inputs
            .iter()
            .filter_map(|input| if let ModuleInput::Services(services) = input { Some(services) } else { None })
            .collect();
        let triggers = match &task.condition {
            Condition::Services { services, .. } => Some(services),
            _ => None,
        };
        services.extend(triggers);
        if triggers.is_some_and(|services| matches!(services, Services::Regexp { .. })) {
            let message = format!(
                "task {name} runs on every change of the health of a service that matches its regexp, at once: CTS looks \
                 ten seconds later, and only when the list of services moved"
            );
            tell(message, "expect more runs; min_instances and max_change_percent hold back what looks wrong");
        }
        let keys = matches!(task.condition, Condition::ConsulKv { .. })
            || task.inputs.iter().any(|input| matches!(input, ModuleInput::ConsulKv(_)));
        if keys && matches!(task.work, Work::Terraform(_)) {
            let message = format!(
                "values of keys reach the module of task {name} as they are: in CTS quotes, line ends and ${{ in a value \
                 break the file of variables or are evaluated"
            );
            tell(message, "take out what you escaped in Consul for CTS");
        }
        if !task.enabled && task.buffer.is_some() {
            tell(
                format!(
                    "task {name} gets its buffer period when it is enabled later: in CTS it has none until a restart"
                ),
                "nothing to do",
            );
        }
    }
}
