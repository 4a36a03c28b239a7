//! `PATCH /v1/tasks/{name}`: enable and disable a task.

use actix_web::http::StatusCode;
use serde_json::Value;

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::forward;
use super::tasks::{Call, handle_request, name_in_path, unknown_task};
use crate::runtime::handle::{ApiResponse, Handle, Request, TasksSnapshot};

pub(super) async fn patch(handle: &Handle, call: &Call<'_>, tasks: &TasksSnapshot, raw_name: &str) -> ApiResponse {
    let refuse = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::Plain, text);
    let name = match name_in_path(call, raw_name) {
        Ok(name) if name.is_empty() => return refuse("the name of a task is required: PATCH /v1/tasks/{name}"),
        Ok(name) => name,
        Err(text) => return refuse(&text),
    };
    match run_option(call.query) {
        Err(text) => return refuse(&text),
        Ok(Some(run)) => {
            let text = format!("run={run} comes in a later version; without it only 'enabled' changes");
            return call.error(StatusCode::NOT_IMPLEMENTED, Shape::WithId, &text);
        }
        Ok(None) => {}
    }
    let enabled = match enabled_in(call.body) {
        Ok(enabled) => enabled,
        Err(text) => return refuse(&text),
    };
    if !tasks.tasks.iter().any(|task| task.name == name) {
        return call.error(StatusCode::NOT_FOUND, Shape::WithId, &unknown_task(&name));
    }
    let set = |reply| Request::SetEnabled { task: name.to_string(), enabled, reply };
    match handle_request(handle, set).await {
        Ok(Ok(())) => json(StatusCode::OK, &serde_json::json!({})),
        Ok(Err(why)) => {
            let cluster = handle.cluster();
            if cluster.high_availability && !cluster.leading {
                return forward::no_leader(call, &cluster);
            }
            let text = format!("Error updating task '{name}'. {why}");
            call.error(StatusCode::INTERNAL_SERVER_ERROR, Shape::WithId, &text)
        }
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// `run`, when given once and known.
fn run_option(query: &str) -> Result<Option<String>, String> {
    let mut runs = form_pairs(query).into_iter().filter(|(key, _)| key == "run").map(|(_, value)| value);
    let Some(run) = runs.next() else { return Ok(None) };
    if runs.next().is_some() {
        return Err("cannot support more than one run query parameter".to_owned());
    }
    match run.as_str() {
        "" => Ok(None),
        "now" | "inspect" => Ok(Some(run)),
        _ => Err(format!("unsupported run parameter value '{run}': only 'now' and 'inspect' are supported")),
    }
}

/// `{"enabled": bool}`, weakly typed as in CTS, and nothing else.
fn enabled_in(body: &[u8]) -> Result<bool, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the request's body is not valid JSON: {error}"))?;
    let Value::Object(fields) = body else {
        return Err("the request's body must be a JSON object such as {\"enabled\": true}".to_owned());
    };
    let mut unknown: Vec<_> = fields.keys().filter(|key| *key != "enabled").map(String::as_str).collect();
    if !unknown.is_empty() {
        unknown.sort_unstable();
        return Err(format!("request body's JSON contains unsupported keys: {}", unknown.join(", ")));
    }
    let value = fields.get("enabled").ok_or("the request's body lacks 'enabled'")?;
    weak_bool(value).ok_or_else(|| format!("'enabled' must be true or false, not {value}"))
}

fn weak_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64()? != 0.0),
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "" | "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enabled_is_weakly_typed() {
        for (body, enabled) in [
            (r#"{"enabled":true}"#, true),
            (r#"{"enabled":false}"#, false),
            (r#"{"enabled":"true"}"#, true),
            (r#"{"enabled":1}"#, true),
            (r#"{"enabled":0}"#, false),
        ] {
            assert_eq!(enabled_in(body.as_bytes()), Ok(enabled), "{body}");
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        let check = |body: &str, part: &str| {
            let text = enabled_in(body.as_bytes()).unwrap_err();
            assert!(text.contains(part), "{body}: {text}");
        };
        check("", "not valid JSON");
        check("{", "not valid JSON");
        check("[]", "must be a JSON object");
        check("{}", "lacks 'enabled'");
        check(r#"{"enabled":"yes"}"#, "must be true or false");
        check(r#"{"enabled":null}"#, "must be true or false");
        check(r#"{"zone":1,"enabled":true,"area":2}"#, "request body's JSON contains unsupported keys: area, zone");
    }

    #[test]
    fn run_is_given_once_and_known() {
        assert_eq!(run_option(""), Ok(None));
        assert_eq!(run_option("run=now"), Ok(Some("now".to_owned())));
        assert!(run_option("run=later").is_err());
        assert!(run_option("run=now&run=inspect").is_err());
    }
}
