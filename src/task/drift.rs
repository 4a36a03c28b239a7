//! Looking for drift: whether what a module made is still as it made it.

use std::time::Duration;

use chrono::{DateTime, Local, SubsecRound};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a task says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// How long after a run, or after the look before.
    pub every: Duration,
    /// A run follows that makes it as it should be; else it is only told.
    #[serde(default)]
    pub corrects: bool,
}

/// What the newest look came to. The next leader goes on from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftState {
    /// When it ended.
    pub checked: DateTime<Local>,
    /// What differs; `None`: nothing, as far as is known.
    pub found: Option<DriftFound>,
    /// Why the look failed, if it did; then `found` is of the one before.
    pub error: Option<String>,
}

/// Something is not as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftFound {
    /// When a look first saw it.
    pub since: DateTime<Local>,
    /// The run that looked last and saw it: its log has the whole plan.
    pub run: Uuid,
    /// What, for people.
    pub text: String,
}

impl DriftState {
    /// What follows a look. `found`: what it saw; `Err`: why it could not look.
    pub(super) fn after(
        before: Option<&Self>,
        looked: Result<Option<String>, String>,
        run: Uuid,
        at: DateTime<Local>,
    ) -> Self {
        // As it is kept, so that the next leader tells the same.
        let at = at.trunc_subsecs(6);
        let known = before.and_then(|before| before.found.clone());
        match looked {
            Ok(None) => Self { checked: at, found: None, error: None },
            Ok(Some(text)) => {
                let since = known.map_or(at, |known| known.since);
                Self { checked: at, found: Some(DriftFound { since, run, text }), error: None }
            }
            Err(why) => Self { checked: at, found: known, error: Some(why) },
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_difference_is_known_since_it_was_first_seen_and_until_it_is_gone() {
        let at = |seconds| DateTime::<Local>::from(DateTime::UNIX_EPOCH) + TimeDelta::seconds(seconds);
        let run = Uuid::from_u128;
        let first = DriftState::after(None, Ok(Some("one".to_owned())), run(1), at(1));
        let second = DriftState::after(Some(&first), Ok(Some("two".to_owned())), run(2), at(2));
        let found = second.found.clone().unwrap();
        assert_eq!((found.since, found.run, found.text.as_str()), (at(1), run(2), "two"));
        let failed = DriftState::after(Some(&second), Err("no".to_owned()), run(3), at(3));
        assert_eq!((failed.found.as_ref(), failed.error.as_deref()), (Some(&found), Some("no")));
        let gone = DriftState::after(Some(&failed), Ok(None), run(4), at(4));
        assert_eq!(gone, DriftState { checked: at(4), found: None, error: None });
    }
}
