//! Reads while nobody leads: what this agent knows by itself, with headers that say since when nobody has confirmed it.

use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use tracing::debug;

use super::forward::Answer;
use super::tasks::{self, Call, handle_request};
use super::{access, limits, runs};
use crate::runtime::handle::{ApiRequest, Handle, LastKnown, Request};

/// Says that the answer is not the leader's: `true`.
pub(super) const STALE: &str = "x-quorate-stale";
/// Until when it was known to be current, RFC 3339.
pub(super) const SINCE: &str = "x-quorate-stale-since";

/// Whether a request only reads what every agent has a copy of.
pub(super) fn is_read(request: &ApiRequest) -> bool {
    let path = request.target.split('?').next().unwrap_or_default();
    let reads = matches!(path, "/v1/status" | "/v1/status/tasks" | "/v1/tasks" | "/v1/cluster/tasks")
        || path.starts_with("/v1/status/tasks/")
        || runs::is_run_path(path)
        || path.starts_with("/v1/tasks/");
    request.method == "GET" && reads
}

/// The answer from the copy, in place of one without a leader; that one when the agent does not know in time.
pub(super) async fn instead(handle: &Handle, request: &ApiRequest, otherwise: Answer) -> Answer {
    let known = tokio::time::timeout(limits::READ, handle_request(handle, Request::LastKnown)).await;
    let LastKnown { tasks, since } = match known {
        Ok(Ok(Ok(known))) => known,
        Ok(Ok(Err(why))) => {
            debug!(why, "nothing is shown of the copy on this agent");
            return otherwise;
        }
        Ok(Err(_)) | Err(_) => return otherwise,
    };
    let mut request = request.clone();
    // A token that is not known here may be known to the leader that does not answer: then nothing is shown.
    let Ok(grants) = access::admit_request(handle, &mut request) else { return otherwise };
    let cluster = handle.cluster();
    let tasks = access::visible(&tasks, &grants);
    let call = Call::new(&request);
    if runs::is_run_path(call.path) {
        let known = runs::Known { handle, cluster: &cluster, tasks: &tasks, grants: &grants, stale: Some(since) };
        let response = runs::answer(&known, &call).await;
        // What is not here may be with the leader that does not answer.
        let is_here = response.status == StatusCode::OK.as_u16();
        return if is_here { Answer { stale: Some(since), ..response.into() } } else { otherwise };
    }
    match tasks::read(handle, &call, &cluster, &tasks, Some(since)) {
        Some(response) => Answer { stale: Some(since), ..response.into() },
        None => otherwise,
    }
}

/// Whether an answer says that nobody could answer as the leader.
pub(super) fn lacks_leader(answer: &Answer) -> bool {
    let none = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
    none.iter().any(|status| status.as_u16() == answer.response.status)
}

pub(super) fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
