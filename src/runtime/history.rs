//! What is kept of a task's runs on a majority: its events, and what its last success depended on.
//!
//! `history/<task>` holds the newest events, at most [`RECENT`], and is written after every run. The older ones are in blocks of
//! [`RECENT`] each, `history-<n>/<task>`, of which each is written once; then the oldest block gives its register to the next.
//! All are small enough to be in the register itself, so that a run costs one write. For tasks whose guards compare instances
//! there is `applied/<task>`, with their hashed names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Local, TimeZone};
use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec;
use quorate_proto::message::Entry;
use serde::{Deserialize, Serialize};

use super::plans;
use crate::task::Kept;
use crate::task::drift::{DriftFound, DriftState};
use crate::task::report::{CutShort, EVENTS_MAX, RunEvent};

/// Register prefix of the newest events.
pub(super) const PREFIX: &str = "history/";
/// What the registers of the older ones begin with.
pub(super) const OLDER_PREFIX: &str = "history-";
/// Register prefix of the older ones as they were kept before there were blocks: read, never written.
const OLD_PREFIX: &str = "history-old/";
/// Register prefix of the instances that were applied last.
pub(super) const APPLIED_PREFIX: &str = "applied/";
/// Register prefix of runs that were promised and are not over.
pub(super) const ASKED_PREFIX: &str = "asked/";
/// Register prefix of the run that was cancelled last.
pub(super) const CANCELLED_PREFIX: &str = "cancelled/";
/// Register prefix of what the newest look for drift came to.
pub(super) const DRIFT_PREFIX: &str = "drift/";
/// Between what made a run start and who asked for it. Agents that do not know it show both as one text.
const BY: &str = " by ";
/// Events in the newest register at most, and in a block.
const RECENT: u64 = 30;
/// Blocks that are kept.
const BLOCKS: u64 = 3;

/// The newest register.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Newest {
    count: u64,
    last_success: Option<[u8; 32]>,
    events: Vec<Stored>,
}

/// A block of older events: the `number`th of the task.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Block {
    number: u64,
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
    /// Its plan waits for a person.
    Planned,
}

impl From<&RunEvent> for Stored {
    fn from(event: &RunEvent) -> Self {
        Self {
            id: *event.id.as_bytes(),
            ending: match (event.success, event.cut_short) {
                (true, Some(CutShort::Planned)) => Ending::Planned,
                (true, _) => Ending::Success,
                (false, None | Some(CutShort::Planned)) => Ending::Failure,
                (false, Some(CutShort::Cancelled)) => Ending::Cancelled,
                (false, Some(CutShort::TimedOut)) => Ending::TimedOut,
            },
            start: event.start_time.timestamp_micros(),
            end: event.end_time.timestamp_micros(),
            epoch: event.epoch,
            trigger: match &event.asked_by {
                None => event.trigger.clone(),
                Some(by) => format!("{}{BY}{by}", event.trigger),
            },
            error: event.error.clone(),
        }
    }
}

impl From<Stored> for RunEvent {
    fn from(stored: Stored) -> Self {
        let (trigger, asked_by) = match stored.trigger.split_once(BY) {
            None => (stored.trigger, None),
            Some((trigger, by)) => (trigger.to_owned(), Some(by.to_owned())),
        };
        Self {
            id: uuid::Uuid::from_bytes(stored.id),
            success: matches!(stored.ending, Ending::Success | Ending::Planned),
            start_time: at(stored.start),
            end_time: at(stored.end),
            error: stored.error,
            epoch: stored.epoch,
            trigger,
            cut_short: match stored.ending {
                Ending::Failure | Ending::Success => None,
                Ending::Cancelled => Some(CutShort::Cancelled),
                Ending::TimedOut => Some(CutShort::TimedOut),
                Ending::Planned => Some(CutShort::Planned),
            },
            asked_by,
        }
    }
}

fn at(micros: i64) -> DateTime<Local> {
    Local.timestamp_micros(micros).single().unwrap_or_default()
}

