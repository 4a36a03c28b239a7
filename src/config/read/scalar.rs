//! Texts, switches, numbers and durations, with the weak typing of CTS.
//!
//! What is not of its type and is taken all the same is said, without the value: it may be a secret.

use std::time::Duration;

use super::{Read, mismatch, only, taken};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::duration::{self, DurationError};
use crate::config::tree::{Kind, Value};

impl Read for String {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let value = only(value, path, "a string", problems);
        match &value.kind {
            Kind::Text(text) => Some(text.clone()),
            Kind::Number(text) => {
                taken(value, path, "a string", "its digits are taken", "write it in quotes", problems);
                Some(digits(text))
            }
            Kind::Bool(yes) => {
                let text = if *yes { "1" } else { "0" };
                let meaning = format!("{yes} is read as \"{text}\", as in CTS");
                taken(value, path, "a string", &meaning, "write the text in quotes", problems);
                Some(text.to_owned())
            }
            Kind::Null | Kind::List(_) | Kind::Object(_) => mismatch(value, path, "a string", None, problems),
        }
    }
}

/// A number as Go writes it: without an exponent and without zeros at the end.
fn digits(text: &str) -> String {
    if text.parse::<i64>().is_ok() {
        return text.to_owned();
    }
    text.parse::<f64>().map_or_else(|_| text.to_owned(), |number| number.to_string())
}

impl Read for bool {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let expected = "true or false";
        let value = only(value, path, expected, problems);
        let yes = match &value.kind {
            Kind::Bool(yes) => return Some(*yes),
            Kind::Number(text) => text.parse::<f64>().ok().map(|number| number != 0.0),
            Kind::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
                "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Some(false),
                _ => None,
            },
            Kind::Null | Kind::List(_) | Kind::Object(_) => None,
        };
        let Some(yes) = yes else { return mismatch(value, path, expected, None, problems) };
        taken(value, path, expected, &format!("it is read as {yes}"), &format!("write {yes}"), problems);
        Some(yes)
    }
}

/// A whole number of a type's range.
fn integer<T: TryFrom<i64> + ToString + Copy>(
    value: &Value,
    path: &str,
    most: &str,
    problems: &mut Problems,
) -> Option<T> {
    let expected = format!("a whole number from 0 to {most}");
    let value = only(value, path, &expected, problems);
    let number = match &value.kind {
        Kind::Bool(yes) => Some(i64::from(*yes)),
        Kind::Number(text) => text.parse().ok().or_else(|| truncated(text)),
        Kind::Text(text) => whole(text.trim()),
        Kind::Null | Kind::List(_) | Kind::Object(_) => None,
    };
    let Some(number) = number.and_then(|number| T::try_from(number).ok()) else {
        return mismatch(value, path, &expected, None, problems);
    };
    let as_it_is = matches!(&value.kind, Kind::Number(text) if *text == number.to_string());
    if !as_it_is {
        let meaning = format!("it is read as {}", number.to_string());
        taken(value, path, &expected, &meaning, &format!("write {}", number.to_string()), problems);
    }
    Some(number)
}

/// The whole part of a number with a fraction or an exponent.
fn truncated(text: &str) -> Option<i64> {
    let number = text.parse::<f64>().ok()?.trunc();
    // Beyond this not every whole number is one of these; nothing here is as large.
    (number.abs() < 9e15).then(|| format!("{number:.0}").parse().ok()).flatten()
}

/// A whole number as Go reads one from a text: decimal, or with the prefix of its base.
fn whole(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0b", 2), ("0o", 8)];
    let (base, digits) = prefixes
        .iter()
        .find_map(|(prefix, base)| Some((*base, lower.strip_prefix(prefix)?)))
        .or_else(|| lower.strip_prefix('0').filter(|rest| !rest.is_empty()).map(|rest| (8, rest)))
        .unwrap_or((10, &lower));
    let number = i64::from_str_radix(digits, base).ok().filter(|number| *number >= 0);
    number.map(|number| sign * number)
}

macro_rules! integers {
    ($($name:ty),*) => {$(
        impl Read for $name {
            fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
                integer(value, path, &<$name>::MAX.to_string(), problems)
            }
        }
    )*};
}

integers!(u8, u16, u32);

impl Read for Duration {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        let name = path.rsplit('.').next().unwrap_or(path);
        let value = only(value, path, "a duration", problems);
        let nanos = match &value.kind {
            Kind::Number(text) => text.parse().ok().or_else(|| truncated(text)),
            Kind::Bool(yes) => Some(i64::from(*yes)),
            Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Object(_) => None,
        };
        if let Some(nanos) = nanos.and_then(|nanos| u64::try_from(nanos).ok()) {
            if nanos > 0 {
                let message = format!("`{name}` has no unit: {nanos} means {nanos} nanoseconds");
                let help = format!("write a unit: \"{nanos}s\" for seconds, \"{nanos}ms\" for milliseconds");
                problems.add(Diagnostic::weak(message).at(&value.span, "nanoseconds").help(help));
            }
            return Some(Self::from_nanos(nanos));
        }
        let (Kind::Text(text) | Kind::Number(text)) = &value.kind else {
            let help = "durations look like \"300ms\", \"5s\" or \"1h2m\"";
            return mismatch(value, path, "a duration", Some(help), problems);
        };
        match duration::parse(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                let help = match error {
                    DurationError::NoUnit => format!("write a unit, such as \"{}s\"", text.trim()),
                    DurationError::Malformed => "durations look like \"300ms\", \"5s\" or \"1h2m\"; units are ns, us, \
                                                 ms, s, m and h"
                        .to_owned(),
                    DurationError::Negative => "give zero or more".to_owned(),
                    DurationError::TooLong => "give less than 292 years".to_owned(),
                };
                let message = format!("`{name}` {error}: {text:?}");
                problems.add(Diagnostic::error(message).at(&value.span, "expected a duration").help(help));
                None
            }
        }
    }
}
