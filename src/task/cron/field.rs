//! Reads the fields of a timetable.

use std::collections::BTreeSet;
use std::ops::Range;

use super::CronError;
use super::calendar::{Calendar, Mask, MonthDays, WeekDays, YEAR_MAX, YEAR_MIN};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// One kind of field.
struct Kind {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of values, from `min` on.
    names: &'static [&'static str],
}

const SECOND: Kind = Kind { name: "second", min: 0, max: 59, names: &[] };
const MINUTE: Kind = Kind { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Kind = Kind { name: "hour", min: 0, max: 23, names: &[] };
const MONTH_DAY: Kind = Kind { name: "day-of-month", min: 1, max: 31, names: &[] };
const MONTH: Kind = Kind { name: "month", min: 1, max: 12, names: &MONTHS };
const WEEKDAY: Kind = Kind { name: "day-of-week", min: 0, max: 6, names: &WEEKDAYS };
const YEAR: Kind = Kind { name: "year", min: YEAR_MIN, max: YEAR_MAX, names: &[] };

/// Longest number worth reading: a year.
const DIGITS_MAX: usize = 4;

/// One piece of text and where it stands in the timetable.
#[derive(Clone)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

impl Piece<'_> {
    fn range(&self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }
}

/// An entry of a field's list that every kind of field knows.
enum Entry {
    /// `*`, `?`.
    Any,
    /// `first..=last`, every `step`th.
    Span(u32, u32, u32),
}

/// Reads a whole timetable.
pub(super) fn calendar(text: &str) -> Result<Calendar, CronError> {
    let written = pieces(text, char::is_whitespace);
    let fields = match written.first() {
        Some(first) if first.text.starts_with('@') => pieces(shorthand(first)?, char::is_whitespace),
        _ => written,
    };
    let [minute, hour, month_day, month, weekday] = match fields.as_slice() {
        five @ ([_, _, _, _, _] | [_, _, _, _, _, _]) => [&five[0], &five[1], &five[2], &five[3], &five[4]],
        [_, minute, hour, month_day, month, weekday, _, ..] => [minute, hour, month_day, month, weekday],
        few => return Err(CronError::MissingFields { found: few.len() }),
    };
    let (second, year) = match fields.as_slice() {
        [_, _, _, _, _, year] => (None, Some(year)),
        [second, _, _, _, _, _, year, ..] => (Some(second), Some(year)),
        _ => (None, None),
    };
    Ok(Calendar {
        seconds: second.map_or(Ok(1), |field| mask(field, &SECOND))?,
        minutes: mask(minute, &MINUTE)?,
        hours: mask(hour, &HOUR)?,
        month_days: month_days(month_day)?,
        months: mask(month, &MONTH)?,
        week_days: week_days(weekday)?,
        years: year.map_or(Ok(None), years)?,
    })
}

fn shorthand(piece: &Piece<'_>) -> Result<&'static str, CronError> {
    match piece.text.to_ascii_lowercase().as_str() {
        "@yearly" | "@annually" => Ok("0 0 1 1 *"),
        "@monthly" => Ok("0 0 1 * *"),
        "@weekly" => Ok("0 0 * * 0"),
        "@daily" => Ok("0 0 * * *"),
        "@hourly" => Ok("0 * * * *"),
        _ => Err(CronError::Shorthand { text: piece.text.to_owned(), at: piece.range() }),
    }
}

/// Splits, drops what is empty, remembers where each piece stood.
fn pieces(text: &str, between: impl Fn(char) -> bool) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    for part in text.split_inclusive(&between) {
        let piece = part.trim_end_matches(&between);
        if !piece.is_empty() {
            found.push(Piece { text: piece, at });
        }
        at += part.len();
    }
    found
}

/// The entries of a field's list; at least one.
fn entries<'a>(field: &Piece<'a>, kind: &Kind) -> Result<Vec<Piece<'a>>, CronError> {
    let mut found = pieces(field.text, |c| c == ',');
    for piece in &mut found {
        piece.at += field.at;
    }
    if found.is_empty() { Err(kind.refuse(field)) } else { Ok(found) }
}

fn mask(field: &Piece<'_>, kind: &Kind) -> Result<Mask, CronError> {
    let mut mask = 0;
    for piece in entries(field, kind)? {
        mask |= match kind.entry(&piece)?.ok_or_else(|| kind.refuse(&piece))? {
            Entry::Any => bits(kind.min, kind.max, 1),
            Entry::Span(first, last, step) => bits(first, last, step),
        };
    }
    Ok(mask)
}

fn month_days(field: &Piece<'_>) -> Result<MonthDays, CronError> {
    let mut days = MonthDays::default();
    for piece in entries(field, &MONTH_DAY)? {
        match MONTH_DAY.entry(&piece)? {
            Some(Entry::Any) => days.any = true,
            Some(Entry::Span(first, last, step)) => days.days |= bits(first, last, step),
            None => match piece.text.to_ascii_lowercase().as_str() {
                "l" => days.last = true,
                "lw" => days.last_workday = true,
                text => {
                    let day = text.strip_suffix('w').and_then(|day| MONTH_DAY.value(day));
                    days.nearest_workdays |= bit(day.ok_or_else(|| MONTH_DAY.refuse(&piece))?);
                }
            },
        }
    }
    Ok(days)
}

