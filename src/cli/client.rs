//! Talks to an agent's API, over TLS where its address says so.

use std::io::ErrorKind;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::TlsConfig;

use super::address::Address;
use super::paint::clean_lines;
use super::tls::{self, Trouble};
use crate::http::reply::Failure;

/// How long an answer may take: the agent itself gives commands up to 65 s.
const PATIENCE: Duration = Duration::from_secs(75);

/// The largest answer is a Terraform state of 16 MiB; a server that sends more is not ours.
const ANSWER_MAX: u64 = 17 << 20;

/// How long it may take to find out whether the other side speaks TLS.
const PROBE: Duration = Duration::from_secs(5);

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
    /// Neither `http` nor `https`.
    #[error("{0}: an address of an agent begins with http:// or https://, such as http://localhost:8558")]
    Scheme(String),
    /// The files or settings for TLS cannot be used. Nothing was sent.
    #[error("{0}")]
    Setting(String),
    /// The two sides do not speak the same, or do not trust each other. Nothing was done.
    #[error("cannot talk to {0}: {1}")]
    Tls(String, Trouble),
    /// The agent said no.
    #[error("request returned {} status code with error: {message}", .status.as_u16())]
    Refusal {
        /// HTTP status.
        status: StatusCode,
        /// What it said.
        message: String,
        /// By which the agent's log names this request.
        request_id: Option<String>,
    },
    /// Something else answers there.
    #[error("{0} does not answer as an agent does: {1}")]
    Strange(String, String),
}

impl ClientError {
    /// In the words in which CTS tells that a task was not created or deleted.
    pub(super) fn with_reason(&self) -> String {
        let Self::Refusal { status, message, request_id } = self else { return self.to_string() };
        let id = request_id.as_ref().map_or_else(String::new, |id| format!(" (Request ID: {})", clean_lines(id)));
        format!("{status}: {message}, see logs for more details{id}")
    }
}

/// A client of one agent.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    agent: Agent,
}

impl Client {
    /// For the address of the flags, else of the environment, else the default.
    pub(super) fn new(address: &Address) -> Result<Self, ClientError> {
        Self::with(address, Some(PATIENCE))
    }

    /// The same for requests that run Terraform: their answer takes as long as that takes.
    pub(super) fn patient(address: &Address) -> Result<Self, ClientError> {
        Self::with(address, None)
    }

    fn with(address: &Address, patience: Option<Duration>) -> Result<Self, ClientError> {
        let base = base(&address.url()?)?;
        let tls = if base.starts_with("https://") { tls::config(&address.trust()?)? } else { TlsConfig::default() };
        Ok(Self { base, agent: agent(tls, patience) })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.agent.get(self.url(path)).call())
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.agent.post(self.url(path)).send_empty())
    }

    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.agent.post(self.url(path)).content_type("application/json");
        self.answer(request.send(body.to_string()))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.agent.delete(self.url(path)).call())
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.agent.patch(self.url(path)).content_type("application/json");
        self.answer(request.send(body.to_string()))
    }

    /// An answer that is not ours to read: a Terraform state.
    pub(super) fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.read(self.agent.get(self.url(path)).call())
    }

    pub(super) fn put_bytes(&self, path: &str, body: &[u8]) -> Result<Value, ClientError> {
        let request = self.agent.put(self.url(path)).content_type("application/json");
        self.answer(request.send(body))
    }

    /// Reads a typed answer.
    pub(super) fn typed<T: serde::de::DeserializeOwned>(&self, value: &Value) -> Result<T, ClientError> {
        T::deserialize(value).map_err(|error| ClientError::Strange(self.base.clone(), error.to_string()))
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn answer(&self, outcome: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.read(outcome)?)
            .map_err(|error| ClientError::Strange(self.base.clone(), error.to_string()))
    }

    fn read(&self, outcome: Result<Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>, ClientError> {
        let mut response = outcome.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        let (message, request_id) = match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => (failure.error.message, failure.request_id),
            Err(_) => (super::table::cut(String::from_utf8_lossy(&body).trim(), 300), None),
        };
        Err(ClientError::Refusal { status, message: clean_lines(message.trim()), request_id })
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let secure = self.base.starts_with("https://");
        let trouble = match tls::trouble(error) {
            // What is no HTTP may be TLS: then that is the reason, and it can be known.
            None if !secure && tls::may_be_one_sided(error) && self.speaks_tls() => Some(Trouble::OnlyThey),
            trouble => trouble,
        };
        if let Some(trouble) = trouble {
            return ClientError::Tls(self.base.clone(), trouble);
        }
        match error {
            ureq::Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => ClientError::Refused(self.base.clone()),
            ureq::Error::ConnectionFailed => ClientError::Refused(self.base.clone()),
            ureq::Error::HostNotFound => {
                ClientError::Unreachable(self.base.clone(), "there is no such host".to_owned())
            }
            ureq::Error::Io(io) => ClientError::Unreachable(self.base.clone(), io.to_string()),
            error => ClientError::Unreachable(self.base.clone(), error.to_string()),
        }
    }

    /// Whether a server of TLS is at this address, be it one we trust or not.
    fn speaks_tls(&self) -> bool {
        let Some(rest) = self.base.strip_prefix("http://") else { return false };
        let asked = agent(tls::anybody(), Some(PROBE)).get(format!("https://{rest}/v1/health")).call();
        asked.map_or_else(|error| tls::trouble(&error).is_some_and(|it| it != Trouble::OnlyWe), |_| true)
    }
}

/// With its scheme and without a slash at the end.
fn base(address: &str) -> Result<String, ClientError> {
    let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let base = base.trim_end_matches('/').to_owned();
    let known = base.starts_with("http://") || base.starts_with("https://");
    if known { Ok(base) } else { Err(ClientError::Scheme(base)) }
}

fn agent(tls: TlsConfig, patience: Option<Duration>) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_global(patience)
        // Agents are near; a proxy of the environment is for the world outside.
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("quorate/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .build()
        .new_agent()
}

impl From<ClientError> for super::output::Failure {
    fn from(error: ClientError) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_lack_its_scheme() {
        assert_eq!(base("10.0.0.1:8558").unwrap(), "http://10.0.0.1:8558");
        assert_eq!(base("http://a:1/").unwrap(), "http://a:1");
        assert_eq!(base("https://a:1").unwrap(), "https://a:1");
        assert!(base("ftp://a:1").is_err());
    }

    #[test]
    fn a_refusal_has_its_reason_and_the_request() {
        let status = StatusCode::BAD_REQUEST;
        let refusal = ClientError::Refusal { status, message: "no".to_owned(), request_id: Some("r-1".to_owned()) };
        assert_eq!(refusal.with_reason(), "400 Bad Request: no, see logs for more details (Request ID: r-1)");
        assert_eq!(refusal.to_string(), "request returned 400 status code with error: no");
    }
}
