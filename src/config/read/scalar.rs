//! Texts, switches, numbers and durations, with the weak typing of CTS.

use std::time::Duration;

use super::{Read, mismatch};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::duration::{self, DurationError};
use crate::config::tree::{Kind, Value};

impl Read for String {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match &value.kind {
            Kind::Text(text) | Kind::Number(text) => Some(text.clone()),
            Kind::Bool(yes) => Some(yes.to_string()),
            Kind::Null | Kind::List(_) | Kind::Object(_) => mismatch(value, path, "a string", None, problems),
        }
    }
}

impl Read for bool {
    fn read(value: &Value, path: &str, problems: &mut Problems) -> Option<Self> {
        match &value.kind {
            Kind::Bool(yes) => Some(*yes),
            Kind::Number(text) if text == "0" || text == "1" => Some(text == "1"),
            Kind::Text(text) => match text.as_str() {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
                "0" | "f" | "F" | "FALSE" | "false" | "False" | "" => Some(false),
                _ => mismatch(value, path, "true or false", None, problems),
            },
            Kind::Null | Kind::Number(_) | Kind::List(_) | Kind::Object(_) => {
                mismatch(value, path, "true or false", None, problems)
            }
        }
    }
}

/// A whole number of a type's range.
fn integer<T: TryFrom<i64>>(value: &Value, path: &str, most: &str, problems: &mut Problems) -> Option<T> {
    let number = match &value.kind {
        Kind::Bool(yes) => Some(i64::from(*yes)),
        Kind::Number(text) | Kind::Text(text) => text.trim().parse::<i64>().ok(),
        Kind::Null | Kind::List(_) | Kind::Object(_) => None,
    };
    let expected = format!("a whole number from 0 to {most}");
    match number.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Some(number),
        None => mismatch(value, path, &expected, None, problems),
    }
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
        let text = match &value.kind {
            Kind::Text(text) => text,
            Kind::Number(text) => match text.parse::<i64>() {
                Ok(nanos) if nanos >= 0 => {
                    if nanos > 0 {
                        let message = format!("`{name}` has no unit: {nanos} means {nanos} nanoseconds");
                        let help = format!("write a unit: \"{nanos}s\" for seconds, \"{nanos}ms\" for milliseconds");
                        problems.add(Diagnostic::warning(message).at(&value.span, "nanoseconds").help(help));
                    }
                    return Some(Self::from_nanos(nanos.unsigned_abs()));
                }
                _ => text,
            },
            Kind::Null | Kind::Bool(_) | Kind::List(_) | Kind::Object(_) => {
                let help = "durations look like \"300ms\", \"5s\" or \"1h2m\"";
                return mismatch(value, path, "a duration", Some(help), problems);
            }
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
