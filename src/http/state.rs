//! Terraform state over HTTP: for runs (`runs`, Terraform's `http` backend on a listener of its own) and for people
//! (`/v1/cluster/state`, task paths that the leader answers).
//!
//! | method and path | |
//! |---|---|
//! | `GET /v1/cluster/state` | all tasks, without contents |
//! | `GET /v1/cluster/state/<task>[?version=N]` | a content, byte for byte |
//! | `PUT /v1/cluster/state/<task>[?force=true]` | puts a content in place |
//! | `GET /v1/cluster/state/<task>/history` | one task, without contents |
//! | `POST /v1/cluster/state/<task>/restore?version=N` | an old version becomes the current one |
//! | `POST /v1/cluster/state/<task>/dismiss` | forgets what was set aside |

mod runs;

use actix_web::http::StatusCode;

pub use self::runs::{RunListener, serve_runs};
use super::cluster::form_pairs;
use super::error::{JSON, Shape, json};
use super::path::below;
use super::reply::{StateChanged, States, TaskState};
use super::tasks::{Call, name_in_path};
use crate::access::{Grants, Role};
use crate::runtime::handle::{ApiRequest, ApiResponse};
use crate::state::{Caller, Request, StateAnswer, StateCall, StateService};

const COLLECTION: &str = "/v1/cluster/state";

/// Whether a path is one of the table above.
pub(super) fn is_state_path(path: &str) -> bool {
    below(path, COLLECTION).is_some()
}

/// Answers a person's request on the leader; `service` is asked once. A list is of what these grants let the person see.
pub async fn answer(service: &dyn StateService, request: &ApiRequest, grants: &Grants) -> ApiResponse {
    let call = Call::new(request);
    match parse(&call) {
        Ok(asked) => {
            let mut answer = service.handle(asked).await;
            if let StateAnswer::Listed(states) = &mut answer {
                states.retain(|state| grants.allow_task(Role::Read, &state.task));
            }
            write(&call, answer)
        }
        Err((status, why)) => call.error(status, Shape::WithId, &why),
    }
}

/// What a request asks for, as an operator.
fn parse(call: &Call<'_>) -> Result<StateCall, (StatusCode, String)> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let rest = below(call.path, COLLECTION).unwrap_or_default();
    let (raw, verb) = rest.split_once('/').unwrap_or((rest, ""));
    let task = name_in_path(call, raw).map_err(bad)?.into_owned();
    let request = match (call.method, task.as_str(), verb) {
        ("GET", "", "") => Request::List,
        ("GET", _, "") => Request::Get { version: version(call).map_err(bad)? },
        ("PUT", name, "") if !name.is_empty() => {
            Request::Push { content: call.body.to_vec(), force: force(call).map_err(bad)? }
        }
        ("GET", _, "history") => Request::Show,
        ("POST", _, "restore") => {
            let why = || "say which version: restore?version=N (see history)".to_owned();
            Request::Restore { version: version(call).and_then(|number| number.ok_or_else(why)).map_err(bad)? }
        }
        ("POST", _, "dismiss") => Request::Dismiss,
        (_, _, "" | "history" | "restore" | "dismiss") => {
            let why = format!("'{}' is not a method of {}", call.method, call.path);
            return Err((StatusCode::METHOD_NOT_ALLOWED, why));
        }
        _ => return Err((StatusCode::NOT_FOUND, format!("there is no {}", call.path))),
    };
    Ok(StateCall { task, caller: Caller::Operator, request })
}

fn version(call: &Call<'_>) -> Result<Option<u64>, String> {
    let given = form_pairs(call.query).into_iter().find(|(key, _)| key == "version");
    given.map(|(_, text)| text.parse().map_err(|_| format!("version must be a number, not {text:?}"))).transpose()
}

fn force(call: &Call<'_>) -> Result<bool, String> {
    match form_pairs(call.query).into_iter().find(|(key, _)| key == "force") {
        None => Ok(false),
        Some((_, text)) => text.parse().map_err(|_| format!("force must be true or false, not {text:?}")),
    }
}

