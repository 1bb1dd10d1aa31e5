//! Pages of texts, lines and rectangles, and the PDF that they become.
//!
//! Lengths are points (1/72 inch) from the left and the top of an A4 page. A character that the font does not have is drawn as
//! 〓, so that it is seen to be missing.
//!
//! Invariant: the bytes of a PDF depend on the commands, the title, the time and the font alone.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};
use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider as _};

use super::font::ReportFont;

/// The width of an A4 page.
pub(super) const PAGE_WIDTH: f32 = 595.28;
/// The height of an A4 page.
pub(super) const PAGE_HEIGHT: f32 = 841.89;
/// Stands for a character that the font does not have.
const MISSING: char = '〓';

/// A colour: red, green, blue.
pub(super) type Colour = (u8, u8, u8);

/// Where a text stands relative to its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// Why there is no PDF.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// The font cannot be used.
    #[error("the font of reports cannot be used; install another one, or set font in [reports]")]
    Font,
    /// The library refused the document.
    #[error("the report cannot be written as a PDF: {0}")]
    Library(String),
}

/// What is drawn.
#[derive(Debug, Clone)]
enum Command {
    Text { x: f32, y: f32, size: f32, colour: Colour, text: String },
    Rectangle { left: f32, top: f32, width: f32, height: f32, colour: Colour },
    Line { from: (f32, f32), to: (f32, f32), width: f32, colour: Colour },
}

/// Pages that are being drawn.
pub(super) struct Canvas<'a> {
    font: FontRef<'a>,
    source: &'a ReportFont,
    pages: Vec<Vec<Command>>,
}

impl<'a> Canvas<'a> {
    /// One empty page.
    pub(super) fn new(source: &'a ReportFont) -> Result<Self, PdfError> {
        let font = FontRef::from_index(&source.bytes, 0).map_err(|_| PdfError::Font)?;
        Ok(Self { font, source, pages: vec![Vec::new()] })
    }

    /// Begins a page.
    pub(super) fn new_page(&mut self) {
        self.pages.push(Vec::new());
    }

    /// How many pages there are.
    pub(super) fn page_count(&self) -> usize {
        self.pages.len()
    }

