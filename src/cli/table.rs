//! Tables that line up and fit [`WIDTH`] columns.
//!
//! Too wide a table is made to fit by shortening its widest column, again and again, and cutting cells with `…`.

use super::paint::{Paint, Style, clean};

/// Columns of everything that is printed.
pub(super) const WIDTH: usize = 100;

/// Between columns.
const GAP: &str = "  ";

/// No column is made narrower than this.
const NARROWEST: usize = 6;

/// A piece of a row.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

/// A cell of harmless text.
pub(super) fn cell(style: Style, text: impl AsRef<str>) -> Cell {
    Cell { text: clean(text.as_ref()), style }
}

/// A plain cell.
pub(super) fn plain(text: impl AsRef<str>) -> Cell {
    cell(Style::Plain, text)
}

/// A table with a head; lines of free text may stand below a row.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<Cell>>,
    /// Lines below the row of that number.
    notes: Vec<(usize, Cell)>,
}

impl Table {
    /// Only a head.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|text| cell(Style::Head, text)).collect()], notes: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// Text below the last row, indented, in up to `lines` lines.
    pub(super) fn note(&mut self, style: Style, text: &str, lines: usize) {
        for line in wrap(&clean(text), WIDTH - 4, lines) {
            self.notes.push((self.rows.len() - 1, Cell { text: line, style }));
        }
    }

    pub(super) fn render(&self, paint: Paint) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (column, cell) in row.iter().enumerate().take(last + 1) {
                let shown = cut(&cell.text, widths[column]);
                let pad = if column == last { 0 } else { widths[column] - shown.chars().count() };
                text.push_str(if column == 0 { "" } else { GAP });
                text.push_str(&paint.apply(cell.style, &shown));
                text.push_str(&" ".repeat(pad));
            }
            text.push('\n');
            for (_, note) in self.notes.iter().filter(|(row, _)| *row == number) {
                text.push_str("    ");
                text.push_str(&paint.apply(note.style, &note.text));
                text.push('\n');
            }
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let room = WIDTH.saturating_sub(GAP.len() * columns.saturating_sub(1));
        while widths.iter().sum::<usize>() > room {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

/// At most `width` characters, the last an ellipsis when some are missing.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

/// Words in lines of at most `width` characters, at most `lines` of them.
pub(super) fn wrap(text: &str, width: usize, lines: usize) -> Vec<String> {
    let mut wrapped: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let fits = |line: &String| line.chars().count() + 1 + word.chars().count() <= width;
        match wrapped.last_mut() {
            Some(line) if fits(line) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => wrapped.push(cut(word, width)),
        }
    }
    if wrapped.len() > lines {
        wrapped.truncate(lines);
        if let Some(last) = wrapped.last_mut() {
            *last = cut(&format!("{last} …"), width);
        }
    }
    wrapped
}

/// A flag in a cell.
pub(super) fn yes(flag: bool) -> &'static str {
    if flag { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_COLOUR: Paint = Paint { colour: false };

    #[test]
    fn columns_line_up_and_empty_ends_leave_no_blanks() {
        let mut table = Table::new(&["ID", "STATE", "NOTE"]);
        table.row(vec![plain("a"), plain("suspect"), plain("")]);
        table.row(vec![plain("longer"), plain("up"), plain("x")]);
        table.note(Style::Bad, "why\nnot", 3);
        let expected = "ID      STATE    NOTE\na       suspect\nlonger  up       x\n    why not\n";
        assert_eq!(table.render(NO_COLOUR), expected);
    }

    #[test]
    fn the_widest_column_gives_way() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![plain("x".repeat(300)), plain("short")]);
        let text = table.render(NO_COLOUR);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(text.contains("…  short"));
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![cell(Style::Bad, "x"), plain("y")]);
        assert_eq!(table.render(Paint { colour: true }).lines().last(), Some("\x1b[31mx\x1b[0m  y"));
    }

    #[test]
    fn long_text_is_wrapped_and_cut() {
        assert_eq!(wrap("aa bb cc", 5, 3), ["aa bb", "cc"]);
        assert_eq!(wrap("aa bb cc dd", 5, 1), ["aa b…"]);
        assert_eq!(wrap("abcdefgh", 4, 3), ["abc…"]);
        assert!(wrap("", 4, 3).is_empty());
    }
}
