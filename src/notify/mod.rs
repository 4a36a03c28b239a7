//! Notices: what a person or another program is told when something happens, by a webhook or a command.
//!
//! Pure but for [`Sender::deliver`]. What happened, when a notice is sent again, and that none is sent twice is decided in
//! `runtime/notices.rs`.

mod body;
mod command;
mod webhook;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use self::body::{Notice, Subject};
pub use self::webhook::SIGNATURE;

/// What happens that one can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A run failed, or took longer than its `timeout`.
    Failure,
    /// The first run that went well after one that failed.
    Recovery,
    /// A plan waits for a person.
    Approval,
    /// Drift was found.
    Drift,
    /// Another agent leads.
    Leader,
    /// A member is down, or back.
    Member,
}

impl Kind {
    /// The words of the configuration.
    pub const ALL: [Self; 6] = [Self::Failure, Self::Recovery, Self::Approval, Self::Drift, Self::Leader, Self::Member];

    /// The word of the configuration and of the notice.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Recovery => "recovery",
            Self::Approval => "approval",
            Self::Drift => "drift",
            Self::Leader => "leader",
            Self::Member => "member",
        }
    }
}

/// One `notify` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its label.
    pub name: String,
    /// Of what it is told.
    pub on: BTreeSet<Kind>,
    /// How.
    pub way: Way,
    /// How long one delivery may take.
    pub timeout: Duration,
}

/// How a notice is delivered.
#[derive(Clone, PartialEq, Eq)]
pub enum Way {
    /// `POST` to this address.
    Webhook {
        /// Often a secret itself.
        url: String,
        /// What the body is signed with; `None`: it is not.
        secret: Option<String>,
        /// Which body.
        format: Format,
        /// Authorities that are trusted besides the system's.
        ca_cert: Option<PathBuf>,
    },
    /// A program with its arguments, which gets the notice on standard input.
    Command(Vec<String>),
}

impl fmt::Debug for Way {
    /// Without secrets: addresses of webhooks are some.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook { format, secret, .. } => {
                let signed = secret.is_some();
                f.debug_struct("Webhook").field("format", format).field("signed", &signed).finish_non_exhaustive()
            }
            Self::Command(argv) => f.debug_tuple("Command").field(argv).finish(),
        }
    }
}

/// The body of a webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Ours.
    #[default]
    Json,
    /// `{"text": ..}`, which Slack and its kin understand.
    Slack,
}

/// Delivers the notices of one block.
#[derive(Debug, Clone)]
pub struct Sender {
    settings: Settings,
    client: Option<reqwest::Client>,
    environment: Vec<(std::ffi::OsString, std::ffi::OsString)>,
}

impl Sender {
    /// `environment`: what a command sees. `Err`: the authorities cannot be read.
    pub fn new(settings: Settings, environment: Vec<(std::ffi::OsString, std::ffi::OsString)>) -> Result<Self, String> {
        let client = match &settings.way {
            Way::Webhook { ca_cert, .. } => Some(webhook::client(ca_cert.clone(), settings.timeout)?),
            Way::Command(_) => None,
        };
        Ok(Self { settings, client, environment })
    }

    /// What it was made of.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Delivers a notice once; `now`: seconds since 1970. `Err`: why not, without the address.
    pub async fn deliver(&self, notice: &Notice, now: i64) -> Result<(), String> {
        let delivery = async {
            match (&self.settings.way, &self.client) {
                (Way::Webhook { url, secret, format, .. }, Some(client)) => {
                    webhook::post(client, url, secret.as_deref(), *format, notice, now).await
                }
                (Way::Command(argv), _) => command::run(argv, &self.environment, notice).await,
                (Way::Webhook { .. }, None) => Err("there is no client".to_owned()),
            }
        };
        match tokio::time::timeout(self.settings.timeout, delivery).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("it took longer than {} s", self.settings.timeout.as_secs())),
        }
    }
}
