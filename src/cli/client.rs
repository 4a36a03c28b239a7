//! Talks to an agent's API: over TLS or a Unix socket where its address says so.

use std::error::Error;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::address::Address;
use super::client_error::ClientError;
use super::paint::{clean, clean_lines};
use super::token_source::Token;
use crate::http::reply::Failure;
use crate::tls::{self, Probe, Trouble, causes};

/// How long an answer may take: the agent itself gives commands up to 65 s.
const PATIENCE: Duration = Duration::from_secs(75);

/// The largest answer is a Terraform state of 16 MiB; a server that sends more is not ours.
const ANSWER_MAX: usize = 17 << 20;

/// A client of one agent.
#[derive(Debug)]
pub(super) struct Client {
    /// As people are told where it asks.
    shown: String,
    base: String,
    http: reqwest::Client,
    runtime: Runtime,
    probe: Option<Probe>,
    /// A certificate is shown.
    is_somebody: bool,
    token: Option<Token>,
    patience: Option<Duration>,
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
        let place = Place::of(&address.url()?)?;
        let setting = |why: &dyn std::fmt::Display| ClientError::Setting(why.to_string());
        // Files that are not needed are not looked for.
        let trust = if place.is_sealed() { address.trust()?.client() } else { tls::Client::default() };
        let config = trust.config().map_err(|error| setting(&format!("{}: {}", error.path.display(), error.why)))?;
        let is_somebody = trust.identity.is_some();
        let probe = place.url().filter(|_| place.is_sealed()).and_then(|url| {
            let host = url.host_str()?.to_owned();
            Some(Probe::new(&host, url.port_or_known_default()?, &host, is_somebody, &config))
        });
        let mut builder = reqwest::Client::builder()
            .connect_timeout(PATIENCE)
            // Agents are near; a proxy of the environment is for the world outside.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("quorate/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(config);
        if let Some(socket) = &place.socket {
            builder = builder.unix_socket(socket.as_path());
        }
        let http = builder.build().map_err(|error| setting(&causes(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| setting(&error))?;
        let token = address.token()?;
        Ok(Self { shown: place.shown, base: place.base, http, runtime, probe, is_somebody, token, patience })
    }

    pub(super) fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.request(Method::GET, path))
    }

    /// An answer that comes bit by bit, for as long as it takes. The inner error is that of `take`, which ends it.
    pub(super) fn stream(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<std::io::Result<()>, ClientError> {
        // Nothing that the agent sends for long is no sign of anything: a run may print nothing for hours.
        let request = self.plain(Method::GET, path);
        let outcome = self.runtime.block_on(async {
            let mut response = request.send().await.map_err(Some)?;
            if !response.status().is_success() {
                return Ok(Err((response.status(), body(&mut response).await?)));
            }
            while let Some(chunk) = response.chunk().await.map_err(Some)? {
                if let Err(error) = take(&chunk) {
                    return Ok(Ok(Err(error)));
                }
            }
            Ok(Ok(Ok(())))
        });
        let answered = outcome.map_err(|error| self.no_answer(error))?;
        answered.map_err(|(status, body)| self.refusal(status, &body))
    }

    pub(super) fn post(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.request(Method::POST, path).header("content-length", 0))
    }

    pub(super) fn post_json(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.answer(self.request(Method::POST, path).json(body))
    }

    pub(super) fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.answer(self.request(Method::DELETE, path))
    }

    pub(super) fn patch(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.answer(self.request(Method::PATCH, path).json(body))
    }

    /// An answer that is not ours to read: a Terraform state.
    pub(super) fn get_bytes(&self, path: &str) -> Result<Vec<u8>, ClientError> {
        self.read(self.request(Method::GET, path))
    }

    /// Of a path that answers 200 or 503, each with a body: which, and that.
    pub(super) fn get_whether(&self, path: &str) -> Result<(bool, Value), ClientError> {
        let request = self.request(Method::GET, path);
        let (status, body) = self.runtime.block_on(whole(request)).map_err(|error| self.no_answer(error))?;
        if !status.is_success() && status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(self.refusal(status, &body));
        }
        match serde_json::from_slice(&body) {
            Ok(value) => Ok((status.is_success(), value)),
            Err(error) => Err(ClientError::Strange(self.shown.clone(), error.to_string())),
        }
    }

    pub(super) fn put_bytes(&self, path: &str, body: &[u8]) -> Result<Value, ClientError> {
        let request = self.request(Method::PUT, path).header("content-type", "application/json");
        self.answer(request.body(body.to_vec()))
    }

    /// Reads a typed answer.
    pub(super) fn typed<T: serde::de::DeserializeOwned>(&self, value: &Value) -> Result<T, ClientError> {
        T::deserialize(value).map_err(|error| ClientError::Strange(self.shown.clone(), error.to_string()))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.plain(method, path);
        match self.patience {
            Some(patience) => request.timeout(patience),
            None => request,
        }
    }

    /// Without a limit of time.
    fn plain(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        let header = self.token.as_ref().and_then(|token| HeaderValue::try_from(token.bearer()).ok());
        if let Some(mut header) = header {
            header.set_sensitive(true);
            request = request.header(AUTHORIZATION, header);
        }
        request
    }

    fn answer(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        serde_json::from_slice(&self.read(request)?)
            .map_err(|error| ClientError::Strange(self.shown.clone(), error.to_string()))
    }

    fn read(&self, request: RequestBuilder) -> Result<Vec<u8>, ClientError> {
        let (status, body) = self.runtime.block_on(whole(request)).map_err(|error| self.no_answer(error))?;
        if status.is_success() { Ok(body) } else { Err(self.refusal(status, &body)) }
    }

    /// `None`: it is too large.
    fn no_answer(&self, error: Option<reqwest::Error>) -> ClientError {
        match error {
            Some(error) => self.unreachable(&error),
            None => ClientError::Strange(self.shown.clone(), format!("its answer is larger than {ANSWER_MAX} bytes")),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let (message, request_id) = match serde_json::from_slice::<Failure>(body) {
            Ok(failure) => (failure.error.message, failure.request_id),
            Err(_) => (super::table::cut(String::from_utf8_lossy(body).trim(), 300), None),
        };
        let (message, hint) = (clean_lines(message.trim()), self.hint(status));
        ClientError::Refusal { status, message, request_id, hint }
    }

    /// What to do about a refusal, for whoever is tired.
    fn hint(&self, status: StatusCode) -> String {
        match (status, &self.token) {
            (StatusCode::UNAUTHORIZED, None) => {
                "\nset QUORATE_TOKEN, or give -token-file FILE; on the agent's host its administrator needs no token: \
                 -http-addr unix://DATA_DIR/admin.sock"
                    .to_owned()
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(token)) => {
                format!("\nthe token is that of {}", clean(&token.from))
            }
            _ => String::new(),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        let shown = self.shown.clone();
        let hung_up = !error.is_connect() && !error.is_timeout();
        let trouble = match (tls::trouble(error, self.is_somebody), &self.probe) {
            (None, Some(probe)) if hung_up => probe.reason(),
            // What is no HTTP may be TLS: then that is the reason, and it can be known.
            (None, None) if hung_up && self.speaks_tls() => Some(Trouble::OnlyThey),
            (trouble, _) => trouble,
        };
        if let Some(trouble) = trouble {
            return ClientError::Tls(shown, trouble);
        }
        match io_kind(error) {
            Some(ErrorKind::ConnectionRefused) => ClientError::Refused(shown),
            _ if error.is_timeout() => ClientError::Unreachable(shown, "no answer in time".to_owned()),
            _ => ClientError::Unreachable(shown, causes(error)),
        }
    }

    /// Whether a server of TLS is at this address, be it one we trust or not.
    fn speaks_tls(&self) -> bool {
        let url = Url::parse(&self.shown).ok().filter(|url| url.scheme() == "http");
        let probe = url.and_then(|url| Probe::for_anybody(url.host_str()?, url.port_or_known_default()?));
        probe.is_some_and(|probe| probe.speaks_tls())
    }
}

/// Status and body. `Err(None)`: the body is larger than any of ours.
async fn whole(request: RequestBuilder) -> Result<(StatusCode, Vec<u8>), Option<reqwest::Error>> {
    let mut response = request.send().await.map_err(Some)?;
    let body = body(&mut response).await?;
    Ok((response.status(), body))
}

async fn body(response: &mut reqwest::Response) -> Result<Vec<u8>, Option<reqwest::Error>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Of the system's refusal within an error.
fn io_kind(error: &reqwest::Error) -> Option<ErrorKind> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        cause = error.source();
    }
    None
}

