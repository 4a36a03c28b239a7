//! The one place that reads the environment.
#![expect(clippy::disallowed_methods, reason = "this is the home of the environment")]

/// A variable, unless absent, empty or not text.
pub(super) fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
