//! Bodies about tokens and access.

use serde::{Deserialize, Serialize};

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenShown {
    /// By which it is called.
    pub accessor: String,
    /// What it is for.
    pub description: String,
    /// `read`, `operate` or `admin`.
    pub role: String,
    /// Patterns of the tasks that it is for; empty: all.
    pub tasks: Vec<String>,
    /// RFC 3339 in UTC.
    pub created: String,
    /// Who made it.
    pub created_by: String,
    /// RFC 3339 in UTC; null: never.
    pub expires: Option<String>,
    /// The hour in which it was used last, RFC 3339 in UTC; null: not yet.
    pub last_used: Option<String>,
    /// When its secret was last replaced, RFC 3339 in UTC; null: never.
    pub rotated: Option<String>,
}

/// `GET /v1/tokens`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Sorted by accessor.
    pub tokens: Vec<TokenShown>,
    /// Of this answer.
    pub request_id: String,
}

/// `GET /v1/tokens/{accessor}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenText {
    /// It.
    pub token: TokenShown,
    /// Of this answer.
    pub request_id: String,
}

/// A token was made, or has another secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// It.
    pub token: TokenShown,
    /// Its secret, told this once.
    pub secret: String,
    /// Of this answer.
    pub request_id: String,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMade").field("token", &self.token).finish_non_exhaustive()
    }
}

/// `DELETE /v1/tokens/{accessor}`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoked {
    /// Which.
    pub revoked: String,
    /// Of this answer.
    pub request_id: String,
}

/// A role for some tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenGrant {
    /// `read`, `operate` or `admin`.
    pub role: String,
    /// Patterns of the tasks that it is for; empty: all.
    pub tasks: Vec<String>,
}

/// `GET /v1/tokens/self`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSelf {
    /// `anonymous`, `token`, `certificate` or `socket`.
    pub kind: String,
    /// Who that is.
    pub name: String,
    /// Where the request came from.
    pub address: String,
    /// The agent that received it.
    pub agent: String,
    /// Whether access is controlled at all.
    pub access: bool,
    /// What anonymous callers may do: `deny`, `read` or `write`.
    pub anonymous: String,
    /// What this caller has beside that.
    pub roles: Vec<TokenGrant>,
    /// The token that was shown, if one was.
    pub token: Option<TokenShown>,
    /// Of this answer.
    pub request_id: String,
}

/// Who may use an agent's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessNow {
    /// Whether there is an `access` block.
    pub enabled: bool,
    /// What anonymous callers may do: `deny`, `read` or `write`.
    pub anonymous: String,
    /// Whoever reaches the API from elsewhere may change everything (`insecure = true`).
    pub insecure: bool,
}
