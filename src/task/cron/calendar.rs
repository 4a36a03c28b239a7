//! The days and times of day a timetable names, without a time zone.

use std::collections::BTreeSet;

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

/// Years a timetable can name.
pub(super) const YEAR_MIN: u32 = 1970;
/// The last of them.
pub(super) const YEAR_MAX: u32 = 2099;

/// A set of small numbers, one bit each.
pub(super) type Mask = u64;

/// What the fields say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Calendar {
    pub(super) seconds: Mask,
    pub(super) minutes: Mask,
    pub(super) hours: Mask,
    pub(super) months: Mask,
    pub(super) month_days: MonthDays,
    pub(super) week_days: WeekDays,
    /// `None`: every year.
    pub(super) years: Option<BTreeSet<u32>>,
}

/// The day-of-month field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MonthDays {
    /// `*` or `?` is among the entries.
    pub(super) any: bool,
    pub(super) days: Mask,
    /// `15W`: bit 15.
    pub(super) nearest_workdays: Mask,
    pub(super) last: bool,
    pub(super) last_workday: bool,
}

/// The day-of-week field; Sunday is bit 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct WeekDays {
    /// `*` or `?` is among the entries.
    pub(super) any: bool,
    pub(super) days: Mask,
    /// `5L`: bit 5.
    pub(super) last: Mask,
    /// `5#2`: bit 5 of the second.
    pub(super) nth: [Mask; 5],
}

impl Calendar {
    /// Whether the hour field lets every hour through.
    pub(super) fn every_hour(&self) -> bool {
        (0..24).all(|hour| has(self.hours, hour))
    }

    /// The first matching second at or after `from`; `None` when there is none up to [`YEAR_MAX`].
    pub(super) fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let mut date = from.date();
        let mut time = Some(from.time());
        loop {
            let year = u32::try_from(date.year()).ok()?.max(YEAR_MIN);
            let named = self.years.as_ref().map_or(Some(year), |years| years.range(year..).next().copied())?;
            if named > YEAR_MAX {
                return None;
            }
            let first_of_named = NaiveDate::from_ymd_opt(i32::try_from(named).ok()?, 1, 1)?;
            if date < first_of_named {
                (date, time) = (first_of_named, None);
            }
            if !has(self.months, date.month()) {
                (date, time) = (date.with_day(1)?.checked_add_months(chrono::Months::new(1))?, None);
                continue;
            }
            if self.names_day(date)
                && let Some(found) = self.time_at_or_after(time.unwrap_or(NaiveTime::MIN))
            {
                return Some(date.and_time(found));
            }
            (date, time) = (date.succ_opt()?, None);
        }
    }

    fn time_at_or_after(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let first_minute = first_in(self.minutes, 0)?;
        let first_second = first_in(self.seconds, 0)?;
        if has(self.hours, hour) {
            if has(self.minutes, minute)
                && let Some(second) = first_in(self.seconds, second)
            {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = first_in(self.minutes, minute + 1) {
                return NaiveTime::from_hms_opt(hour, minute, first_second);
            }
        }
        NaiveTime::from_hms_opt(first_in(self.hours, hour + 1)?, first_minute, first_second)
    }

    /// Vixie's rule: two restricted day fields are joined by "or".
    fn names_day(&self, date: NaiveDate) -> bool {
        match (self.month_days.any, self.week_days.any) {
            (true, true) => true,
            (true, false) => self.week_days.names(date),
            (false, true) => self.month_days.names(date),
            (false, false) => self.week_days.names(date) || self.month_days.names(date),
        }
    }
}

impl MonthDays {
    fn names(&self, date: NaiveDate) -> bool {
        let last = last_of_month(date);
        has(self.days, date.day())
            || (self.last && date.day() == last)
            || (self.last_workday && nearest_workday(date, last) == Some(date.day()))
            || (1..=last).any(|day| has(self.nearest_workdays, day) && nearest_workday(date, day) == Some(date.day()))
    }
}

impl WeekDays {
    fn names(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let week = usize::try_from((date.day() - 1) / 7).unwrap_or(usize::MAX);
        has(self.days, weekday)
            || (has(self.last, weekday) && date.day() + 7 > last_of_month(date))
            || self.nth.get(week).is_some_and(|days| has(*days, weekday))
    }
}

/// The working day nearest to `day` of the month of `date`, within that month.
fn nearest_workday(date: NaiveDate, day: u32) -> Option<u32> {
    let target = date.with_day(day)?;
    Some(match target.weekday() {
        Weekday::Sat if day == 1 => 3,
        Weekday::Sat => day - 1,
        Weekday::Sun if day == last_of_month(date) => day - 2,
        Weekday::Sun => day + 1,
        _ => day,
    })
}

fn last_of_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

fn has(mask: Mask, value: u32) -> bool {
    mask.checked_shr(value).is_some_and(|shifted| shifted & 1 == 1)
}

fn first_in(mask: Mask, from: u32) -> Option<u32> {
    let rest = mask.checked_shr(from).filter(|rest| *rest != 0)?;
    Some(from + rest.trailing_zeros())
}
