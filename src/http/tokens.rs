//! Tokens: made, shown, revoked and rotated on the leader. A secret is in the answer that makes it, and nowhere else.
//!
//! | method and path | |
//! |---|---|
//! | `GET /v1/tokens` | all, without secrets |
//! | `POST /v1/tokens` | makes one |
//! | `POST /v1/tokens/bootstrap` | makes the first one, once, over `admin.sock` |
//! | `GET /v1/tokens/self` | who the caller is, and what it may do |
//! | `GET /v1/tokens/<accessor>` | one |
//! | `DELETE /v1/tokens/<accessor>` | revokes it |
//! | `POST /v1/tokens/<accessor>/rotate` | gives it another secret |

use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat};
use serde::Deserialize;

use super::error::{Shape, json};
use super::forward;
use super::path::below;
use super::reply::{TokenGrant, TokenMade, TokenRevoked, TokenSelf, TokenShown, TokenText, Tokens};
use super::tasks::Call;
use crate::access::{Grants, Identity, Record, Role};
use crate::runtime::access::{Gate, KeepError, Made, NewToken};
use crate::runtime::handle::{ApiResponse, Handle};
use crate::task::duration;

const COLLECTION: &str = "/v1/tokens";

/// Whether a path is one of the table above.
pub(super) fn is_token_path(path: &str) -> bool {
    below(path, COLLECTION).is_some()
}

/// Body of `POST /v1/tokens`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    role: Role,
    #[serde(default)]
    tasks: Vec<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    ttl: Option<String>,
}

/// Answers as the leader; the caller was let in.
pub(super) async fn answer(handle: &Handle, call: &Call<'_>, grants: &Grants) -> ApiResponse {
    let gate = &handle.gate;
    let rest = below(call.path, COLLECTION).unwrap_or_default();
    let place = rest.split_once('/').unwrap_or((rest, ""));
    // Whether access is on or off, a path has the same methods.
    let Some(methods) = methods_of(place) else {
        return call.error(StatusCode::NOT_FOUND, Shape::WithId, &format!("there is no {}", call.path));
    };
    if !methods.contains(&call.method) {
        let text = format!("'{}' is not a method of {}", call.method, call.path);
        return call.error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &text);
    }
    let outcome = match (call.method, place) {
        ("GET", ("self", "")) => Ok(who(gate, call, grants)),
        (_, _) if gate.rules().is_none() => Err(KeepError::Off),
        ("GET", ("", "")) => Ok(list(gate, call)),
        ("POST", ("", "")) => match wanted(call.body) {
            Ok(wanted) => gate.create(wanted, call.caller).await.map(|made| told(call, StatusCode::CREATED, &made)),
            Err(why) => Err(KeepError::Invalid(why)),
        },
        ("POST", ("bootstrap", "")) => {
            gate.bootstrap(call.caller).await.map(|made| told(call, StatusCode::CREATED, &made))
        }
        ("GET", (accessor, "")) => show(gate, call, accessor),
        ("DELETE", (accessor, _)) => gate.revoke(accessor, call.caller).await.map(|()| {
            let (revoked, request_id) = (accessor.to_owned(), call.request_id.to_owned());
            json(StatusCode::OK, &TokenRevoked { revoked, request_id })
        }),
        (_, (accessor, _)) => gate.rotate(accessor, call.caller).await.map(|made| told(call, StatusCode::OK, &made)),
    };
    outcome.unwrap_or_else(|error| refusal(handle, call, &error))
}

/// The methods of what follows [`COLLECTION`], in two parts; `None`: there is no such path.
fn methods_of(place: (&str, &str)) -> Option<&'static [&'static str]> {
    match place {
        ("", "") => Some(&["GET", "POST"]),
        ("self", "") => Some(&["GET"]),
        ("bootstrap", "") | (_, "rotate") => Some(&["POST"]),
        (_, "") => Some(&["GET", "DELETE"]),
        _ => None,
    }
}

fn refusal(handle: &Handle, call: &Call<'_>, error: &KeepError) -> ApiResponse {
    let status = match error {
        KeepError::NotLeading => return forward::no_leader(call, &handle.cluster()),
        KeepError::Unknown(_) => StatusCode::NOT_FOUND,
        KeepError::Invalid(_) => StatusCode::BAD_REQUEST,
        KeepError::Off | KeepError::Conflict(_) => StatusCode::CONFLICT,
        KeepError::Lost => StatusCode::GATEWAY_TIMEOUT,
    };
    call.error(status, Shape::WithId, &error.to_string())
}

