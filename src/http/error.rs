//! Errors as CTS clients expect them: two shapes of body, chosen by the path.

use actix_web::http::StatusCode;
use serde_json::json;

use crate::runtime::handle::ApiResponse;

/// `Content-Type` of nearly everything.
pub(super) const JSON: &str = "application/json";

/// The shape of an error's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `{"error":{"message":"..."}}`: the paths that CTS had first.
    Plain,
    /// The same with `request_id`.
    WithId,
}

impl Shape {
    /// The shape of errors that do not depend on the task: no leader, too large, ...
    pub(super) fn of(path: &str) -> Self {
        if path == "/v1/status" || path == "/v1/status/tasks" || path.starts_with("/v1/status/tasks/") {
            Self::Plain
        } else {
            Self::WithId
        }
    }
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, body: &impl serde::Serialize) -> ApiResponse {
    match serde_json::to_vec(body) {
        Ok(body) => ApiResponse { status: status.as_u16(), content_type: JSON.to_owned(), body },
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("cannot write the answer: {error}")),
    }
}

/// An answer in plain text, with a line end.
pub(super) fn text(status: StatusCode, body: &str) -> ApiResponse {
    ApiResponse {
        status: status.as_u16(),
        content_type: "text/plain; charset=utf-8".to_owned(),
        body: format!("{body}\n").into_bytes(),
    }
}

/// An error in one of the shapes.
pub(super) fn error(status: StatusCode, shape: Shape, message: &str, request_id: &str) -> ApiResponse {
    match shape {
        Shape::Plain => json(status, &json!({"error": {"message": message}})),
        Shape::WithId => json(status, &json!({"error": {"message": message}, "request_id": request_id})),
    }
}

/// The words of an error's body.
pub(super) fn message(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    body["error"]["message"].as_str().map(str::to_owned)
}
