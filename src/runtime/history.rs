//! What is kept of a task's runs on a majority: its events, and what its last success depended on.
//!
//! Two registers a task, and for tasks whose guards compare instances a third, `applied/<task>`, with their hashed names. `history/<task>` holds the newest [`RECENT`] events and is written after every run: small, inside
//! the register. `history-old/<task>` holds the rest, up to [`EVENTS_MAX`], and is written every [`RECENT`] runs.

use std::collections::VecDeque;

use chrono::{DateTime, Local, TimeZone};
use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec;
use quorate_proto::message::Entry;

use crate::task::Kept;
use crate::task::report::{CutShort, EVENTS_MAX, RunEvent};

/// Register prefix of the newest events.
pub(super) const PREFIX: &str = "history/";
/// Register prefix of the older ones.
pub(super) const OLD_PREFIX: &str = "history-old/";
/// Register prefix of the instances that were applied last.
pub(super) const APPLIED_PREFIX: &str = "applied/";
/// Register prefix of runs that were promised and are not over.
pub(super) const ASKED_PREFIX: &str = "asked/";
/// Register prefix of the run that was cancelled last.
pub(super) const CANCELLED_PREFIX: &str = "cancelled/";
/// Events in the small register at most, and how many move on at a time.
const RECENT: u64 = 10;

/// The small register.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Newest {
    count: u64,
    last_success: Option<[u8; 32]>,
    events: Vec<Stored>,
}

/// An event; times are microseconds since 1970 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Stored {
    id: [u8; 16],
    ending: Ending,
    start: i64,
    end: i64,
    epoch: u64,
    trigger: String,
    error: Option<String>,
}

/// How it ended. Before runs could be cancelled this was `false` or `true`: the bytes are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
enum Ending {
    Failure,
    Success,
    Cancelled,
    TimedOut,
}

impl From<&RunEvent> for Stored {
    fn from(event: &RunEvent) -> Self {
        Self {
            id: *event.id.as_bytes(),
            ending: match (event.success, event.cut_short) {
                (true, _) => Ending::Success,
                (false, None) => Ending::Failure,
                (false, Some(CutShort::Cancelled)) => Ending::Cancelled,
                (false, Some(CutShort::TimedOut)) => Ending::TimedOut,
            },
            start: event.start_time.timestamp_micros(),
            end: event.end_time.timestamp_micros(),
            epoch: event.epoch,
            trigger: event.trigger.clone(),
            error: event.error.clone(),
        }
    }
}

impl From<Stored> for RunEvent {
    fn from(stored: Stored) -> Self {
        Self {
            id: uuid::Uuid::from_bytes(stored.id),
            success: stored.ending == Ending::Success,
            start_time: at(stored.start),
            end_time: at(stored.end),
            error: stored.error,
            epoch: stored.epoch,
            trigger: stored.trigger,
            cut_short: match stored.ending {
                Ending::Failure | Ending::Success => None,
                Ending::Cancelled => Some(CutShort::Cancelled),
                Ending::TimedOut => Some(CutShort::TimedOut),
            },
        }
    }
}

fn at(micros: i64) -> DateTime<Local> {
    Local.timestamp_micros(micros).single().unwrap_or_default()
}

/// The registers to write now that the newest event is there. How many events lie in the small one depends only on how many
/// there ever were, so a leader that takes over goes on in the same rhythm.
pub(super) fn entries(task: &str, kept: &Kept) -> Vec<Entry> {
    let recent = usize::try_from((kept.count - 1) % RECENT + 1).unwrap_or(1);
    let stored = |events: &mut dyn Iterator<Item = &RunEvent>| events.map(Stored::from).collect::<Vec<_>>();
    let newest = Newest {
        count: kept.count,
        last_success: kept.last_success,
        events: stored(&mut kept.events.iter().take(recent)),
    };
    let mut entries = vec![Entry { key: format!("{PREFIX}{task}"), value: codec::encode(&newest).ok() }];
    if recent == 1 && kept.events.len() > 1 {
        let old = stored(&mut kept.events.iter().skip(1));
        entries.push(Entry { key: format!("{OLD_PREFIX}{task}"), value: codec::encode(&old).ok() });
    }
    if let Some(applied) = &kept.applied {
        let applied: Vec<u64> = applied.iter().copied().collect();
        entries.push(Entry { key: format!("{APPLIED_PREFIX}{task}"), value: codec::encode(&applied).ok() });
    }
    entries
}