/// Where an agent is.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// As people wrote it, with its scheme and without a slash at the end.
    shown: String,
    /// What requests begin with.
    base: String,
    socket: Option<PathBuf>,
}

impl Place {
    fn of(address: &str) -> Result<Self, ClientError> {
        let shown = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
        if let Some(path) = shown.strip_prefix("unix://").filter(|path| !path.is_empty()) {
            let socket = Some(PathBuf::from(path));
            return Ok(Self { base: "http://localhost".to_owned(), socket, shown });
        }
        let shown = shown.trim_end_matches('/').to_owned();
        let known = shown.starts_with("http://") || shown.starts_with("https://");
        if known { Ok(Self { base: shown.clone(), socket: None, shown }) } else { Err(ClientError::Scheme(shown)) }
    }

    fn is_sealed(&self) -> bool {
        self.base.starts_with("https://")
    }

    fn url(&self) -> Option<Url> {
        Url::parse(&self.base).ok()
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
        let base = |address: &str| Place::of(address).map(|place| place.base);
        assert_eq!(base("10.0.0.1:8558").unwrap(), "http://10.0.0.1:8558");
        assert_eq!(base("http://a:1/").unwrap(), "http://a:1");
        assert_eq!(base("https://a:1").unwrap(), "https://a:1");
        assert!(base("ftp://a:1").is_err() && base("unix://").is_err());
        let socket = Place::of("unix:///run/q.sock").unwrap();
        assert_eq!((socket.shown.as_str(), socket.socket), ("unix:///run/q.sock", Some("/run/q.sock".into())));
    }

    #[test]
    fn a_refusal_has_its_reason_and_the_request() {
        let status = StatusCode::BAD_REQUEST;
        let (message, request_id) = ("no".to_owned(), Some("r-1".to_owned()));
        let refusal = ClientError::Refusal { status, message, request_id, hint: String::new() };
        assert_eq!(refusal.with_reason(), "400 Bad Request: no, see logs for more details (Request ID: r-1)");
        assert_eq!(refusal.to_string(), "request returned 400 status code with error: no");
    }
}
