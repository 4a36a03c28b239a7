//! `PATCH /v1/tasks/{name}`: enable and disable a task.

use actix_web::http::StatusCode;
use serde_json::Value;

use super::cluster::form_pairs;
use super::error::{Shape, json};
use super::tasks::{Call, ask_for_change, name_in_path, unknown_task};
use super::{cancel, create};
use crate::runtime::handle::{ApiResponse, ChangeError, Handle, Plan, Request, RunMode, TasksSnapshot};

pub(super) async fn patch(handle: &Handle, call: &Call<'_>, tasks: &TasksSnapshot, raw_name: &str) -> ApiResponse {
    let refuse = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::Plain, text);
    let name = match name_in_path(call, raw_name) {
        Ok(name) if name.is_empty() => return refuse("the name of a task is required: PATCH /v1/tasks/{name}"),
        Ok(name) => name,
        Err(text) => return refuse(&text),
    };
    let runs = form_pairs(call.query).into_iter().filter(|(key, _)| key == "run").map(|(_, value)| value);
    let run = match run_mode(runs) {
        Err(text) => return refuse(&text),
        Ok(run) => run,
    };
    let cancels = match cancel::flag(call, "cancel") {
        Ok(cancels) => cancels,
        Err(text) => return refuse(&text),
    };
    let enabled = match enabled_in(call.body) {
        Ok(enabled) => enabled,
        Err(text) => return refuse(&text),
    };
    if !tasks.tasks.iter().any(|task| task.name == name) {
        return call.error(StatusCode::NOT_FOUND, Shape::WithId, &unknown_task(&name));
    }
    let by = call.caller.clone();
    let set = |reply| Request::SetEnabled { by, task: name.to_string(), enabled, run, reply };
    match ask_for_change(handle, set, run).await {
        Ok(Ok(None)) => {
            let mut body = serde_json::json!({});
            match cancel::and_end(handle, call, &name, cancels && !enabled, &mut body).await {
                Ok(()) => json(StatusCode::OK, &body),
                Err(refused) => refused,
            }
        }
        Ok(Ok(Some(Plan { changes_present, text }))) => {
            let plan = serde_json::json!({"changes_present": changes_present, "plan": text});
            json(StatusCode::OK, &serde_json::json!({"inspect": plan}))
        }
        Ok(Err(error @ (ChangeError::NotLeading | ChangeError::Unknown(_) | ChangeError::Lost))) => {
            create::refusal(handle, call, &error, run)
        }
        Ok(Err(why)) => {
            let text = format!("Error updating task '{name}'. {why}");
            let busy = matches!(why, ChangeError::Conflict(_) | ChangeError::Cancelled(_));
            let status = if busy { StatusCode::CONFLICT } else { StatusCode::INTERNAL_SERVER_ERROR };
            call.error(status, Shape::WithId, &text)
        }
        Err(silence) => call.error(silence.status(), Shape::WithId, silence.text()),
    }
}

/// `run`, when given once and known.
pub(super) fn run_mode(mut runs: impl Iterator<Item = String>) -> Result<RunMode, String> {
    let Some(run) = runs.next() else { return Ok(RunMode::Later) };
    if runs.next().is_some() {
        return Err("cannot support more than one run query parameter".to_owned());
    }
    match run.as_str() {
        "" => Ok(RunMode::Later),
        "now" => Ok(RunMode::Now),
        "inspect" => Ok(RunMode::Inspect),
        _ => Err(format!("unsupported run parameter value '{run}': only 'now' and 'inspect' are supported")),
    }
}

/// `{"enabled": bool}`, weakly typed as in CTS, and nothing else.
pub(super) fn enabled_in(body: &[u8]) -> Result<bool, String> {
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
        let mode = |runs: &[&str]| run_mode(runs.iter().map(|run| (*run).to_owned()));
        assert_eq!(mode(&[]), Ok(RunMode::Later));
        assert_eq!(mode(&["now"]), Ok(RunMode::Now));
        assert_eq!(mode(&["inspect"]), Ok(RunMode::Inspect));
        assert!(mode(&["later"]).is_err());
        assert!(mode(&["now", "inspect"]).is_err());
    }
}
