//! The language of the command line: Japanese where the terminal's language is Japanese (`LC_ALL`, `LC_MESSAGES` or `LANG`
//! begins with `ja`), else English.
//!
//! English texts are the keys, as the code writes them; `language/ja.txt` has their Japanese. A key with `{}` matches any text
//! there, so that a sentence with a file or a number in it is translated too. What has no translation stays English.
//!
//! Invariants: JSON, CSV and the marks at the beginning of a line that scripts read are never translated. Nothing of a text
//! that a `{}` stands for is lost.

use std::borrow::Cow;
use std::sync::LazyLock;

/// A language of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    En,
    Ja,
}

/// The language of this process.
pub(super) fn language() -> Language {
    static LANGUAGE: LazyLock<Language> = LazyLock::new(|| {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        of_locale(set.as_deref().unwrap_or_default())
    });
    *LANGUAGE
}

fn of_locale(locale: &str) -> Language {
    let word = locale.split(['_', '.', '@']).next().unwrap_or_default();
    if word == "ja" { Language::Ja } else { Language::En }
}

/// `text` in the language of this process.
pub(super) fn say(text: &str) -> Cow<'_, str> {
    match language() {
        Language::En => Cow::Borrowed(text),
        Language::Ja => translated(text),
    }
}

/// A text and its Japanese; `{}` stands for any text, in both in the same order.
type Pair = (&'static str, &'static str);

static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(|| pairs(include_str!("language/ja.txt")));

/// Pairs of lines: the English text, and the Japanese one after a tab. Lines that begin with `#` are comments.
fn pairs(file: &'static str) -> Vec<Pair> {
    let mut lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut pairs = Vec::new();
    while let (Some(english), Some(japanese)) = (lines.next(), lines.next()) {
        pairs.push((english, japanese.trim_start_matches('\t')));
    }
    pairs
}

/// The Japanese of `text`, or `text`. A chain of errors (`a: b: c`) is translated part by part.
pub(super) fn translated(text: &str) -> Cow<'_, str> {
    if let Some((_, japanese)) = PAIRS.iter().find(|(english, _)| *english == text) {
        return Cow::Borrowed(japanese);
    }
    let with_holes = PAIRS.iter().filter(|(english, _)| english.contains("{}"));
    for (english, japanese) in with_holes {
        if let Some(values) = values(english, text) {
            return Cow::Owned(fill(japanese, &values));
        }
    }
    // The longest first part that is known.
    for (at, _) in text.rmatch_indices(": ") {
        let (first, rest) = (translated_whole(&text[..at]), translated_whole(&text[at + 2..]));
        if first.is_some() || rest.is_some() {
            let first = first.unwrap_or_else(|| text[..at].to_owned());
            return Cow::Owned(format!("{first}: {}", rest.unwrap_or_else(|| text[at + 2..].to_owned())));
        }
    }
    Cow::Borrowed(text)
}

/// The Japanese of a text that is a key as a whole.
fn translated_whole(text: &str) -> Option<String> {
    PAIRS.iter().find_map(|(english, japanese)| {
        if *english == text {
            return Some((*japanese).to_owned());
        }
        english.contains("{}").then(|| values(english, text)).flatten().map(|values| fill(japanese, &values))
    })
}

/// What stands in `text` where `key` has `{}`; `None` if the rest differs.
fn values<'a>(key: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut parts = key.split("{}");
    let mut rest = text.strip_prefix(parts.next()?)?;
    let mut found = Vec::new();
    let parts: Vec<&str> = parts.collect();
    for (at, part) in parts.iter().enumerate() {
        let is_last = at + 1 == parts.len();
        let end = match (part.is_empty(), is_last) {
            (true, true) => rest.len(),
            (_, true) => rest
                .len()
                .checked_sub(part.len())
                .filter(|end| rest.is_char_boundary(*end) && rest.ends_with(part))?,
            (_, false) => rest.find(part)?,
        };
        found.push(&rest[..end]);
        rest = &rest[end + part.len()..];
    }
    rest.is_empty().then_some(found)
}

