//! The words that operators choose from, as the store had them last, for all who show or check them.
//!
//! Invariant: they are replaced as a whole. Before the first replacement there are none, as in an installation that lists none.

use std::sync::Arc;

use parking_lot::Mutex;
use smol_str::SmolStr;

use crate::contract::choice::Choice;
use crate::contract::words::{Word, WordKind, WordList};

/// The words; clones share them.
#[derive(Debug, Clone, Default)]
pub struct SharedWords(Arc<Mutex<Arc<Words>>>);

/// All words at one time.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<WordList>);

impl SharedWords {
    /// Replaces the words.
    pub fn replace(&self, lists: Vec<WordList>) {
        *self.0.lock() = Arc::new(Words(lists));
    }

    /// The words now.
    #[must_use]
    pub fn current(&self) -> Arc<Words> {
        Arc::clone(&self.0.lock())
    }
}

impl Words {
    /// Each kind has a list; version 0 where nobody wrote one.
    #[must_use]
    pub fn lists(&self) -> Vec<WordList> {
        WordKind::ALL.iter().map(|kind| self.list(*kind)).collect()
    }

    /// The list of a kind.
    #[must_use]
    pub fn list(&self, kind: WordKind) -> WordList {
        let found = self.0.iter().find(|list| list.kind == kind).cloned();
        found.unwrap_or(WordList { kind, version: 0, words: Vec::new() })
    }

    /// What can be chosen now.
    #[must_use]
    pub fn choices(&self, kind: WordKind) -> Vec<Choice> {
        self.of(kind).filter(|word| !word.retired).map(Word::choice).collect()
    }

    /// What records can have, for their labels.
    #[must_use]
    pub fn labels(&self, kind: WordKind) -> Vec<Choice> {
        self.of(kind).map(Word::choice).collect()
    }

    /// The label of a code, retired or not.
    #[must_use]
    pub fn label(&self, kind: WordKind, code: &str) -> Option<&str> {
        self.of(kind).find(|word| word.code == code).map(|word| word.label.as_str())
    }

    /// The dispositions that are a reason for no message, retired or not.
    #[must_use]
    pub fn no_message_reasons(&self) -> Vec<SmolStr> {
        let reasons = self.of(WordKind::Disposition).filter(|word| word.no_message == Some(true));
        reasons.map(|word| word.code.clone()).collect()
    }

    fn of(&self, kind: WordKind) -> impl Iterator<Item = &Word> {
        self.0.iter().filter(move |list| list.kind == kind).flat_map(|list| &list.words)
    }
}
