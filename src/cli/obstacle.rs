//! What stands in the way of a start, in the words of the start.

use super::exit::Exit;
use crate::config::Finding;
use crate::runtime::StartError;

/// One thing in the way.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// In the words of the start.
    pub(super) text: String,
    /// With which code a start ends; `None`: it goes on, or finds out for itself whether it still is so.
    pub(super) exit: Option<Exit>,
    /// A start meets it again, if it is still so, and says it then.
    pub(super) is_met_again: bool,
}

impl Obstacle {
    pub(super) fn error(text: String) -> Self {
        Self { text, exit: Some(Exit::Config), is_met_again: false }
    }

    pub(super) fn of(error: &StartError) -> Self {
        let in_use = error.is_in_use();
        Self { text: chain(error), exit: (!in_use).then_some(Exit::Config), is_met_again: in_use }
    }

    /// As `config check` shows it.
    pub(super) fn finding(self) -> Finding {
        Finding {
            severity: if self.exit.is_some() { "error" } else { "note" },
            message: self.text,
            help: None,
            file: None,
            line: None,
            column: None,
            deprecated: false,
        }
    }
}

/// An error with its causes, as the log has it.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("failed to {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors name their cause in their own words.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}
