use chrono::{FixedOffset, NaiveDateTime, Offset, Utc};
use proptest::prelude::*;

use super::*;

/// 1 November 2026 is a Sunday.
const START: &str = "2026-11-01 00:00:00";

#[test]
fn every_form_of_the_dialect_names_the_right_moments() {
    check("*/10 * * * * * *", START, &["2026-11-01 00:00:10", "2026-11-01 00:00:20", "2026-11-01 00:00:30"]);
    check("*/15 * * * *", START, &["2026-11-01 00:15:00", "2026-11-01 00:30:00", "2026-11-01 00:45:00"]);
    check("5/20 * * * *", START, &["2026-11-01 00:05:00", "2026-11-01 00:25:00", "2026-11-01 00:45:00"]);
    check("10-12/2,40 3 * * *", START, &["2026-11-01 03:10:00", "2026-11-01 03:12:00", "2026-11-01 03:40:00"]);
    check("0 0 L * *", START, &["2026-11-30 00:00:00", "2026-12-31 00:00:00", "2027-01-31 00:00:00"]);
    check("0 0 * * 5#2", START, &["2026-11-13 00:00:00", "2026-12-11 00:00:00"]);
    check("0 0 * * fri#5", START, &["2027-01-29 00:00:00", "2027-04-30 00:00:00"]);
    check("0 0 * * 5L", START, &["2026-11-27 00:00:00", "2026-12-25 00:00:00"]);
    check("0 0 * * 7", START, &["2026-11-08 00:00:00", "2026-11-15 00:00:00"]);
    check("0 0 * * 0", START, &["2026-11-08 00:00:00", "2026-11-15 00:00:00"]);
    check("0 0 ? JAN Mon", START, &["2027-01-04 00:00:00", "2027-01-11 00:00:00"]);
    check("0 12 1 january,December ?", START, &["2026-12-01 12:00:00", "2027-01-01 12:00:00"]);
    check("0 0 1 1 * 2031", START, &["2031-01-01 00:00:00"]);
    check("30 59 23 31 12 * 2027,2030-2034/2", START, &["2027-12-31 23:59:30", "2030-12-31 23:59:30"]);
    check("0 0 29 2 *", START, &["2028-02-29 00:00:00", "2032-02-29 00:00:00"]);
    check("0 1 2 3 4 ? 2028 and more is ignored", START, &["2028-04-03 02:01:00"]);
    check("  0\t0,,0 * * *  ", START, &["2026-11-02 00:00:00"]);
}

#[test]
fn working_days_stay_within_their_month() {
    // 15 November 2026 is a Sunday, 1 November too; 31 October is a Saturday.
    check("0 0 15W * *", START, &["2026-11-16 00:00:00", "2026-12-15 00:00:00"]);
    check("0 0 31W 10 *", "2026-10-01 00:00:00", &["2026-10-30 00:00:00"]);
    check("0 0 1W 8 *", "2026-07-01 00:00:00", &["2026-08-03 00:00:00"]);
    check("0 0 LW 1,10 *", "2026-10-01 00:00:00", &["2026-10-30 00:00:00", "2027-01-29 00:00:00"]);
}

#[test]
fn a_week_may_begin_or_end_with_sunday() {
    let weekend = &["2026-11-06 00:00:00", "2026-11-07 00:00:00", "2026-11-08 00:00:00", "2026-11-13 00:00:00"];
    for text in ["0 0 * * 5-7", "0 0 * * fri-sun", "0 0 * * 5,6,0"] {
        check(text, START, weekend);
    }
    check("0 0 * * 7-1", START, &["2026-11-02 00:00:00", "2026-11-08 00:00:00", "2026-11-09 00:00:00"]);
}

#[test]
fn two_restricted_day_fields_are_joined_by_or() {
    check("0 0 13 * 5", START, &["2026-11-06 00:00:00", "2026-11-13 00:00:00", "2026-11-20 00:00:00"]);
    check("0 0 3 * 5", START, &["2026-11-03 00:00:00", "2026-11-06 00:00:00"]);
    // A step restricts as well, so every weekday from Monday to Sunday passes here.
    check("0 0 */31 * */1", START, &["2026-11-02 00:00:00", "2026-11-03 00:00:00"]);
}

