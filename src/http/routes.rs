//! From a request to the function that answers it, and its answer back to the client.

use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::audited::Draft;
use super::error::{Shape, error, json, text};
use super::forward::{self, Answer};
use super::path::is_plain;
use super::reply::Left;
use super::stream::{Busy, Place};
use super::tasks::{handle_request, is_task_path, no_path};
use super::{
    Face, FollowerRequests, access, body, cluster, follow, keyring, limits, readiness, reload, runs, schema, stale, ui,
};
use crate::audit::Trail;
use crate::runtime::handle::{ApiRequest, ApiResponse, Request};
use crate::runtime::{clock, metrics};

/// Answers everything.
pub(super) async fn respond(request: HttpRequest, payload: web::Payload, face: web::Data<Face>) -> HttpResponse {
    let busy = request.conn_data::<Place>().map(Place::busy);
    // Whoever may not call by this name is refused below, as with every other path.
    if let Some(file) = ui::answer(&request).filter(|_| face.guard.check(&request).is_ok()) {
        face.handle.metrics.http_request(pattern(request.path()), file.status().as_u16());
        return file;
    }
    let request_id = uuid::Uuid::new_v4().to_string();
    let path = request.path().to_owned();
    let mut draft = Draft::new(&face, &request, &request_id);
    let mut answer = dispatch(&request, payload, &face, &request_id, busy.as_ref(), &mut draft).await;
    draft.finish(&answer.response).await;
    face.handle.metrics.http_request(pattern(&path), answer.response.status);
    tracing::debug!(method = %request.method(), path, status = answer.response.status, request_id, "answered");
    let rest = answer.rest.take();
    let mut builder = write_head(&answer);
    match rest {
        Some(rest) => builder.streaming(rest.into_stream(busy)),
        None => builder.body(answer.response.body),
    }
}

async fn dispatch(
    http: &HttpRequest,
    payload: web::Payload,
    face: &Face,
    request_id: &str,
    busy: Option<&Busy>,
    draft: &mut Draft,
) -> Answer {
    let (request, path) = (http, http.path());
    if let Err(why) = face.guard.check(request) {
        return error(StatusCode::FORBIDDEN, Shape::of(path), &why, request_id).into();
    }
    if *request.method() == Method::OPTIONS {
        return ApiResponse { status: 200, content_type: String::new(), body: Vec::new() }.into();
    }
    if !is_plain(request.method().as_str(), path) {
        return no_path(path, request_id).into();
    }
    let cluster = face.handle.cluster();
    let forwards = face.follower_requests == FollowerRequests::Forward;
    let leads_to_another = is_task_path(path) && forwards && cluster.high_availability && !cluster.leading;
    let caller = match access::look(request, face, path, leads_to_another).await {
        Ok(caller) => caller,
        Err(stopped) => {
            let (refused, caller) = *stopped;
            draft.set_caller(&caller);
            return refused.answer(path, request_id);
        }
    };
    draft.set_caller(&caller);
    if let Err(why) = body::is_json(request, path) {
        return error(StatusCode::BAD_REQUEST, Shape::WithId, &why, request_id).into();
    }
    if is_task_path(path) {
        let body = match body::read(request, payload, limits::body_of(path)).await {
            Ok(body) => body,
            Err((status, why)) => return error(status, Shape::of(path), &why, request_id).into(),
        };
        if !reads(request.method()) {
            busy.into_iter().for_each(Busy::changes);
        }
        let target = request.uri().path_and_query().map_or(path, |target| target.as_str());
        let method = if *request.method() == Method::HEAD { "GET" } else { request.method().as_str() };
        let (method, target, request_id) = (method.to_owned(), target.to_owned(), request_id.to_owned());
        if let Err(refused) = draft.begin(path, &body).await {
            return refused.into();
        }
        let changes = !reads(http.method());
        let request = ApiRequest { method, target, body, request_id, caller };
        let stream = if *http.method() == Method::GET { follow::begin(http, face, &request).await } else { None };
        return if changes {
            to_its_end(face, request, draft.take()).await
        } else if let Some(answer) = stream {
            answer
        } else {
            forward::resolve(&face.handle, face.follower_requests, request).await
        };
    }
    if !reads(request.method()) {
        busy.into_iter().for_each(Busy::changes);
        if let Err(refused) = draft.begin(path, &[]).await {
            return refused.into();
        }
    }
    own(request, face, path, request_id).await.into()
}

