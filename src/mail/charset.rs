//! The two character sets of a mail: UTF-8, and ISO-2022-JP as RFC 1468 defines it.
//!
//! The encoder of `encoding_rs` follows the web's table, which is wider than RFC 1468 in one place and narrower in another:
//!
//! | text | `encoding_rs` | here |
//! |---|---|---|
//! | ① ㈱ №, 髙 﨑 (rows 13 and 89 to 92) | encodes vendors' rows, which strict readers show as other characters | not representable |
//! | 〜 ‖ — ¢ £ ¬ − and the no-break space | cannot encode them | the character of JIS X 0208 that looks the same |
//! | ¥ and ‾ | switch to JIS-Roman | ￥ and ￣ |
//! | ｶﾞ | カ and ゛ | ガ |
//!
//! Invariant: each encoded line begins and ends in ASCII, and every two-byte character is one of JIS X 0208.

use encoding_rs::{EncoderResult, ISO_2022_JP};
use unicode_normalization::UnicodeNormalization as _;

/// The character set of a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// For every receiver that is not named for the other.
    Utf8,
    /// For old carriers' mailboxes and gateways that read nothing else.
    Iso2022Jp,
}

impl Charset {
    /// The name in `Content-Type` and in encoded words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Iso2022Jp => "ISO-2022-JP",
        }
    }
}

/// The shift into two-byte characters, and back into ASCII.
const TO_JIS: &[u8] = b"\x1b$B";
const TO_ASCII: &[u8] = b"\x1b(B";

/// One line in ISO-2022-JP.
///
/// # Errors
/// The characters that JIS X 0208 does not have, each once, in the order of the text.
pub fn to_iso_2022_jp(line: &str) -> Result<Vec<u8>, Vec<char>> {
    let line = representable(line);
    let mut bytes = Vec::with_capacity(line.len() + 6);
    let (mut in_jis, mut missing) = (false, Vec::new());
    for c in line.chars() {
        match code_of(c) {
            Some(Code::Ascii(byte)) => {
                if std::mem::take(&mut in_jis) {
                    bytes.extend_from_slice(TO_ASCII);
                }
                bytes.push(byte);
            }
            Some(Code::Jis(pair)) => {
                if !std::mem::replace(&mut in_jis, true) {
                    bytes.extend_from_slice(TO_JIS);
                }
                bytes.extend_from_slice(&pair);
            }
            None if missing.contains(&c) => {}
            None => missing.push(c),
        }
    }
    if in_jis {
        bytes.extend_from_slice(TO_ASCII);
    }
    if missing.is_empty() { Ok(bytes) } else { Err(missing) }
}

enum Code {
    Ascii(u8),
    Jis([u8; 2]),
}

/// The code of a character in JIS X 0208, or in ASCII.
fn code_of(c: char) -> Option<Code> {
    if matches!(c, ' '..='~' | '\t') {
        return u8::try_from(c).ok().map(Code::Ascii);
    }
    let (mut text, mut bytes) = ([0; 4], [0; 16]);
    let mut encoder = ISO_2022_JP.new_encoder();
    let (result, _, written) =
        encoder.encode_from_utf8_without_replacement(c.encode_utf8(&mut text), &mut bytes, true);
    if result != EncoderResult::InputEmpty {
        return None;
    }
    let pair: [u8; 2] = bytes[..written].strip_prefix(TO_JIS)?.strip_suffix(TO_ASCII)?.try_into().ok()?;
    // Rows 9 to 15 and from 85 on are vendors'.
    matches!(pair[0], 0x21..=0x28 | 0x30..=0x74).then_some(Code::Jis(pair))
}

/// The text with the characters that JIS X 0208 has under another code point, and half-width katakana as full-width ones.
fn representable(line: &str) -> String {
    let is_half_width = |c: char| ('\u{ff61}'..='\u{ff9f}').contains(&c);
    let mut text = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(is_half_width) {
        text.extend(rest[..start].chars().map(same_in_jis));
        let end = rest[start..].find(|c| !is_half_width(c)).map_or(rest.len(), |length| start + length);
        // A mark that follows no letter stays a mark.
        let marks = |c| match c {
            '\u{3099}' => '゛',
            '\u{309a}' => '゜',
            c => c,
        };
        text.extend(rest[start..end].nfkc().map(marks));
        rest = &rest[end..];
    }
    text.extend(rest.chars().map(same_in_jis));
    text
}