    /// The width of a text.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        self.glyphs(text).iter().map(|glyph| glyph.x_advance * size).sum()
    }

    /// The text as far as it fits into `width`, with … where it was cut.
    pub(super) fn fitted(&self, text: &str, size: f32, width: f32) -> String {
        if self.width(text, size) <= width {
            return text.to_owned();
        }
        let mut cut: String = text.to_owned();
        while cut.pop().is_some() {
            let shown = format!("{cut}…");
            if self.width(&shown, size) <= width {
                return shown;
            }
        }
        String::new()
    }

    /// Writes a text on the last page; `y` is its base line.
    pub(super) fn text(&mut self, (x, y): (f32, f32), size: f32, colour: Colour, align: Align, text: &str) {
        let x = match align {
            Align::Left => x,
            Align::Centre => x - self.width(text, size) / 2.0,
            Align::Right => x - self.width(text, size),
        };
        self.draw(Command::Text { x, y, size, colour, text: text.to_owned() });
    }

    /// Fills a rectangle on the last page.
    pub(super) fn rectangle(&mut self, (left, top): (f32, f32), (width, height): (f32, f32), colour: Colour) {
        if width > 0.0 && height > 0.0 {
            self.draw(Command::Rectangle { left, top, width, height, colour });
        }
    }

    /// Draws a line on the last page.
    pub(super) fn line(&mut self, from: (f32, f32), to: (f32, f32), width: f32, colour: Colour) {
        self.draw(Command::Line { from, to, width, colour });
    }

    /// Writes a text at the same place of every page: `text` gets the page's number, from 1, and how many there are.
    pub(super) fn on_every_page(
        &mut self,
        at: (f32, f32),
        (size, colour): (f32, Colour),
        align: Align,
        text: impl Fn(usize, usize) -> String,
    ) {
        let pages = self.pages.len();
        for n in 0..pages {
            let text = text(n + 1, pages);
            let x = match align {
                Align::Left => at.0,
                Align::Centre => at.0 - self.width(&text, size) / 2.0,
                Align::Right => at.0 - self.width(&text, size),
            };
            self.pages[n].push(Command::Text { x, y: at.1, size, colour, text });
        }
    }

    fn draw(&mut self, command: Command) {
        if let Some(page) = self.pages.last_mut() {
            page.push(command);
        }
    }

    /// A glyph for each character.
    fn glyphs(&self, text: &str) -> Vec<KrillaGlyph> {
        let charmap = self.font.charmap();
        let metrics = self.font.glyph_metrics(Size::unscaled(), LocationRef::default());
        let em = f32::from(self.font.metrics(Size::unscaled(), LocationRef::default()).units_per_em.max(1));
        let glyph = |(at, c): (usize, char)| {
            let id = charmap.map(c).or_else(|| charmap.map(MISSING)).unwrap_or_default();
            let advance = metrics.advance_width(id).unwrap_or(em) / em;
            let range = at..at + c.len_utf8();
            KrillaGlyph::new(GlyphId::new(id.to_u32()), advance, 0.0, 0.0, 0.0, range, None)
        };
        text.char_indices().map(glyph).collect()
    }

    /// The PDF. `at` is the time in it.
    pub(super) fn into_pdf(self, title: &str, at: Timestamp) -> Result<Vec<u8>, PdfError> {
        let bytes = std::sync::Arc::clone(&self.source.bytes);
        let font = Font::new(bytes.into(), 0).ok_or(PdfError::Font)?;
        let mut document =
            Document::new_with(SerializeSettings { enable_tagging: false, ..SerializeSettings::default() });
        document.set_metadata(
            Metadata::new()
                .title(title.to_owned())
                .language("ja-JP".to_owned())
                .producer("Toritsugi".to_owned())
                .creation_date(date(at)),
        );
        let settings = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT)
            .ok_or_else(|| PdfError::Library("no page has this size".to_owned()))?;
        for commands in &self.pages {
            let mut page = document.start_page_with(settings.clone());
            let mut surface = page.surface();
            for command in commands {
                self.write(&mut surface, &font, command);
            }
            surface.finish();
            page.finish();
        }
        document.finish().map_err(|error| PdfError::Library(format!("{error:?}")))
    }

    fn write(&self, surface: &mut Surface<'_>, font: &Font, command: &Command) {
        match command {
            Command::Text { x, y, size, colour, text } => {
                surface.set_stroke(None);
                surface.set_fill(Some(filled(*colour)));
                let glyphs = self.glyphs(text);
                surface.draw_glyphs(Point::from_xy(*x, *y), &glyphs, font.clone(), text, *size, false);
            }
            Command::Rectangle { left, top, width, height, colour } => {
                let mut path = PathBuilder::new();
                if let Some(rect) = Rect::from_xywh(*left, *top, *width, *height) {
                    path.push_rect(rect);
                }
                if let Some(path) = path.finish() {
                    surface.set_stroke(None);
                    surface.set_fill(Some(filled(*colour)));
                    surface.draw_path(&path);
                }
            }
            Command::Line { from, to, width, colour } => {
                let mut path = PathBuilder::new();
                path.move_to(from.0, from.1);
                path.line_to(to.0, to.1);
                if let Some(path) = path.finish() {
                    let (red, green, blue) = *colour;
                    surface.set_fill(None);
                    surface.set_stroke(Some(Stroke {
                        paint: rgb::Color::new(red, green, blue).into(),
                        width: *width,
                        ..Stroke::default()
                    }));
                    surface.draw_path(&path);
                }
            }
        }
    }
}

fn filled((red, green, blue): Colour) -> Fill {
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::ONE,
        rule: krilla::paint::FillRule::default(),
    }
}

fn date(at: Timestamp) -> DateTime {
    let at = at.to_zoned(TimeZone::UTC);
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    DateTime::new(u16::try_from(at.year()).unwrap_or_default())
        .month(small(at.month()))
        .day(small(at.day()))
        .hour(small(at.hour()))
        .minute(small(at.minute()))
        .second(small(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0)
}
