//! Blocks that are understood and have no effect yet: said once each, never passed over in silence.

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::task::TaskSpec;

/// A warning for each such block of a whole configuration.
pub(super) fn notices(raw: &RawRoot, problems: &mut Problems) {
    if let Some(client) = raw.client_type.as_ref().filter(|client| !client.value.is_empty()) {
        let warning = Diagnostic::warning("`client_type` has no effect");
        problems.add(warning.at(&client.key, "a development switch of CTS"));
    }
    let licences =
        raw.license.as_ref().map(|it| &it.key).into_iter().chain(raw.license_path.as_ref().map(|it| &it.key));
    for key in licences {
        problems.add(Diagnostic::note("no licence is needed").at(key, "ignored"));
    }
}

/// Consul keeps Terraform's state where that is configured, and nothing else yet: said where it matters.
pub(super) fn consul(raw: &RawRoot, tasks: &[TaskSpec], problems: &mut Problems) {
    if let Some(consul) = &raw.consul {
        let message = "`consul` has no effect yet but for Terraform's backend";
        let why = "no data is read from Consul and this agent is not registered there";
        problems.add(Diagnostic::warning(message).at(&consul.key, why));
    }
    for task in tasks.iter().filter(|task| !task.queries().is_empty()) {
        let message = format!("task {} asks Consul, which this version does not read yet", task.name);
        problems.add(Diagnostic::warning(message).help("`quorate start` refuses it; run it with CTS until then"));
    }
}
