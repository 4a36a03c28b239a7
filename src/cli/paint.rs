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

/// The same for what programs print: colours and tabs stay, too.
pub(super) fn clean_shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = colour(rest).unwrap_or(c.len_utf8());
        let (now, later) = rest.split_at(length);
        let harmless = length > 1 && c == '\x1b' || c == '\n' || c == '\t' || !c.is_control() && !is_format(c);
        shown.push_str(if harmless { now } else { " " });
        rest = later;
    }
    shown
}

/// The length of a sequence that only sets colours, at the beginning of a text.
fn colour(text: &str) -> Option<usize> {
    let codes = text.strip_prefix("\x1b[")?;
    let end = codes.find(|c: char| !c.is_ascii_digit() && c != ';').filter(|end| *end <= 16)?;
    codes[end..].starts_with('m').then_some(end + 3)
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
    fn what_programs_print_keeps_its_colours_and_nothing_else() {
        let said = "\x1b[1;31mred\x1b[0m\tx\r\n\x1b[2J\x1b]0;title\x07\x1b[";
        assert_eq!(clean_shown(said), "\x1b[1;31mred\x1b[0m\tx \n [2J ]0;title  [");
    }

    #[test]
    fn colour_is_optional() {
        assert_eq!(Paint { colour: false }.apply(Style::Bad, "x"), "x");
        assert_eq!(Paint { colour: true }.apply(Style::Bad, "x"), "\x1b[31mx\x1b[0m");
    }
}
