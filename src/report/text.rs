//! A text as pages, for instance a message that a gateway faxes: a name, a title, and lines that are broken where a page ends.

use jiff::Timestamp;

use super::canvas::{Align, Canvas, PAGE_HEIGHT, PAGE_WIDTH, PdfError};
use super::font::ReportFont;
use super::layout::{GREY, INK, RULE};

/// The margin on every side: a fax machine cuts some of it off.
const MARGIN: f32 = 56.0;
/// The width of a line.
const WIDTH: f32 = PAGE_WIDTH - 2.0 * MARGIN;
/// Where the last line of a page may stand.
const BOTTOM: f32 = PAGE_HEIGHT - MARGIN - 20.0;
/// The sizes of the title and of the text, which a fax shows in 200 dots an inch.
const TITLE_SIZE: f32 = 15.0;
const TEXT_SIZE: f32 = 12.0;
/// From one base line to the next.
const LEADING: f32 = 20.0;
/// What does not begin a line: it stands beyond the margin instead.
const HANGING: &str = "、。，．・：；！？）」』】〕〉》ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.:;!?)]";

/// What the pages say.
#[derive(Debug, Clone)]
pub struct TextDocument {
    /// The name at the top.
    pub name: String,
    /// The title below it.
    pub title: String,
    /// The text; lines end with `\n`.
    pub text: String,
    /// What stands at the foot of each page, beside its number.
    pub foot: String,
}

impl TextDocument {
    /// The pages as a PDF; `at` is the time in it.
    ///
    /// # Errors
    /// [`PdfError`]: the font cannot be used, or the library refused the document.
    pub fn pdf(&self, font: &ReportFont, at: Timestamp) -> Result<Vec<u8>, PdfError> {
        let mut canvas = Canvas::new(font)?;
        let mut y = MARGIN + TITLE_SIZE;
        for (text, size) in [(&self.name, TEXT_SIZE), (&self.title, TITLE_SIZE)] {
            for line in broken(&canvas, text, size) {
                canvas.text((MARGIN, y), size, INK, Align::Left, &line);
                y += size + 10.0;
            }
        }
        canvas.line((MARGIN, y - 6.0), (MARGIN + WIDTH, y - 6.0), 0.8, RULE);
        y += LEADING;
        let lines: Vec<String> =
            self.text.lines().flat_map(|line| broken(&canvas, line, TEXT_SIZE)).collect();
        for line in lines {
            if y > BOTTOM {
                canvas.new_page();
                y = MARGIN + TEXT_SIZE;
            }
            canvas.text((MARGIN, y), TEXT_SIZE, INK, Align::Left, &line);
            y += LEADING;
        }
        let foot = PAGE_HEIGHT - MARGIN;
        canvas.on_every_page((MARGIN, foot), (9.0, GREY), Align::Left, |_, _| self.foot.clone());
        canvas
            .on_every_page((MARGIN + WIDTH, foot), (9.0, GREY), Align::Right, |n, of| format!("{n} / {of}"));
        canvas.into_pdf(&self.title, at)
    }
}

/// A line as lines that fit; an empty one stays.
fn broken(canvas: &Canvas<'_>, line: &str, size: f32) -> Vec<String> {
    let (mut lines, mut used) = (vec![String::new()], 0.0);
    let mut buffer = [0; 4];
    for c in line.chars() {
        let width = canvas.width(c.encode_utf8(&mut buffer), size);
        if used + width > WIDTH && !HANGING.contains(c) {
            lines.push(String::new());
            used = 0.0;
        }
        if let Some(last) = lines.last_mut() {
            last.push(c);
        }
        used += width;
    }
    lines
}
