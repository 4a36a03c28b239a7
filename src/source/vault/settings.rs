//! What the operator says about Vault (`reference/cts.md` 2.4), environment variables already taken in.

use std::path::PathBuf;

use crate::source::consul::settings::{Tls, Transport};

/// `vault { .. }`, when it is enabled.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// With scheme, as configured.
    pub address: String,
    /// Empty: none.
    pub namespace: String,
    /// Token; empty: none was found.
    pub token: String,
    /// The file that it comes from, if it is one: somebody may renew it there.
    pub token_file: Option<PathBuf>,
    /// The token is a wrapping token.
    pub unwrap_token: bool,
    /// TLS.
    pub tls: Tls,
    /// Connections.
    pub transport: Transport,
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
