//! One request to Consul's HTTP API, and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::Value;

use super::Settings;
use super::answer::{Content, parse};
use super::error::ConsulError;
use super::request::Endpoint;
use crate::source::http::{self, Http, HttpError, Place, causes, socket_of};
use crate::tls::Trouble;

/// Largest answer that is read: a prefix of KV may be large, 5,000 instances of 500 services are about 10 MiB.
const ANSWER_MAX: usize = 128 * 1024 * 1024;
/// Most of an error's text that is kept.
const ERROR_MAX: usize = 4 * 1024;
/// Consul answers a blocking query after 30 s plus up to a sixteenth of it; one that takes much longer is lost.
const BLOCKING_MAX: Duration = Duration::from_mins(1);
/// Longest time for an answer that does not wait for a change.
const PLAIN_MAX: Duration = Duration::from_secs(30);

/// What was answered, and how fresh it is.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    /// `X-Consul-Index`; 0: none.
    pub(crate) index: u64,
    /// None: the same as was known.
    pub(crate) content: Option<Content>,
}

/// A client with its token.
#[derive(Clone)]
pub struct Client {
    http: Http,
    base: Url,
    address: String,
    token: String,
    auth: Option<(String, String)>,
    namespace: String,
    partition: String,
    /// Consul has answered once.
    has_answered: Arc<AtomicBool>,
}

impl std::fmt::Debug for Client {
    /// Without token and password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the certificates. Does not connect yet.
    pub async fn new(settings: &Settings) -> Result<Self, ConsulError> {
        let mut place = place(settings)?;
        let tls = settings.tls.clone().unwrap_or_default();
        let http = http::client(&tls, &settings.transport, &mut place, 8500).await;
        let http = http.map_err(|error| refused(error, settings))?;
        Ok(Self {
            http,
            base: place.base,
            address: settings.address.clone(),
            token: settings.token.clone(),
            auth: settings.auth.clone(),
            namespace: settings.namespace.clone(),
            partition: settings.partition.clone(),
            has_answered: Arc::default(),
        })
    }

    /// Whether [`Self::new`] would take these settings and their files. Nobody is asked.
    pub fn check(settings: &Settings) -> Result<(), ConsulError> {
        let mut place = place(settings)?;
        let tls = settings.tls.clone().unwrap_or_default();
        let checked = http::check(&tls, &mut place);
        checked.map_err(|error| refused(error, settings))
    }

    /// Asks; with `index`, waits until something has changed beyond it.
    pub(crate) async fn ask(&self, endpoint: &Endpoint, index: Option<u64>) -> Result<Content, ConsulError> {
        let reply = self.ask_beyond(endpoint, index, None).await?;
        reply.content.ok_or_else(|| ConsulError::Query("it has no answer".to_owned()))
    }

    /// The same, with the index of the answer. One with the index `known` is not read: it says what is known.
    pub(crate) async fn ask_beyond(
        &self,
        endpoint: &Endpoint,
        index: Option<u64>,
        known: Option<u64>,
    ) -> Result<Reply, ConsulError> {
        let mut url = self.url(&endpoint.path());
        let parameters = endpoint.parameters(index, &self.namespace, &self.partition);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let timeout = if index.is_some() { BLOCKING_MAX } else { PLAIN_MAX };
        let request = self.request(Method::GET, url).timeout(timeout);
        let response = self.send(request).await?;
        self.has_answered.store(true, Ordering::Relaxed);
        let status = response.status();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let index = header("X-Consul-Index").and_then(|text| text.parse().ok()).unwrap_or(0);
        let leaderless = header("X-Consul-KnownLeader") == Some("false");
        let is_absent = status == StatusCode::NOT_FOUND && matches!(endpoint, Endpoint::Kv(_));
        let body = self.body(response, endpoint).await?;
        if !(status.is_success() || is_absent && body.is_empty()) {
            return Err(refusal(status, &body));
        }
        if leaderless {
            return Err(ConsulError::Leaderless);
        }
        if known == Some(index) {
            return Ok(Reply { index, content: None });
        }
        let content = parse(endpoint, status.as_u16(), &body)
            .map_err(|why| ConsulError::Answer { path: format!("/{}", endpoint.path().join("/")), why })?;
        Ok(Reply { index, content: Some(content) })
    }

