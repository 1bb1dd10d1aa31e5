//! The words that operators choose from, at the start: the configuration's are the first values of the store's.
//!
//! | the store has | what a word of the configuration does |
//! |---|---|
//! | no list | it is in the list |
//! | a list without its code | it is added at the end |
//! | its code | nothing: what administrators made of it holds |
//! | a disposition of which nobody said whether a call that ends with it needs a message | `no_message_reasons` says it |
//!
//! The flags of customers have no configuration: the list begins with [`FIRST_FLAGS`], as long as nobody has written it.

use jiff::Timestamp;
use smol_str::SmolStr;

use crate::config::Config;
use crate::contract::choice::Choice;
use crate::contract::words::{Tone, Word, WordKind, WordList};
use crate::operators::SharedWords;
use crate::store::{Store, StoreError};

/// Flags that imports of customers have used from the beginning: code, label, label in English, colour.
const FIRST_FLAGS: [(&str, &str, &str, Tone); 2] =
    [("vip", "VIP", "VIP", Tone::Warn), ("claim", "要注意", "Handle with care", Tone::Bad)];

/// Adds what the store does not have, and reads all.
pub(super) async fn load(store: &Store, config: &Config) -> Result<SharedWords, StoreError> {
    let words = SharedWords::default();
    words.replace(store.word_lists().await?);
    for (kind, choices) in [
        (WordKind::Disposition, &config.operators.dispositions),
        (WordKind::NotReadyReason, &config.operators.not_ready_reasons),
        (WordKind::MessageReason, &config.messages.reasons),
    ] {
        add(store, words.current().list(kind), choices, &config.messages.no_message_reasons).await?;
    }
    add_flags(store, &words).await?;
    words.replace(store.word_lists().await?);
    Ok(words)
}

async fn add_flags(store: &Store, words: &SharedWords) -> Result<(), StoreError> {
    if words.current().list(WordKind::Flag).version > 0 {
        return Ok(());
    }
    let word = |(code, label, label_en, tone): (&str, &str, &str, Tone)| Word {
        code: code.into(),
        label: label.into(),
        label_en: Some(label_en.into()),
        tone,
        retired: false,
        no_message: None,
    };
    write(store, WordKind::Flag, &FIRST_FLAGS.map(word), 0).await
}

async fn add(
    store: &Store,
    list: WordList,
    choices: &[Choice],
    no_message_reasons: &[SmolStr],
) -> Result<(), StoreError> {
    let WordList { kind, version, words: mut all } = list.clone();
    let is_new = |choice: &&Choice| !list.words.iter().any(|word| word.code == choice.code);
    all.extend(choices.iter().filter(is_new).map(Word::of));
    if kind == WordKind::Disposition {
        for word in &mut all {
            word.no_message.get_or_insert_with(|| no_message_reasons.contains(&word.code));
        }
    }
    if all == list.words {
        return Ok(());
    }
    write(store, kind, &all, version).await
}

async fn write(store: &Store, kind: WordKind, words: &[Word], version: u64) -> Result<(), StoreError> {
    match store.write_words(kind, words, version, Timestamp::now()).await {
        // Another daemon has just done it.
        Err(StoreError::Changed { .. }) => Ok(()),
        done => done.map(drop),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_configuration_gives_the_first_words_and_later_only_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let config = |dispositions: &str| {
            let set = [("TORITSUGI__OPERATORS__DISPOSITIONS".to_owned(), dispositions.to_owned())];
            Config::from_layers(None, set).unwrap()
        };
        let words = load(&store, &config("a:一,b:二")).await.unwrap();
        let mut list = words.current().list(WordKind::Disposition);
        assert_eq!(list.words.len(), 2);
        assert_eq!(list.words[0].no_message, Some(false));
        list.words[0].label = "壱".into();
        list.words[1].retired = true;
        list.words.swap(0, 1);
        store
            .write_words(WordKind::Disposition, &list.words, list.version, Timestamp::UNIX_EPOCH)
            .await
            .unwrap();
        let words = load(&store, &config("a:一,b:二,c:三")).await.unwrap().current();
        let labels: Vec<String> =
            words.choices(WordKind::Disposition).iter().map(ToString::to_string).collect();
        assert_eq!(labels, ["a:壱", "c:三"]);
        assert_eq!(words.labels(WordKind::Disposition).len(), 3);
        // The flags begin with words, and an administrator's list stays as it is.
        let mut flags = words.list(WordKind::Flag);
        assert_eq!(flags.words.iter().map(|word| word.label.as_str()).collect::<Vec<_>>(), ["VIP", "要注意"]);
        flags.words.remove(0);
        store.write_words(WordKind::Flag, &flags.words, flags.version, Timestamp::UNIX_EPOCH).await.unwrap();
        let words = load(&store, &config("a:一")).await.unwrap().current();
        assert_eq!(words.list(WordKind::Flag).words.len(), 1);
    }

    #[tokio::test]
    async fn the_reasons_for_no_message_are_first_values_too() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("toritsugi.db")).await.unwrap();
        let config = |reasons: &str| {
            let set = [("TORITSUGI__MESSAGES__NO_MESSAGE_REASONS".to_owned(), reasons.to_owned())];
            Config::from_layers(None, set).unwrap()
        };
        // As a list that was written before dispositions had this mark.
        let old = Word::of(&"sales:営業".parse().unwrap());
        store.write_words(WordKind::Disposition, &[old], 0, Timestamp::UNIX_EPOCH).await.unwrap();
        let words = load(&store, &config("sales,silent")).await.unwrap().current();
        assert_eq!(words.no_message_reasons(), ["sales", "silent"]);
        assert_eq!(words.label(WordKind::MessageReason, "inquiry"), Some("お問い合わせ"));
        let words = load(&store, &config("informed")).await.unwrap().current();
        assert_eq!(words.no_message_reasons(), ["sales", "silent"], "what the store has holds");
    }
}