fn block_key(number: u64, task: &str) -> String {
    format!("{OLDER_PREFIX}{}/{task}", number % BLOCKS)
}

/// The registers to write now that the newest event is there. How many events lie in the newest one depends only on how many
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
        let number = ((kept.count - 1) / RECENT).saturating_sub(1);
        let size = usize::try_from(RECENT).unwrap_or(usize::MAX);
        let block = Block { number, events: stored(&mut kept.events.iter().skip(1).take(size)) };
        entries.push(Entry { key: block_key(number, task), value: codec::encode(&block).ok() });
    }
    if let Some(applied) = &kept.applied {
        let applied: Vec<u64> = applied.iter().copied().collect();
        entries.push(Entry { key: format!("{APPLIED_PREFIX}{task}"), value: codec::encode(&applied).ok() });
    }
    if let Some(drift) = &kept.drift {
        entries.push(Entry {
            key: format!("{DRIFT_PREFIX}{task}"),
            value: serde_json::to_vec(&StoredDrift::from(drift)).ok(),
        });
    }
    entries
}

/// What the newest look for drift came to, in the form in which all versions read it. Times are microseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
struct StoredDrift {
    checked: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    found: Option<StoredFound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredFound {
    since: i64,
    run: uuid::Uuid,
    text: String,
}

impl From<&DriftState> for StoredDrift {
    fn from(state: &DriftState) -> Self {
        let micros = |at: DateTime<Local>| at.timestamp_micros();
        let found = state.found.as_ref().map(|found| StoredFound {
            since: micros(found.since),
            run: found.run,
            text: found.text.clone(),
        });
        Self { checked: micros(state.checked), found, error: state.error.clone() }
    }
}

impl From<StoredDrift> for DriftState {
    fn from(stored: StoredDrift) -> Self {
        let found = stored.found.map(|found| DriftFound { since: at(found.since), run: found.run, text: found.text });
        Self { checked: at(stored.checked), found, error: stored.error }
    }
}

/// The registers of a task that is deleted: its events go with it.
pub(super) fn forget(task: &str) -> Vec<Entry> {
    let blocks = (0..BLOCKS).map(|number| block_key(number, task));
    let others = [PREFIX, OLD_PREFIX, APPLIED_PREFIX, ASKED_PREFIX, CANCELLED_PREFIX, DRIFT_PREFIX];
    let others = others.map(|prefix| format!("{prefix}{task}"));
    blocks.chain(others).chain(plans::keys(task)).map(|key| Entry { key, value: None }).collect()
}

/// What the registers add up to. What cannot be read is left out. `others`: all but the newest.
pub(super) fn read(task: &str, newest: &[u8], others: &BTreeMap<String, Vec<u8>>) -> Kept {
    let Ok(newest) = codec::decode_frame::<Newest>(newest) else { return Kept::default() };
    let mut events: VecDeque<RunEvent> = newest.events.into_iter().map(RunEvent::from).collect();
    let last = newest.count.saturating_sub(1) / RECENT;
    for number in (last.saturating_sub(BLOCKS)..last).rev() {
        let block = others.get(&block_key(number, task)).and_then(|bytes| codec::decode_frame::<Block>(bytes).ok());
        let Some(block) = block.filter(|block| block.number == number) else { break };
        events.extend(block.events.into_iter().map(RunEvent::from));
    }
    let old =
        others.get(&format!("{OLD_PREFIX}{task}")).and_then(|bytes| codec::decode_frame::<Vec<Stored>>(bytes).ok());
    let there: BTreeSet<uuid::Uuid> = events.iter().map(|event| event.id).collect();
    let old = old.unwrap_or_default().into_iter().map(RunEvent::from);
    events.extend(old.filter(|event| !there.contains(&event.id)));
    events.truncate(EVENTS_MAX);
    let applied = others.get(&format!("{APPLIED_PREFIX}{task}"));
    let applied = applied.and_then(|bytes| codec::decode_frame::<Vec<u64>>(bytes).ok());
    let applied = applied.map(|names| names.into_iter().collect());
    let drift = others.get(&format!("{DRIFT_PREFIX}{task}"));
    let drift = drift.and_then(|bytes| serde_json::from_slice::<StoredDrift>(bytes).ok()).map(DriftState::from);
    let last_success = newest.last_success;
    Kept { count: newest.count, events, last_success, applied, enabled_at: None, drift, cancelled: None }
}

#[cfg(test)]
mod tests {
    use quorate_proto::message::INLINE_MAX;

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
            asked_by: n.is_multiple_of(7).then(|| format!("token {n} at 127.0.0.1:7 through a1 by way of x")),
            cut_short: (n % 6 == 3).then_some(if n % 4 == 1 { CutShort::Cancelled } else { CutShort::TimedOut }),
        }
    }

    #[test]
    fn every_count_of_events_is_read_back_as_it_was_kept() {
        let (mut kept, mut newest, mut others) = (Kept::default(), Vec::new(), BTreeMap::new());
        for n in 1..400 {
            kept.count = n;
            kept.events.push_front(event(n));
            kept.events.truncate(EVENTS_MAX);
            kept.last_success = Some([u8::try_from(n % 251).unwrap(); 32]);
            kept.applied = Some(BTreeSet::from([n, n + 1]));
            for entry in entries("t", &kept) {
                let value = entry.value.unwrap();
                match entry.key.as_str() {
                    "history/t" => newest = value,
                    key => drop(others.insert(key.to_owned(), value)),
                }
            }
            let back = read("t", &newest, &others);
            assert!(back.events.iter().eq(kept.events.iter().take(back.events.len())), "after {n}");
            assert_eq!((back.count, back.last_success), (kept.count, kept.last_success));
            assert_eq!(back.applied, kept.applied);
            assert!(back.events.len() >= kept.events.len().min(91), "after {n}: {}", back.events.len());
        }
        assert_eq!(others.len(), 4, "three blocks and the instances");
        let forgotten: Vec<String> = forget("t").into_iter().map(|entry| entry.key).collect();
        assert!(others.keys().all(|key| forgotten.contains(key)), "{forgotten:?}");
    }

    #[test]
    fn what_was_kept_before_there_were_blocks_is_read() {
        let old: Vec<Stored> = (1..=20).rev().map(|n| Stored::from(&event(n))).collect();
        let others = BTreeMap::from([("history-old/t".to_owned(), codec::encode(&old).unwrap())]);
        let newest = Newest {
            count: 22,
            last_success: None,
            events: (20..=22).rev().map(|n| Stored::from(&event(n))).collect(),
        };
        let back = read("t", &codec::encode(&newest).unwrap(), &others);
        assert!(back.events.into_iter().eq((1..=22).rev().map(event)), "each once");
    }

    #[test]
    fn how_a_run_ended_is_kept_in_the_bytes_that_older_agents_wrote() {
        let byte = |ending: Ending| codec::encode(&ending).unwrap();
        assert_eq!(byte(Ending::Failure), codec::encode(&false).unwrap());
        assert_eq!(byte(Ending::Success), codec::encode(&true).unwrap());
        assert_eq!(byte(Ending::Cancelled).len(), 1);
    }

    #[test]
    fn every_register_stays_small_enough_to_be_a_register() {
        let mut kept = Kept::default();
        for n in 1..=200 {
            kept.count = n;
            let times = (at(1_800_000_000_000_000), at(1_800_000_000_000_000 + i64::try_from(n).unwrap()));
            let (start_time, end_time, trigger) = (times.0, times.1, "catalog-services".to_owned());
            let (error, asked_by, epoch) = (None, None, 1 << 40);
            kept.events.push_front(RunEvent { start_time, end_time, error, epoch, trigger, asked_by, ..event(n) });
            for Entry { key, value } in entries("t", &kept) {
                let size = value.unwrap().len() + quorate_proto::at_rest::OVERHEAD;
                assert!(size <= INLINE_MAX, "{key} has {size} bytes");
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_no_history() {
        assert_eq!(read("t", &[9, 9], &BTreeMap::new()), Kept::default());
    }
}