#[test]
fn shorthands_stand_for_what_they_say() {
    check("@yearly", START, &["2027-01-01 00:00:00"]);
    check("@annually", START, &["2027-01-01 00:00:00"]);
    check("@monthly", START, &["2026-12-01 00:00:00"]);
    check("@weekly", START, &["2026-11-08 00:00:00"]);
    check(" @Daily ", START, &["2026-11-02 00:00:00"]);
    check("@hourly", START, &["2026-11-01 01:00:00"]);
}

#[test]
fn a_timetable_whose_years_are_over_has_no_next_moment() {
    check("0 0 1 1 * 2026", START, &[]);
    check("* * * * *", "2099-12-31 23:59:00", &[]);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    refuse("* * * *", "missing field(s)", None);
    refuse("", "missing field(s)", None);
    refuse("61 * * * *", "syntax error in minute field: '61' at column 1", Some(&(0..2)));
    refuse("0 5,24 * * *", "syntax error in hour field: '24' at column 5", Some(&(4..6)));
    refuse("0 0 0 * *", "syntax error in day-of-month field: '0'", Some(&(4..5)));
    refuse("0 0 * foo *", "syntax error in month field: 'foo' at column 7", Some(&(6..9)));
    refuse("0 0 * * 8", "syntax error in day-of-week field: '8'", Some(&(8..9)));
    refuse("0 0 * * 5#6", "syntax error in day-of-week field: '5#6'", Some(&(8..11)));
    refuse("0 0 * * L", "syntax error in day-of-week field: 'L'", Some(&(8..9)));
    refuse("0 0 * * * 1969", "syntax error in year field: '1969'", Some(&(10..14)));
    refuse("*/0 * * * *", "invalid interval", Some(&(0..3)));
    refuse("*/60 * * * *", "invalid interval", Some(&(0..4)));
    refuse("?/2 * * * *", "syntax error in minute field", Some(&(0..3)));
    refuse("50-10 * * * *", "runs backwards", Some(&(0..5)));
    refuse("0 0 , * *", "syntax error in day-of-month field: ','", Some(&(4..5)));
    refuse("0 0 é * *", "syntax error in day-of-month field: 'é'", Some(&(4..6)));
    refuse(" @often", "unknown shorthand '@often'", Some(&(1..7)));
    refuse("0 0 30 2 *", "no date ever matches", None);
}

#[test]
fn a_repeated_hour_counts_once_when_hours_are_named() {
    // 02:00 to 03:00 comes twice on 25 October 2026.
    let found = in_zone("30 2 * * *", (2026, 10, 24, 12), 3);
    assert_eq!(found, ["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00", "2026-10-27 02:30:00 +01:00"]);
    let found = in_zone("*/30 2-3 * * *", (2026, 10, 24, 12), 4);
    assert_eq!(
        found,
        [
            "2026-10-25 02:00:00 +02:00",
            "2026-10-25 02:30:00 +02:00",
            "2026-10-25 03:00:00 +01:00",
            "2026-10-25 03:30:00 +01:00"
        ]
    );
}

#[test]
fn a_skipped_hour_counts_once_and_late_when_hours_are_named() {
    // 02:00 to 03:00 does not exist on 29 March 2026.
    let found = in_zone("30 2 * * *", (2026, 3, 28, 12), 2);
    assert_eq!(found, ["2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"]);
    let found = in_zone("0,30 2,3 * * *", (2026, 3, 28, 12), 3);
    assert_eq!(found, ["2026-03-29 03:00:00 +02:00", "2026-03-29 03:30:00 +02:00", "2026-03-30 02:00:00 +02:00"]);
}

