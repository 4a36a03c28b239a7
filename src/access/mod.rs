//! Who may do what: tokens, roles, the rules of the configuration, and the decision that follows from them.
//!
//! A caller is an [`Identity`]: what it showed, not what it claims to be allowed. [`Rules`] and the [`TokenTable`] turn it
//! into [`Grants`], and each request has a [`Need`]. Every agent that answers a request does that anew from its own rules
//! and its own book, also the leader for a request that another agent passed on. So no agent can be used to gain a role.
//!
//! # Invariants
//!
//! - A token's secret is never kept: only [`TokenHash`], and neither shows itself in debug output.
//! - An unknown, a revoked and an expired token are told alike.
//! - Tokens are managed by somebody with a name, whatever anonymous callers may do.
//!
//! # Not here
//!
//! Clocks (time is an argument), randomness (likewise), paths of the API, registers.

mod grant;
mod identity;
mod pattern;
mod record;
mod rules;
mod token;
mod token_table;
mod tries;

pub use self::grant::{Grant, Grants, Need, Role, Scope, Tasks};
pub use self::identity::{Identity, NAME_MAX, NAMES_MAX, TokenIdentity};
pub use self::pattern::{PATTERN_MAX, check_pattern, matches};
pub use self::record::{DESCRIPTION_MAX, PATTERNS_MAX, Record, RecordError};
pub use self::rules::{Anonymous, CertificateRule, OPEN_BY_DEFAULT, OPENABLE, Rules, Unknown};
pub use self::token::{PREFIX, Secret, TokenError, TokenHash, fuzz_token};
pub use self::token_table::TokenTable;
pub use self::tries::{Locked, Tries};
