//! Pages below `docs` that are made from the code: a test holds each against what it would be now.

use std::path::Path;

/// Panics when the page is not current. With `UPDATE_DOCS` in the environment it is written instead.
pub(crate) fn check(page: &str, current: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, current).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(current.lines()).find(|(found, current)| found != current);
    assert!(
        found == current,
        "{page} is not current, first at {differs:?}: write it by UPDATE_DOCS=1 cargo test --features mutations --lib reference"
    );
}
