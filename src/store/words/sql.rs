//! The SQL of words.

use jiff::Timestamp;
use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::words::{Word, WordKind, WordList};
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn word_lists(&self) -> Result<Vec<WordList>, StoreError> {
        let rows = sqlx::query("SELECT kind, version, words_json FROM word_lists ORDER BY kind")
            .fetch_all(self.readers())
            .await?;
        let lists = rows.iter().map(list_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        // A kind of a newer program is left alone.
        Ok(lists.into_iter().flatten().collect())
    }

    pub(in crate::store) async fn write_words(
        &self,
        kind: WordKind,
        words: &[Word],
        version: u64,
        at: Timestamp,
    ) -> Result<WordList, StoreError> {
        let next = version + 1;
        let done = sqlx::query(
            "INSERT INTO word_lists (kind, version, words_json, changed_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (kind) DO UPDATE SET version = excluded.version, words_json = excluded.words_json,
                changed_ms = excluded.changed_ms
             WHERE word_lists.version = $5",
        )
        .bind(kind.as_str())
        .bind(i64::try_from(next).unwrap_or(i64::MAX))
        .bind(serde_json::to_string(words).unwrap_or_else(|_| "[]".to_owned()))
        .bind(to_ms(at))
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .execute(&mut *self.write_once().await?)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Changed { what: "list of words" });
        }
        Ok(WordList { kind, version: next, words: words.to_vec() })
    }
}

fn list_of(row: &DbRow) -> Result<Option<WordList>, sqlx::Error> {
    let kind: String = row.try_get("kind")?;
    let words: String = row.try_get("words_json")?;
    let version = u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0);
    let kind = WordKind::parse(&kind);
    Ok(kind.map(|kind| WordList { kind, version, words: serde_json::from_str(&words).unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::words::Tone;
    use crate::store::from_ms;

    #[tokio::test]
    async fn a_list_is_replaced_only_by_who_has_seen_it() {
        let (_dir, store) = super::super::empty_store().await;
        let word = |code: &str| Word {
            code: code.into(),
            label: "伝言".into(),
            label_en: Some("Message".into()),
            tone: Tone::Good,
            retired: code == "old",
            no_message: Some(code == "old"),
        };
        let kind = WordKind::Disposition;
        let first = store.write_words(kind, &[word("message")], 0, from_ms(1)).await.unwrap();
        let second = store
            .write_words(kind, &[word("message"), word("old")], first.version, from_ms(2))
            .await
            .unwrap();
        for stale in [0, first.version] {
            let refused = store.write_words(kind, &[], stale, from_ms(3)).await;
            assert!(matches!(refused, Err(StoreError::Changed { .. })), "{refused:?}");
        }
        assert_eq!(store.word_lists().await.unwrap(), [second]);
    }
}