/// The registers of a task that is deleted: its events go with it.
pub(super) fn forget(task: &str) -> Vec<Entry> {
    let prefixes = [PREFIX, OLD_PREFIX, APPLIED_PREFIX, ASKED_PREFIX, CANCELLED_PREFIX];
    prefixes.map(|prefix| Entry { key: format!("{prefix}{task}"), value: None }).to_vec()
}

/// What the registers add up to. What cannot be read is left out.
pub(super) fn read(newest: Option<&[u8]>, old: Option<&[u8]>, applied: Option<&[u8]>) -> Kept {
    let newest = newest.and_then(|bytes| codec::decode_frame::<Newest>(bytes).ok());
    let old = old.and_then(|bytes| codec::decode_frame::<Vec<Stored>>(bytes).ok()).unwrap_or_default();
    let Some(newest) = newest else { return Kept::default() };
    let mut events: VecDeque<RunEvent> = newest.events.into_iter().map(RunEvent::from).collect();
    events.extend(old.into_iter().map(RunEvent::from));
    events.truncate(EVENTS_MAX);
    let applied = applied.and_then(|bytes| codec::decode_frame::<Vec<u64>>(bytes).ok());
    let applied = applied.map(|names| names.into_iter().collect());
    Kept { count: newest.count, events, last_success: newest.last_success, applied, enabled_at: None, cancelled: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> RunEvent {
        RunEvent {
            id: uuid::Uuid::from_u128(u128::from(n)),
            success: !n.is_multiple_of(3),
            start_time: at(1_000_000 + i64::try_from(n).unwrap()),
            end_time: at(2_000_000),
            error: n.is_multiple_of(3).then(|| format!("error {n}")),
            epoch: n,
            trigger: "schedule".to_owned(),
            cut_short: (n % 6 == 3).then_some(if n % 4 == 1 { CutShort::Cancelled } else { CutShort::TimedOut }),
        }
    }

    #[test]
    fn every_count_of_events_is_read_back_as_it_was_kept() {
        let (mut kept, mut newest, mut old, mut applied) = (Kept::default(), None, None, None);
        for n in 1..250 {
            kept.count = n;
            kept.events.push_front(event(n));
            kept.events.truncate(EVENTS_MAX);
            kept.last_success = Some([u8::try_from(n % 251).unwrap(); 32]);
            kept.applied = Some(std::collections::BTreeSet::from([n, n + 1]));
            for entry in entries("t", &kept) {
                assert!(entry.value.is_some());
                let slot = match entry.key.as_str() {
                    "history/t" => &mut newest,
                    "applied/t" => &mut applied,
                    _ => &mut old,
                };
                *slot = entry.value;
            }
            let back = read(newest.as_deref(), old.as_deref(), applied.as_deref());
            assert_eq!(
                back.events.iter().take(91).collect::<Vec<_>>(),
                kept.events.iter().take(91).collect::<Vec<_>>()
            );
            assert_eq!((back.count, back.last_success), (kept.count, kept.last_success));
            assert_eq!(back.applied, kept.applied);
            assert!(back.events.len() >= kept.events.len().min(91));
        }
    }

    #[test]
    fn how_a_run_ended_is_kept_in_the_bytes_that_older_agents_wrote() {
        let byte = |ending: Ending| codec::encode(&ending).unwrap();
        assert_eq!(byte(Ending::Failure), codec::encode(&false).unwrap());
        assert_eq!(byte(Ending::Success), codec::encode(&true).unwrap());
        assert_eq!(byte(Ending::Cancelled).len(), 1);
    }

    #[test]
    fn the_small_register_stays_small() {
        let mut kept = Kept::default();
        for n in 1..=100 {
            kept.count = n;
            kept.events.push_front(RunEvent { error: None, ..event(n) });
            assert!(entries("t", &kept)[0].value.as_ref().unwrap().len() < 1024);
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_history() {
        assert_eq!(read(Some(&[9, 9]), Some(&[1]), None), Kept::default());
        assert_eq!(read(None, None, None), Kept::default());
    }
}
