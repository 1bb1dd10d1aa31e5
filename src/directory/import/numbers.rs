//! Telephone numbers in a cell, in the forms in which people and spreadsheets write them.
//!
//! | in the cell | is |
//! |---|---|
//! | `03-5550-1001;090-1234-5678`, also with `,` `、` `|` or a line end between them | two numbers |
//! | `03-5550-1001/090-1234-5678`, also with `・` or a space between them, where each part is a whole number and both together are none | two numbers |
//! | `'09012345678`, `="09012345678"` (`table.rs`) | the number: so spreadsheets keep the zero |
//! | `9012345678`, `9012345678.0`, `9,012,345,678` | `090-1234-5678`: so spreadsheets lose the zero |
//! | `TEL:03-5550-1001`, `☎03-5550-1001`, `03-5550-1001(代)`, `03-5550-1001㈹` | the number |
//! | `-`, `なし`, `不明`, `0` | no number |
//! | `9.01E+10`, `03-5550-1001-1002`, `03-5550-1001(内線12)`, `12/34` | an error: a reader could take it for something else |
//!
//! Invariant: a cell that is not empty gives the numbers that it means, or an error; never fewer numbers, or a number that
//! is two.

use unicode_normalization::UnicodeNormalization as _;

use crate::contract::records::{NumberUse, number_problem};
use crate::numbers::{Number, NumberPlan};

/// What separates the values of a cell in any case.
pub(super) const SEPARATORS: [char; 8] = [';', '；', ',', '，', '、', '|', '\n', '\r'];
/// What separates two numbers, or the parts of one.
const SOFT_SEPARATORS: [char; 8] = [' ', '\u{3000}', '\u{a0}', '\t', '/', '／', '・', '･'];
/// Fewest digits of a whole number, whose leading zero may be lost.
const WHOLE_DIGITS_MIN: usize = 9;

/// The numbers in a cell.
pub(super) fn read(text: &str, of: NumberUse, plan: &NumberPlan) -> Result<Vec<String>, String> {
    if let Some(number) = without_thousands(text) {
        return Ok(vec![number]);
    }
    let mut numbers = Vec::new();
    for part in text.split(SEPARATORS) {
        let part = bare(part);
        if is_nothing(&part) {
            continue;
        }
        match problem(&part, of, plan) {
            None => numbers.push(part),
            Some(problem) => numbers.extend(several(&part, of, plan).ok_or(problem)?),
        }
    }
    Ok(numbers)
}

/// Number prefixes in a cell.
pub(super) fn prefixes(text: &str) -> Vec<String> {
    let parts = text.split(SEPARATORS).map(str::trim).filter(|part| !part.is_empty());
    let parts = parts.flat_map(|part| {
        let pieces: Vec<&str> = part.split(SOFT_SEPARATORS).filter(|piece| !piece.is_empty()).collect();
        // `+886 2` is one prefix, `0570 0990` two.
        let begins = |piece: &&str| piece.starts_with(['0', '+']);
        if pieces.iter().all(begins) { pieces } else { vec![part] }
    });
    parts.map(str::to_owned).collect()
}

/// A code without the apostrophe by which a spreadsheet marks digits as text.
pub(super) fn unmarked(text: &str) -> String {
    let trimmed = text.trim_start();
    let digits =
        trimmed.strip_prefix(['\'', '’', '＇']).filter(|rest| rest.starts_with(|c: char| c.is_numeric()));
    digits.unwrap_or(text).to_owned()
}

/// `9,012,345,678` as a spreadsheet writes a number with separators of thousands; `100,200` are two extensions.
fn without_thousands(text: &str) -> Option<String> {
    let text = text.trim();
    let mut groups = text.split(',');
    let first = groups.next()?;
    let is_digits = |group: &str| group.bytes().all(|b| b.is_ascii_digit());
    let is_grouped = (1..=3).contains(&first.len()) && is_digits(first) && !first.starts_with('0');
    let digits: String = text.split(',').collect();
    let is_number = is_grouped
        && groups.all(|group| group.len() == 3 && is_digits(group))
        && text.contains(',')
        && digits.len() >= WHOLE_DIGITS_MIN;
    is_number.then_some(digits)
}

