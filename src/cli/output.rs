//! What commands print: tables that stay aligned in Japanese, JSON, and one-line complaints.
//!
//! Invariant: text that came from outside is made [`plain`] before it is printed to a terminal: no control
//! character, no escape sequence, no mark that changes the direction of the line.

use std::io::Write;

use clap::Args;
use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Widest cell of a table, in terminal columns; the rest is cut and marked with `…`.
const CELL_COLUMNS_MAX: usize = 40;

/// Of every command that reads.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print JSON, one document or, when following, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `text` on one line, with nothing in it that a terminal acts upon; `?` stands where something was.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if acts_on_terminals(c) { '?' } else { c }).collect()
}

/// Control characters, and marks that reorder, hide or break the text around them.
fn acts_on_terminals(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}')
}

/// A table in the making: a heading, then rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    /// Adds a row; its text may come from anywhere.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows.push(cells.iter().map(|cell| cut(&plain(cell), CELL_COLUMNS_MAX)).collect());
    }

    /// The table as text, a line per row.
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

/// At most `columns` wide.
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

/// Prints text as it is; make it [`plain`] first where it holds anything from outside.
pub(crate) fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
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

/// Asks on standard error, where it does not get into what a command prints.
pub(crate) fn prompt(question: &str) {
    let mut out = std::io::stderr();
    // Who reads the answer notices.
    let _ = write!(out, "{question}").and_then(|()| out.flush());
}

/// One line on standard error. That nobody reads it is no reason to fail.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "{}", plain(message));
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
    fn nothing_from_outside_acts_on_the_terminal() {
        let hostile = "a\u{1b}[2Jb\r\nc\u{202E}d\u{200B}e\u{9b}31mf\tg";
        assert_eq!(plain(hostile), "a?[2Jb??c?d?e?31mf?g");
        let mut table = Table::new(["NAME"]);
        table.row([&"あ".repeat(5000)]);
        assert_eq!(table.render().lines().nth(1).map(UnicodeWidthStr::width), Some(39));
        assert_eq!(table.render().lines().count(), 2);
    }
}
