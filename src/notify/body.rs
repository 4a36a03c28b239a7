//! What a notice says.

use serde::Serialize;

use super::{Format, Kind};

/// Something that somebody is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The same for the same happening, whoever tells it and how often: the key for receivers that must not act twice.
    pub id: String,
    /// What kind.
    pub kind: Kind,
    /// Of which cluster.
    pub cluster: String,
    /// Who tells it.
    pub agent: String,
    /// Under which epoch.
    pub epoch: u64,
    /// When it happened, RFC 3339 in UTC.
    pub at: String,
    /// What it is about.
    pub subject: Subject,
    /// One sentence for people.
    pub text: String,
    /// More, such as the error of a run; may be empty.
    pub detail: String,
}

/// What a notice is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A task, and the run of it.
    Task {
        /// Its name.
        task: String,
        /// UUID.
        run: Option<String>,
    },
    /// A member.
    Member(String),
}

#[derive(Serialize)]
struct Json<'a> {
    id: &'a str,
    kind: &'a str,
    cluster: &'a str,
    agent: &'a str,
    epoch: u64,
    at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl Notice {
    /// The body of a request, or the standard input of a command.
    pub fn body(&self, format: Format) -> Vec<u8> {
        let (task, run, member) = match &self.subject {
            Subject::Task { task, run } => (Some(task.as_str()), run.as_deref(), None),
            Subject::Member(member) => (None, None, Some(member.as_str())),
        };
        let Self { id, kind, cluster, agent, epoch, at, text, detail, .. } = self;
        let body = match format {
            Format::Json => {
                let (kind, epoch) = (kind.as_str(), *epoch);
                serde_json::to_vec(&Json { id, kind, cluster, agent, epoch, at, task, run, member, text, detail })
            }
            Format::Slack => {
                let detail = if detail.is_empty() { String::new() } else { format!("\n```{}```", escaped(detail)) };
                serde_json::to_vec(
                    &serde_json::json!({"text": format!("*{}*: {}{detail}", escaped(cluster), escaped(text))}),
                )
            }
        };
        body.unwrap_or_default()
    }
}

/// The three characters that Slack takes for its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
pub(super) fn sample() -> Notice {
    Notice {
        id: "run-8f0c".to_owned(),
        kind: Kind::Failure,
        cluster: "edge".to_owned(),
        agent: "a1".to_owned(),
        epoch: 7,
        at: "2026-11-28T12:00:00.000Z".to_owned(),
        subject: Subject::Task { task: "web".to_owned(), run: Some("8f0c".to_owned()) },
        text: "task web failed".to_owned(),
        detail: "exit status 1 <&>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_notice_is_json_or_what_slack_understands() {
        let read = |format| serde_json::from_slice::<Value>(&sample().body(format)).unwrap();
        let expected = json!({
            "id": "run-8f0c", "kind": "failure", "cluster": "edge", "agent": "a1", "epoch": 7,
            "at": "2026-11-28T12:00:00.000Z", "task": "web", "run": "8f0c", "text": "task web failed",
            "detail": "exit status 1 <&>",
        });
        assert_eq!(read(Format::Json), expected);
        let text = "*edge*: task web failed\n```exit status 1 &lt;&amp;&gt;```";
        assert_eq!(read(Format::Slack), json!({"text": text}));
    }
}