/// The text without what stands around a number and says nothing about it.
fn bare(text: &str) -> String {
    const BEFORE: [&str; 9] = ["tel", "電話番号", "電話", "携帯電話", "携帯", "自宅", "会社", "☎", "℡"];
    const BEHIND: [&str; 10] =
        ["(代表)", "(代)", "(直通)", "(携帯)", "(自宅)", "(会社)", "(本社)", "代表", "(tel)", "(電話)"];
    let text = unmarked(text.trim());
    let plain: String = text.nfkc().collect::<String>().to_lowercase();
    let (mut rest, mut is_decorated) = (plain.trim(), false);
    if let Some(number) = BEFORE.iter().find_map(|word| rest.strip_prefix(word)) {
        let number = number.trim_start_matches(['.', ':', ' ']);
        // `tel` before a number, not the beginning of a word.
        if number.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '(')) {
            (rest, is_decorated) = (number, true);
        }
    }
    if let Some(number) = BEHIND.iter().find_map(|word| rest.strip_suffix(word)) {
        (rest, is_decorated) = (number.trim_end(), true);
    }
    if let Some(number) = rest.strip_suffix(".0")
        && number.len() >= WHOLE_DIGITS_MIN
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        (rest, is_decorated) = (number, true);
    }
    if is_decorated { rest.to_owned() } else { text.trim().to_owned() }
}

/// Whether a cell says that there is no number.
fn is_nothing(text: &str) -> bool {
    const WORDS: [&str; 13] = [
        "なし",
        "無し",
        "無",
        "ナシ",
        "不明",
        "未登録",
        "非通知",
        "未定",
        "n/a",
        "na",
        "none",
        "null",
        "nil",
    ];
    let plain = text.nfkc().collect::<String>().to_lowercase();
    let mut rest = plain.chars().filter(|c| !c.is_whitespace()).peekable();
    if rest.peek().is_none() || WORDS.contains(&plain.trim()) {
        return true;
    }
    // Dashes, also as a form with zeros: `-`, `000-0000-0000`.
    rest.all(|c| matches!(c, '0' | '-' | 'ー' | '―' | '‐'..='—' | '−' | '*' | '・' | '.'))
}

/// Why the text is not one number.
fn problem(text: &str, of: NumberUse, plan: &NumberPlan) -> Option<String> {
    let plain = text.nfkc().collect::<String>();
    let is_rounded = plain.split_once(['E', 'e']).is_some_and(|(digits, exponent)| {
        let number = |text: &str, more: &[char]| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || more.contains(&c))
        };
        number(digits, &['.', ',']) && number(exponent, &['+', '-'])
    });
    if is_rounded {
        return Some(format!(
            "{text:?} is a number that a spreadsheet has rounded; format the column as text and enter it again"
        ));
    }
    let Some(number) = Number::read(text, plan) else {
        return Some(format!("{text:?} is not a telephone number"));
    };
    if let Some(problem) = number_problem(&number, of) {
        return Some(format!("{text:?} is not a telephone number: {problem}"));
    }
    // `1001 1002` may be two extensions, `5550 1001` a local number: nobody can tell.
    let digits = text.nfkc().filter(char::is_ascii_digit).count();
    let is_ambiguous = digits < WHOLE_DIGITS_MIN && text.contains(SOFT_SEPARATORS);
    is_ambiguous.then(|| {
        format!(
            "{text:?} may be one number or several; write several with ; between them, and one without spaces"
        )
    })
}

