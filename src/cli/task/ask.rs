//! Asks a person before something happens (`reference/cts.md` 5.4): only `yes` is a yes.

use std::io::BufRead as _;

use super::super::output::{Failure, say};
use super::super::paint::{clean, clean_lines};

/// The flag that answers beforehand.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Approval {
    /// Do not ask
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value_t = false,
          action = clap::ArgAction::Set, hide_default_value = true, hide_possible_values = true)]
    auto_approve: bool,
}

impl Approval {
    /// Whether it may happen. `doing`: what a no cancels, such as "creating". A no is said here.
    pub(super) fn given(&self, question: &str, doing: &str, name: &str) -> Result<bool, Failure> {
        if self.auto_approve {
            return Ok(true);
        }
        say(&format!("{question}\n    Only 'yes' approves, anything else cancels.\n\n    Enter a value: "))?;
        let answer = answer(&mut std::io::stdin().lock());
        say("\n")?;
        let name = clean(name);
        let answer = answer.map_err(|why| Failure::new(format!("nobody approved {doing} '{name}'\n{why}")))?;
        if answer == "yes" {
            return Ok(true);
        }
        say(&format!("==> Cancelled {doing} task '{name}'\n"))?;
        Ok(false)
    }
}

/// One whole line: an answer that is cut off is none.
fn answer(input: &mut impl std::io::BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    // More than this is no yes.
    let read = std::io::Read::take(input, 256).read_until(b'\n', &mut line);
    read.map_err(|error| format!("cannot read the answer: {error}"))?;
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix('\n') {
        Some(line) => Ok(line.strip_suffix('\r').unwrap_or(line).to_owned()),
        None if line.len() == 256 => Ok(String::new()),
        None => Err("the input ended without an answer; -auto-approve does not ask".to_owned()),
    }
}

/// A plan as the lines below a head.
pub(super) fn indented(text: &str) -> String {
    let lines = clean_lines(text.trim_end());
    let lines = lines.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_whole_line() {
        let of = |text: &str| answer(&mut text.as_bytes());
        assert_eq!(of("yes\nmore"), Ok("yes".to_owned()));
        assert_eq!(of("yes\r\n"), Ok("yes".to_owned()));
        assert_eq!(of(" yes\n"), Ok(" yes".to_owned()));
        assert_eq!(of(&"x".repeat(999)), Ok(String::new()));
        assert!(of("").is_err() && of("yes").is_err());
    }

    #[test]
    fn a_plan_keeps_its_shape() {
        assert_eq!(indented("a\n\n  + b\x1b[1m\n\n"), "    a\n\n      + b [1m\n");
    }
}