/// `{}` are filled in their order, `{1}` with the first value, and so on.
fn fill(japanese: &str, values: &[&str]) -> String {
    let mut text = String::new();
    let (mut rest, mut next) = (japanese, 0);
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}').map(|at| open + at) else { break };
        text.push_str(&rest[..open]);
        let inner = &rest[open + 1..close];
        match (inner.is_empty(), inner.parse::<usize>()) {
            (true, _) => {
                text.push_str(values.get(next).copied().unwrap_or_default());
                next += 1;
            }
            (false, Ok(number)) => {
                text.push_str(values.get(number.wrapping_sub(1)).copied().unwrap_or_default())
            }
            (false, Err(_)) => text.push_str(&rest[open..=close]),
        }
        rest = &rest[close + 1..];
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_that_of_the_terminal() {
        for (locale, is) in [
            ("ja_JP.UTF-8", Language::Ja),
            ("ja", Language::Ja),
            ("ja.UTF-8", Language::Ja),
            ("C", Language::En),
            ("jam_JM", Language::En),
            ("en_US.UTF-8", Language::En),
            ("", Language::En),
        ] {
            assert_eq!(of_locale(locale), is, "{locale}");
        }
    }

    #[test]
    fn holes_are_filled_in_both_languages() {
        assert_eq!(values("cannot open {}", "cannot open /a/b"), Some(vec!["/a/b"]));
        assert_eq!(values("{} of {} have none", "3 of 5 have none"), Some(vec!["3", "5"]));
        assert_eq!(values("{} of {} have none", "3 of 5 have some"), None);
        assert_eq!(values("a{}", "ab"), Some(vec!["b"]));
        assert_eq!(values("{}か", "あか"), Some(vec!["あ"]));
        assert_eq!(fill("{2} のうち {1}", &["3", "5"]), "5 のうち 3");
        assert_eq!(fill("{} と {} と {name}", &["a", "b"]), "a と b と {name}");
    }

    /// The text of the literal that begins behind an opening quote, as a key: with `{}` for what is filled in.
    fn key(literal: &str) -> String {
        let (mut text, mut chars) = (String::new(), literal.chars().peekable());
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    Some('n') => text.push('\n'),
                    Some(other) => text.push(other),
                    None => break,
                },
                '{' | '}' if chars.next_if_eq(&c).is_some() => text.push(c),
                '{' => {
                    chars.by_ref().find(|c| *c == '}');
                    text.push_str("{}");
                }
                other => text.push(other),
            }
        }
        text
    }

    /// The errors that a source file writes in words.
    fn errors(source: &str) -> Vec<String> {
        const WRITERS: [&str; 6] =
            ["bail!(", "anyhow!(", "ensure!(", ".context(", ".with_context(", "print_error("];
        let source = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let mut found = Vec::new();
        for writer in WRITERS {
            for (at, _) in source.match_indices(writer) {
                let rest = &source[at + writer.len()..];
                let Some(open) = rest.find('"').filter(|open| !rest[..*open].contains(';')) else { continue };
                let before = rest[..open].trim_end();
                if before.is_empty() || before.ends_with(',') || before.ends_with("format!(") {
                    let text = key(&rest[open + 1..]);
                    found.push(text.strip_prefix("toritsugi: ").unwrap_or(&text).to_owned());
                }
            }
        }
        found
    }

    fn sources(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
        let mut found: Vec<_> =
            files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs")).collect();
        directories.iter().for_each(|directory| found.extend(sources(directory)));
        found
    }

    #[test]
    fn each_error_of_the_command_line_has_a_japanese_text() {
        let cli = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
        let mut count = 0;
        let mut missing = Vec::new();
        for path in sources(&cli) {
            let errors = errors(&std::fs::read_to_string(&path).unwrap());
            count += errors.len();
            let of_words = errors.into_iter().filter(|text| text.chars().any(|c| c.is_ascii_alphabetic()));
            let without_text = of_words.filter(|text| PAIRS.iter().all(|(english, _)| english != text));
            missing.extend(without_text.map(|text| format!("{}: {text}", path.display())));
        }
        assert!(count > 100, "{count}");
        assert!(missing.is_empty(), "add to language/ja.txt:\n{}", missing.join("\n"));
    }

    #[test]
    fn the_file_has_pairs_with_the_same_holes() {
        for (english, japanese) in PAIRS.iter() {
            assert!(!japanese.is_ascii(), "{english} is followed by {japanese}, which is not Japanese");
            assert!(english.chars().any(|c| c.is_ascii_alphabetic()), "{english} is not English");
            let holes = english.matches("{}").count();
            let given: Vec<String> = (1..=holes).map(|at| format!("<{at}>")).collect();
            let given: Vec<&str> = given.iter().map(String::as_str).collect();
            let filled = fill(japanese, &given);
            for value in given {
                assert!(filled.contains(value), "{japanese} lost a value of {english}");
            }
        }
        assert!(PAIRS.len() > 50);
    }
}
