//! Asks agents over HTTP, also those inside a network namespace.

use std::net::SocketAddr;
use std::time::Duration;

use quorate::http::reply::{Cluster, TaskStatuses};
use ureq::http::Response;

use super::net;

/// A way to an agent's API. Cheap to clone, for other threads.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) addr: SocketAddr,
    /// The network namespace to ask from.
    pub(crate) namespace: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// Since when nobody has confirmed it, if it is no leader's.
    pub(crate) stale_since: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

impl Door {
    /// `None`: nobody answered.
    pub(crate) fn get(&self, path: &str) -> Option<Answer> {
        self.ask("GET", path, Duration::from_secs(5))
    }

    /// `None`: nobody answered within `limit`.
    pub(crate) fn ask(&self, method: &str, path: &str, limit: Duration) -> Option<Answer> {
        let url = format!("http://{}{path}", self.addr);
        match &self.namespace {
            None => call(method, &url, limit),
            Some(namespace) => net::inside(namespace, || call(method, &url, limit)),
        }
    }

    /// Sends a request with a JSON body, if one is given. `None`: nobody answered.
    pub(crate) fn send(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Option<Answer> {
        let url = format!("http://{}{path}", self.addr);
        let body = body.map(ToString::to_string);
        let ask = || send(method, &url, body.as_deref());
        match &self.namespace {
            None => ask(),
            Some(namespace) => net::inside(namespace, ask),
        }
    }

    /// `/status/cluster`, if the agent answers.
    pub(crate) fn cluster(&self) -> Option<Cluster> {
        let answer = self.get("/status/cluster").filter(|answer| answer.status == 200)?;
        Some(answer.json())
    }

    /// `/v1/status/tasks?include=events`, if somebody leads.
    pub(crate) fn tasks(&self) -> Option<TaskStatuses> {
        let answer = self.get("/v1/status/tasks?include=events")?;
        let answer = Some(answer).filter(|answer| answer.status == 200 && answer.stale_since.is_none())?;
        Some(answer.json())
    }

    /// Whether a load balancer would take it for the leader.
    pub(crate) fn leads(&self) -> bool {
        self.ask("GET", "/leader", Duration::from_secs(2)).is_some_and(|answer| answer.status == 200)
    }
}

fn call(method: &str, url: &str, limit: Duration) -> Option<Answer> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(limit)).proxy(None);
    let agent = config.max_redirects(0).build().new_agent();
    let outcome = match method {
        "GET" => agent.get(url).call(),
        "POST" => agent.post(url).send_empty(),
        other => panic!("{other} is not needed here"),
    };
    answer(outcome.ok()?)
}

fn send(method: &str, url: &str, body: Option<&str>) -> Option<Answer> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = config.timeout_global(Some(Duration::from_mins(1))).build().new_agent();
    let request = ureq::http::Request::builder().method(method).uri(url);
    let outcome = match body {
        Some(body) => agent.run(request.header("content-type", "application/json").body(body.to_owned()).ok()?),
        None => agent.run(request.body(()).ok()?),
    };
    answer(outcome.ok()?)
}

fn answer(mut response: Response<ureq::Body>) -> Option<Answer> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (retry_after, stale_since) = (header("retry-after"), header("x-quorate-stale-since"));
    let status = response.status().as_u16();
    Some(Answer { status, retry_after, stale_since, body: response.body_mut().read_to_string().ok()? })
}
