//! What commands print, and how they fail: a pipe that is closed is no reason to panic.

use std::io::{ErrorKind, IsTerminal, Write};

use super::exit::Exit;
use super::program::Program;

/// A command that did not do what it is for.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    /// For people; empty: nothing to say.
    text: String,
}

impl Failure {
    /// Exit code 11 with a text: first what was not done, then why.
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { exit: Exit::Error, text: text.into() }
    }

    /// The same with another code.
    pub(super) fn with(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// With the name that the program was called by in its hints.
    pub(super) fn named(self, program: Program) -> Self {
        Self { text: program.named(&self.text), ..self }
    }

    /// Prints it on standard error: first line after `==> `, the others indented, as CTS does.
    pub(super) fn complain(&self) {
        if !self.text.is_empty() {
            complain(&framed(&self.text));
        }
    }
}

fn framed(text: &str) -> String {
    let mut framed = String::from("==> Error: ");
    for (number, line) in text.lines().enumerate() {
        framed.push_str(if number == 0 { "" } else { "    " });
        framed.push_str(line);
        framed.push('\n');
    }
    framed
}

/// Prints on standard output. A reader that went away ends the command quietly.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::new("")),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}

/// Prints on standard error; when that fails there is nobody to tell.
pub(super) fn complain(text: &str) {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    drop(write!(std::io::stderr().lock(), "{text}{end}"));
}

/// Whether a person reads standard output.
pub(super) fn on_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// JSON for people and programs.
pub(super) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_frame_of_cts() {
        assert_eq!(framed("unable to enable 'x'\nno such task"), "==> Error: unable to enable 'x'\n    no such task\n");
    }
}
