//! Colour, on a terminal only; and text from elsewhere made harmless for one.

use super::{env, output};

/// What a piece of text is, not how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Style {
    /// As it is.
    #[default]
    Plain,
    /// A head.
    Head,
    /// Well.
    Good,
    /// To be watched.
    Warn,
    /// Not well.
    Bad,
    /// Of less weight.
    Dim,
}

/// Whether to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paint {
    pub(super) colour: bool,
}

impl Paint {
    /// For standard output: colour on a terminal, unless `NO_COLOR` is set or the terminal is dumb.
    pub(super) fn detect() -> Self {
        let refused = env::read("NO_COLOR").is_some() || env::read("TERM").as_deref() == Some("dumb");
        Self { colour: output::on_terminal() && !refused }
    }

    pub(super) fn apply(self, style: Style, text: &str) -> String {
        let code = match style {
            Style::Head => "1",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Dim => "2",
            Style::Plain => return text.to_owned(),
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One line without control characters: errors of tasks and names of others must not drive the terminal.
pub(super) fn clean(text: &str) -> String {
    let harmless = text.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect::<String>();
    harmless.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same for text of several lines, which stay as they are indented.
pub(super) fn clean_lines(text: &str) -> String {
    let harmless = |line: &str| line.chars().map(|c| if c.is_control() || is_format(c) { ' ' } else { c }).collect();
    text.lines().map(harmless).collect::<Vec<String>>().join("\n")
}

/// Invisible characters that turn the direction of text or join lines.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// How the state of a member looks.
pub(super) fn state_style(state: &str) -> Style {
    match state {
        "alive" => Style::Good,
        "suspect" => Style::Warn,
        "down" => Style::Bad,
        _ => Style::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_of_others_are_harmless() {
        assert_eq!(clean("a\x1b[2Jb\r\n\tc\u{202e}d"), "a [2Jb c d");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(clean_lines("a\n  + b\x1b[2J\r\n"), "a\n  + b [2J");
    }

    #[test]
    fn colour_is_optional() {
        assert_eq!(Paint { colour: false }.apply(Style::Bad, "x"), "x");
        assert_eq!(Paint { colour: true }.apply(Style::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
