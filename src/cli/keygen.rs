//! `quorate keygen`: a key for `encrypt`. The one place of the command line that makes randomness.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng as _;
use rand::rngs::SysRng;

use super::output::{Failure, say};

/// Prints a new key.
pub(super) fn run() -> Result<(), Failure> {
    say(&format!("{}\n", key()?))
}

/// 32 bytes of the operating system's randomness in base64.
pub(super) fn key() -> Result<String, Failure> {
    let mut key = [0_u8; 32];
    SysRng
        .try_fill_bytes(&mut key)
        .map_err(|error| Failure::new(format!("cannot get randomness from the system: {error}")))?;
    Ok(STANDARD.encode(key))
}