/// A change is made and written down, whether or not the client waits for it.
async fn to_its_end(face: &Face, request: ApiRequest, mut draft: Draft) -> Answer {
    let (handle, mode, request_id) = (face.handle.clone(), face.follower_requests, request.request_id.clone());
    let work = actix_web::rt::spawn(async move {
        let answer = forward::resolve(&handle, mode, request).await;
        draft.finish(&answer.response).await;
        answer
    });
    work.await.unwrap_or_else(|_| {
        // Not reached: a panic ends the process.
        error(StatusCode::INTERNAL_SERVER_ERROR, Shape::WithId, "the request was given up", &request_id).into()
    })
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What every agent answers for itself.
async fn own(request: &HttpRequest, face: &Face, path: &str, request_id: &str) -> ApiResponse {
    let method = request.method();
    let reads = reads(method);
    let allowed = match path {
        "/v1/status/cluster" | "/status/cluster" | "/v1/cluster" | "/v1/health" | "/livez" | "/readyz" | "/leader"
        | "/metrics" | "/openapi.json" | "/v1/keyring" => reads,
        "/v1/cluster/leave" | "/v1/cluster/reload" => *method == Method::POST,
        _ => return text(StatusCode::NOT_FOUND, "404 page not found"),
    };
    if !allowed {
        let why = format!("'{method}' is not a method of {path}");
        return error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &why, request_id);
    }
    match path {
        "/v1/status/cluster" | "/status/cluster" => cluster::status(face, request.query_string(), request_id).await,
        "/v1/cluster" => cluster::overview(face, request.query_string(), request_id).await,
        "/v1/keyring" => keyring::list(&face.handle, request_id).await,
        "/v1/cluster/leave" => leave(face, request_id).await,
        "/v1/cluster/reload" => {
            face.audit.iter().for_each(Trail::reopen);
            reload::reload(face, request_id).await
        }
        "/v1/health" => match face.handle.health().not_ready {
            None => json(StatusCode::OK, &serde_json::json!({})),
            Some(why) => error(StatusCode::SERVICE_UNAVAILABLE, Shape::Plain, &why, request_id),
        },
        "/openapi.json" => ApiResponse {
            status: 200,
            content_type: "application/json".to_owned(),
            body: schema::DOCUMENT.as_bytes().to_vec(),
        },
        "/readyz" => readiness::ready(&face.handle.health(), request.query_string()),
        "/livez" => readiness::live(&face.handle, request.query_string()),
        "/leader" => leader(face),
        "/metrics" => numbers(request, face),
        _ => text(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// The metrics, in OpenMetrics for whoever asks for it.
fn numbers(request: &HttpRequest, face: &Face) -> ApiResponse {
    let mut accepted = request.headers().get_all(header::ACCEPT).filter_map(|value| value.to_str().ok());
    let metrics = &face.handle.metrics;
    let (content_type, text) = if accepted.any(|value| value.contains("application/openmetrics-text")) {
        (metrics::CONTENT_TYPE, metrics.text())
    } else {
        (metrics::CLASSIC_CONTENT_TYPE, metrics.classic_text())
    };
    ApiResponse { status: 200, content_type: content_type.to_owned(), body: text.into_bytes() }
}

/// For load balancers: 200 on the agent whose own lease is live.
fn leader(face: &Face) -> ApiResponse {
    let snapshot = face.handle.cluster();
    let view = &snapshot.view;
    if snapshot.leading {
        return text(StatusCode::OK, &format!("{} leads with epoch {}", view.observer, view.epoch));
    }
    let why = match (&view.leader, view.reason.as_str()) {
        (Some(leader), _) if *leader != view.observer => format!("{} follows {leader}", view.observer),
        (_, "") => format!("{} does not lead", view.observer),
        (_, reason) => format!("{} does not lead: {reason}", view.observer),
    };
    text(StatusCode::SERVICE_UNAVAILABLE, &why)
}

async fn leave(face: &Face, request_id: &str) -> ApiResponse {
    match handle_request(&face.handle, Request::Leave).await {
        Ok(Ok(())) => {
            let left = face.handle.cluster().view.observer.to_string();
            json(StatusCode::OK, &Left { left, request_id: request_id.to_owned() })
        }
        Ok(Err(why)) => error(StatusCode::CONFLICT, Shape::WithId, &why, request_id),
        Err(silence) => error(silence.status(), Shape::WithId, silence.text(), request_id),
    }
}

/// The path as a label of metrics: a bounded set, whatever clients send.
pub(super) fn pattern(path: &str) -> &'static str {
    match path {
        "/v1/status" => "/v1/status",
        "/v1/status/cluster" | "/status/cluster" => "/v1/status/cluster",
        "/v1/status/tasks" => "/v1/status/tasks",
        "/v1/tasks" => "/v1/tasks",
        "/v1/health" => "/v1/health",
        "/v1/cluster" => "/v1/cluster",
        "/v1/cluster/tasks" => "/v1/cluster/tasks",
        "/v1/cluster/step-down" => "/v1/cluster/step-down",
        "/v1/cluster/state" => "/v1/cluster/state",
        "/v1/cluster/leave" => "/v1/cluster/leave",
        "/v1/cluster/reload" => "/v1/cluster/reload",
        "/v1/keyring" => "/v1/keyring",
        "/v1/keyring/install" => "/v1/keyring/install",
        "/v1/keyring/use" => "/v1/keyring/use",
        "/v1/keyring/remove" => "/v1/keyring/remove",
        "/livez" => "/livez",
        "/readyz" => "/readyz",
        "/leader" => "/leader",
        "/metrics" => "/metrics",
        "/openapi.json" => "/openapi.json",
        "/v1/runs" => "/v1/runs",
        "/v1/events" => "/v1/events",
        "/" | ui::PATH => ui::PATH,
        _ if path.starts_with("/ui/") => ui::PATH,
        _ if runs::log_of(path).is_some() => "/v1/runs/{run}/log",
        _ if runs::is_run_path(path) => "/v1/runs/{run}",
        _ if path.starts_with("/v1/status/tasks/") => "/v1/status/tasks/{name}",
        _ if path.starts_with("/v1/tasks/") && path.ends_with("/run") => "/v1/tasks/{name}/run",
        _ if path.starts_with("/v1/tasks/") && path.ends_with("/cancel") => "/v1/tasks/{name}/cancel",
        _ if path.starts_with("/v1/tasks/") && path.ends_with("/plan") => "/v1/tasks/{name}/plan",
        _ if path.starts_with("/v1/tasks/") && path.ends_with("/approve") => "/v1/tasks/{name}/approve",
        _ if path.starts_with("/v1/tasks/") && path.ends_with("/reject") => "/v1/tasks/{name}/reject",
        _ if path.starts_with("/v1/cluster/state/") => "/v1/cluster/state/{name}",
        _ if path.starts_with("/v1/tasks/") => "/v1/tasks/{name}",
        "/v1/tokens" => "/v1/tokens",
        "/v1/tokens/self" => "/v1/tokens/self",
        "/v1/tokens/bootstrap" => "/v1/tokens/bootstrap",
        _ if path.starts_with("/v1/tokens/") && path.ends_with("/rotate") => "/v1/tokens/{accessor}/rotate",
        _ if path.starts_with("/v1/tokens/") => "/v1/tokens/{accessor}",
        _ => "other",
    }
}

fn write_head(answer: &Answer) -> HttpResponseBuilder {
    let Answer { response, retry_after, stale, rest: _ } = answer;
    // The status and the type of a forwarded answer come from another agent.
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut builder = HttpResponse::build(status);
    if let Ok(content_type) = header::HeaderValue::try_from(response.content_type.as_str())
        && !response.content_type.is_empty()
    {
        builder.insert_header((header::CONTENT_TYPE, content_type));
    }
    if status == StatusCode::UNAUTHORIZED {
        builder.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"quorate\""));
    }
    if let Some(after) = *retry_after {
        builder.insert_header((header::RETRY_AFTER, whole_seconds(after).to_string()));
    }
    if let Some(since) = *stale {
        builder.insert_header((stale::STALE, "true"));
        builder.insert_header((stale::SINCE, stale::rfc3339(since)));
        let age = (clock::utc() - since).num_seconds().max(0);
        builder.insert_header((header::AGE, age.to_string()));
    }
    // Answers are of the moment; and nothing here is a page.
    builder.insert_header((header::CACHE_CONTROL, "no-store"));
    builder.insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    builder
}

/// Rounded up: `Retry-After: 0` would make clients spin.
fn whole_seconds(after: Duration) -> u64 {
    (after.as_secs() + u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_never_zero() {
        assert_eq!(whole_seconds(Duration::ZERO), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::from_secs(3)), 3);
    }

    #[test]
    fn every_path_of_the_document_has_its_label() {
        let document: serde_json::Value = serde_json::from_str(schema::DOCUMENT).unwrap();
        for path in document["paths"].as_object().unwrap().keys() {
            assert_ne!(pattern(&path.replace("{name}", "x").replace("{accessor}", "x")), "other", "{path}");
        }
    }

    #[test]
    fn what_clients_invent_is_one_label() {
        assert_eq!(pattern("/v1/tasks/a"), pattern("/v1/tasks/b"));
        assert_eq!(pattern("/x"), pattern("/y"));
    }
}
