//! Durations as Go writes them: `300ms`, `1.5h`, `1h2m3s`.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

/// Why a text is not a duration. Nothing changed; write it as the text says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a number with a unit, once or more.
    #[error("is not a duration")]
    Malformed,
    /// A number without a unit.
    #[error("has no unit")]
    NoUnit,
    /// Below zero.
    #[error("cannot be negative")]
    Negative,
    /// More than about 292 years, Go's limit.
    #[error("is too long")]
    TooLong,
}

/// Reads one.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(DurationError::Malformed);
        }
        if unit.is_empty() {
            return Err(DurationError::NoUnit);
        }
        let Some((_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::Malformed);
        };
        let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLong)? };
        total =
            whole.checked_mul(u128::from(*scale)).and_then(|ns| total.checked_add(ns)).ok_or(DurationError::TooLong)?;
        let mut place = *scale;
        for digit in fraction.bytes() {
            place /= 10;
            total += u128::from(digit - b'0') * u128::from(place);
        }
        if total > u128::from(i64::MAX.unsigned_abs()) {
            return Err(DurationError::TooLong);
        }
        rest = after;
    }
    if negative && total > 0 {
        return Err(DurationError::Negative);
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| DurationError::TooLong)
}

/// Writes one so that people read it at a glance and [`parse`] reads it back: `1h30m`, `1.05s`, `250ms`.
pub fn show(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if seconds == 0 && nanos == 0 {
        return "0s".to_owned();
    }
    if seconds == 0 {
        let scaled = |unit: u32, name: &str| decimal(u64::from(nanos / unit), nanos % unit, unit) + name;
        return match nanos {
            1_000_000.. => scaled(1_000_000, "ms"),
            1_000.. => scaled(1_000, "us"),
            _ => format!("{nanos}ns"),
        };
    }
    let mut out = String::new();
    for (size, name) in [(3_600, "h"), (60, "m")] {
        let count = if name == "h" { seconds / size } else { seconds % 3_600 / size };
        if count > 0 {
            out = out + &count.to_string() + name;
        }
    }
    if seconds % 60 > 0 || nanos > 0 {
        out.push_str(&decimal(seconds % 60, nanos, 1_000_000_000));
        out.push('s');
    }
    out
}

fn decimal(whole: u64, part: u32, of: u32) -> String {
    let width = of.ilog10() as usize;
    let fraction = format!("{part:0width$}");
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() { whole.to_string() } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read() {
        for (text, ms) in [
            ("300ms", 300),
            ("5s", 5_000),
            ("1h2m", 3_720_000),
            ("1.5s", 1_500),
            ("0", 0),
            ("1m0.5s", 60_500),
            (".5s", 500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        assert_eq!(parse("3us"), Ok(Duration::from_micros(3)));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for (text, error) in [
            ("", DurationError::Malformed),
            ("5", DurationError::NoUnit),
            ("5 s", DurationError::Malformed),
            ("s", DurationError::Malformed),
            ("5d", DurationError::Malformed),
            ("1.2.3s", DurationError::Malformed),
            ("-1s", DurationError::Negative),
            ("9999999999h", DurationError::TooLong),
            ("99999999999999999999999999999999999999999999h", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["0s", "300ms", "5s", "1h2m", "1.05s", "2.5ms", "1h", "1m0.5s", "262.5ms", "3ns", "10m", "1h1s"] {
            assert_eq!(show(parse(text).expect("good")), text);
        }
    }
}
