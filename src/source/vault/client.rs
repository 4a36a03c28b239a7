//! Vault's HTTP API, as far as reading secrets needs it.

use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use super::Settings;
use crate::source::http::{self, Http, HttpError, Place, causes, socket_of};
use crate::tls::Trouble;

/// Largest answer that is read.
const ANSWER_MAX: usize = 1024 * 1024;
/// Tries of one request while Vault is away, and the wait between them. Sealed and standby nodes come back within seconds.
const TRIES: u32 = 3;
const WAIT: Duration = Duration::from_millis(300);

/// Why Vault gave no secret. No text of this holds a token.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The settings cannot work.
    #[error("vault: {0}")]
    Settings(String),
    /// A file of the TLS settings.
    #[error("vault: cannot read {}: {why}", .path.display())]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// Why not.
        why: String,
    },
    /// It cannot be reached. Retrying is sensible.
    #[error("cannot reach Vault at {address}: {why}")]
    Unreachable {
        /// As configured.
        address: String,
        /// The causes, joined.
        why: String,
    },
    /// It refused.
    #[error("Vault answered {status} for {path:?}: {why}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What was asked.
        path: String,
        /// Its words.
        why: String,
    },
    /// There is no such secret.
    #[error("there is no secret at {0:?}")]
    Absent(String),
    /// The answer is not what it should be.
    #[error("Vault's answer for {path:?} is not understood: {why}")]
    Answer {
        /// What was asked.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// A client with its token.
pub struct Client {
    http: Http,
    base: Url,
    address: String,
    namespace: String,
    token: String,
}

impl std::fmt::Debug for Client {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Reads the certificates, and unwraps the token if it is a wrapping token.
    pub async fn connect(settings: &Settings) -> Result<Self, VaultError> {
        let mut place = place(settings)?;
        let http = http::client(&settings.tls, &settings.transport, &mut place, 8200).await;
        let http = http.map_err(|error| refused(error, settings))?;
        let mut client = Self {
            http,
            base: place.base,
            address: settings.address.clone(),
            namespace: settings.namespace.clone(),
            token: settings.token.clone(),
        };
        if settings.unwrap_token {
            client.token = client.unwrapped().await?;
        }
        Ok(client)
    }

    /// Whether [`Self::connect`] would take these settings and their files. Nobody is asked.
    pub fn check(settings: &Settings) -> Result<(), VaultError> {
        let mut place = place(settings)?;
        http::check(&settings.tls, &mut place).map_err(|error| refused(error, settings))
    }

    async fn unwrapped(&self) -> Result<String, VaultError> {
        let path = "sys/wrapping/unwrap";
        let answer = self.ask(Method::PUT, path, None).await?;
        let found = answer["auth"]["client_token"].as_str().or_else(|| answer["data"]["token"].as_str());
        let missing = VaultError::Answer { path: path.to_owned(), why: "there is no token in it" };
        found.filter(|token| !token.is_empty()).map(ToOwned::to_owned).ok_or(missing)
    }

    /// The whole answer about a secret; its values are in `data`, or with KV version 2 in `data.data`. `path` may end in
    /// `?version=3`. A path of a KV version 2 mount may leave out `data/`, as in CTS.
    pub async fn read(&self, path: &str) -> Result<Value, VaultError> {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let path = self.versioned(path.trim_matches('/')).await?;
        let answer = self.ask(Method::GET, &path, query).await?;
        // KV version 2 answers so for a deleted version.
        if answer["data"].is_object() && answer["data"].get("data").is_some_and(Value::is_null) {
            return Err(VaultError::Absent(path));
        }
        let shaped = answer["data"].is_object();
        if shaped { Ok(answer) } else { Err(VaultError::Answer { path, why: "there is no `data` in it" }) }
    }

    /// The path with `data/` after the mount, when the mount is KV version 2. A token that may not ask about mounts uses
    /// the path as it is.
    async fn versioned(&self, path: &str) -> Result<String, VaultError> {
        let about = match self.ask(Method::GET, &format!("sys/internal/ui/mounts/{path}"), None).await {
            Ok(about) => about,
            Err(VaultError::Refused { .. } | VaultError::Absent(_)) => return Ok(path.to_owned()),
            Err(error) => return Err(error),
        };
        let mount = about["data"]["path"].as_str().unwrap_or_default();
        let rest = path.strip_prefix(mount).unwrap_or_default();
        let is_second = about["data"]["options"]["version"].as_str() == Some("2");
        let is_plain =
            is_second && !mount.is_empty() && !rest.is_empty() && rest != "data" && !rest.starts_with("data/");
        Ok(if is_plain { format!("{mount}data/{rest}") } else { path.to_owned() })
    }

    async fn ask(&self, method: Method, path: &str, query: Option<&str>) -> Result<Value, VaultError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path.split('/'));
        }
        url.set_query(query);
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(method.clone(), url.clone(), path).await {
                Err(VaultError::Unreachable { .. } | VaultError::Refused { status: 500.., .. }) if tried < TRIES => {
                    tokio::time::sleep(WAIT).await;
                }
                result => return result,
            }
        }
    }

    async fn once(&self, method: Method, url: Url, path: &str) -> Result<Value, VaultError> {
        let unreachable = |error: &reqwest::Error, reason: Option<Trouble>| VaultError::Unreachable {
            address: self.address.clone(),
            why: reason.map_or_else(|| causes(error), |trouble| trouble.to_string()),
        };
        let mut request = self.http.client.request(method.clone(), url).header("X-Vault-Request", "true");
        if !self.token.is_empty() {
            request = request.header("X-Vault-Token", &self.token);
        }
        if !self.namespace.is_empty() {
            request = request.header("X-Vault-Namespace", &self.namespace);
        }
        if method == Method::PUT {
            request = request.json(&json!({}));
        }
        let mut response = match request.send().await {
            Ok(response) => response,
            Err(error) => return Err(unreachable(&error, self.http.reason(&error, true).await)),
        };
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error, None))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(VaultError::Answer { path: path.to_owned(), why: "it is longer than 1 MiB" });
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        if status == StatusCode::NOT_FOUND {
            return Err(VaultError::Absent(path.to_owned()));
        }
        if !status.is_success() {
            let errors = answer.as_ref().and_then(|answer| answer["errors"].as_array());
            let errors = errors.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join("; ");
            let why = if errors.is_empty() { "it does not say why".to_owned() } else { errors };
            return Err(VaultError::Refused { status: status.as_u16(), path: path.to_owned(), why });
        }
        answer.ok_or(VaultError::Answer { path: path.to_owned(), why: "it is no JSON" })
    }
}

/// Where the configured address points: an URL, or a Unix socket, on which plain HTTP is spoken.
fn place(settings: &Settings) -> Result<Place, VaultError> {
    let text = settings.address.trim_end_matches('/');
    let wrong = |why: String| VaultError::Settings(format!("address {text:?}: {why}"));
    let socket = socket_of(&settings.address);
    if socket.is_some_and(|path| path.as_os_str().is_empty()) {
        return Err(wrong("the path of the socket is missing, as in unix:///run/vault.sock".to_owned()));
    }
    let base = Url::parse(if socket.is_some() { "http://localhost" } else { text });
    let base = base.map_err(|why| wrong(why.to_string()))?;
    match base.scheme() {
        "http" | "https" => Ok(Place { base, socket: socket.map(ToOwned::to_owned) }),
        other => Err(wrong(format!("the scheme {other:?} is unknown; use http, https or unix"))),
    }
}

fn refused(error: HttpError, settings: &Settings) -> VaultError {
    match error {
        HttpError::Settings(why) => VaultError::Settings(why),
        HttpError::File(file) => VaultError::File { path: file.path, why: file.why },
        HttpError::Unreachable(why) => VaultError::Unreachable { address: settings.address.clone(), why },
    }
}

#[cfg(test)]
mod tests;
