//! Why Consul gave no answer, in the words of its Go client, which users and their alerts know.

use std::path::PathBuf;

/// Why Consul gave no answer. No text of this holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsulError {
    /// The settings cannot work.
    #[error("consul: {0}")]
    Settings(String),
    /// A file of the TLS settings.
    #[error("consul: cannot read {}: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// It cannot be reached. Retrying is sensible.
    #[error("cannot reach Consul at {address}: {why}")]
    Unreachable {
        /// As configured.
        address: String,
        /// The causes, joined.
        why: String,
    },
    /// It refused or failed.
    #[error("Unexpected response code: {status} ({body})")]
    Response {
        /// The HTTP status.
        status: u16,
        /// Its words.
        body: String,
    },
    /// The answer is not what it should be.
    #[error("Consul's answer for {path} is not understood: {why}")]
    Answer {
        /// What was asked.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// An answer of a server that knows no leader: it may be old, and is not used.
    #[error("Consul has no leader at the moment")]
    Leaderless,
    /// The token may not register the service.
    #[error("missing required Consul ACL: the token needs service:write for {service:?}: {why}")]
    Permission {
        /// Which.
        service: String,
        /// Consul's words.
        why: String,
    },
    /// The question itself cannot work.
    #[error("invalid query: {0}")]
    Query(String),
}

impl ConsulError {
    /// The same question gets the same refusal until somebody changes something.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Response { status: 400, .. } | Self::Query(_) | Self::Settings(_))
    }
}