/// The numbers of a text whose parts are whole numbers.
fn several(text: &str, of: NumberUse, plan: &NumberPlan) -> Option<Vec<String>> {
    let parts: Vec<String> = text.split(SOFT_SEPARATORS).map(bare).filter(|part| !part.is_empty()).collect();
    let is_whole = |part: &String| {
        let digits = part.nfkc().filter(char::is_ascii_digit).count();
        digits >= WHOLE_DIGITS_MIN && problem(part, of, plan).is_none()
    };
    (parts.len() > 1 && parts.iter().all(is_whole)).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Result<Vec<String>, String> {
        read(text, NumberUse::Subscriber, &NumberPlan::default())
    }

    #[test]
    fn a_cell_gives_the_numbers_that_it_means() {
        let two: &[&str] = &["03-5555-0111", "090-0000-0011"];
        for (text, expected) in [
            ("03-5555-0111/090-0000-0011", two),
            ("03-5555-0111・090-0000-0011", two),
            ("03-5555-0111　090-0000-0011", two),
            ("03-5555-0111 090-0000-0011", two),
            ("03-5555-0111 / 090-0000-0011", two),
            ("03-5555-0111\r\n090-0000-0011", two),
            ("TEL:03-5555-0111 携帯:090-0000-0011", two),
            ("0355550111／0355550112・0355550113", &["0355550111", "0355550112", "0355550113"]),
            ("03 5555 0111", &["03 5555 0111"]),
            ("(03)5555/0111", &["(03)5555/0111"]),
            ("'09000000001", &["09000000001"]),
            ("9000000001", &["9000000001"]),
            ("9000000001.0", &["9000000001"]),
            ("9,000,000,001", &["9000000001"]),
            ("355550111", &["355550111"]),
            ("100,200", &["100", "200"]),
            ("03-5555-0111(代)", &["03-5555-0111"]),
            ("090-0000-0014㈹", &["090-0000-0014"]),
            ("TEL:03-5555-0113", &["03-5555-0113"]),
            ("ＴＥＬ　０３－５５５５－０１１３", &["03-5555-0113"]),
            ("０３－５５５５－０１１３", &["０３－５５５５－０１１３"]),
            ("+81-3-5555-0111", &["+81-3-5555-0111"]),
            ("+1 212-555-0100", &["+1 212-555-0100"]),
            ("020-0123-4567-890", &["020-0123-4567-890"]),
            ("1001", &["1001"]),
            ("", &[]),
            ("-", &[]),
            ("なし", &[]),
            ("Ｎ/Ａ", &[]),
            ("0", &[]),
            ("000-0000-0000", &[]),
        ] {
            assert_eq!(
                numbers(text).as_deref(),
                Ok(&expected.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
    }

    #[test]
    fn what_could_be_something_else_is_an_error() {
        for (text, words) in [
            ("03-5555-0115-0116", "14 digits"),
            ("03-5555-01151", "11 digits, and one that begins so has 10"),
            ("0355550111 12", "12 digits"),
            ("0355550111/0112", "digits"),
            ("03-5555-0112（内線12）", "is not a telephone number"),
            ("9.00E+10", "rounded"),
            ("5555-0111", "area code"),
            ("5555 0111", "area code"),
            ("10 12", "one number or several"),
            ("12345678901234567890", "more than 15 digits"),
            ("1234567890123456", "digits"),
            ("03-5555-0111 or 090-0000-0011", "is not a telephone number"),
            ("#", "is not a telephone number"),
        ] {
            let problem = numbers(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }

    #[test]
    fn prefixes_are_separated_where_each_begins_anew() {
        assert_eq!(prefixes("0570;+886 2"), ["0570", "+886 2"]);
        assert_eq!(prefixes("0570/0990 0180"), ["0570", "0990", "0180"]);
    }

    #[test]
    fn a_code_loses_only_the_mark_of_a_spreadsheet() {
        assert_eq!(
            (unmarked("'0012"), unmarked("'n Sync"), unmarked("A'1")),
            ("0012".into(), "'n Sync".into(), "A'1".into())
        );
    }
}