fn wanted(body: &[u8]) -> Result<NewToken, String> {
    let read: Wanted = serde_json::from_slice(body).map_err(|error| {
        format!(
            "the request's body must be like {{\"role\": \"read\", \"tasks\": [\"web-*\"], \"ttl\": \"720h\"}}: {error}"
        )
    })?;
    let seconds = |text: &String| {
        let ttl = duration::parse(text).ok_or_else(|| format!("ttl must be a duration such as 720h, not {text:?}"))?;
        i64::try_from(ttl.as_secs()).map_err(|_| format!("the ttl {text:?} is too long"))
    };
    let ttl = read.ttl.as_ref().filter(|text| !text.is_empty()).map(seconds).transpose()?;
    Ok(NewToken { role: read.role, tasks: read.tasks, description: read.description, ttl })
}

fn list(gate: &Gate, call: &Call<'_>) -> ApiResponse {
    let tokens = gate.book().tokens().iter().map(|(accessor, record)| shown(accessor, record)).collect();
    json(StatusCode::OK, &Tokens { tokens, request_id: call.request_id.to_owned() })
}

fn show(gate: &Gate, call: &Call<'_>, accessor: &str) -> Result<ApiResponse, KeepError> {
    let book = gate.book();
    let record = book.get(accessor).ok_or_else(|| KeepError::Unknown(accessor.to_owned()))?;
    let body = TokenText { token: shown(accessor, record), request_id: call.request_id.to_owned() };
    Ok(json(StatusCode::OK, &body))
}

fn told(call: &Call<'_>, status: StatusCode, made: &Made) -> ApiResponse {
    let token = shown(&made.accessor, &made.record);
    json(status, &TokenMade { token, secret: made.secret.reveal(), request_id: call.request_id.to_owned() })
}

fn who(gate: &Gate, call: &Call<'_>, grants: &Grants) -> ApiResponse {
    let identity = &call.caller.identity;
    let token = match identity {
        Identity::Token(token) => gate.book().get(&token.accessor).map(|record| shown(&token.accessor, record)),
        _ => None,
    };
    let own = grants
        .own()
        .iter()
        .map(|grant| TokenGrant { role: grant.role.as_str().to_owned(), tasks: grant.tasks.patterns().to_vec() });
    let body = TokenSelf {
        kind: identity.kind().to_owned(),
        name: identity.to_string(),
        address: call.caller.address.clone(),
        agent: call.caller.agent.clone(),
        access: gate.rules().is_some(),
        anonymous: gate.rules().map_or("write", |rules| rules.default.as_str()).to_owned(),
        roles: if gate.rules().is_some() { own.collect() } else { Vec::new() },
        token,
        request_id: call.request_id.to_owned(),
    };
    json(StatusCode::OK, &body)
}

fn shown(accessor: &str, record: &Record) -> TokenShown {
    let moment = |seconds: i64| {
        let at = DateTime::from_timestamp(seconds, 0);
        at.map_or_else(String::new, |at| at.to_rfc3339_opts(SecondsFormat::Secs, true))
    };
    TokenShown {
        accessor: accessor.to_owned(),
        description: record.description.clone(),
        role: record.role.as_str().to_owned(),
        tasks: record.tasks.clone(),
        created: moment(record.created),
        created_by: record.created_by.clone(),
        expires: record.expires.map(moment),
        last_used: record.used.map(moment),
        rotated: record.rotated.map(moment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_or_explained() {
        let body = br#"{"role": "operate", "tasks": ["web-*"], "description": "ci", "ttl": "1h30m"}"#;
        let expected = NewToken {
            role: Role::Operate,
            tasks: vec!["web-*".to_owned()],
            description: "ci".to_owned(),
            ttl: Some(5400),
        };
        assert_eq!(wanted(body), Ok(expected));
        assert_eq!(wanted(br#"{"role": "read"}"#).map(|it| (it.ttl, it.tasks.len())), Ok((None, 0)));
        for (body, part) in [
            (&br"{}"[..], "missing field `role`"),
            (br#"{"role": "god"}"#, "unknown variant `god`"),
            (br#"{"role": "read", "task": "x"}"#, "unknown field `task`"),
            (br#"{"role": "read", "ttl": "soon"}"#, "such as 720h, not \"soon\""),
            (br#"{"role": "read", "ttl": "-1h"}"#, "such as 720h"),
            (br"", "the request's body must be like"),
        ] {
            let text = wanted(body).unwrap_err();
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn token_paths_are_told_from_others() {
        for (path, is) in
            [("/v1/tokens", true), ("/v1/tokens/self", true), ("/v1/tokensx", false), ("/v1/token", false)]
        {
            assert_eq!(is_token_path(path), is, "{path}");
        }
    }
}
