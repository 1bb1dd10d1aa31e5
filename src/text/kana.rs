//! The kana form: one way to write a reading, whatever input method or old system it comes from.
//!
//! | written | becomes |
//! |---|---|
//! | `ｻﾄｳ`, `さとう`, `サトウ` | `サトウ` |
//! | `ｶﾞ`, `カ゛`, `か` + combining mark | `ガ` |
//! | `ｳﾞ`, `ゔ` | `ヴ` |
//! | `-`, `ｰ`, `―`, `－` behind kana and before kana or the end of the word | `ー` |
//! | `･`, `・・` | `・` |
//! | spaces, of any width and number | one full-width space |
//! | letters, digits, kanji | are left alone |
//!
//! Invariant: the conversion is idempotent.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The full-width space between the parts of a name.
const SPACE: char = '\u{3000}';
const MIDDLE_DOT: char = '・';
const LONG: char = 'ー';

/// The kana form of `text`.
#[must_use]
pub fn kana(text: &str) -> String {
    let marked: String = text.chars().map(single).collect();
    // Combines kana with the sound marks behind them. A mark of another character stays as it was.
    let mut katakana: Vec<char> = Vec::with_capacity(marked.len() / 3 + 1);
    for c in marked.chars() {
        let voiced = matches!(c, '\u{3099}' | '\u{309a}');
        match katakana.last().filter(|_| voiced).and_then(|before| composed(*before, c)) {
            Some(whole) => {
                katakana.pop();
                katakana.push(whole);
            }
            None => katakana.push(c),
        }
    }
    spaced(&katakana)
}

/// Whether `text` is a reading: kana, the marks between them, and nothing else.
#[must_use]
pub fn is_kana(text: &str) -> bool {
    kana(text).chars().all(|c| is_katakana(c) || matches!(c, MIDDLE_DOT | SPACE))
}

/// Full width and katakana, character by character; the spacing sound marks become combining ones.
fn single(c: char) -> char {
    let c = match c {
        '\u{ff61}'..='\u{ff9d}' => std::iter::once(c).nfkc().next().unwrap_or(c),
        '\u{ff9e}' | '\u{309b}' => '\u{3099}',
        '\u{ff9f}' | '\u{309c}' => '\u{309a}',
        _ if c.is_whitespace() => SPACE,
        _ => c,
    };
    match c {
        'ぁ'..='ゖ' | 'ゝ' | 'ゞ' => char::from_u32(c as u32 + 0x60).unwrap_or(c),
        _ => c,
    }
}

/// One character for a kana and the sound mark behind it.
fn composed(before: char, mark: char) -> Option<char> {
    if !is_katakana(before) {
        return None;
    }
    let mut both = [before, mark].into_iter().nfc();
    both.next().filter(|c| !is_combining_mark(*c) && *c != before && both.next().is_none())
}

/// Long marks, and single dots and spaces.
fn spaced(katakana: &[char]) -> String {
    let mut form = String::with_capacity(katakana.len() * 3);
    let mut before = None;
    for (index, c) in katakana.iter().copied().enumerate() {
        let is_long = is_dash(c) && before.is_some_and(is_katakana) && {
            let next = katakana[index + 1..].iter().find(|next| !is_dash(**next));
            next.is_none_or(|next| is_katakana(*next) || matches!(*next, SPACE | MIDDLE_DOT))
        };
        let c = if is_long { LONG } else { c };
        if matches!(c, SPACE | MIDDLE_DOT) && before == Some(c) {
            continue;
        }
        form.push(c);
        before = Some(c);
    }
    form.trim_matches(SPACE).to_owned()
}

fn is_katakana(c: char) -> bool {
    matches!(c, 'ァ'..='ヺ' | LONG | 'ヽ' | 'ヾ')
}

fn is_dash(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2015}' | '−' | '－' | '─' | '━')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_a_reading_has_one_form() {
        for (written, form) in [
            ("ｻﾄｳ", "サトウ"),
            ("さとう", "サトウ"),
            ("サトウ", "サトウ"),
            ("ｶﾞｿﾞｯﾄ", "ガゾット"),
            ("か゛", "ガ"),
            ("は\u{309a}", "パ"),
            ("ｳﾞｧｲｵﾘﾝ", "ヴァイオリン"),
            ("ゔぁ", "ヴァ"),
            ("ス-パ-", "スーパー"),
            ("ｽｰﾊﾟｰ", "スーパー"),
            ("す―ぱ－", "スーパー"),
            ("コーヒ--", "コーヒーー"),
            ("ｼﾞｮﾝ･ｽﾐｽ", "ジョン・スミス"),
            ("ジョン・・スミス", "ジョン・スミス"),
            (" やまだ 　たろう ", "ヤマダ\u{3000}タロウ"),
            ("Ａ－１さとう", "Ａ－１サトウ"),
            ("サトー-1", "サトー-1"),
            ("佐藤 ABC", "佐藤\u{3000}ABC"),
            ("ア゜", "ア\u{309a}"),
            ("いすゞ", "イスヾ"),
            ("", ""),
        ] {
            assert_eq!(kana(written), form, "{written}");
        }
        assert!(is_kana("さとう はなこ") && is_kana("ｽﾐｽ･ｼﾞｮﾝ") && !is_kana("佐藤") && !is_kana("Smith"));
    }

    proptest! {
        #[test]
        fn converting_twice_changes_nothing(text in "[ぁ-んァ-ヺｦ-ﾟ゛゜\u{3099}\u{309a}ー・･ 　\\-―－a1佐]{0,12}") {
            prop_assert_eq!(kana(&kana(&text)), kana(&text));
        }

        #[test]
        fn any_text_is_converted_and_stays_so(text in ".{0,24}") {
            prop_assert_eq!(kana(&kana(&text)), kana(&text));
        }
    }
}
