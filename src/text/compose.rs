//! Composition: one character for a letter and its marks (NFC), except for compatibility ideographs.
//!
//! NFC replaces U+FA10 by U+585A (塚), and a hundred others like it. People write their names with these characters, so
//! they stay.

use unicode_normalization::UnicodeNormalization as _;

/// `text` with its marks composed.
#[must_use]
pub fn compose(text: &str) -> String {
    let mut composed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_compatibility_ideograph) {
        composed.extend(rest[..at].nfc());
        let mut tail = rest[at..].chars();
        composed.extend(tail.next());
        rest = tail.as_str();
    }
    composed.extend(rest.nfc());
    composed
}

fn is_compatibility_ideograph(c: char) -> bool {
    matches!(c, '\u{f900}'..='\u{faff}' | '\u{2f800}'..='\u{2fa1f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn marks_are_composed_and_names_stay() {
        assert_eq!(compose("か\u{3099}っこ"), "がっこ");
        assert_eq!(compose("\u{fa10}本 か\u{3099} \u{fa11}"), "\u{fa10}本 が \u{fa11}");
    }

    proptest! {
        #[test]
        fn composing_twice_changes_nothing(text in ".{0,24}") {
            prop_assert_eq!(compose(&compose(&text)), compose(&text));
        }
    }
}
