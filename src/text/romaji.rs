//! Names typed in Latin letters, as kana: `yamada` is やまだ, `shouji` and `syouji` are しょうじ. Hepburn and Kunrei, as input
//! methods take them.
//!
//! | written | kana |
//! |---|---|
//! | a doubled consonant, `tch` | っ and the syllable |
//! | `n` before no vowel and no `y`; `m` before `b`, `p`, `m` | ん |
//! | `jun'ichi` | じゅんいち |
//! | `ō`, `ô` | おう; the other long vowels are doubled |
//! | `-` | ー |
//! | an end that may go on, as in `yamad` | is left out |

use unicode_normalization::UnicodeNormalization as _;

/// Most letters of a syllable.
const SYLLABLE_MAX: usize = 3;
const VOWELS: &str = "aiueo";

/// For each beginning of a syllable, what it is with a, i, u, e, o; a dash where there is no such syllable.
#[rustfmt::skip]
const ROWS: &[(&str, [&str; 5])] = &[
    ("", ["あ", "い", "う", "え", "お"]), ("k", ["か", "き", "く", "け", "こ"]), ("g", ["が", "ぎ", "ぐ", "げ", "ご"]),
    ("s", ["さ", "し", "す", "せ", "そ"]), ("z", ["ざ", "じ", "ず", "ぜ", "ぞ"]), ("t", ["た", "ち", "つ", "て", "と"]),
    ("d", ["だ", "ぢ", "づ", "で", "ど"]), ("n", ["な", "に", "ぬ", "ね", "の"]), ("h", ["は", "ひ", "ふ", "へ", "ほ"]),
    ("b", ["ば", "び", "ぶ", "べ", "ぼ"]), ("p", ["ぱ", "ぴ", "ぷ", "ぺ", "ぽ"]), ("m", ["ま", "み", "む", "め", "も"]),
    ("y", ["や", "-", "ゆ", "-", "よ"]), ("r", ["ら", "り", "る", "れ", "ろ"]), ("w", ["わ", "うぃ", "-", "うぇ", "を"]),
    ("f", ["ふぁ", "ふぃ", "ふ", "ふぇ", "ふぉ"]), ("j", ["じゃ", "じ", "じゅ", "じぇ", "じょ"]),
    ("v", ["ゔぁ", "ゔぃ", "ゔ", "ゔぇ", "ゔぉ"]), ("l", ["ら", "り", "る", "れ", "ろ"]), ("c", ["か", "し", "く", "せ", "こ"]),
    ("sh", ["しゃ", "し", "しゅ", "しぇ", "しょ"]), ("ch", ["ちゃ", "ち", "ちゅ", "ちぇ", "ちょ"]),
    ("ts", ["つぁ", "つぃ", "つ", "つぇ", "つぉ"]), ("ky", ["きゃ", "-", "きゅ", "-", "きょ"]),
    ("gy", ["ぎゃ", "-", "ぎゅ", "-", "ぎょ"]), ("sy", ["しゃ", "-", "しゅ", "-", "しょ"]),
    ("zy", ["じゃ", "-", "じゅ", "-", "じょ"]), ("jy", ["じゃ", "-", "じゅ", "-", "じょ"]),
    ("ty", ["ちゃ", "-", "ちゅ", "-", "ちょ"]), ("cy", ["ちゃ", "-", "ちゅ", "-", "ちょ"]),
    ("dy", ["ぢゃ", "-", "ぢゅ", "-", "ぢょ"]), ("ny", ["にゃ", "-", "にゅ", "-", "にょ"]),
    ("hy", ["ひゃ", "-", "ひゅ", "-", "ひょ"]), ("by", ["びゃ", "-", "びゅ", "-", "びょ"]),
    ("py", ["ぴゃ", "-", "ぴゅ", "-", "ぴょ"]), ("my", ["みゃ", "-", "みゅ", "-", "みょ"]),
    ("ry", ["りゃ", "-", "りゅ", "-", "りょ"]), ("th", ["-", "てぃ", "-", "-", "-"]), ("dh", ["-", "でぃ", "-", "-", "-"]),
];

