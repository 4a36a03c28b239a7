//! A follower's way to the leader's answer, and the leader's side of it.

use std::time::Duration;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::sync::{mpsc, oneshot};

use super::audited::Draft;
use super::error::Shape;
use super::follow::Rest;
use super::tasks::{self, Call, Silence};
use super::{FollowerRequests, events, limits, stale};
use crate::audit::Trail;
use crate::runtime::handle::{ApiRequest, ApiResponse, ClusterSnapshot, ForwardError, Forwarded, Handle, Request};

/// For `Retry-After` when nothing better is known: a failover takes about that long.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An answer, and after how long the client should try again.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) response: ApiResponse,
    pub(super) retry_after: Option<Duration>,
    /// It is what this agent knew by itself; current until then.
    pub(super) stale: Option<DateTime<Utc>>,
    /// The body is only its beginning: this makes the rest.
    pub(super) rest: Option<Rest>,
}

impl From<ApiResponse> for Answer {
    fn from(response: ApiResponse) -> Self {
        let retry_after = (response.status == StatusCode::SERVICE_UNAVAILABLE.as_u16()).then_some(RETRY_AFTER);
        Self { response, retry_after, stale: None, rest: None }
    }
}

/// Answers a task request of a local client: itself when it leads, else as configured.
pub(super) async fn resolve(handle: &Handle, mode: FollowerRequests, request: ApiRequest) -> Answer {
    let cluster = handle.cluster();
    if !cluster.high_availability {
        return tasks::answer(handle, request).await.into();
    }
    let copy = stale::is_read(&request).then(|| request.clone());
    let answer = match mode {
        _ if cluster.leading => tasks::answer(handle, request).await.into(),
        FollowerRequests::Redirect => redirect(&Call::new(&request), &cluster).into(),
        FollowerRequests::Forward => send(handle, request).await,
    };
    match copy {
        Some(request) if stale::lacks_leader(&answer) => stale::instead(handle, &request, answer).await,
        Some(_) | None => answer,
    }
}

/// CTS Enterprise's texts.
fn redirect(call: &Call<'_>, cluster: &ClusterSnapshot) -> ApiResponse {
    let leader = cluster.view.members.iter().find(|member| Some(&member.id) == cluster.view.leader.as_ref());
    let text = match leader {
        None => "redirect requests to leader".to_owned(),
        Some(leader) if leader.address.is_empty() || leader.api_addr.port() == 0 => {
            format!("redirect requests to leader '{}'", leader.id)
        }
        Some(leader) => {
            format!("redirect requests to leader '{}' at {}:{}", leader.id, leader.address, leader.api_addr.port())
        }
    };
    call.error(StatusCode::BAD_REQUEST, Shape::Plain, &text)
}

/// Asks the leader.
pub(super) async fn send(handle: &Handle, request: ApiRequest) -> Answer {
    let (reply, answer) = oneshot::channel();
    let ask = async {
        let message = Request::Forward(request.clone(), reply);
        handle.requests.send(message).await.map_err(|_| Silence::Stopping)?;
        answer.await.map_err(|_| Silence::Unknown)
    };
    let is_event = request.target.split('?').next() == Some(events::PATH);
    let limit = if is_event || stale::is_read(&request) { limits::READ } else { limits::FORWARD };
    let outcome = tokio::time::timeout(limit, ask).await.unwrap_or(Err(Silence::Unknown));
    let call = Call::new(&request);
    let shape = Shape::of(call.path);
    match outcome {
        Ok(Ok(response)) => response.into(),
        Ok(Err(error @ ForwardError::NoLeader { retry_after, .. })) => Answer {
            response: call.error(StatusCode::SERVICE_UNAVAILABLE, shape, &error.to_string()),
            retry_after: Some(retry_after),
            stale: None,
            rest: None,
        },
        Ok(Err(error @ ForwardError::TooOld { .. })) => {
            call.error(StatusCode::SERVICE_UNAVAILABLE, shape, &error.to_string()).into()
        }
        Ok(Err(error @ ForwardError::NoAnswer { .. })) => {
            call.error(StatusCode::GATEWAY_TIMEOUT, shape, &error.to_string()).into()
        }
        Err(silence) => call.error(silence.status(), shape, silence.text()).into(),
    }
}

/// The answer of an agent that was asked as the leader and is not.
pub(super) fn no_leader(call: &Call<'_>, cluster: &ClusterSnapshot) -> ApiResponse {
    let view = &cluster.view;
    let why = match (&view.leader, view.reason.as_str()) {
        (Some(leader), _) => format!("{} leads no more, ask {leader}", view.observer),
        (None, "") => "an election is under way".to_owned(),
        (None, reason) => reason.to_owned(),
    };
    let text = format!("no agent leads at the moment: {why}");
    call.error(StatusCode::SERVICE_UNAVAILABLE, Shape::of(call.path), &text)
}

/// Answers what other agents forward to this one, until the channel is closed.
pub async fn serve_forwarded(handle: &Handle, audit: Option<&Trail>, requests: mpsc::Receiver<Forwarded>) {
    let incoming = stream::unfold(requests, async |mut requests| Some((requests.recv().await?, requests)));
    incoming
        .for_each_concurrent(limits::FORWARDED, async |Forwarded { request, reply }| {
            let mut draft = Draft::of_forwarded(audit, handle, &request);
            let path = Call::new(&request).path.to_owned();
            let response = match draft.begin(&path, &request.body).await {
                Ok(()) => tasks::answer(handle, request).await,
                Err(refused) => refused,
            };
            draft.finish(&response).await;
            // The other agent may have given up.
            drop(reply.send(response));
        })
        .await;
    std::future::pending::<()>().await;
}
