//! Where the token of a command comes from: `-token-file`, QUORATE_TOKEN or QUORATE_TOKEN_FILE, in this order.
//!
//! CONSUL_HTTP_TOKEN is not looked at: that is a secret of Consul's, which is none of an agent's business.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::access::Secret;

/// More than any token: what is longer is another file.
const FILE_MAX: u64 = 4096;

/// A token to send, and where it came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    text: String,
    /// For people.
    pub(super) from: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(.. from {})", self.from)
    }
}

impl Token {
    /// What there is. `Err`: it is no token; the text does not show what it is.
    pub(super) fn find(file: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let (text, from) = match (file, env("QUORATE_TOKEN"), env("QUORATE_TOKEN_FILE")) {
            (Some(path), ..) => (read(path)?, format!("-token-file {}", path.display())),
            (None, Some(text), _) => (text.trim().to_owned(), "QUORATE_TOKEN".to_owned()),
            (None, None, Some(path)) => (read(Path::new(&path))?, format!("QUORATE_TOKEN_FILE, which is {path}")),
            (None, None, None) => return Ok(None),
        };
        match Secret::parse(&text) {
            Ok(_) => Ok(Some(Self { text, from })),
            Err(error) => Err(format!("what {from} holds is not sent: {error}")),
        }
    }

    /// As a header has it.
    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}", self.text)
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX).read_to_string(&mut text))
        .map_err(|error| format!("cannot read the token in {}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beats_the_environment_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let token = |byte: u8| Secret::new([byte; 32]).reveal();
        let file = |name: &str, text: &str| {
            std::fs::write(dir.path().join(name), text).unwrap();
            dir.path().join(name)
        };
        let one = file("one", &format!("{}\n", token(1)));
        let two = file("two", &token(2));
        let both = |name: &str| match name {
            "QUORATE_TOKEN" => Some(token(3)),
            _ => Some(two.display().to_string()),
        };
        let of_file = Token::find(Some(&one), &both).unwrap().unwrap();
        assert_eq!(of_file.bearer(), format!("Bearer {}", token(1)));
        assert!(!format!("{of_file:?}").contains("0101"), "{of_file:?}");
        assert_eq!(Token::find(None, &both).unwrap().unwrap().from, "QUORATE_TOKEN");
        let only = |name: &str| (name == "QUORATE_TOKEN_FILE").then(|| two.display().to_string());
        assert_eq!(Token::find(None, &only).unwrap().unwrap().bearer(), format!("Bearer {}", token(2)));
        assert_eq!(Token::find(None, &|_| None), Ok(None));
        let wrong = file("wrong", "hunter2");
        let text = Token::find(Some(&wrong), &|_| None).unwrap_err();
        assert!(text.contains("it does not begin with qrt_") && !text.contains("hunter2"), "{text}");
        assert!(Token::find(Some(&dir.path().join("none")), &|_| None).unwrap_err().contains("cannot read the token"));
    }
}
