//! A cron timetable in CTS's dialect: parse it, and find the next moment it names in any time zone.
//!
//! | fields | meaning |
//! |---|---|
//! | 5 | minute hour day-of-month month day-of-week; second 0, every year |
//! | 6 | the same and **year** |
//! | 7 | **second**, then as 6; what follows the seventh is ignored |
//!
//! A field is a list (`,`) of `*`, `?` (the same), a value, a range `a-b`, and any of these with a step (`*/10`, `5/10`
//! runs to the end of the field, `a-b/10`). Months and weekdays have names, short or full, in any case. Weekdays are 0 to
//! 7, both ends Sunday. Days of the month know `L` (the last), `LW` (the last working day) and `15W` (the working day
//! nearest to the 15th, never in another month); days of the week know `5L` (the last Friday) and `5#2` (the second).
//! `@yearly @annually @monthly @weekly @daily @hourly` stand for what they say. Years run from 1970 to 2099.
//!
//! When both day fields are restricted (anything but `*` and `?`; `*/2` restricts), a day matches if **either** does.
//! CTS's parser takes a range that runs backwards as empty; here it is an error, as is a timetable that never comes.
//!
//! # When clocks change
//!
//! A timetable is read as local time, so an hour may come twice or not at all.
//!
//! - It names particular hours (`30 2 * * *`): a repeated moment counts the first time only, a skipped one comes once, late, at
//!   the first moment after the gap.
//! - It says `*` for the hour (`*/10 * * * *`): it means a rhythm. It goes on through both passes of a repeated hour and
//!   over a gap, at an unchanged pace.
//!
//! # Not here
//!
//! Steps of the clock itself (somebody sets it): see the machine that asks, `tasks.rs`.

mod calendar;
mod field;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike};

use calendar::Calendar;

/// Why a text is not a timetable. Nothing changed; the text must be corrected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Fewer than five fields.
    #[error(
        "missing field(s): a timetable has at least 5 (minute hour day-of-month month day-of-week), this one has {found}"
    )]
    MissingFields {
        /// How many there are.
        found: usize,
    },
    /// A field that says nothing the dialect knows.
    #[error("syntax error in {field} field: '{text}' at column {}: {hint}", .at.start + 1)]
    Syntax {
        /// Which field.
        field: &'static str,
        /// The entry of its list that is wrong.
        text: String,
        /// Where it stands in the timetable, in bytes.
        at: Range<usize>,
        /// What would be right.
        hint: String,
    },
    /// `@something` that is not known.
    #[error("unknown shorthand '{text}': known are @yearly, @annually, @monthly, @weekly, @daily and @hourly")]
    Shorthand {
        /// As written.
        text: String,
        /// Where, in bytes.
        at: Range<usize>,
    },
    /// Correct, and empty: the 30th of February.
    #[error("no date ever matches: that day does not exist in that month, up to the year 2099")]
    Never,
}

impl CronError {
    /// The bytes of the timetable that are wrong, for an underline; `None` when it is the whole.
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Syntax { at, .. } | Self::Shorthand { at, .. } => Some(at.clone()),
            Self::MissingFields { .. } | Self::Never => None,
        }
    }
}

/// A timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    calendar: Calendar,
}

impl Cron {
    /// Reads a timetable.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let calendar = field::calendar(text)?;
        let cron = Self { text: text.trim().to_owned(), calendar };
        let origin = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap_or_default().and_time(chrono::NaiveTime::MIN);
        cron.calendar.at_or_after(origin).map(|_| cron).ok_or(CronError::Never)
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first moment of the timetable later than `after`, in the same time zone. `None`: it has no more.
    pub fn next_after<Tz: TimeZone>(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        if self.calendar.every_hour() { self.next_of_rhythm(after) } else { self.next_of_hours(after) }
    }

    /// Particular hours: each local moment once, at its first pass or right after the gap that swallowed it.
    fn next_of_hours<Tz: TimeZone>(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let zone = after.timezone();
        let mut from = second_after(after.naive_local())?;
        loop {
            let local = self.calendar.at_or_after(from)?;
            let instant = match zone.from_local_datetime(&local) {
                MappedLocalTime::Single(instant) | MappedLocalTime::Ambiguous(instant, _) => Some(instant),
                MappedLocalTime::None => after_gap(&zone, local),
            };
            // Not later: the second pass of a repeated hour, whose moments all came in the first.
            if let Some(instant) = instant.filter(|instant| instant > after) {
                return Some(instant);
            }
            from = second_after(local)?;
        }
    }

    /// Every hour: the pace of real time.
    fn next_of_rhythm<Tz: TimeZone>(&self, after: &DateTime<Tz>) -> Option<DateTime<Tz>> {
        let zone = after.timezone();
        let here = after.naive_local();
        let mut from = second_after(here)?;
        let in_first_pass =
            matches!(zone.from_local_datetime(&here), MappedLocalTime::Ambiguous(_, second) if *after < second);
        loop {
            let local = self.calendar.at_or_after(from)?;
            match zone.from_local_datetime(&local) {
                MappedLocalTime::Ambiguous(first, second) => {
                    return Some(if first > *after { first } else { second });
                }
                MappedLocalTime::Single(instant) => {
                    let repeated = in_first_pass.then(|| self.in_second_pass(&zone, here)).flatten();
                    return Some(repeated.unwrap_or(instant));
                }
                MappedLocalTime::None => from = after_gap(&zone, local)?.naive_local(),
            }
        }
    }

    /// The first moment of the second pass of the repeated stretch that `local` lies in.
    fn in_second_pass<Tz: TimeZone>(&self, zone: &Tz, local: NaiveDateTime) -> Option<DateTime<Tz>> {
        let repeated = |at: &NaiveDateTime| matches!(zone.from_local_datetime(at), MappedLocalTime::Ambiguous(..));
        let start = minutes(local, -1).take_while(repeated).last()?;
        match zone.from_local_datetime(&self.calendar.at_or_after(start)?) {
            MappedLocalTime::Ambiguous(_, second) => Some(second),
            MappedLocalTime::Single(_) | MappedLocalTime::None => None,
        }
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Cron {
    type Err = CronError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Longest stretch that a zone has ever skipped or repeated is a day; two are looked through.
const STRETCH_MINUTES: usize = 2 * 24 * 60;

fn second_after(local: NaiveDateTime) -> Option<NaiveDateTime> {
    local.with_nanosecond(0)?.checked_add_signed(TimeDelta::seconds(1))
}

/// The first full minute that exists after a moment that does not.
fn after_gap<Tz: TimeZone>(zone: &Tz, local: NaiveDateTime) -> Option<DateTime<Tz>> {
    minutes(local, 1).find_map(|at| zone.from_local_datetime(&at).earliest())
}

/// The full minute of `local`, and those after (`step` 1) or before it (`step` -1).
fn minutes(local: NaiveDateTime, step: i64) -> impl Iterator<Item = NaiveDateTime> {
    let first = local.with_second(0).and_then(|at| at.with_nanosecond(0));
    std::iter::successors(first, move |at| at.checked_add_signed(TimeDelta::minutes(step))).take(STRETCH_MINUTES)
}
