//! What a majority keeps of one token: the value of its register, JSON.

use serde::{Deserialize, Serialize};

use super::grant::{Grant, Role, Tasks};
use super::pattern::check_pattern;
use super::token::TokenHash;

/// Longest description, in bytes.
pub const DESCRIPTION_MAX: usize = 200;
/// Most patterns of tasks.
pub const PATTERNS_MAX: usize = 10;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Of its secret.
    #[serde(with = "hex")]
    pub hash: TokenHash,
    /// What its holder may do.
    pub role: Role,
    /// On which tasks; empty: all, and what is not about tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Who made it.
    pub created_by: String,
    /// Seconds since 1970 at which it ends; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// The hour in which it was used last, seconds since 1970; `None`: not yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<i64>,
    /// When its secret was last replaced, seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated: Option<i64>,
}

/// Why there can be no such token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordError(String);

impl Record {
    /// What it is good for.
    pub fn grant(&self) -> Grant {
        Grant { role: self.role, tasks: Tasks::new(self.tasks.clone()) }
    }

    /// Whether it is over. `now`: seconds since 1970.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Checks what a person asked for.
    pub fn check(&self) -> Result<(), RecordError> {
        let bad = |why: String| Err(RecordError(why));
        if self.description.len() > DESCRIPTION_MAX {
            return bad(format!("the description has {} bytes, {DESCRIPTION_MAX} is the most", self.description.len()));
        }
        if self.description.chars().any(char::is_control) {
            return bad("the description has a line end or another control character".to_owned());
        }
        if self.tasks.len() > PATTERNS_MAX {
            return bad(format!("there are {} patterns of tasks, {PATTERNS_MAX} is the most", self.tasks.len()));
        }
        for pattern in &self.tasks {
            if let Err(why) = check_pattern(pattern) {
                return bad(format!("the pattern {pattern:?} of tasks {why}"));
            }
        }
        Ok(())
    }
}

mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::TokenHash;

    pub(super) fn serialize<S: Serializer>(hash: &TokenHash, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hash.to_hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<TokenHash, D::Error> {
        TokenHash::from_hex(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("no hash of a token"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::token::Secret;
    use super::*;

    pub(in crate::access) fn record(byte: u8, role: Role) -> Record {
        Record {
            hash: Secret::new([byte; 32]).hash(),
            role,
            tasks: Vec::new(),
            description: String::new(),
            created: 1,
            created_by: "me".to_owned(),
            expires: None,
            used: None,
            rotated: None,
        }
    }

    #[test]
    fn a_record_is_read_back_and_fits_a_register() {
        let largest = Record {
            tasks: vec!["x".repeat(super::super::PATTERN_MAX); PATTERNS_MAX],
            description: "d".repeat(DESCRIPTION_MAX),
            created_by: "c".repeat(200),
            expires: Some(i64::MAX),
            used: Some(i64::MAX),
            rotated: Some(i64::MAX),
            created: i64::MAX,
            ..record(1, Role::Operate)
        };
        largest.check().unwrap();
        let bytes = serde_json::to_vec(&largest).unwrap();
        // Above 2 KiB it would be a file of its own.
        assert!(bytes.len() < 2048, "{}", bytes.len());
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), largest);
        // What a later version adds is no reason to forget a token; a role that is not known is.
        let text = String::from_utf8(bytes).unwrap();
        assert!(serde_json::from_str::<Record>(&text.replacen('{', "{\"later\":1,", 1)).is_ok());
        assert!(serde_json::from_str::<Record>(&text.replace("operate", "god")).is_err());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |record: Record| record.check().unwrap_err().to_string();
        let ok = record(1, Role::Read);
        assert!(check(Record { description: "x".repeat(201), ..ok.clone() }).contains("201 bytes"));
        assert!(check(Record { description: "a\nb".to_owned(), ..ok.clone() }).contains("line end"));
        assert!(check(Record { tasks: vec!["*".to_owned(); 11], ..ok.clone() }).contains("11 patterns"));
        assert!(check(Record { tasks: vec![String::new()], ..ok }).contains("is empty"));
    }

    #[test]
    fn a_token_ends_with_its_second() {
        let ends = Record { expires: Some(100), ..record(1, Role::Read) };
        assert!(!ends.is_expired(99) && ends.is_expired(100) && !record(1, Role::Read).is_expired(i64::MAX));
    }
}