    /// Sends a change to the agent's own API, `path` as segments.
    pub(crate) async fn put(
        &self,
        path: &[&str],
        parameters: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(), ConsulError> {
        let mut url = self.url(path);
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut request = self.request(Method::PUT, url).timeout(PLAIN_MAX);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self.send(request).await?;
        let status = response.status();
        let body = self.body(response, &Endpoint::Leader).await?;
        if status.is_success() { Ok(()) } else { Err(refusal(status, &body)) }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn request(&self, method: Method, url: Url) -> reqwest::RequestBuilder {
        let mut request = self.http.client.request(method, url);
        if !self.token.is_empty() {
            request = request.header("X-Consul-Token", &self.token);
        }
        if let Some((user, password)) = &self.auth {
            request = request.basic_auth(user, Some(password));
        }
        request
    }

    async fn body(&self, mut response: reqwest::Response, endpoint: &Endpoint) -> Result<Vec<u8>, ConsulError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                let path = format!("/{}", endpoint.path().join("/"));
                return Err(ConsulError::Answer { path, why: "it is longer than 128 MiB".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ConsulError> {
        match request.send().await {
            Ok(response) => Ok(response),
            Err(error) => {
                // One that has answered once speaks what we speak.
                let reason = self.http.reason(&error, !self.has_answered.load(Ordering::Relaxed)).await;
                Err(self.unreachable_for(&error, reason))
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> ConsulError {
        self.unreachable_for(error, crate::tls::trouble(error, !self.http.is_nobody()))
    }

    fn unreachable_for(&self, error: &reqwest::Error, reason: Option<Trouble>) -> ConsulError {
        let mut why = reason.map_or_else(|| causes(error), |trouble| trouble.to_string());
        if self.http.is_nobody() && reason == Some(Trouble::Unknown) {
            why.push_str("; no client certificate is configured (`cert` and `key` in the `tls` block)");
        }
        ConsulError::Unreachable { address: self.address.clone(), why }
    }
}

fn refused(error: HttpError, settings: &Settings) -> ConsulError {
    match error {
        HttpError::Settings(why) => ConsulError::Settings(why),
        HttpError::File(file) => ConsulError::File { path: file.path, why: file.why },
        HttpError::Unreachable(why) => ConsulError::Unreachable { address: settings.address.clone(), why },
    }
}

/// Where the configured address points, its scheme by TLS when it names none, as CTS does. TLS goes over a socket too.
fn place(settings: &Settings) -> Result<Place, ConsulError> {
    let address = settings.address.trim_end_matches('/');
    let wrong = |why: String| ConsulError::Settings(format!("address {address:?}: {why}"));
    let scheme = if settings.tls.is_some() { "https" } else { "http" };
    let socket = socket_of(&settings.address);
    if socket.is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(wrong("the path of the socket is missing, as in unix:///run/consul.sock".to_owned()));
    }
    let text = match socket {
        Some(_) => format!("{scheme}://localhost"),
        None if address.contains("://") => address.to_owned(),
        None => format!("{scheme}://{address}"),
    };
    let mut base = Url::parse(&text).map_err(|why| wrong(why.to_string()))?;
    match base.scheme() {
        "http" if settings.tls.is_some() => {
            base.set_scheme("https").map_err(|()| wrong("cannot be used with TLS".to_owned()))?;
        }
        "http" | "https" => {}
        other => return Err(wrong(format!("the scheme {other:?} is unknown; use http, https or unix"))),
    }
    Ok(Place { base, socket: socket.map(ToOwned::to_owned) })
}

fn refusal(status: StatusCode, body: &[u8]) -> ConsulError {
    let text = String::from_utf8_lossy(body.get(..ERROR_MAX).unwrap_or(body));
    ConsulError::Response { status: status.as_u16(), body: text.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Tls;
    use super::*;

    #[test]
    fn the_scheme_follows_the_tls_settings() {
        let at = |address: &str, tls: bool| {
            let tls = tls.then(Tls::default);
            place(&Settings { address: address.to_owned(), tls, ..Settings::default() }).map(|at| at.base.to_string())
        };
        assert_eq!(at("localhost:8500", false).unwrap(), "http://localhost:8500/");
        assert_eq!(at("localhost:8501", true).unwrap(), "https://localhost:8501/");
        assert_eq!(at("http://c:8501/", true).unwrap(), "https://c:8501/");
        assert_eq!(at("https://c:8501/", false).unwrap(), "https://c:8501/");
        assert_eq!(at("unix:///run/consul.sock", false).unwrap(), "http://localhost/");
        assert_eq!(at("unix:///run/consul.sock", true).unwrap(), "https://localhost/");
        let settings = Settings { address: "unix:///run/consul.sock".to_owned(), ..Settings::default() };
        assert_eq!(place(&settings).unwrap().socket, Some("/run/consul.sock".into()));
        assert!(at("unix://", false).unwrap_err().to_string().contains("path of the socket is missing"));
        assert!(at("ftp://c", false).unwrap_err().to_string().contains("ftp"));
    }

    #[test]
    fn errors_have_the_words_of_the_go_client() {
        let error = refusal(StatusCode::INTERNAL_SERVER_ERROR, b"No path to datacenter\n");
        assert_eq!(error.to_string(), "Unexpected response code: 500 (No path to datacenter)");
    }

    #[tokio::test]
    async fn nobody_there_is_said_with_the_address_and_without_the_token() {
        let settings = Settings { address: "127.0.0.1:1".into(), token: "secret".into(), ..Settings::default() };
        let client = Client::new(&settings).await.unwrap();
        let error = client.ask(&Endpoint::Leader, None).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot reach Consul at 127.0.0.1:1: "), "{error}");
        assert!(!format!("{error:?} {client:?}").contains("secret"));
    }
}
