//! Talk: what an operator says, with placeholders that the moment fills.
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{company}` | the account's name |
//! | `{operator}` | the operator's name |
//! | `{greeting}` | `[greeting]` of the time of day |
//! | `{contact}`, `{from}` | the chosen contact, the caller's name |
//! | `{hours}`, `{next_open}` | the account's hours, when it opens next |
//! | `{f.ID}` | the answer to a question |
//!
//! `{{` is a brace. Invariant: what fills a placeholder is never read for placeholders.

use std::fmt::Write as _;

use super::model::Place;
use crate::identity::printable;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Talk {
    pub(super) pieces: Vec<Piece>,
    pub(super) place: Place,
}

/// A part of a talk.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Fill(Placeholder),
}

/// What stands in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Placeholder {
    Company,
    Operator,
    Greeting,
    Contact,
    From,
    Hours,
    NextOpen,
    Field(String),
}

const NAMES: &str = "{company}, {operator}, {greeting}, {contact}, {from}, {hours}, {next_open}, {f.ID}";

impl Placeholder {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "company" => Self::Company,
            "operator" => Self::Operator,
            "greeting" => Self::Greeting,
            "contact" => Self::Contact,
            "from" => Self::From,
            "hours" => Self::Hours,
            "next_open" => Self::NextOpen,
            _ => Self::Field(name.strip_prefix("f.").filter(|id| !id.is_empty())?.to_owned()),
        })
    }
}

impl Talk {
    /// Reads a text.
    pub(super) fn read(text: &str, place: Place) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let Some((name, after)) = from.strip_prefix('{').and_then(|inner| inner.split_once('}')) else {
                return Err("a brace has no partner: write {{ or }} for a brace in the text".to_owned());
            };
            let placeholder = Placeholder::parse(name)
                .ok_or_else(|| format!("{{{}}} is no placeholder: there are {NAMES}", short(name)))?;
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Fill(placeholder));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces, place })
    }

    /// The text with its placeholders filled.
    pub(super) fn filled(&self, mut fill: impl FnMut(&Placeholder) -> String) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Fill(placeholder) => text.push_str(&fill(placeholder)),
            }
        }
        text
    }

    /// The questions that it names.
    pub(super) fn fields(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Fill(Placeholder::Field(id)) => Some(id.as_str()),
            _ => None,
        })
    }

    pub(super) fn names(&self, placeholder: &Placeholder) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Fill(known) if known == placeholder))
    }
}

/// The first character that no text may have: a control or direction-changing one. Line breaks are allowed in `lines`.
pub(super) fn unprintable(text: &str, lines: bool) -> Option<String> {
    let is_bad = |c: &char| {
        let is_space = matches!(c, ' ' | '\u{3000}') || lines && matches!(c, '\n' | '\r');
        !is_space && printable(&c.to_string(), 4).is_none()
    };
    text.chars().find(is_bad).map(|c| format!("U+{:04X}", u32::from(c)))
}

/// The beginning of a text, for a message about it.
pub(super) fn short(text: &str) -> String {
    const CHARS: usize = 40;
    let mut shown = String::new();
    for c in text.chars().take(CHARS) {
        if c.is_control() {
            let _ = write!(shown, "\\u{{{:X}}}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    if text.chars().count() > CHARS {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, String> {
        Ok(Talk::read(text, Place::default())?.filled(|placeholder| format!("<{placeholder:?}>")))
    }

    #[test]
    fn placeholders_are_filled_once() {
        assert_eq!(filled("{greeting}。{company}です").unwrap(), "<Greeting>。<Company>です");
        assert_eq!(filled("{f.visit}{{x}}").unwrap(), "<Field(\"visit\")>{x}");
        let talk = Talk::read("{from}様", Place::default()).unwrap();
        assert_eq!(talk.filled(|_| "{company}".to_owned()), "{company}様");
        assert_eq!(filled("").unwrap(), "");
    }

    #[test]
    fn what_is_no_placeholder_is_refused() {
        for text in
            ["{", "}", "{company", "company}", "{}", "{f.}", "{Company}", "{a\u{7}b}", "{company{operator}}"]
        {
            assert!(filled(text).is_err(), "{text}");
        }
        assert!(filled(&format!("{{{}}}", "x".repeat(10_000))).unwrap_err().chars().count() < 200);
    }

    #[test]
    fn control_and_direction_marks_are_found() {
        for bad in ["a\u{0}", "\t", "\u{202e}", "\u{200b}", "a\nb", "\u{fffd}"] {
            assert!(unprintable(bad, false).is_some(), "{bad:?}");
        }
        assert_eq!(unprintable("a\u{202e}", true).as_deref(), Some("U+202E"));
        for good in ["", " お電話　ありがとう ", "<b>太字</b>", "髙𠮷①"] {
            assert_eq!(unprintable(good, false), None, "{good:?}");
        }
        assert_eq!(unprintable("a\r\nb", true), None);
    }
}
