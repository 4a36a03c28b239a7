//! `quorate version`.

use super::output::{Failure, say};

/// Two lines, as CTS prints: ours, then what it works with.
pub(super) fn run() -> Result<(), Failure> {
    say(concat!("quorate v", env!("CARGO_PKG_VERSION"), "\nCompatible with Terraform >= 0.13.0\n"))
}
