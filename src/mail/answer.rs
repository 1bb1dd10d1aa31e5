//! What a person writes back to a mail of ours: the first paragraph above the quotation, and whether it confirms the message.
//!
//! | the paragraph | confirms |
//! |---|---|
//! | has at most [`CONFIRMING_CHARS_MAX`] characters and begins with 了解, 承知, 確認, 対応 or OK | yes |
//! | says 〜ません or the like, or asks something | no: a person must read it |
//! | anything else | no |
//!
//! Invariant: pure; never fails on any text.

/// Longest paragraph that confirms, in characters.
const CONFIRMING_CHARS_MAX: usize = 40;
/// How a paragraph begins that confirms, in lower case.
const CONFIRMING: [&str; 6] = ["了解", "承知", "確認", "対応", "ok", "ｏｋ"];
/// What makes a paragraph something else than a plain confirmation.
const DOUBTFUL: [&str; 9] = ["ません", "ない", "できず", "無理", "不可", "?", "？", "ですか", "でしょうか"];

/// What a person wrote back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAnswer {
    /// The first paragraph, on one line.
    pub text: String,
    /// Whether it confirms the message.
    pub confirms: bool,
}

impl MailAnswer {
    /// Reads the text of a mail; `None`: nothing stands above the quotation.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let first = lines.iter().position(|line| !line.is_empty())?;
        let paragraph: Vec<&str> = lines[first..]
            .iter()
            .enumerate()
            .take_while(|(at, line)| !line.is_empty() && !is_quotation(&lines[first + at..]))
            .map(|(_, line)| *line)
            .collect();
        let text = paragraph.join(" ");
        (!text.is_empty()).then(|| Self { confirms: confirms(&text), text })
    }
}

/// Whether the quotation of our mail begins with the first of these lines.
fn is_quotation(lines: &[&str]) -> bool {
    let line = lines[0];
    let ends_as_heading = |line: &str| line.ends_with([':', '：']) || line.ends_with("wrote");
    let is_heading = line.contains('@') && ends_as_heading(line);
    // Mail programs break a long heading.
    let next = lines.get(1).copied().unwrap_or_default();
    let is_dated = line.starts_with("On ") || line.split_once('年').is_some_and(|(year, _)| is_year(year));
    let is_broken_heading = is_dated && (line.contains('@') || next.contains('@') && ends_as_heading(next));
    let is_rule = ["-----", "_____", "=====", "*****"].iter().any(|rule| line.starts_with(rule));
    let is_field =
        ["From:", "差出人:", "差出人：", "送信元:", "送信日時:"].iter().any(|name| line.starts_with(name));
    line.starts_with(['>', '＞']) || is_heading || is_broken_heading || is_rule || is_field
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn confirms(text: &str) -> bool {
    let small = text.to_lowercase();
    text.chars().count() <= CONFIRMING_CHARS_MAX
        && CONFIRMING.iter().any(|word| small.starts_with(word))
        && !DOUBTFUL.iter().any(|word| small.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_answer_confirms_and_anything_else_is_for_a_person_to_read() {
        let long = format!("了解{}", "い".repeat(39));
        for (text, expected, confirms) in [
            ("了解しました。\r\n\r\n> 日時　12月3日\r\n", "了解しました。", true),
            ("\n\nOK\n", "OK", true),
            ("ＯＫです", "ＯＫです", true),
            ("承知しました。\n折り返します。\n\n-- \n佐々木", "承知しました。 折り返します。", true),
            ("対応済み\n2026年12月3日(木) 14:32 さくら電話秘書 <report@example.jp>:\n> x", "対応済み", true),
            (
                "確認しました\nOn Thu, Dec 3, 2026 at 14:32 さくら電話秘書\n<report@example.jp> wrote:\n> x",
                "確認しました",
                true,
            ),
            ("確認しました\n-----Original Message-----\nFrom: x", "確認しました", true),
            ("対応できません。", "対応できません。", false),
            ("了解、どの件ですか", "了解、どの件ですか", false),
            ("山本様は別の担当です", "山本様は別の担当です", false),
            ("佐々木です。了解しました", "佐々木です。了解しました", false),
            (long.as_str(), long.as_str(), false),
        ] {
            let expected = MailAnswer { text: expected.to_owned(), confirms };
            assert_eq!(MailAnswer::read(text), Some(expected), "{text}");
        }
        for text in ["", "  \r\n\r\n", "> 了解しました", "2026年12月3日(木) 14:32 <report@example.jp>:\n> x"]
        {
            assert_eq!(MailAnswer::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(?s).{0,400}") {
            let read = MailAnswer::read(&text);
            prop_assert!(read.is_none_or(|read| !read.text.contains('\n')));
        }
    }
}