fn same_in_jis(c: char) -> char {
    match c {
        '\u{301c}' => '\u{ff5e}',
        '\u{2016}' => '\u{2225}',
        '\u{2014}' => '\u{2015}',
        '\u{2212}' => '\u{ff0d}',
        '\u{a2}' => '\u{ffe0}',
        '\u{a3}' => '\u{ffe1}',
        '\u{ac}' => '\u{ffe2}',
        '\u{a5}' => '\u{ffe5}',
        '\u{203e}' => '\u{ffe3}',
        '\u{a0}' => ' ',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> String {
        let (text, _, is_wrong) = ISO_2022_JP.decode(bytes);
        assert!(!is_wrong, "{bytes:x?}");
        text.into_owned()
    }

    #[test]
    fn a_line_is_encoded_as_rfc_1468_says() {
        assert_eq!(to_iso_2022_jp("plain").unwrap(), b"plain");
        assert_eq!(to_iso_2022_jp("A亜B").unwrap(), b"A\x1b$B0!\x1b(BB");
        assert_eq!(to_iso_2022_jp("").unwrap(), b"");
        for (text, back) in [
            ("さくら商事 佐々木様（至急）", "さくら商事 佐々木様（至急）"),
            ("10〜12時、A‖B—C −1 ¢£¬", "10～12時、A∥B―C －1 ￠￡￢"),
            ("¥100 ‾\u{a0}x", "￥100 ￣ x"),
            ("ｶﾞｷﾞ ﾔﾏﾓﾄ ｳﾞ ｰ", "ガギ ヤマモト ヴ ー"),
            ("ｱﾞ ﾞ", "ア゛ ゛"),
            ("ｻﾄｳ様", "サトウ様"),
        ] {
            assert_eq!(read(&to_iso_2022_jp(text).unwrap()), back, "{text}");
        }
    }

    #[test]
    fn characters_outside_jis_x_0208_are_named() {
        for (text, missing) in [
            ("①②①", "①②"),
            ("㈱さくら №5", "㈱№"),
            ("髙橋と山﨑", "髙﨑"),
            ("𠮷野家", "𠮷"),
            ("了解👍", "👍"),
            ("한글", "한글"),
            ("a\x1b(Jb", "\x1b"),
            ("a\nb", "\n"),
        ] {
            assert_eq!(to_iso_2022_jp(text), Err(missing.chars().collect()), "{text}");
        }
    }

    /// Every character of the Basic Multilingual Plane: what is encoded is JIS X 0208, and reads back as the character or
    /// its equal.
    #[test]
    fn no_character_becomes_another() {
        let mut count = 0;
        for c in '\u{80}'..='\u{ffff}' {
            let Ok(bytes) = to_iso_2022_jp(&c.to_string()) else { continue };
            count += 1;
            if bytes.is_ascii() && bytes[0] != 0x1b {
                assert_eq!(c, '\u{a0}');
                continue;
            }
            let pairs = bytes[3..bytes.len() - 3].chunks(2);
            for pair in pairs {
                assert!(matches!(pair[0], 0x21..=0x28 | 0x30..=0x74), "{c} {bytes:x?}");
            }
            let back = read(&bytes);
            let expected = representable(&c.to_string());
            assert_eq!(back, expected, "{c}");
        }
        // 6,879 characters of JIS X 0208, 63 half-width ones, and those with another code point.
        assert!((6_879..7_000).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn every_line_ends_in_ascii(text in "[ -~ぁ-んァ-ヶ亜腕佐木東京都商事桜山田本日折返ｱ-ﾝ]{0,60}") {
            let bytes = to_iso_2022_jp(&text).unwrap();
            let shifts = |to: &[u8]| bytes.windows(3).filter(|at| *at == to).count();
            prop_assert_eq!(shifts(TO_JIS), shifts(TO_ASCII));
            prop_assert!(bytes.is_ascii());
            prop_assert_eq!(read(&bytes), representable(&text));
        }
    }
}
