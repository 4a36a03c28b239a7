//! Any bytes as a configuration and as a task of the API: for the targets in `fuzz/` and for `tests/fuzz_brief.rs`.
//!
//! Nothing may panic, and what is accepted can be shown and read again. Each says whether anything was accepted.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::task_object::{ObjectContext, from_object, to_object};
use super::{Overrides, load_text};
use crate::terraform::settings;

/// No file lies below it, so that no input reads one.
const NOWHERE: &str = "/nonexistent/quorate";

/// A configuration. The first byte says whether the rest is JSON or HCL.
pub fn configuration(bytes: &[u8]) -> bool {
    let Some((&first, rest)) = bytes.split_first() else { return false };
    let Ok(text) = std::str::from_utf8(rest) else { return false };
    let name = if first == b'j' { "fuzz.json" } else { "fuzz.hcl" };
    let loaded = load_text(name, text, &Overrides::default(), &BTreeMap::new(), "host", Path::new(NOWHERE));
    match loaded {
        Ok(_) => true,
        Err(report) => {
            assert!(!report.diagnostics.is_empty(), "a refusal says why");
            drop(report.to_string());
            false
        }
    }
}

/// The body of a request that makes a task.
pub fn task_object(bytes: &[u8]) -> bool {
    let context = ObjectContext {
        buffer: None,
        working_dir: NOWHERE.into(),
        cwd: NOWHERE.into(),
        in_cluster: true,
        terraform: settings::Settings::default(),
    };
    let Ok(object) = serde_json::from_slice::<Value>(bytes) else { return false };
    let Ok(spec) = from_object(&object, &context) else { return false };
    let shown = to_object(&spec, &context);
    if let Err(why) = from_object(&shown, &context) {
        panic!("what is accepted is shown in a form that is refused: {why}: {shown}");
    }
    true
}
