//! The keys of the cluster's traffic: who has which, and how they are changed. No answer and no error holds a key.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use serde::Deserialize;

use super::error::{Shape, error, json};
use super::reply::{Keyring, KeyringChanged, KeyringKey, KeyringMember};
use super::tasks::{Call, Silence};
use super::{forward, limits};
use crate::keyring::{Refusal, Standing, key_of_text};
use crate::runtime::handle::{ApiResponse, Handle};
use crate::runtime::keyring::{Changed, KeyringError, Listed, Named, Wanted};

/// What only the leader answers; the list, every agent does.
pub(super) fn is_keyring_path(path: &str) -> bool {
    matches!(path, "/v1/keyring/install" | "/v1/keyring/use" | "/v1/keyring/remove")
}

/// `GET /v1/keyring`.
pub(super) async fn list(handle: &Handle, request_id: &str) -> ApiResponse {
    let Some(desk) = &handle.keyring else {
        return error(StatusCode::NOT_IMPLEMENTED, Shape::WithId, "this agent keeps no keys", request_id);
    };
    match desk.list().await {
        Ok(listed) => json(StatusCode::OK, &shown(handle, &listed, request_id)),
        Err(why) => error(status(&why), Shape::WithId, &why.to_string(), request_id),
    }
}

fn shown(handle: &Handle, listed: &[Listed], request_id: &str) -> Keyring {
    let view = &handle.cluster().view;
    let mut keys: BTreeMap<String, KeyringKey> = BTreeMap::new();
    let mut members = Vec::new();
    for Listed { member, standing } in listed {
        let id = member.id.to_string();
        let (report, why) = match standing {
            Standing::Told(report) => (Some(report), None),
            Standing::Silent(why) => (None, Some(why.clone())),
            Standing::Away => (None, Some(format!("it is {}", member.state.as_str()))),
        };
        for (number, print) in report.iter().flat_map(|report| report.keys.iter().enumerate()) {
            let key = keys.entry(print.clone()).or_insert_with(|| KeyringKey::new(print));
            key.installed_on.push(id.clone());
            if number == 0 {
                key.primary_on.push(id.clone());
            }
        }
        members.push(KeyringMember {
            id,
            state: member.state.as_str().to_owned(),
            voter: member.voter,
            revision: report.map(|report| report.revision),
            keys: report.map_or_else(Vec::new, |report| report.keys.clone()),
            unknown: why,
        });
    }
    let mut keys: Vec<KeyringKey> = keys.into_values().collect();
    keys.sort_by_key(|key| (std::cmp::Reverse(key.primary_on.len()), key.fingerprint.clone()));
    Keyring {
        cluster_name: view.name.clone(),
        keys,
        members,
        observed_by: view.observer.to_string(),
        request_id: request_id.to_owned(),
    }
}

#[derive(Deserialize)]
struct Body {
    key: Option<String>,
    fingerprint: Option<String>,
}

/// `POST /v1/keyring/install|use|remove[?force=true]`, as the leader.
pub(super) async fn change(handle: &Handle, call: &Call<'_>) -> ApiResponse {
    let refuse = |text: &str| call.error(StatusCode::BAD_REQUEST, Shape::WithId, text);
    if call.method != "POST" {
        let text = format!("'{}' is not a method of {}", call.method, call.path);
        return call.error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, &text);
    }
    let (wanted, force) = match (wanted(call), super::cancel::flag(call, "force")) {
        (Ok(wanted), Ok(force)) => (wanted, force),
        (Err(text), _) | (_, Err(text)) => return refuse(&text),
    };
    let Some(desk) = &handle.keyring else {
        return call.error(StatusCode::NOT_IMPLEMENTED, Shape::WithId, "this agent keeps no keys");
    };
    match tokio::time::timeout(limits::COMMAND, desk.change(wanted, force)).await {
        Ok(Ok(changed)) => json(StatusCode::OK, &done(&changed, call.request_id)),
        Ok(Err(KeyringError::NotLeading)) => forward::no_leader(call, &handle.cluster()),
        Ok(Err(why)) => call.error(status(&why), Shape::WithId, &why.to_string()),
        Err(_) => call.error(Silence::Unknown.status(), Shape::WithId, Silence::Unknown.text()),
    }
}

/// What is asked for. The errors say nothing of what was sent: it may be a key.
fn wanted(call: &Call<'_>) -> Result<Wanted, String> {
    let body: Body = serde_json::from_slice(call.body)
        .map_err(|_| "a JSON object with \"key\" or \"fingerprint\" is expected".to_owned())?;
    let key = match &body.key {
        Some(text) => {
            Some(key_of_text(text).ok_or("\"key\" must be 32 bytes in base64, as `quorate keygen` prints them")?)
        }
        None => None,
    };
    let named = match (key.clone(), body.fingerprint) {
        (Some(key), None) => Some(Named::Key(key)),
        (None, Some(print)) => Some(Named::Fingerprint(print)),
        _ => None,
    };
    let either = || "exactly one of \"key\" and \"fingerprint\" is expected".to_owned();
    match call.path {
        "/v1/keyring/install" => key.map(Wanted::Install).ok_or_else(|| "\"key\" is missing: the new key".to_owned()),
        "/v1/keyring/use" => named.map(Wanted::Use).ok_or_else(either),
        _ => named.map(Wanted::Remove).ok_or_else(either),
    }
}

fn status(why: &KeyringError) -> StatusCode {
    match why {
        KeyringError::Refused(Refusal::Unknown(_)) => StatusCode::NOT_FOUND,
        KeyringError::Plain | KeyringError::NoMajority | KeyringError::Refused(_) | KeyringError::StillSeals { .. } => {
            StatusCode::CONFLICT
        }
        KeyringError::NotLeading => StatusCode::SERVICE_UNAVAILABLE,
        KeyringError::Failed(_) | KeyringError::Lost => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn done(changed: &Changed, request_id: &str) -> KeyringChanged {
    KeyringChanged {
        fingerprint: changed.key.to_string(),
        changed: changed.changed,
        waiting_for: changed.waiting.iter().map(ToString::to_string).collect(),
        warnings: changed.warnings.clone(),
        request_id: request_id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::handle::Caller;

    fn ask(path: &'static str, body: &'static str) -> Result<Wanted, String> {
        wanted(&Call {
            method: "POST",
            path,
            query: "",
            body: body.as_bytes(),
            request_id: "r",
            caller: &Caller::unknown(),
        })
    }

    #[test]
    fn bodies_are_read_and_errors_repeat_nothing_of_them() {
        const KEY: &str = r#"{"key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#;
        assert!(matches!(ask("/v1/keyring/install", KEY), Ok(Wanted::Install(_))));
        assert!(matches!(ask("/v1/keyring/use", KEY), Ok(Wanted::Use(Named::Key(_)))));
        let named = ask("/v1/keyring/remove", r#"{"fingerprint": "ab12"}"#);
        assert!(matches!(named, Ok(Wanted::Remove(Named::Fingerprint(_)))));
        for body in ["", "[]", r#"{"key": "c2VjcmV0"}"#, r#"{"key": 7}"#, r#"{"fingerprint": "c2VjcmV0"}"#, "c2VjcmV0"]
        {
            let why = ask("/v1/keyring/install", body).unwrap_err();
            assert!(!why.contains("c2VjcmV0"), "{why}");
        }
        assert!(ask("/v1/keyring/use", "{}").is_err());
    }
}
