//! A version of Terraform or OpenTofu, as far as we compare it.

use std::fmt;
use std::str::FromStr;

/// `major.minor.patch`; what follows (`-rc1`) is kept for people and plays no part in comparing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    numbers: (u32, u32, u32),
    suffix: String,
}

impl Version {
    /// A released version.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { numbers: (major, minor, patch), suffix: String::new() }
    }

    /// Whether it is this release or later. A pre-release counts as its release: whoever installs one means it.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.numbers.0, self.numbers.1) >= (major, minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.numbers;
        write!(f, "{major}.{minor}.{patch}{}", self.suffix)
    }
}

/// The text is not `x.y.z`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a version of the form x.y.z: {0:?}")]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = || VersionError(text.chars().take(80).collect());
        let plain = text.strip_prefix('v').unwrap_or(text);
        let end = plain.find(['-', '+']).unwrap_or(plain.len());
        let (numbers, suffix) = plain.split_at(end);
        let parsed: Vec<u32> = numbers.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| refuse())?;
        let [major, minor, patch] = parsed[..] else { return Err(refuse()) };
        Ok(Self { numbers: (major, minor, patch), suffix: suffix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version: Version = "v1.11.4".parse().unwrap();
        assert!(version.at_least(1, 11) && version.at_least(0, 13) && !version.at_least(1, 12));
        let preview: Version = "1.15.0-alpha20260101".parse().unwrap();
        assert!(preview.at_least(1, 15));
        assert_eq!(preview.to_string(), "1.15.0-alpha20260101");
        assert!("0.9.11".parse::<Version>().unwrap() < "0.13.0".parse().unwrap());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "1", "1.2", "1.2.3.4", "a.b.c", "1.2.99999999999", ">= 1.2.3"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }
}
