//! The tokens that an agent knows of.

use std::collections::BTreeMap;

use super::record::Record;
use super::token::TokenHash;

/// By accessor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenTable(BTreeMap<String, Record>);

impl TokenTable {
    /// Of these.
    pub fn new(tokens: BTreeMap<String, Record>) -> Self {
        Self(tokens)
    }

    /// All, in order of their accessors.
    pub fn tokens(&self) -> &BTreeMap<String, Record> {
        &self.0
    }

    /// One, by accessor.
    pub fn get(&self, accessor: &str) -> Option<&Record> {
        self.0.get(accessor)
    }

    /// Writes one down, or takes it away.
    pub fn put(&mut self, accessor: String, record: Option<Record>) {
        match record {
            Some(record) => drop(self.0.insert(accessor, record)),
            None => drop(self.0.remove(&accessor)),
        }
    }

    /// The token with this hash, unless it has ended. Every token is compared, each in constant time: how long that takes
    /// says nothing about which one it is. `now`: seconds since 1970.
    pub fn find(&self, hash: TokenHash, now: i64) -> Option<(&str, &Record)> {
        let mut found = None;
        for (accessor, record) in &self.0 {
            if record.hash == hash {
                found = Some((accessor.as_str(), record));
            }
        }
        found.filter(|(_, record)| !record.is_expired(now))
    }

    /// Those that have ended.
    pub fn expired(&self, now: i64) -> Vec<String> {
        self.0.iter().filter(|(_, record)| record.is_expired(now)).map(|(accessor, _)| accessor.clone()).collect()
    }
}
