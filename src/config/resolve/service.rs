//! The deprecated way to name services: `services` of a task, with options from `service` blocks.

use super::query::{map, text};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::raw::consul::RawService;
use crate::config::raw::task::RawTask;
use crate::config::read::Spanned;
use crate::config::span::Span;
use crate::task::consul_data::ServiceQuery;
use crate::task::spec::{Condition, ModuleInput, NamedService, Services};

/// Checks the `service` blocks: each needs a name, and an id of its own.
pub(super) fn blocks(raw: &RawRoot, problems: &mut Problems) {
    if let Some(service) = &raw.service {
        let warning = Diagnostic::deprecated("`service` blocks are deprecated").at(&service.key, "since CTS 0.5");
        problems.add(warning.help("put filter, datacenter and the like in `condition \"services\"` of the task"));
    }
    let mut seen: Vec<(&str, &Span)> = Vec::new();
    for service in raw.service.iter().flat_map(|services| &services.value.0) {
        let Some(name) = &service.value.name else {
            if !service.value.broken.contains(&"name") {
                let message = "logical name for the Consul service is required";
                problems.add(Diagnostic::error(message).at(&service.key, "a service without `name`"));
            }
            continue;
        };
        let id = service.value.id.as_ref().unwrap_or(name);
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == id.value) {
            let message = format!("unique service IDs are required: {}", id.value);
            problems.add(Diagnostic::error(message).at(&id.span, "again here").at(first, "first here"));
        }
        seen.push((&id.value, &id.span));
    }
}

/// Adds what a task's `services` list asks for: its condition when it has none, an input otherwise.
pub(super) fn list(
    task: &RawTask,
    raw: &RawRoot,
    condition: &mut Condition,
    inputs: &mut Vec<ModuleInput>,
    problems: &mut Problems,
) {
    let Some(list) = task.services.as_ref().filter(|list| !list.value.is_empty()) else { return };
    let warning = Diagnostic::deprecated("`services` of a task is deprecated").at(&list.key, "since CTS 0.5");
    let names: Vec<String> = list.value.iter().map(|name| format!("{:?}", name.value)).collect();
    problems.add(warning.help(format!("write condition \"services\" {{ names = [{}] }}", names.join(", "))));
    let twice = if let Condition::Services { .. } = condition {
        Some("condition")
    } else if inputs.iter().any(|input| matches!(input, ModuleInput::Services(_))) {
        Some("module_input")
    } else {
        None
    };
    if let Some(other) = twice {
        let message = format!("the task's `services` and its {other} \"services\" both name services");
        let diagnostic = Diagnostic::error(message).at(&list.key, "one of the two is too many");
        problems.add(diagnostic.help("remove the deprecated `services` list"));
        return;
    }
    let services = Services::Names(list.value.iter().map(|id| one(&id.value, raw)).collect());
    // Whoever wrote a condition that could not be read is told about that.
    let conditioned = task.condition.is_some() || task.broken.contains(&"condition");
    match condition {
        Condition::None if !conditioned => *condition = Condition::Services { services, use_as_module_input: true },
        _ => inputs.push(ModuleInput::Services(services)),
    }
}

/// The block of that id, else a plain service of that name.
fn one(id: &str, raw: &RawRoot) -> NamedService {
    let mut blocks = raw.service.iter().flat_map(|services| &services.value.0).map(|block: &Spanned<_>| &block.value);
    let own = |block: &&RawService| block.id.as_ref().or(block.name.as_ref()).is_some_and(|own| own.value == id);
    let Some(block) = blocks.find(own) else {
        return NamedService {
            query: ServiceQuery { name: id.to_owned(), ..ServiceQuery::default() },
            meta: std::collections::BTreeMap::new(),
        };
    };
    NamedService {
        query: ServiceQuery {
            name: text(block.name.as_ref()),
            datacenter: text(block.datacenter.as_ref()),
            namespace: text(block.namespace.as_ref()),
            filter: text(block.filter.as_ref()),
        },
        meta: map(block.cts_user_defined_meta.as_ref()),
    }
}