/// The kana of a text that is nothing but romaji, or the beginning of it; nothing for any other text.
#[must_use]
pub fn hiragana(text: &str) -> Option<String> {
    let plain = letters(text)?;
    let mut kana = String::new();
    let mut rest = plain.as_str();
    while let Some(first) = rest.chars().next() {
        let next = rest[1..].chars().next();
        // mb, mp and mm stand for んb, んp and んm; tch for っch.
        let is_nasal = match first {
            'n' => next.is_none_or(|next| !"aiueoy".contains(next)),
            'm' => next.is_some_and(|next| "bpm".contains(next)),
            _ => false,
        };
        let is_doubled = next == Some(first) && !VOWELS.contains(first) && !"n-'".contains(first);
        let taken = if is_nasal {
            kana.push('ん');
            let is_written_double =
                rest.starts_with("nn") && !rest[2..].starts_with(['a', 'i', 'u', 'e', 'o', 'y']);
            1 + usize::from(is_written_double)
        } else if is_doubled || rest.starts_with("tch") {
            kana.push('っ');
            1
        } else if first == '\'' {
            // It ended a nasal: jun'ichi.
            1
        } else if first == '-' {
            kana.push('ー');
            1
        } else if let Some((length, syllable)) = syllable_of(rest) {
            kana.push_str(syllable);
            length
        } else {
            // The last syllable may be on its way.
            let may_go_on =
                rest.len() < SYLLABLE_MAX && !rest.contains(|c| VOWELS.contains(c)) && !kana.is_empty();
            return may_go_on.then_some(kana);
        };
        rest = &rest[taken..];
    }
    (!kana.is_empty()).then_some(kana)
}

/// The text in small ASCII letters, with apostrophes and dashes; nothing if it is anything else, or cannot be a reading.
fn letters(text: &str) -> Option<String> {
    let mut plain = String::new();
    for c in text.nfkc().flat_map(char::to_lowercase) {
        match c {
            'ā' | 'â' => plain.push_str("aa"),
            'ī' | 'î' => plain.push_str("ii"),
            'ū' | 'û' => plain.push_str("uu"),
            'ē' | 'ê' => plain.push_str("ee"),
            'ō' | 'ô' => plain.push_str("ou"),
            '’' => plain.push('\''),
            'a'..='z' | '\'' | '-' => plain.push(c),
            _ if c.is_whitespace() => {}
            _ => return None,
        }
    }
    plain.contains(|c| "aeioun".contains(c)).then_some(plain)
}

/// The longest syllable at the beginning of the text, with its number of letters.
fn syllable_of(text: &str) -> Option<(usize, &'static str)> {
    (1..=SYLLABLE_MAX.min(text.len())).rev().find_map(|length| {
        let (start, vowel) = text[..length].split_at(length - 1);
        let column = VOWELS.find(vowel)?;
        let (_, row) = ROWS.iter().find(|(beginning, _)| *beginning == start)?;
        Some((length, row[column])).filter(|(_, kana)| *kana != "-")
    })
}

#[cfg(test)]
mod tests {
    use super::hiragana;

    #[test]
    fn romaji_of_either_system_is_kana() {
        for (text, kana) in [
            ("yamada", "やまだ"),
            ("Yama da", "やまだ"),
            ("ＹＡＭＡＤＡ", "やまだ"),
            ("shouji", "しょうじ"),
            ("syouzi", "しょうじ"),
            ("shōji", "しょうじ"),
            ("hattori", "はっとり"),
            ("matchi", "まっち"),
            ("jun'ichi", "じゅんいち"),
            ("jun’ichi", "じゅんいち"),
            ("kanna", "かんな"),
            ("shinnnosuke", "しんのすけ"),
            ("namba", "なんば"),
            ("su-pa-", "すーぱー"),
            ("yamad", "やま"),
            ("sh", ""),
            ("", ""),
            ("A001", ""),
            ("やまだ", ""),
            ("xyz", ""),
            ("smith", ""),
        ] {
            assert_eq!(hiragana(text).unwrap_or_default(), kana, "{text}");
        }
    }
}