fn write(call: &Call<'_>, answer: StateAnswer) -> ApiResponse {
    let request_id = call.request_id.to_owned();
    match answer {
        StateAnswer::Content { content, .. } => {
            ApiResponse { status: 200, content_type: JSON.to_owned(), body: content }
        }
        StateAnswer::Done => json(StatusCode::OK, &StateChanged { request_id }),
        StateAnswer::Shown(summary) => json(StatusCode::OK, &TaskState { state: *summary, request_id }),
        StateAnswer::Listed(states) => json(StatusCode::OK, &States { states, request_id }),
        other => {
            let (status, why) = refusal(&other);
            call.error(status, Shape::WithId, &why)
        }
    }
}

/// Status and text of what is no success.
fn refusal(answer: &StateAnswer) -> (StatusCode, String) {
    match answer {
        StateAnswer::Content { .. } | StateAnswer::Done | StateAnswer::Shown(_) | StateAnswer::Listed(_) => {
            (StatusCode::OK, String::new())
        }
        StateAnswer::Nothing => (StatusCode::NOT_FOUND, "there is no such state, or no such version of it".to_owned()),
        StateAnswer::Locked { .. } => (StatusCode::LOCKED, "the state is locked by a run".to_owned()),
        StateAnswer::Fenced { why, .. } | StateAnswer::Conflict(why) => (StatusCode::CONFLICT, why.clone()),
        StateAnswer::Invalid(why) => (StatusCode::BAD_REQUEST, why.clone()),
        StateAnswer::NoLeader(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("no agent leads at the moment: {why}")),
        StateAnswer::Unknown(why) => (StatusCode::GATEWAY_TIMEOUT, why.clone()),
        StateAnswer::Unavailable(why) => (StatusCode::NOT_IMPLEMENTED, why.clone()),
        StateAnswer::Broken(why) => (StatusCode::INTERNAL_SERVER_ERROR, why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: &str, target: &str) -> Result<(String, Request), u16> {
        let request = ApiRequest {
            method: method.to_owned(),
            target: target.to_owned(),
            body: b"x".to_vec(),
            request_id: String::new(),
            caller: crate::runtime::handle::Caller::unknown(),
        };
        parse(&Call::new(&request)).map(|call| (call.task, call.request)).map_err(|(status, _)| status.as_u16())
    }

    #[test]
    fn every_request_of_people_is_understood() {
        let ok = |task: &str, request| Ok((task.to_owned(), request));
        for (method, target, expected) in [
            ("GET", "/v1/cluster/state", ok("", Request::List)),
            ("GET", "/v1/cluster/state/fw", ok("fw", Request::Get { version: None })),
            ("GET", "/v1/cluster/state/fw?version=3", ok("fw", Request::Get { version: Some(3) })),
            ("PUT", "/v1/cluster/state/fw", ok("fw", Request::Push { content: b"x".to_vec(), force: false })),
            ("PUT", "/v1/cluster/state/fw?force=true", ok("fw", Request::Push { content: b"x".to_vec(), force: true })),
            ("GET", "/v1/cluster/state/fw/history", ok("fw", Request::Show)),
            ("POST", "/v1/cluster/state/fw/restore?version=2", ok("fw", Request::Restore { version: 2 })),
            ("POST", "/v1/cluster/state/fw/dismiss", ok("fw", Request::Dismiss)),
            ("POST", "/v1/cluster/state/fw/restore", Err(400)),
            ("GET", "/v1/cluster/state/fw?version=x", Err(400)),
            ("PUT", "/v1/cluster/state/fw?force=maybe", Err(400)),
            ("PUT", "/v1/cluster/state", Err(405)),
            ("DELETE", "/v1/cluster/state/fw", Err(405)),
            ("GET", "/v1/cluster/state/fw/else", Err(404)),
            ("GET", "/v1/cluster/state/a%2Fb", Err(400)),
        ] {
            assert_eq!(asked(method, target), expected, "{method} {target}");
        }
    }

    #[test]
    fn state_paths_are_told_from_others() {
        for (path, is) in [
            ("/v1/cluster/state", true),
            ("/v1/cluster/state/fw/history", true),
            ("/v1/cluster/states", false),
            ("/v1/state/fw", false),
        ] {
            assert_eq!(is_state_path(path), is, "{path}");
        }
    }
}
