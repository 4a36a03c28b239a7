//! PAN-OS by its XML API: a partial commit of what one administrator has changed.
//!
//! Requests are forms sent to `/api/`; answers are small XML documents of which three things matter: the status, the
//! code, and the number of the job that carries the commit out.

use std::collections::BTreeMap;
use std::time::Duration;

use regex::Regex;
use serde_json::{Map, Value};

use crate::tls;

/// Comment of the commit, as CTS writes it: operators filter their logs by it.
const COMMENT: &str = "Consul-Terraform-Sync Commit";
/// Code of "there is nothing to commit" for administrators with a role of their own.
const NOTHING_TO_COMMIT: &str = "13";
/// How often a job is asked about, and for how long at most: a commit on a large device takes minutes.
const POLL: Duration = Duration::from_secs(1);
const POLLS_MAX: u32 = 1800;
const ANSWER_MAX: usize = 1024 * 1024;

/// A device and who commits there.
pub struct Panos {
    url: String,
    username: String,
    password: String,
    api_key: String,
    verify: bool,
    timeout: Duration,
}

impl std::fmt::Debug for Panos {
    /// Without password and key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Panos").field("url", &self.url).field("username", &self.username).finish_non_exhaustive()
    }
}

impl Panos {
    /// From the provider's arguments, each with its environment variable.
    pub(super) fn new(args: &Map<String, Value>, env: &BTreeMap<String, String>) -> Result<Self, String> {
        let text = |name: &str| {
            let own = args.get(name).map(|value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
            let variable = format!("PANOS_{}", name.to_uppercase());
            own.filter(|text| !text.is_empty()).or_else(|| env.get(&variable).cloned()).unwrap_or_default()
        };
        let username = text("username");
        if username.is_empty() {
            return Err(
                "provider \"panos\" has no username: a commit is limited to the changes of one administrator; \
                        set `username`, or PANOS_USERNAME in the agent's environment"
                    .to_owned(),
            );
        }
        let or = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
        let (protocol, port) = (or(text("protocol"), "https"), text("port"));
        let port = if port.is_empty() || port == "0" { String::new() } else { format!(":{port}") };
        Ok(Self {
            url: format!("{protocol}://{}{port}/api/", text("hostname")),
            username,
            password: text("password"),
            api_key: text("api_key"),
            // As the provider itself: devices come with certificates of their own making.
            verify: text("verify_certificate") == "true",
            timeout: Duration::from_secs(text("timeout").parse().ok().filter(|seconds| *seconds > 0).unwrap_or(10)),
        })
    }

    /// Commits and waits until the device says that it is done.
    pub(super) async fn commit(&self, retries: u32, wait: Duration) -> Result<(), String> {
        let tls = tls::Client { verify: self.verify, ..tls::Client::default() };
        let tls = tls.config().map_err(|error| format!("panos commit: {error}"))?;
        let builder = reqwest::Client::builder().timeout(self.timeout).tls_backend_preconfigured(tls);
        let http = builder.build().map_err(|error| format!("panos commit: {error}"))?;
        let mut tried = 0;
        loop {
            match self.once(&http).await {
                Ok(()) => return Ok(()),
                Err(error) if tried == retries => {
                    return Err(format!("panos commit at {} failed {} times: {error}", self.url, retries + 1));
                }
                Err(_) => tokio::time::sleep(wait * 2_u32.saturating_pow(tried)).await,
            }
            tried += 1;
        }
    }

    async fn once(&self, http: &reqwest::Client) -> Result<(), String> {
        let key = if self.api_key.is_empty() {
            let form = [("type", "keygen"), ("user", &self.username), ("password", &self.password)];
            self.ask(http, &form).await?.element("key").ok_or("the device gave no API key")?
        } else {
            self.api_key.clone()
        };
        let admin = escaped(&self.username);
        let command = format!(
            "<commit><description>{COMMENT}</description><partial><admin><member>{admin}</member></admin></partial></commit>"
        );
        let answer = self.ask(http, &[("type", "commit"), ("cmd", &command), ("key", &key)]).await?;
        let Some(job) = answer.element("job") else { return Ok(()) };
        let command = format!("<show><jobs><id>{}</id></jobs></show>", escaped(&job));
        for _ in 0..POLLS_MAX {
            let answer = self.ask(http, &[("type", "op"), ("cmd", &command), ("key", &key)]).await?;
            if answer.element("status").as_deref() == Some("FIN") {
                return match answer.element("result").as_deref() {
                    Some("OK") => Ok(()),
                    result => {
                        let why = answer.element("line").unwrap_or_default();
                        Err(format!("job {job} ended with {}: {why}", result.unwrap_or("no result")))
                    }
                };
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("job {job} is not done after {} seconds", POLL.as_secs() * u64::from(POLLS_MAX)))
    }

    async fn ask(&self, http: &reqwest::Client, form: &[(&str, &str)]) -> Result<Answer, String> {
        let failed = |error: reqwest::Error| {
            tls::explain(&error).unwrap_or_else(|| {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                format!("{}{cause}", error.without_url())
            })
        };
        let mut response = http.post(&self.url).form(form).send().await.map_err(failed)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(format!("an answer is longer than {ANSWER_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Answer(String::from_utf8_lossy(&body).into_owned());
        match (answer.attribute("status").as_deref(), answer.attribute("code").as_deref()) {
            (Some("success"), _) => Ok(answer),
            (_, Some(NOTHING_TO_COMMIT)) => Ok(Answer(String::new())),
            _ => {
                let said = answer.element("line").or_else(|| answer.element("msg")).unwrap_or_default();
                Err(format!("the device answered {status}: {said}"))
            }
        }
    }
}

/// An answer of the API.
struct Answer(String);

impl Answer {
    /// An attribute of `<response ..>`.
    fn attribute(&self, name: &str) -> Option<String> {
        let head = self.0.split_once("<response")?.1.split_once('>')?.0;
        captured(&format!("\\b{name}\\s*=\\s*[\"']([^\"']*)[\"']"), head)
    }

    /// The text of the first element of this name that holds nothing but text.
    fn element(&self, name: &str) -> Option<String> {
        captured(&format!("<{name}>\\s*(?:<!\\[CDATA\\[)?([^<\\]\\s][^<\\]]*)"), &self.0)
            .map(|text| text.trim().to_owned())
    }
}

fn captured(pattern: &str, text: &str) -> Option<String> {
    let found = Regex::new(pattern).ok()?.captures(text)?;
    let text = found.get(1)?.as_str();
    (!text.is_empty()).then(|| text.to_owned())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
