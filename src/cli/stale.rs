//! What is told when nobody leads: the tasks as an agent knew them last, and how old that is.

use chrono::{DateTime, FixedOffset};

use super::time;
use crate::http::reply::TasksNow;

/// How old the answer is, for people; `None`: it is the leader's.
pub(super) fn age(tasks: &TasksNow, now: DateTime<FixedOffset>) -> Option<String> {
    let since = time::parse(tasks.stale_since.as_deref()?, &now)?;
    let (moment, span) = (time::moment(since, now), time::span(now - since));
    Some(format!("as {} knew them last, at {moment} ({span} ago): nobody leads, so nothing runs", tasks.answered_by))
}
