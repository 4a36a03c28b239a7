//! One line of the audit trail.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::Value;

/// Longest text of a field that a client can choose, in characters.
const TEXT_MAX: usize = 256;
/// Longest error, in characters.
const ERROR_MAX: usize = 512;

/// When a line was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the change: only with `required`.
    Asked,
    /// After it: each request has one.
    Done,
}

/// What came of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Success,
    /// It was not done: the caller may not, or what it asked for is not possible.
    Refused,
    /// It was not done, or not well.
    Failure,
    /// Nobody said whether it was done.
    Unknown,
}

impl Outcome {
    /// Of an HTTP status.
    pub fn of(status: u16) -> Self {
        match status {
            504 => Self::Unknown,
            200..400 => Self::Success,
            400..500 => Self::Refused,
            _ => Self::Failure,
        }
    }
}

/// See the module. Fields without a value are left out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// When it was written.
    #[serde(serialize_with = "micros")]
    pub time: DateTime<Utc>,
    /// See there.
    pub stage: Stage,
    /// The same in the answer, in the logs of all agents, and in both lines of a request.
    pub request_id: String,
    /// Who received the request.
    pub agent: String,
    /// Who asked: an object with a `kind`.
    pub who: Value,
    /// The address of the client and its port.
    pub from: String,
    /// HTTP method.
    pub method: String,
    /// The path, with names replaced: `/v1/tasks/{name}`.
    pub path: String,
    /// What was asked for, such as `task.disable`.
    pub action: String,
    /// The task it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The token it is about: its accessor, which is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The key of the cluster's traffic it is about: its fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Switches of the request: `cancel`, `force`, `run=now`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<&'static str>,
    /// Of a flag that was changed: what it was, as this agent knew it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it was asked to be; only when that was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// See there; not yet of a line with the stage `asked`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The HTTP status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why not, where that text cannot hold what the client sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The newest leadership that this agent knew of.
    pub epoch: u64,
    /// Refusals from the same address before this one that have no line of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub unwritten: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Line {
    /// As it is written, without a line end: whatever is in it, it is one line.
    pub fn text(&self) -> String {
        let cut = |text: &str, max| text.chars().take(max).collect::<String>();
        let line = Self {
            task: self.task.as_deref().map(|task| cut(task, TEXT_MAX)),
            token: self.token.as_deref().map(|token| cut(token, TEXT_MAX)),
            error: self.error.as_deref().map(|error| cut(error, ERROR_MAX)),
            method: cut(&self.method, TEXT_MAX),
            ..self.clone()
        };
        // Plain data: this cannot fail; if it did, the line would say so.
        serde_json::to_string(&line)
            .unwrap_or_else(|error| format!("{{\"error\":\"cannot write this line: {error}\"}}"))
    }

    #[cfg(test)]
    pub(crate) fn sample() -> Self {
        Self {
            time: DateTime::from_timestamp_micros(1_800_000_000_123_456).unwrap(),
            stage: Stage::Done,
            request_id: "r".to_owned(),
            agent: "a1".to_owned(),
            who: serde_json::json!({"kind": "anonymous"}),
            from: "127.0.0.1:7".to_owned(),
            method: "PATCH".to_owned(),
            path: "/v1/tasks/{name}".to_owned(),
            action: "task.disable".to_owned(),
            task: Some("web".to_owned()),
            token: None,
            key: None,
            flags: Vec::new(),
            before: Some(serde_json::json!({"enabled": true})),
            after: Some(serde_json::json!({"enabled": false})),
            outcome: Some(Outcome::of(200)),
            status: Some(200),
            error: None,
            epoch: 7,
            unwritten: 0,
        }
    }
}

fn micros<S: serde::Serializer>(time: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_the_documentation_shows() {
        assert_eq!(
            Line::sample().text(),
            concat!(
                r#"{"time":"2027-01-15T08:00:00.123456Z","stage":"done","request_id":"r","agent":"a1","#,
                r#""who":{"kind":"anonymous"},"from":"127.0.0.1:7","method":"PATCH","path":"/v1/tasks/{name}","#,
                r#""action":"task.disable","task":"web","before":{"enabled":true},"after":{"enabled":false},"#,
                r#""outcome":"success","status":200,"epoch":7}"#
            )
        );
    }

    #[test]
    fn what_a_client_makes_up_stays_in_its_line() {
        let task = Some(format!("a\n{{\"stage\":\"done\"}}\u{7}{}", "x".repeat(9000)));
        let line = Line { task, error: Some("e\r\n".repeat(9000)), ..Line::sample() }.text();
        assert!(!line.contains(['\n', '\r', '\u{7}']) && line.len() < 4096, "{line}");
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["stage"], "done");
    }

    #[test]
    fn outcomes_follow_the_status() {
        use Outcome::{Failure, Refused, Success, Unknown};
        for (status, outcome) in
            [(200, Success), (202, Success), (403, Refused), (429, Refused), (503, Failure), (504, Unknown)]
        {
            assert_eq!(Outcome::of(status), outcome, "{status}");
        }
    }
}
