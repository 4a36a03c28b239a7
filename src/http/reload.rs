//! `POST /v1/cluster/reload`, and what agents tell the leader about files that differ.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use quorate_proto::MemberId;

use super::Face;
use super::cluster::form_pairs;
use super::error::{Shape, error, json};
use super::reply::Reloaded;
use super::tasks::{Call, handle_request};
use crate::roster::Differs;
use crate::runtime::handle::{ApiResponse, Handle, Request};

/// This agent reads its own files again.
pub(super) async fn reload(face: &Face, request_id: &str) -> ApiResponse {
    let report = match handle_request(&face.handle, Request::Reload).await {
        Ok(Ok(report)) => report,
        Ok(Err(why)) => return error(StatusCode::BAD_REQUEST, Shape::WithId, &why, request_id),
        Err(silence) => return error(silence.status(), Shape::WithId, silence.text(), request_id),
    };
    let body = Reloaded {
        agent: face.handle.cluster().view.observer.to_string(),
        leading: report.leading,
        added: report.difference.added,
        changed: report.difference.changed,
        removed: report.difference.removed,
        still_deleted: report.difference.still_deleted,
        differs: report.differs,
        needs_restart: report.needs_restart,
        request_id: request_id.to_owned(),
    };
    json(StatusCode::OK, &body)
}

/// Another agent, over the control connection, says how its files differ. Clients cannot: the path is not routed.
pub(super) async fn note_differences(handle: &Handle, call: &Call<'_>) -> ApiResponse {
    let agent = form_pairs(call.query).into_iter().find_map(|(key, value)| (key == "agent").then_some(value));
    let agent = agent.and_then(|agent| MemberId::new(agent).ok());
    let differs = serde_json::from_slice::<BTreeMap<String, Differs>>(call.body).ok();
    let (Some(agent), Some(differs)) = (agent, differs) else {
        return call.error(StatusCode::BAD_REQUEST, Shape::WithId, "an agent and how its files differ is expected");
    };
    let sent = handle.requests.send(Request::Differences { agent, differs }).await;
    let status = if sent.is_ok() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &serde_json::json!({}))
}
