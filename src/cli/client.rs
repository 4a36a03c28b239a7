//! Talks to an agent's API.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args;
use serde_json::Value;
use ureq::Agent;
use ureq::http::Response;

use super::env;
use crate::http::reply::Failure;

/// Where an agent is when nobody says.
const DEFAULT: &str = "http://localhost:8558";

/// How long an answer may take: the agent itself gives commands up to 65 s.
const PATIENCE: Duration = Duration::from_secs(75);

/// The largest answer is a Terraform state of 16 MiB; a server that sends more is not ours.
const ANSWER_MAX: u64 = 17 << 20;

/// Flags of commands that ask an agent.
#[derive(Debug, Clone, Args)]
pub(super) struct Address {
    /// Where the API of an agent is [default: http://localhost:8558] [env: QUORATE_HTTP_ADDR, CTS_ADDRESS]
    #[arg(long, value_name = "URL")]
    http_addr: Option<String>,
}

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
    /// Needs TLS, which is not there yet, or something stranger.
    #[error("{0}: this version speaks http only, to an address such as http://localhost:8558")]
    Scheme(String),
    /// The agent said no.
    #[error("request returned {status} status code with error: {message}")]
    Refusal {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// Something else answers there.
    #[error("{0} does not answer as an agent does: {1}")]
    Strange(String, String),
}

/// A client of one agent.
#[derive(Debug)]
pub(super) struct Client {
    base: String,
    agent: Agent,
}

impl Client {
    /// For the address of the flag, else of the environment, else the default.
    pub(super) fn new(address: &Address) -> Result<Self, ClientError> {
        let given = address.http_addr.clone();
        let given = given.or_else(|| env::read("QUORATE_HTTP_ADDR")).or_else(|| env::read("CTS_ADDRESS"));
        Self::at(&given.unwrap_or_else(|| DEFAULT.to_owned()))
    }

    fn at(address: &str) -> Result<Self, ClientError> {
        let base = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        let base = base.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            return Err(ClientError::Scheme(base));
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            // Agents are near; a proxy of the environment is for the world outside.
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("quorate/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { base, agent: config.new_agent() })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.agent.get(self.url(path)).call())
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.agent.post(self.url(path)).send_empty())
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
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_MAX).read_to_vec();
        let body = body.map_err(|error| self.unreachable(&error))?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let message = match serde_json::from_slice::<Failure>(&body) {
            Ok(failure) => failure.error.message,
            Err(_) => super::table::cut(String::from_utf8_lossy(&body).trim(), 300),
        };
        Err(ClientError::Refusal { status, message: super::paint::clean(&message) })
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
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
        assert_eq!(Client::at("10.0.0.1:8558").unwrap().base, "http://10.0.0.1:8558");
        assert_eq!(Client::at("http://a:1/").unwrap().base, "http://a:1");
        assert!(Client::at("https://a:1").is_err());
    }
}
