//! Times and spans as people read them at night.

use chrono::{DateTime, FixedOffset, TimeDelta};

/// A moment of an answer in the reader's zone; `None` for what is not one.
pub(super) fn parse(text: &str, zone: &DateTime<FixedOffset>) -> Option<DateTime<FixedOffset>> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(zone.offset()))
}

/// `04:00:01` today, `11-22 04:00:01` this year, else with the year.
pub(super) fn moment(at: DateTime<FixedOffset>, now: DateTime<FixedOffset>) -> String {
    let same = |format: &str| at.format(format).to_string() == now.format(format).to_string();
    let format = match (same("%Y-%m-%d"), same("%Y")) {
        (true, _) => "%H:%M:%S",
        (false, true) => "%m-%d %H:%M:%S",
        (false, false) => "%Y-%m-%d %H:%M:%S",
    };
    at.format(format).to_string()
}

/// How long: the two greatest units, `3m12s`, `2d4h`. Clocks of two machines differ: less than nothing is nothing.
pub(super) fn span(long: TimeDelta) -> String {
    let seconds = long.num_seconds().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// How long something took: with tenths while that says something.
pub(super) fn took(long: TimeDelta) -> String {
    let millis = long.num_milliseconds().max(0);
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => format!("{}.{}s", millis / 1000, millis % 1000 / 100),
        _ => span(long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_two_units() {
        for (seconds, text) in [(-5, "0s"), (0, "0s"), (59, "59s"), (192, "3m12s"), (7500, "2h5m"), (187_200, "2d4h")] {
            assert_eq!(span(TimeDelta::seconds(seconds)), text);
        }
    }

    #[test]
    fn short_work_is_told_finer() {
        for (millis, text) in [(0, "0ms"), (999, "999ms"), (1549, "1.5s"), (59_999, "59.9s"), (61_000, "1m1s")] {
            assert_eq!(took(TimeDelta::milliseconds(millis)), text);
        }
    }

    #[test]
    fn moments_say_what_is_not_obvious() {
        let now = DateTime::parse_from_rfc3339("2026-11-23T04:03:12+01:00").unwrap();
        let check = |text: &str, expected: &str| assert_eq!(moment(parse(text, &now).unwrap(), now), expected);
        check("2026-11-23T03:00:01.5Z", "04:00:01");
        check("2026-11-22T22:30:00Z", "11-22 23:30:00");
        check("2025-11-22T22:30:00Z", "2025-11-22 23:30:00");
        assert_eq!(parse("soon", &now), None);
    }
}