fn week_days(field: &Piece<'_>) -> Result<WeekDays, CronError> {
    let mut days = WeekDays::default();
    for piece in entries(field, &WEEKDAY)? {
        match WEEKDAY.entry(&piece)? {
            Some(Entry::Any) => days.any = true,
            Some(Entry::Span(first, last, step)) => days.days |= sunday_folded(bits(first, last, step)),
            None => {
                week_day_of_month(&piece.text.to_ascii_lowercase(), &mut days).ok_or_else(|| WEEKDAY.refuse(&piece))?;
            }
        }
    }
    Ok(days)
}

/// `5L` and `5#2`.
fn week_day_of_month(text: &str, days: &mut WeekDays) -> Option<()> {
    if let Some((day, nth)) = text.split_once('#') {
        let nth = usize::from(u8::try_from(small_number(nth)?).ok()?).checked_sub(1)?;
        *days.nth.get_mut(nth)? |= sunday_folded(bit(WEEKDAY.value(day)?));
    } else {
        days.last |= sunday_folded(bit(WEEKDAY.value(text.strip_suffix('l')?)?));
    }
    Some(())
}

fn years(field: &Piece<'_>) -> Result<Option<BTreeSet<u32>>, CronError> {
    let mut years = BTreeSet::new();
    for piece in entries(field, &YEAR)? {
        match YEAR.entry(&piece)?.ok_or_else(|| YEAR.refuse(&piece))? {
            Entry::Any => return Ok(None),
            Entry::Span(first, last, step) => years.extend(span(first, last, step)),
        }
    }
    Ok(Some(years))
}

impl Kind {
    /// Reads one entry; `None` when it is nothing that every kind knows.
    fn entry(&self, piece: &Piece<'_>) -> Result<Option<Entry>, CronError> {
        let text = piece.text.to_ascii_lowercase();
        let (body, step) = match text.split_once('/') {
            Some((body, step)) => (body, Some(self.step(step, piece)?)),
            None => (text.as_str(), None),
        };
        let every = step.unwrap_or(1);
        Ok(match (body, body.split_once('-')) {
            ("*" | "?", _) if step.is_none() => Some(Entry::Any),
            ("*", _) => Some(Entry::Span(self.min, self.max, every)),
            (_, Some((first, last))) => match (self.value(first), self.value(last)) {
                (Some(first), Some(last)) => Some(self.range(first, last, every, piece)?),
                _ => None,
            },
            (value, None) => self.value(value).map(|value| {
                // A step makes a lone value a range to the end of the field, where a 7 is Sunday, the first day.
                let first = if step.is_some() && value > self.max { self.min } else { value };
                Entry::Span(first, if step.is_some() { self.max } else { first }, every)
            }),
        })
    }

    fn step(&self, text: &str, piece: &Piece<'_>) -> Result<u32, CronError> {
        small_number(text).filter(|step| (1..=self.max).contains(step)).ok_or_else(|| {
            self.refuse_because(piece, format!("invalid interval, a step is a number from 1 to {}", self.max))
        })
    }

    fn range(&self, first: u32, last: u32, step: u32, piece: &Piece<'_>) -> Result<Entry, CronError> {
        let (first, last) = match (self.max, first, last) {
            // A week may begin (7-1) and end (fri-sun) with Sunday.
            (6, 7, last) if last < 7 => (0, last),
            (6, first, 0) if first > 0 => (first, 7),
            (_, first, last) => (first, last),
        };
        if first > last {
            return Err(self.refuse_because(piece, "the range runs backwards".to_owned()));
        }
        Ok(Entry::Span(first, last, step))
    }

    /// A number or a name. A weekday may be 7.
    fn value(&self, text: &str) -> Option<u32> {
        if let Some(number) = small_number(text) {
            let max = if self.name == WEEKDAY.name { 7 } else { self.max };
            return (self.min..=max).contains(&number).then_some(number);
        }
        (self.min..).zip(self.names).find(|(_, name)| **name == text || name.get(..3) == Some(text)).map(|(n, _)| n)
    }

    fn refuse(&self, piece: &Piece<'_>) -> CronError {
        let (min, max) = (self.min, self.max);
        let values = if self.names.is_empty() { format!("{min} to {max}") } else { format!("{min} to {max}, a name") };
        let special = match self.name {
            "day-of-month" => ", L, LW or 15W",
            "day-of-week" => ", 5L or 5#2",
            _ => "",
        };
        self.refuse_because(piece, format!("expected *, {values}, a range a-b, a step */n{special}"))
    }

    fn refuse_because(&self, piece: &Piece<'_>, hint: String) -> CronError {
        CronError::Syntax { field: self.name, text: piece.text.to_owned(), at: piece.range(), hint }
    }
}

fn small_number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.len() <= DIGITS_MAX && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn span(first: u32, last: u32, step: u32) -> impl Iterator<Item = u32> {
    std::iter::successors(Some(first), move |value| value.checked_add(step)).take_while(move |value| *value <= last)
}

fn bits(first: u32, last: u32, step: u32) -> Mask {
    span(first, last, step).map(bit).fold(0, |all, one| all | one)
}

fn bit(value: u32) -> Mask {
    1_u64.checked_shl(value).unwrap_or(0)
}

/// Moves bit 7 to bit 0: both are Sunday.
fn sunday_folded(days: Mask) -> Mask {
    (days | (days >> 7)) & 0x7f
}
