//! The SQL of recorded pronunciations.

use jiff::Timestamp;
use sqlx::Row;

use super::{Backend, DbRow};
use crate::ids::RecordId;
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn account_clip(
        &self,
        account: RecordId,
    ) -> Result<Option<(String, Vec<u8>)>, StoreError> {
        let row = sqlx::query("SELECT kind, content FROM account_clips WHERE account_id = $1")
            .bind(account)
            .fetch_optional(self.readers())
            .await?;
        let clip = |row: DbRow| Ok((row.try_get("kind")?, row.try_get("content")?));
        Ok(row.map(clip).transpose().map_err(|error: sqlx::Error| error)?)
    }

    pub(in crate::store) async fn account_clips(&self) -> Result<Vec<(RecordId, i64)>, StoreError> {
        let rows = sqlx::query("SELECT account_id, changed_ms FROM account_clips ORDER BY account_id")
            .fetch_all(self.readers())
            .await?;
        let clip = |row: &DbRow| Ok((row.try_get("account_id")?, row.try_get("changed_ms")?));
        Ok(rows.iter().map(clip).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn write_account_clip(
        &self,
        account: RecordId,
        kind: &str,
        bytes: &[u8],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let written = sqlx::query(
            "INSERT INTO account_clips (account_id, kind, content, changed_ms)
             SELECT id, $2, $3, $4 FROM accounts WHERE id = $1
                AND NOT EXISTS (SELECT 1 FROM account_removals AS r WHERE r.account_id = accounts.id)
             ON CONFLICT (account_id) DO UPDATE SET kind = excluded.kind, content = excluded.content,
                changed_ms = excluded.changed_ms",
        )
        .bind(account)
        .bind(kind)
        .bind(bytes)
        .bind(to_ms(at))
        .execute(&mut *self.write_once().await?)
        .await?;
        if written.rows_affected() == 0 { Err(StoreError::Missing { what: "account" }) } else { Ok(()) }
    }

    pub(in crate::store) async fn delete_account_clip(&self, account: RecordId) -> Result<(), StoreError> {
        let deleted = sqlx::query("DELETE FROM account_clips WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        if deleted.rows_affected() == 0 { Err(StoreError::Missing { what: "clip" }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;

    #[tokio::test]
    async fn an_account_has_one_clip_which_goes_with_it() {
        let (_held, store) = super::super::empty_store().await;
        let at = Timestamp::from_second;
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let checked = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&checked, at(1).unwrap()).await.unwrap().id;
        assert_eq!(store.account_clip(account).await.unwrap(), None);
        let version = store.account_notices_version().await.unwrap();
        for (bytes, second) in [(b"OggS1", 2), (b"OggS2", 3)] {
            store.write_account_clip(account, "audio/ogg", bytes, at(second).unwrap()).await.unwrap();
        }
        let clip = store.account_clip(account).await.unwrap();
        assert_eq!(clip, Some(("audio/ogg".to_owned(), b"OggS2".to_vec())));
        assert_eq!(store.account_clips().await.unwrap(), [(account, 3_000)]);
        assert!(store.account_notices_version().await.unwrap() > version, "every daemon reads them again");
        store.delete_account_clip(account).await.unwrap();
        let missing = store.delete_account_clip(account).await;
        assert!(matches!(missing, Err(StoreError::Missing { what: "clip" })));
        let nobody = RecordId(uuid::Uuid::nil());
        let missing = store.write_account_clip(nobody, "audio/ogg", b"OggS", at(4).unwrap()).await;
        assert!(matches!(missing, Err(StoreError::Missing { what: "account" })));
    }
}
