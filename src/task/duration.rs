//! Durations as CTS and Consul write them: Go's `30s`, `1m30s`, `1.5h`, `500ms`.

use std::time::Duration;

/// Reads one; `None` when it is not one, is negative or does not fit.
pub fn parse(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.is_empty() {
        return None;
    }
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" | "μs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(total).ok()
}

/// Writes one, to the millisecond.
pub fn show(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let mut text = String::new();
    for (count, unit) in [(seconds / 3600, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s"), (millis.into(), "ms")] {
        if count > 0 {
            text.extend([&count.to_string(), unit]);
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (millis, text) in [(0, "0s"), (1500, "1s500ms"), (600_000, "10m"), (3_661_000, "1h1m1s")] {
            let duration = Duration::from_millis(millis);
            assert_eq!((show(duration).as_str(), parse(text)), (text, Some(duration)));
        }
    }

    #[test]
    fn go_durations_are_read() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("0", 0),
            ("0s", 0),
            ("2000us", 2),
            ("2000µs", 2),
        ] {
            assert_eq!(parse(text), Some(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "30", "s", "-1s", "1x", "1s1", "..s", "1e3s", "999999999999999999999999h", "1 s"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
