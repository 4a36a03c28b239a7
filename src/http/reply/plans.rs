//! Bodies about plans that wait for a person, and about drift.

use serde::{Deserialize, Serialize};

/// What a look for drift came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftNow {
    /// When it ended, RFC 3339.
    pub checked: String,
    /// What is not as it was made; null: nothing.
    pub found: Option<DriftSeen>,
    /// Why it failed; then `found` is of the look before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Something that is not as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriftSeen {
    /// When it was first seen, RFC 3339.
    pub since: String,
    /// UUID of the run that looked last: its log has the whole plan.
    pub run: String,
    /// What, for people.
    pub text: String,
}

/// A plan without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanNow {
    /// UUID of the run that made it.
    pub id: String,
    /// When, RFC 3339 in UTC.
    pub made: String,
    /// Who made it.
    pub agent: String,
    /// Under which epoch.
    pub epoch: u64,
    /// What made that run start.
    pub trigger: String,
    /// How much it changes.
    pub summary: PlanSummary,
    /// What was decided; absent: it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<PlanDecision>,
}

/// How many resources a plan changes; a replacement is one to add and one to destroy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Created.
    pub add: u64,
    /// Changed in place.
    pub change: u64,
    /// Destroyed.
    pub destroy: u64,
    /// Outputs that get another value.
    pub outputs: u64,
    /// `+3 ~1 -0`.
    pub text: String,
}

/// What was decided of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDecision {
    /// False: rejected.
    pub approved: bool,
    /// Who decided, for people.
    pub by: String,
    /// When, RFC 3339 in UTC.
    pub at: String,
}

/// `GET /v1/tasks/{name}/plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanText {
    /// Of which task.
    pub task: String,
    /// What it is.
    pub plan: PlanNow,
    /// Terraform's text for people.
    pub text: String,
    /// What it changes, in the words of `terraform show -json`, without sensitive values.
    pub changes: serde_json::Value,
    /// Of this answer.
    pub request_id: String,
}
