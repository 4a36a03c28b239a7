//! Body about who led when.

use serde::{Deserialize, Serialize};

/// An agent that led, as the observer saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadershipShown {
    /// Who.
    pub leader: String,
    /// Under which epoch.
    pub epoch: u64,
    /// RFC 3339 in UTC with milliseconds.
    pub from: String,
    /// Likewise; null: it leads.
    pub until: Option<String>,
    /// Why it led, for people.
    pub why: String,
    /// Why it ended, for people; empty: it has not, or the observer does not know.
    pub end: String,
}
