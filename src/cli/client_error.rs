//! Why an agent gave no good answer, in words.

use reqwest::StatusCode;

use super::paint::clean_lines;
use super::tls::told;
use crate::tls::Trouble;

/// Why an agent gave no good answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nothing listens there. Nothing was done.
    #[error(
        "no agent answers at {0}: connection refused\nis one running, and is this where its API listens? (-http-addr)"
    )]
    Refused(String),
    /// Nothing is there, or not in time.
    #[error("cannot reach {0}: {1}")]
    Unreachable(String, String),
    /// None of the three that there are.
    #[error(
        "{0}: an address of an agent begins with http://, https:// or unix://, such as http://localhost:8558 or \
         unix:///run/quorate.sock"
    )]
    Scheme(String),
    /// The files or settings for TLS cannot be used. Nothing was sent.
    #[error("{0}")]
    Setting(String),
    /// The two sides do not speak the same, or do not trust each other. Nothing was done.
    #[error("cannot talk to {0}: {why}", why = told(*.1))]
    Tls(String, Trouble),
    /// The agent said no.
    #[error("request returned {} status code with error: {message}{hint}", .status.as_u16())]
    Refusal {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        message: String,
        /// By which the agent's log names this request.
        request_id: Option<String>,
        /// What would help, on a line of its own; empty: nothing that is known here.
        hint: String,
    },
    /// Something else answers there.
    #[error("{0} does not answer as an agent does: {1}")]
    Strange(String, String),
}

impl ClientError {
    /// In the words in which CTS tells that a task was not created or deleted.
    pub(super) fn with_reason(&self) -> String {
        let Self::Refusal { status, message, request_id, hint } = self else { return self.to_string() };
        let id = request_id.as_ref().map_or_else(String::new, |id| format!(" (Request ID: {})", clean_lines(id)));
        format!("{status}: {message}, see logs for more details{id}{hint}")
    }
}
