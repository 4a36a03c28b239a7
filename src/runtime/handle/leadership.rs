//! Who led when, as faces show it.

use chrono::{DateTime, Utc};
use quorate_proto::{Epoch, MemberId};

/// How many leaderships an agent remembers: a week of a bad one, and small.
pub const LEADERSHIPS_MAX: usize = 100;

/// An agent that led, as another or itself saw it. What this agent was cut off from is not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    /// Who.
    pub leader: MemberId,
    /// The highest epoch that was known when it was first seen to lead: its own, unless another was claiming just then.
    pub epoch: Epoch,
    /// Since when it was seen to lead.
    pub from: DateTime<Utc>,
    /// Until when; `None`: it leads.
    pub until: Option<DateTime<Utc>>,
    /// Why it led, for people.
    pub why: String,
    /// Why it ended, for people; empty: it has not, or nobody here knows.
    pub end: String,
}
