//! `condition` and `module_input` of a task.

use std::ops::Range;

use super::query::{self, Place};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::task::{RawMembers, RawSchedule, RawTask};
use crate::config::read::{Labelled, Many, Read, Spanned, known, nearest, object};
use crate::config::span::Span;
use crate::config::tree::Entry;
use crate::task::Cron;
use crate::task::spec::{Condition, ModuleInput};

const CONDITIONS: [&str; 5] = ["services", "catalog-services", "consul-kv", "schedule", "members"];
const INPUTS: [&str; 3] = ["services", "consul-kv", "members"];

/// The condition, with the place of its label.
pub(super) fn condition(task: &RawTask, problems: &mut Problems) -> (Condition, Option<Span>) {
    let entries = entries(task.condition.as_ref());
    let Some((first, more)) = entries.split_first() else {
        // A condition that is there and could not be read is already reported.
        let said = task.condition.is_some() || task.broken.iter().any(|key| matches!(*key, "condition" | "services"));
        if let (None, false, Some(name)) = (&task.services, said, &task.name) {
            let message = format!("task {} has no condition", name.value);
            let warning = Diagnostic::warning(message).at(&name.span, "runs when a leader begins");
            problems.add(warning.help("add, for example: condition \"schedule\" { cron = \"*/5 * * * *\" }"));
        }
        return (Condition::None, None);
    };
    if let Some(second) = more.first() {
        let message = format!("expected only one item in hcl condition but got {}", entries.len());
        let diagnostic = Diagnostic::error(message).at(&second.key_span, "and this").at(&first.key_span, "this one");
        problems.add(diagnostic.help("split the task in two, or make one of them a module_input"));
    }
    let (value, path) = (&first.value, format!("condition.{}", first.key));
    let condition = match first.key.as_str() {
        "schedule" => schedule(first, &path, problems),
        "members" => {
            let raw = RawMembers::read(value, &path, problems).unwrap_or_default();
            Condition::Members { use_as_module_input: raw.use_as_module_input.is_none_or(|it| it.value) }
        }
        "services" => match query::services(first, Place::Condition, problems) {
            Some((services, use_as_module_input)) => Condition::Services { services, use_as_module_input },
            None => Condition::None,
        },
        "catalog-services" => match query::catalog(first, problems) {
            Some((catalog, use_as_module_input)) => Condition::CatalogServices { catalog, use_as_module_input },
            None => Condition::None,
        },
        "consul-kv" => match query::kv(first, Place::Condition, problems) {
            Some((kv, use_as_module_input)) => Condition::ConsulKv { kv, use_as_module_input },
            None => Condition::None,
        },
        other => {
            problems.add(unsupported("condition", other, first, &CONDITIONS));
            Condition::None
        }
    };
    (condition, Some(first.key_span.clone()))
}

/// What is given to the task besides its condition, in the order of the file.
pub(super) fn inputs(task: &RawTask, condition: &Condition, problems: &mut Problems) -> Vec<ModuleInput> {
    if let Some(old) = &task.source_input {
        let message = "`source_input` is the old name of `module_input`";
        let warning = Diagnostic::deprecated(message).at(&old.key, "deprecated since CTS 0.5");
        problems.add(warning.help("write `module_input`"));
    }
    let mut entries = entries(task.module_input.as_ref());
    entries.extend(self::entries(task.source_input.as_ref()));
    let mut inputs = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        let path = format!("module_input.{}", entry.key);
        if let Some(first) = entries.iter().take(i).find(|other| other.key == entry.key) {
            let message = format!("more than one 'module_input' block for the {:?} variable", entry.key);
            problems
                .add(Diagnostic::error(message).at(&entry.key_span, "again here").at(&first.key_span, "first here"));
            continue;
        }
        if condition.kind() == Some(entry.key.as_str()) && INPUTS.contains(&entry.key.as_str()) {
            let message = "condition and module_input variable type must be unique";
            let label = format!("the condition is {:?} too", entry.key);
            let help = "remove this block: the condition gives the same to the module, with use_as_module_input = true";
            problems.add(Diagnostic::error(message).at(&entry.key_span, label).help(help));
        }
        match entry.key.as_str() {
            "members" => {
                if let Some(body) = object(&entry.value, &path, problems) {
                    known(body, &[], &path, problems);
                }
                inputs.push(ModuleInput::Members);
            }
            "services" => inputs.extend(
                query::services(entry, Place::Input, problems).map(|(services, _)| ModuleInput::Services(services)),
            ),
            "consul-kv" => {
                inputs.extend(query::kv(entry, Place::Input, problems).map(|(kv, _)| ModuleInput::ConsulKv(kv)));
            }
            other => problems.add(unsupported("module_input", other, entry, &INPUTS)),
        }
    }
    inputs
}

fn entries(blocks: Option<&Spanned<Many<Labelled>>>) -> Vec<&Entry> {
    blocks.iter().flat_map(|blocks| &blocks.value.0).flat_map(|block| &block.value.0).collect()
}

fn schedule(entry: &Entry, path: &str, problems: &mut Problems) -> Condition {
    let raw = RawSchedule::read(&entry.value, path, problems).unwrap_or_default();
    let Some(cron) = raw.cron else {
        if !raw.broken.contains(&"cron") {
            let diagnostic =
                Diagnostic::error("`cron` is required for a schedule").at(&entry.key_span, "no `cron` here");
            problems.add(diagnostic.help("for example cron = \"*/5 * * * *\" for every five minutes"));
        }
        return Condition::None;
    };
    if let Err(BadCron { why, part }) = check_cron(&cron.value) {
        let (span, label) = match part.and_then(|part| inside(&cron, part)) {
            Some(span) => (span, "this field"),
            None => (cron.span.clone(), "expected 5, 6 or 7 fields"),
        };
        problems
            .add(Diagnostic::error(format!("`cron` {:?} is not a timetable: {why}", cron.value)).at(&span, label).help(
            "min hour dom month dow [year], or sec min hour dom month dow year; \"*/5 * * * *\" is every five minutes",
        ));
    }
    Condition::Schedule { cron: cron.value }
}

/// The place of a part of a text, when it stands in the file as it is: in quotes, without escapes.
fn inside(text: &Spanned<String>, part: Range<usize>) -> Option<Span> {
    let Span { file, range } = &text.span;
    let plain = file.text.get(range.clone())?.strip_prefix('"')?.strip_suffix('"')? == text.value;
    let start = range.start + 1;
    (plain && part.end <= text.value.len()).then(|| Span::new(file, start + part.start..start + part.end))
}

/// Why a text is no timetable, and which bytes of it are to blame.
struct BadCron {
    why: String,
    part: Option<Range<usize>>,
}

/// Reads the timetable as the task room will.
fn check_cron(text: &str) -> Result<(), BadCron> {
    Cron::parse(text).map(drop).map_err(|error| BadCron { why: error.to_string(), part: error.span() })
}

fn unsupported(keyword: &str, found: &str, entry: &Entry, known: &[&str]) -> Diagnostic {
    let help = nearest(found, known)
        .map_or_else(|| format!("known: {}", known.join(", ")), |near| format!("did you mean \"{near}\"?"));
    Diagnostic::error(format!("unsupported {keyword} type: {found}")).at(&entry.key_span, "no such type").help(help)
}
