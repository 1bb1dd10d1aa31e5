//! The output of commands: tables that stay aligned with Japanese text, JSON, and one-line errors.
//!
//! Invariant: text from outside passes [`plain`] before it is printed to a terminal. It contains no control character,
//! no escape sequence, and no mark that changes the direction of the line.

use std::io::{IsTerminal as _, Write};

use clap::Args;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Width of a table cell, in terminal columns. A longer text is cut and ends with `…`.
const CELL_COLUMNS_MAX: usize = 40;

/// The output options of every command that reads.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print JSON: one document, or one object per line when following.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Replaces each character that a terminal acts upon by `?`. The result is one line.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if is_terminal_control(c) { '?' } else { c }).collect()
}

/// Whether this is a control character, or a mark that reorders, hides or breaks the text around it.
fn is_terminal_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// A table: a heading and rows with as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// A table whose columns depend on what is shown.
    pub(crate) fn of(heading: &[String]) -> Self {
        Self { rows: vec![heading.to_vec()] }
    }

    /// Adds a row with as many cells as the heading. The cells may contain text from outside.
    pub(crate) fn row_of(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| cut(&plain(cell), CELL_COLUMNS_MAX)).collect());
    }

    /// Adds a row. The cells may contain text from outside.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| cut(&plain(cell), CELL_COLUMNS_MAX)).collect());
    }

    /// Formats the table, one line per row.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.width() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Cuts `text` to at most `columns` terminal columns; a cut text ends with `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Prints `text` unchanged. Pass text from outside through [`plain`] first.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Prints a file as it is, for a redirection.
pub(crate) fn print_bytes(file: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(file)?;
    out.flush()
}

/// Prints one line; see [`print`].
pub(crate) fn print_line(line: &str) -> std::io::Result<()> {
    print(&format!("{line}\n"))
}

/// Prints `value` as one indented JSON document.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> anyhow::Result<()> {
    print_line(&serde_json::to_string_pretty(value)?)?;
    Ok(())
}

/// Prints a question on standard error, so that it is not part of the command's output.
pub(crate) fn prompt(question: &str) {
    let mut out = std::io::stderr();
    // If standard error is closed, reading the answer fails and is reported.
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// Prints one line on standard error. A closed standard error is ignored.
pub(crate) fn print_error(message: &str) {
    print_error_lines(&plain(message), std::io::stderr().is_terminal());
}

/// Prints a text on standard error as it is; on a terminal the program's name in it is red.
pub(crate) fn print_error_lines(text: &str, is_terminal: bool) {
    const NAME: &str = "toritsugi:";
    let text = match text.strip_prefix(NAME) {
        Some(rest) => format!("{}{rest}", painted(NAME, Colour::Red, is_terminal)),
        None => text.to_owned(),
    };
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A colour of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
}

/// `text` in this colour on a terminal, unless `NO_COLOR` is set or the terminal has none.
pub(crate) fn painted(text: &str, colour: Colour, is_terminal: bool) -> String {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_terminal || is_set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return text.to_owned();
    }
    let code = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_in_japanese() {
        let mut table = Table::new(["ACCOUNT", "CALLER"]);
        table.row(["株式会社さくら商事", "03-1234-5678"]);
        table.row(["ABC", "非通知"]);
        let expected =
            "ACCOUNT             CALLER\n株式会社さくら商事  03-1234-5678\nABC                 非通知\n";
        assert_eq!(table.render(), expected);
    }

    #[test]
    fn text_from_outside_cannot_control_the_terminal() {
        let hostile = "a\u{1b}[2Jb\r\nc\u{202E}d\u{200B}e\u{9b}31mf\tg";
        assert_eq!(plain(hostile), "a?[2Jb??c?d?e?31mf?g");
        let mut table = Table::new(["NAME"]);
        table.row([&"あ".repeat(5000)]);
        assert_eq!(table.render().lines().nth(1).map(UnicodeWidthStr::width), Some(39));
        assert_eq!(table.render().lines().count(), 2);
    }
}
