//! Whether a change of the ring is safe now.

use std::collections::BTreeMap;

use quorate_proto::MemberId;
use quorate_proto::seal::{Fingerprint, Key, RING_MAX, Ring};

use super::{Agreed, Report};

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Everybody opens with this key too.
    Install(Key),
    /// Everybody seals with this key of the ring.
    Use(Fingerprint),
    /// Nobody opens with this key any more.
    Remove(Fingerprint),
}

impl Change {
    /// The key in question.
    pub fn key(&self) -> Fingerprint {
        match self {
            Self::Install(key) => Fingerprint::of(key),
            Self::Use(print) | Self::Remove(print) => *print,
        }
    }

    /// Whether an agent has carried it out.
    pub fn is_seen_in(&self, report: &Report) -> bool {
        match self {
            Self::Install(key) => report.has(Fingerprint::of(key)),
            Self::Use(print) => report.seals_with(*print),
            Self::Remove(print) => !report.has(*print),
        }
    }
}

/// How a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is here and has told its keys.
    Told(Report),
    /// It is here and has not, for this reason.
    Silent(String),
    /// It is down, or has left: only its return matters.
    Away,
}

/// All members, the leader included.
pub type Standings = BTreeMap<MemberId, Standing>;

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What is agreed next; `None`: it is so already.
    pub next: Option<Agreed>,
    /// What the operator must know, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a change is refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such key.
    #[error("no key of the ring has the fingerprint {0}; `quorate keyring list` shows them")]
    Unknown(String),
    /// Several have.
    #[error("more than one key of the ring begins with {0}: give more digits")]
    Ambiguous(String),
    /// No room.
    #[error("the ring has {RING_MAX} keys, the most there can be: remove one first")]
    Full,
    /// It is in use.
    #[error("{0} is the primary key, by which everybody seals: `quorate keyring use` another one first")]
    Primary(Fingerprint),
    /// Some are not ready for it. `force` goes on all the same.
    #[error("{what}: {}. {then}", .who.join("; "))]
    NotReady {
        /// What is missing.
        what: &'static str,
        /// Member by member.
        who: Vec<String>,
        /// What to do.
        then: &'static str,
    },
}

/// The key whose fingerprint begins like this, four digits at least.
pub fn find(ring: &Ring, text: &str) -> Result<Fingerprint, Refusal> {
    let wanted = text.trim().to_ascii_lowercase();
    let mut found = ring.fingerprints().filter(|print| wanted.len() >= 4 && print.to_string().starts_with(&wanted));
    match (found.next(), found.next()) {
        (Some(print), None) => Ok(print),
        (Some(_), Some(_)) => Err(Refusal::Ambiguous(wanted)),
        (None, _) => Err(Refusal::Unknown(wanted)),
    }
}

/// Decides about a change. `force`: also when members that are here are not ready.
pub fn decide(now: &Agreed, change: &Change, members: &Standings, force: bool) -> Result<Outcome, Refusal> {
    let key = change.key();
    let known = now.ring.contains(key);
    let settled = Outcome { next: None, warnings: Vec::new() };
    match change {
        Change::Install(_) if known => Ok(settled),
        Change::Install(new) => {
            let keys = now.ring.keys().cloned().chain([new.clone()]);
            let ring = Ring::new(keys).map_err(|_| Refusal::Full)?;
            Ok(Outcome { next: Some(now.next(ring, None)), warnings: old_agents(members) })
        }
        Change::Use(_) | Change::Remove(_) if !known => {
            // Removing what is removed is no mistake; using it is.
            let is_removed = matches!(change, Change::Remove(_)) && now.removed.contains(&key);
            if is_removed { Ok(settled) } else { Err(Refusal::Unknown(key.to_string())) }
        }
        Change::Use(_) if now.ring.primary() == key => Ok(settled),
        Change::Use(_) => {
            let what = "not every member that is here has the key yet";
            let then = "Ask again in a moment, or use -force: such a member goes on by the old key as long as that is in the ring";
            let lacking = |report: &Report| (!report.has(key)).then(|| "does not have it".to_owned());
            let mut warnings = ready(members, force, what, then, lacking)?;
            let comes_back = "is away: it comes back by the old key as long as that is in the ring";
            warnings.extend(away(members).map(|id| format!("{id} {comes_back}")));
            let first = now.ring.key(key).cloned();
            let rest = now.ring.fingerprints().zip(now.ring.keys()).filter(|(print, _)| *print != key);
            let keys = first.into_iter().chain(rest.map(|(_, other)| other.clone()));
            let ring = Ring::new(keys).map_err(|_| Refusal::Full)?;
            Ok(Outcome { next: Some(now.next(ring, None)), warnings })
        }
        Change::Remove(_) if now.ring.primary() == key => Err(Refusal::Primary(key)),
        Change::Remove(_) => {
            let what = "not every member that is here seals by another key yet";
            let then =
                "Ask again in a moment, or use -force: such a member is cut off until its file has a key of the ring";
            let clinging = |report: &Report| {
                let lacks = !report.has(now.ring.primary());
                (report.seals_with(key) || lacks).then(|| "still seals by this one".to_owned())
            };
            let mut warnings = ready(members, force, what, then, clinging)?;
            let cut_off = "is away: if it knows no other key of the ring, it is refused when it comes back, until its \
                           encrypt_file has the current key";
            warnings.extend(away(members).map(|id| format!("{id} {cut_off}")));
            let rest = now.ring.fingerprints().zip(now.ring.keys()).filter(|(print, _)| *print != key);
            let ring = Ring::new(rest.map(|(_, other)| other.clone())).map_err(|_| Refusal::Primary(key))?;
            Ok(Outcome { next: Some(now.next(ring, Some(key))), warnings })
        }
    }
}

/// `Err`: some members that are here are not ready; with `force` they are only told of.
fn ready(
    members: &Standings,
    force: bool,
    what: &'static str,
    then: &'static str,
    fault: impl Fn(&Report) -> Option<String>,
) -> Result<Vec<String>, Refusal> {
    let unready = members.iter().filter_map(|(id, standing)| match standing {
        Standing::Told(report) => fault(report).map(|why| format!("{id} {why}")),
        Standing::Silent(why) => Some(format!("{id} does not tell its keys ({why})")),
        Standing::Away => None,
    });
    let who: Vec<String> = unready.collect();
    if who.is_empty() || force { Ok(who) } else { Err(Refusal::NotReady { what, who, then }) }
}

fn away(members: &Standings) -> impl Iterator<Item = &MemberId> {
    members.iter().filter(|(_, standing)| **standing == Standing::Away).map(|(id, _)| id)
}

fn old_agents(members: &Standings) -> Vec<String> {
    let silent = members.iter().filter_map(|(id, standing)| match standing {
        Standing::Silent(why) => Some(format!("{id} does not tell its keys ({why})")),
        Standing::Told(_) | Standing::Away => None,
    });
    silent.collect()
}
