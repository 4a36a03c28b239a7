//! `POST /v1/tasks`, `GET` and `DELETE` of tasks: what is defined, not how it runs.

use actix_web::http::StatusCode;
use serde_json::{Value, json as object};

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::schema::{self, Body};
use super::tasks::{Call, ask_for_change, name_in_path, unknown_task};
use super::{access, cancel, forward, patch};
use crate::access::{Grants, Need, Role, Scope};
use crate::runtime::handle::{ApiResponse, ChangeError, Handle, Request, RunMode, TasksSnapshot};

/// `GET /v1/tasks` and `GET /v1/tasks/{name}`.
pub(super) fn get(handle: &Handle, call: &Call<'_>, tasks: &TasksSnapshot, raw_name: &str) -> ApiResponse {
    let show = |spec: &std::sync::Arc<crate::task::TaskSpec>| handle.objects.show(spec);
    if raw_name.is_empty() {
        let all: Vec<Value> = tasks.specs.iter().map(show).collect();
        return json(StatusCode::OK, &object!({"request_id": call.request_id, "tasks": all}));
    }
    let name = match name_in_path(call, raw_name) {
        Ok(name) => name,
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    match tasks.specs.iter().find(|spec| spec.name == name) {
        Some(spec) => json(StatusCode::OK, &object!({"request_id": call.request_id, "task": show(spec)})),
        None => call.error(StatusCode::NOT_FOUND, Shape::WithId, &unknown_task(&name)),
    }
}

/// `POST /v1/tasks[?run=now|inspect]`.
pub(super) async fn create(handle: &Handle, call: &Call<'_>, grants: &Grants) -> ApiResponse {
    let refuse = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::WithId, text);
    let run = match run_mode(call.query) {
        Ok(run) => run,
        Err(text) => return refuse(&text),
    };
    let body = match schema::check(call.body, Body::TaskRequest) {
        Ok(body) => body,
        Err(text) => return refuse(&text),
    };
    let task = &body["task"];
    let spec = match handle.objects.read(task) {
        Ok(spec) => spec,
        Err(text) => return refuse(&format!("error with task configuration: {text}")),
    };
    let need = Need::new(Role::Admin, Scope::Task(spec.name.clone()));
    if let Err(refused) = access::allow(&call.caller.identity, grants, &need) {
        return refused.response(call.path, call.request_id);
    }
    let shown = handle.objects.show(&spec);
    let by = call.caller.clone();
    let make = |reply| Request::Create { by, spec: Box::new(spec), run, reply };
    let plan = match ask_for_change(handle, make, run).await {
        Ok(Ok(plan)) => plan,
        Ok(Err(error)) => return refusal(handle, call, &error, run),
        Err(silence) => return call.error(silence.status(), Shape::WithId, silence.text()),
    };
    match plan {
        // CTS echoes the request here, without defaults.
        Some(plan) => {
            let run = object!({"plan": plan.text, "changes_present": plan.changes_present});
            json(StatusCode::OK, &object!({"request_id": call.request_id, "task": task, "run": run}))
        }
        None => json(StatusCode::CREATED, &object!({"request_id": call.request_id, "task": shown})),
    }
}

/// `DELETE /v1/tasks/{name}`.
pub(super) async fn delete(handle: &Handle, call: &Call<'_>, raw_name: &str) -> ApiResponse {
    let name = match name_in_path(call, raw_name) {
        Ok(name) => name.into_owned(),
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    let cancels = match cancel::flag(call, "cancel") {
        Ok(cancels) => cancels,
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    let make = |reply| Request::Delete { by: call.caller.clone(), task: name.clone(), reply };
    match ask_for_change(handle, make, RunMode::Later).await {
        Ok(Ok(())) => {
            let mut body = object!({"request_id": call.request_id});
            match cancel::and_end(handle, call, &name, cancels, &mut body).await {
                Ok(()) => json(StatusCode::ACCEPTED, &body),
                Err(refused) => refused,
            }
        }
        Ok(Err(error)) => refusal(handle, call, &error, RunMode::Later),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// `POST /v1/tasks/{name}/run`, an addition to CTS.
pub(super) async fn run(handle: &Handle, call: &Call<'_>, raw_name: &str) -> ApiResponse {
    let name = match name_in_path(call, raw_name) {
        Ok(name) => name.into_owned(),
        Err(text) => return call.error(StatusCode::BAD_REQUEST, Shape::WithId, &text),
    };
    let make = |reply| Request::Run { by: call.caller.clone(), task: name, reply };
    match ask_for_change(handle, make, RunMode::Later).await {
        Ok(Ok(())) => json(StatusCode::ACCEPTED, &object!({"request_id": call.request_id})),
        Ok(Err(error)) => refusal(handle, call, &error, RunMode::Later),
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

fn run_mode(query: &str) -> Result<RunMode, String> {
    let runs = form_pairs(query).into_iter().filter(|(key, _)| key == "run").map(|(_, value)| value);
    patch::run_mode(runs)
}

/// A refused change as an answer.
pub(super) fn refusal(handle: &Handle, call: &Call<'_>, error: &ChangeError, run: RunMode) -> ApiResponse {
    let status = match error {
        ChangeError::NotLeading => return forward::no_leader(call, &handle.cluster()),
        ChangeError::Exists(_) | ChangeError::Invalid(_) => StatusCode::BAD_REQUEST,
        ChangeError::Unknown(_) => StatusCode::NOT_FOUND,
        ChangeError::Conflict(_) | ChangeError::Cancelled(_) => StatusCode::CONFLICT,
        // CTS answers 400 for an inspection that went wrong.
        ChangeError::Failed(_) if run == RunMode::Inspect => StatusCode::BAD_REQUEST,
        ChangeError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ChangeError::Lost => StatusCode::GATEWAY_TIMEOUT,
    };
    call.error(status, Shape::WithId, &error.to_string())
}
