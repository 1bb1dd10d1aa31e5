//! Text for systems that read nothing but ISO-2022-JP: what JIS X 0208 does not have is replaced by what reads the same, and the
//! mail says so.

use super::charset::to_iso_2022_jp;

/// The mark of a character without a likeness (geta).
const GETA: &str = "〓";
/// Most replacements that a note names.
const NAMED_MAX: usize = 20;
/// What reads the same.
const LIKENESSES: &[(char, &str)] = &[
    ('㈱', "(株)"),
    ('㈲', "(有)"),
    ('㈹', "(代)"),
    ('№', "No."),
    ('℡', "TEL"),
    ('☎', "TEL"),
    ('㏍', "K.K."),
    ('㎡', "m2"),
    ('㎏', "kg"),
    ('㎜', "mm"),
    ('㎝', "cm"),
    ('㍻', "平成"),
    ('㍼', "昭和"),
    ('㋿', "令和"),
    ('髙', "高"),
    ('﨑', "崎"),
    ('德', "徳"),
    ('彅', "薙"),
    ('濵', "浜"),
    ('瀨', "瀬"),
    ('邊', "邊"),
    ('栁', "柳"),
    ('𠮷', "吉"),
    ('—', "―"),
    ('•', "・"),
    ('©', "(c)"),
];

/// The text in characters of JIS X 0208, and what was replaced by what, each once.
#[must_use]
pub fn substituted(text: &str) -> (String, Vec<(char, String)>) {
    let (mut out, mut replaced) = (String::with_capacity(text.len()), Vec::new());
    // Line by line and run by run: half-width katakana are composed with the marks that follow them.
    let Err(missing) = to_iso_2022_jp(&text.replace('\n', " ")) else {
        return (text.to_owned(), replaced);
    };
    for c in text.chars() {
        if !missing.contains(&c) {
            out.push(c);
            continue;
        }
        let likeness = likeness(c);
        out.push_str(&likeness);
        if !likeness.is_empty() && replaced.iter().all(|(known, _)| *known != c) {
            replaced.push((c, likeness));
        }
    }
    (out, replaced)
}

/// One line that says what was replaced; nothing if nothing was.
#[must_use]
pub fn substitution_note(replaced: &[(char, String)]) -> Option<String> {
    if replaced.is_empty() {
        return None;
    }
    let named: Vec<String> = replaced
        .iter()
        .take(NAMED_MAX)
        .map(|(from, to)| if to == GETA { format!("{to}({})", description(*from)) } else { to.clone() })
        .collect();
    let more = if replaced.len() > NAMED_MAX { " ほか" } else { "" };
    Some(format!("※表示できない文字を置き換えました：{}{more}", named.join("、")))
}

/// What cannot be written is named by its code.
fn description(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

fn likeness(c: char) -> String {
    if let Some((_, text)) =
        LIKENESSES.iter().find(|(known, text)| *known == c && to_iso_2022_jp(text).is_ok())
    {
        return (*text).to_owned();
    }
    let code = u32::from(c);
    match code {
        // ① to ⑳, Ⅰ to Ⅻ, and marks that have no width of their own.
        0x2460..=0x2473 => format!("({})", code - 0x2460 + 1),
        0x2160..=0x216b => ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
            [usize::try_from(code - 0x2160).unwrap_or(0)]
        .to_owned(),
        0xfe00..=0xfe0f | 0x200b..=0x200f | 0xe0100..=0xe01ef => String::new(),
        _ => GETA.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_carried_is_replaced_and_named() {
        let (text, replaced) = substituted("㈱髙﨑 №①\nｶﾞﾗｽ 👍");
        assert_eq!(text, "(株)高崎 No.(1)\nｶﾞﾗｽ 〓");
        let note = substitution_note(&replaced).unwrap();
        assert_eq!(note, "※表示できない文字を置き換えました：(株)、高、崎、No.、(1)、〓(U+1F44D)");
        assert_eq!(substituted("折り返し〜お願い—します"), ("折り返し〜お願い—します".into(), Vec::new()));
        assert_eq!(substitution_note(&[]), None);
    }

    proptest! {
        /// Whatever a caller says can be carried, and so can the note.
        #[test]
        fn every_text_can_be_carried(text in any::<String>()) {
            let text: String = text.chars().filter(|c| !c.is_control()).collect();
            let (carried, replaced) = substituted(&text);
            prop_assert!(to_iso_2022_jp(&carried).is_ok(), "{carried:?}");
            if let Some(note) = substitution_note(&replaced) {
                prop_assert!(to_iso_2022_jp(&note).is_ok(), "{note:?}");
            }
        }
    }
}
