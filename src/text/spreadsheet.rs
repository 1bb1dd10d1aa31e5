//! Text for spreadsheets: what they would take for a formula, and the Shift_JIS of Japanese Windows (CP932).
//!
//! Invariant: a character that CP932 does not have becomes 〓 and is counted, never left out.

use encoding_rs::{EncoderResult, SHIFT_JIS};

/// What begins a formula, also in full width, as Japanese spreadsheets accept it.
pub const FORMULA: &[char] = &['=', '+', '-', '@', '＝', '＋', '－', '＠'];
/// Stands for a character that the encoding does not have (下駄).
const MISSING: char = '〓';

/// Whether a spreadsheet would carry out this cell. It may leave out what stands before the sign.
#[must_use]
pub fn begins_formula(cell: &str) -> bool {
    cell.trim_start_matches(|c: char| c.is_whitespace() || c.is_control()).starts_with(FORMULA)
}

/// The text in CP932, and how many of its characters it does not have.
#[must_use]
pub fn shift_jis(text: &str) -> (Vec<u8>, u64) {
    let text: String = text.chars().map(twin).collect();
    let mut encoder = SHIFT_JIS.new_encoder();
    let (mut bytes, mut replaced, mut rest) = (Vec::with_capacity(text.len()), 0, text.as_str());
    loop {
        let room =
            encoder.max_buffer_length_from_utf8_without_replacement(rest.len()).unwrap_or(rest.len() * 2);
        bytes.reserve(room);
        let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, &mut bytes, true);
        rest = &rest[read..];
        match result {
            EncoderResult::InputEmpty => return (bytes, replaced),
            EncoderResult::OutputFull => {}
            EncoderResult::Unmappable(_) => {
                replaced += 1;
                bytes.extend_from_slice(&SHIFT_JIS.encode(MISSING.encode_utf8(&mut [0; 4])).0);
            }
        }
    }
}

/// The character by which CP932 has the same sign: the standards chose different ones.
fn twin(c: char) -> char {
    match c {
        '\u{301c}' => '～',
        '\u{2212}' => '－',
        '\u{2014}' => '―',
        '\u{2016}' => '∥',
        '\u{a5}' => '￥',
        '\u{a2}' => '￠',
        '\u{a3}' => '￡',
        '\u{ac}' => '￢',
        '\u{a0}' => ' ',
        other => other,
    }
}
