//! Converts the bytes of a header value to clean text: decoded, unfolded, valid UTF-8, of bounded length.

use std::borrow::Cow;

/// Longest header value read, in bytes; the rest is cut. SIP sets no limit; one identity needs a tenth of this.
pub(super) const HEADER_BYTES_MAX: usize = 8_192;

/// How the dialplan encodes the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// As received.
    #[default]
    Plain,
    /// Percent-encoded (RFC 3986).
    Percent,
}

impl Encoding {
    /// The encoding called `name`; an unknown name is `Plain`.
    #[must_use]
    pub fn parse(name: &[u8]) -> Self {
        if name.trim_ascii().eq_ignore_ascii_case(b"percent") { Self::Percent } else { Self::Plain }
    }
}

/// The value as text: decoded, folded lines joined, bad UTF-8 replaced, no control characters but spaces.
pub(super) fn decoded(value: &[u8], encoding: Encoding) -> String {
    let value = value.get(..HEADER_BYTES_MAX).unwrap_or(value);
    let bytes = match encoding {
        Encoding::Plain => Cow::Borrowed(value),
        Encoding::Percent => percent_decoded(value),
    };
    let text = String::from_utf8_lossy(&bytes);
    // A fold is a line end and white space; every control character becomes a space.
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.trim().to_owned()
}

/// Decodes `%XX`. An escape that is cut off at the end is dropped; an invalid one stays unchanged.
pub(super) fn percent_decoded(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.contains(&b'%') {
        return Cow::Borrowed(value);
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            out.push(first);
            continue;
        }
        match after {
            [high, low, tail @ ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                _ => out.push(b'%'),
            },
            _ => break,
        }
    }
    Cow::Owned(out)
}

/// Percent-decoded text, lossily.
pub(super) fn percent_decoded_text(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text.as_bytes())).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_whole_cut_and_false() {
        for (written, text) in [
            ("%E7%94%B0%E4%B8%AD", "田中"),
            ("a%2", "a"),
            ("a%", "a"),
            ("100%zz", "100%zz"),
            ("%3csip:a%3e", "<sip:a>"),
            ("%E7%94", "\u{fffd}"),
            ("a%0d%0a b%00c", "a   b c"),
        ] {
            assert_eq!(decoded(written.as_bytes(), Encoding::Percent), text, "{written}");
        }
    }

    #[test]
    fn plain_values_keep_their_percent_signs() {
        assert_eq!(decoded(b"%41", Encoding::Plain), "%41");
        assert_eq!(decoded(b" \"x\"\r\n\t<sip:a>", Encoding::Plain), "\"x\"   <sip:a>");
        assert_eq!(Encoding::parse(b" Percent "), Encoding::Percent);
    }
}
