//! The SQL of the group's key.

use sqlx::Row;

use super::Backend;
use crate::store::StoreError;
use crate::store::group_key::GROUP_KEY_BYTES;

impl Backend {
    pub(in crate::store) async fn group_key(
        &self,
        candidate: [u8; GROUP_KEY_BYTES],
    ) -> Result<[u8; GROUP_KEY_BYTES], StoreError> {
        let mut transaction = self.begin_exclusive().await?;
        sqlx::query(
            "INSERT INTO group_keys (name, key) VALUES ('requests', $1) ON CONFLICT (name) DO NOTHING",
        )
        .bind(candidate.as_slice())
        .execute(&mut *transaction)
        .await?;
        let row = sqlx::query("SELECT key FROM group_keys WHERE name = 'requests'")
            .fetch_one(&mut *transaction)
            .await?;
        let key: Vec<u8> = row.try_get("key")?;
        transaction.commit().await?;
        let wrong_length = |_| sqlx::Error::Decode("the key of the group does not have 32 bytes".into());
        Ok(key.try_into().map_err(wrong_length)?)
    }
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn the_first_daemon_chooses_the_key_for_all() {
        let (_guard, store) = super::super::empty_store().await;
        assert_eq!(store.group_key([1; 32]).await.unwrap(), [1; 32]);
        assert_eq!(store.group_key([2; 32]).await.unwrap(), [1; 32]);
    }
}