#[test]
fn a_rhythm_keeps_its_pace_when_clocks_change() {
    let found = in_zone("30 * * * *", (2026, 10, 24, 23), 4);
    assert_eq!(
        found,
        [
            "2026-10-25 01:30:00 +02:00",
            "2026-10-25 02:30:00 +02:00",
            "2026-10-25 02:30:00 +01:00",
            "2026-10-25 03:30:00 +01:00"
        ]
    );
    let found = in_zone("30 * * * *", (2026, 3, 29, 0), 3);
    assert_eq!(found, ["2026-03-29 01:30:00 +01:00", "2026-03-29 03:30:00 +02:00", "2026-03-29 04:30:00 +02:00"]);
    for (year, month, day) in [(2026, 10, 24), (2026, 3, 28)] {
        let cron = Cron::parse("*/10 * * * * * *").unwrap();
        let mut at = Utc.with_ymd_and_hms(year, month, day, 23, 0, 0).unwrap().with_timezone(&Middle);
        for _ in 0..(4 * 360) {
            let next = cron.next_after(&at).unwrap();
            assert_eq!((next - at).num_seconds(), 10, "before {next:?}");
            at = next;
        }
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,40}") {
        drop(Cron::parse(&text));
    }

    #[test]
    fn no_text_of_cron_letters_panics(text in "[0-9*?,/#LWlw@a-c -]{0,30}") {
        if let Ok(cron) = Cron::parse(&text) {
            let start = Utc.with_ymd_and_hms(2026, 1, 1, 0, 0, 0).unwrap();
            prop_assert!(cron.next_after(&start).is_none_or(|next| next > start));
        }
    }

    #[test]
    fn the_next_moment_is_later_and_asking_again_agrees(
        text in "(\\*/[1-9]|[0-5]|\\*) (\\*|[0-9]|1-4) (\\*|1|L|15W) \\* (\\*|[0-6])",
        start in 1_767_225_600_i64..1_800_000_000,
    ) {
        let cron = Cron::parse(&text).unwrap();
        let start = DateTime::from_timestamp(start, 500).unwrap().with_timezone(&Middle);
        let next = cron.next_after(&start).unwrap();
        prop_assert!(next > start);
        // Asked again from just before its own answer, it gives the same answer.
        let before = next - TimeDelta::milliseconds(1);
        prop_assert_eq!(cron.next_after(&before.max(start)), Some(next));
    }
}

fn check(text: &str, from: &str, expected: &[&str]) {
    let cron = Cron::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut at = NaiveDateTime::parse_from_str(from, "%Y-%m-%d %H:%M:%S").unwrap().and_utc();
    for one in expected {
        at = cron.next_after(&at).unwrap_or_else(|| panic!("{text}: nothing after {at}"));
        assert_eq!(at.format("%Y-%m-%d %H:%M:%S").to_string(), *one, "{text}");
    }
    if expected.is_empty() {
        assert_eq!(cron.next_after(&at), None, "{text}");
    }
}

fn refuse(text: &str, expected: &str, span: Option<&Range<usize>>) {
    let error = Cron::parse(text).expect_err(text);
    assert!(error.to_string().contains(expected), "{text}: {error}");
    assert_eq!(error.span().as_ref(), span, "{text}");
}

fn in_zone(text: &str, from: (i32, u32, u32, u32), count: usize) -> Vec<String> {
    let cron = Cron::parse(text).unwrap();
    let (year, month, day, hour) = from;
    let start = Utc.with_ymd_and_hms(year, month, day, hour, 0, 0).unwrap().with_timezone(&Middle);
    std::iter::successors(cron.next_after(&start), |at| cron.next_after(at))
        .take(count)
        .map(|at| format!("{} {}", at.naive_local(), at.offset()))
        .collect()
}

/// A zone with the rules of central Europe in 2026: +01:00, and +02:00 from 29 March to 25 October, 01:00 UTC each.
#[derive(Debug, Clone)]
struct Middle;

fn hours_east(hours: i32) -> FixedOffset {
    FixedOffset::east_opt(hours * 3600).unwrap()
}

impl TimeZone for Middle {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Self
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<FixedOffset> {
        self.offset_from_local_datetime(&local.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        let fits = |hours| {
            let offset = hours_east(hours);
            self.offset_from_utc_datetime(&(*local - offset)).fix() == offset
        };
        match (fits(2), fits(1)) {
            (true, true) => MappedLocalTime::Ambiguous(hours_east(2), hours_east(1)),
            (true, false) => MappedLocalTime::Single(hours_east(2)),
            (false, true) => MappedLocalTime::Single(hours_east(1)),
            (false, false) => MappedLocalTime::None,
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> FixedOffset {
        self.offset_from_utc_datetime(&utc.and_time(chrono::NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        let change = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap().and_hms_opt(1, 0, 0).unwrap();
        hours_east(if (change(3, 29)..change(10, 25)).contains(utc) { 2 } else { 1 })
    }
}
