//! Blocks that are understood and have no effect yet: said once each, never passed over in silence.

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;

/// A warning for each such block of a whole configuration.
pub(super) fn notices(raw: &RawRoot, problems: &mut Problems) {
    if let Some(client) = raw.client_type.as_ref().filter(|client| !client.value.is_empty()) {
        let warning = Diagnostic::warning("`client_type` has no effect");
        problems.add(warning.at(&client.key, "a development switch of CTS"));
    }
    if let Some(license) = &raw.license {
        problems.add(Diagnostic::note("no licence is needed").at(&license.key, "ignored"));
    }
    if let Some(path) = &raw.license_path {
        let mut note = Diagnostic::note("no licence is needed");
        note.is_deprecated = true;
        problems.add(note.at(&path.key, "ignored").help("remove it"));
    }
}
