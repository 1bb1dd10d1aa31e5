//! Words that administrators decide: what calls end with, why operators are not ready, why callers call,
//! flags of customers.
//!
//! Invariants: a code that was used once stays in its list, retired or not, so that records can always be read. The order of a
//! list is the order in which people see it.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use utoipa::ToSchema;

use super::choice::Choice;
use crate::identity::printable;

/// Most words of a list.
pub const WORDS_MAX: usize = 200;
/// Longest code, in characters.
const CODE_CHARS_MAX: usize = 40;
/// Longest label, in characters.
const LABEL_CHARS_MAX: usize = 60;

/// What a list of words is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WordKind {
    /// What a call ends with (応対結果).
    Disposition,
    /// Why an operator is not ready (離席の理由).
    NotReadyReason,
    /// Marks of customers (区分).
    Flag,
    /// Why callers call (用件), of a message whose account has no script with reasons of its own.
    MessageReason,
}

/// The colour of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// None.
    #[default]
    Plain,
    /// Green.
    Good,
    /// Yellow.
    Warn,
    /// Red.
    Bad,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Stored in records and sent in requests.
    #[schema(value_type = String)]
    pub code: SmolStr,
    /// Shown to people.
    #[schema(value_type = String)]
    pub label: SmolStr,
    /// Shown to people who read English; absent: `label` is for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub label_en: Option<SmolStr>,
    /// Its colour.
    #[serde(default)]
    pub tone: Tone,
    /// It cannot be chosen any more; records that have it are still read.
    #[serde(default)]
    pub retired: bool,
    /// Of a disposition: a call that ends with it needs no message, where the installation requires messages. Absent: as it
    /// was; no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_message: Option<bool>,
}

/// A list of words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WordList {
    /// What they are for.
    pub kind: WordKind,
    /// The version, which a change names; 0: nobody has written the list.
    pub version: u64,
    /// The words, in the order in which people see them.
    pub words: Vec<Word>,
}

/// A list of words is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("words: {0}")]
pub struct WordError(String);

impl WordKind {
    /// All kinds.
    pub const ALL: &[Self] = &[Self::Disposition, Self::NotReadyReason, Self::MessageReason, Self::Flag];

    /// Its word on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disposition => "disposition",
            Self::NotReadyReason => "not_ready_reason",
            Self::Flag => "flag",
            Self::MessageReason => "message_reason",
        }
    }

    /// The kind with this word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// Whether a code may have other characters than a-z, 0-9 and `_`: customers' flags were free text before.
    fn has_free_codes(self) -> bool {
        self == Self::Flag
    }
}

impl Word {
    /// A word of the configuration.
    #[must_use]
    pub fn of(choice: &Choice) -> Self {
        let Choice { code, label, label_en } = choice.clone();
        Self { code, label, label_en, tone: Tone::Plain, retired: false, no_message: None }
    }

    /// The word as operators choose it.
    #[must_use]
    pub fn choice(&self) -> Choice {
        Choice { code: self.code.clone(), label: self.label.clone(), label_en: self.label_en.clone() }
    }
}

/// Cleans the texts of a list, and adds the words of `before` that it leaves out, retired.
///
/// # Errors
/// A code or a label is invalid, a code is there twice, or there are too many words.
pub fn checked_words(kind: WordKind, words: Vec<Word>, before: &[Word]) -> Result<Vec<Word>, WordError> {
    let mut checked: Vec<Word> = Vec::new();
    for word in words {
        let code = printable(&word.code, CODE_CHARS_MAX).filter(|code| code.as_str() == word.code.trim());
        let is_code = |code: &SmolStr| {
            kind.has_free_codes()
                || code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let code = code.filter(is_code).ok_or_else(|| {
            let form = if kind.has_free_codes() { "" } else { " of a-z, 0-9 or '_'" };
            WordError(format!("{:?} is not a code{form}, at most {CODE_CHARS_MAX} characters", word.code))
        })?;
        if checked.iter().any(|other| other.code == code) {
            return Err(WordError(format!("the code {code:?} is there twice")));
        }
        let label = |text: &str| {
            let kept = printable(text, LABEL_CHARS_MAX).filter(|kept| kept.as_str() == text.trim());
            kept.ok_or_else(|| {
                WordError(format!("{code}: write a label of 1 to {LABEL_CHARS_MAX} characters"))
            })
        };
        let english = word.label_en.as_deref().map(str::trim).filter(|text| !text.is_empty());
        let label_en = english.map(label).transpose()?;
        let known = before.iter().find(|known| known.code == code).and_then(|known| known.no_message);
        let no_message = word.no_message.or(known).filter(|_| kind == WordKind::Disposition);
        checked.push(Word { label: label(&word.label)?, label_en, code: code.clone(), no_message, ..word });
    }
    let left = before.iter().filter(|word| !checked.iter().any(|kept| kept.code == word.code));
    let left: Vec<Word> = left.map(|word| Word { retired: true, ..word.clone() }).collect();
    checked.extend(left);
    if checked.len() > WORDS_MAX {
        return Err(WordError(format!("at most {WORDS_MAX} words, with those that are retired")));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(code: &str, label: &str) -> Word {
        Word {
            code: code.into(),
            label: label.into(),
            label_en: None,
            tone: Tone::Plain,
            retired: false,
            no_message: None,
        }
    }

    #[test]
    fn a_word_that_is_left_out_is_retired_and_stays() {
        let before = [word("sales", "営業"), word("message", "伝言")];
        let checked =
            checked_words(WordKind::Disposition, vec![word("message", " 伝言あり ")], &before).unwrap();
        assert_eq!(checked[0], word("message", "伝言あり"));
        assert_eq!(checked[1], Word { retired: true, ..word("sales", "営業") });
    }

    #[test]
    fn a_disposition_alone_can_be_a_reason_for_no_message_and_stays_one_where_nobody_says_otherwise() {
        let marked = |is| Word { no_message: is, ..word("sales", "営業") };
        for (kind, wanted, before, kept) in [
            (WordKind::Disposition, Some(true), None, Some(true)),
            (WordKind::Disposition, None, Some(true), Some(true)),
            (WordKind::Disposition, Some(false), Some(true), Some(false)),
            (WordKind::MessageReason, Some(true), None, None),
        ] {
            let checked = checked_words(kind, vec![marked(wanted)], &[marked(before)]).unwrap();
            assert_eq!(checked, [marked(kept)], "{kind:?} {wanted:?}");
        }
    }

    #[test]
    fn what_is_no_word_is_named() {
        for (words, problem) in [
            (vec![word("Sales", "x")], "is not a code"),
            (vec![word("", "x")], "is not a code"),
            (vec![word("a", "x"), word("a", "y")], "twice"),
            (vec![word("a", " ")], "write a label"),
            (vec![word("a", &"あ".repeat(61))], "write a label"),
        ] {
            let error = checked_words(WordKind::Disposition, words, &[]).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        let many = (0..=WORDS_MAX).map(|n| word(&format!("w{n}"), "x")).collect();
        assert!(checked_words(WordKind::Disposition, many, &[]).is_err());
        assert!(
            checked_words(WordKind::Flag, vec![word("要注意", "要注意")], &[]).is_ok(),
            "flags were free text"
        );
    }
}
