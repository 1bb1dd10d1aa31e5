//! The SQL of sounds.

use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::sound::{Sound, SoundKind, SoundOrigin};
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::sounds::{SOUNDS_MAX, SoundOutcome};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn sounds(&self) -> Result<Vec<Sound>, StoreError> {
        let rows = sqlx::query("SELECT s.* FROM sounds AS s ORDER BY s.created_ms DESC, s.id DESC")
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(sound_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn sound(&self, id: RecordId) -> Result<Option<(Sound, Vec<u8>)>, StoreError> {
        let row = sqlx::query(
            "SELECT s.*, f.content FROM sounds AS s JOIN sound_files AS f ON f.sound_id = s.id WHERE s.id = $1",
        )
        .bind(id)
        .fetch_optional(self.readers())
        .await?;
        let read = |row: &DbRow| Ok::<_, sqlx::Error>((sound_of(row)?, row.try_get("content")?));
        Ok(row.as_ref().map(read).transpose()?)
    }

    pub(in crate::store) async fn create_sound(
        &self,
        sound: &Sound,
        file: &[u8],
    ) -> Result<SoundOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let there = sqlx::query("SELECT s.* FROM sounds AS s WHERE s.name = $1")
            .bind(&sound.name)
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = there {
            return Ok(SoundOutcome::There(sound_of(&row)?));
        }
        let known: i64 =
            sqlx::query_scalar("SELECT count(*) FROM sounds").fetch_one(&mut *transaction).await?;
        if known >= i64::from(SOUNDS_MAX) {
            return Ok(SoundOutcome::TooMany);
        }
        sqlx::query(
            "INSERT INTO sounds (id, account_id, kind, title, words, name, ms, by_name, created_ms, origin)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(sound.id)
        .bind(sound.account)
        .bind(sound.kind.as_str())
        .bind(&sound.title)
        .bind(&sound.words)
        .bind(&sound.name)
        .bind(i64::try_from(sound.ms).unwrap_or(i64::MAX))
        .bind(&sound.by_name)
        .bind(to_ms(sound.created_at))
        .bind(sound.origin.as_str())
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the sound", None))?;
        sqlx::query("INSERT INTO sound_files (sound_id, content) VALUES ($1, $2)")
            .bind(sound.id)
            .bind(file)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(SoundOutcome::Kept)
    }

    pub(in crate::store) async fn delete_sound(&self, id: RecordId) -> Result<Option<Sound>, StoreError> {
        let row = sqlx::query("DELETE FROM sounds WHERE id = $1 RETURNING *")
            .bind(id)
            .fetch_optional(&mut *self.write_once().await?)
            .await?;
        Ok(row.as_ref().map(sound_of).transpose()?)
    }
}

fn sound_of(row: &DbRow) -> Result<Sound, sqlx::Error> {
    Ok(Sound {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        kind: SoundKind::parse(row.try_get("kind")?).unwrap_or_default(),
        origin: SoundOrigin::parse(row.try_get("origin")?).unwrap_or_default(),
        title: row.try_get("title")?,
        words: row.try_get("words")?,
        name: row.try_get("name")?,
        ms: u64::try_from(row.try_get::<i64, _>("ms")?).unwrap_or(0),
        by_name: row.try_get("by_name")?,
        created_at: from_ms(row.try_get("created_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;

    #[tokio::test]
    async fn a_sound_is_there_once_with_its_file_and_goes_with_it() {
        let (_held, store) = super::super::empty_store().await;
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&fields, from_ms(1_000)).await.unwrap().id;
        let sound = |n: u128, account, name: &str| Sound {
            id: RecordId(Uuid::from_u128(n)),
            account,
            kind: SoundKind::Announcement,
            origin: SoundOrigin::Phone,
            title: "さくら".into(),
            words: "さくら歯科です".into(),
            name: name.into(),
            ms: 900,
            by_name: "花".into(),
            created_at: from_ms(1_000 + i64::try_from(n).unwrap()),
        };
        let before = store.accounts_version().await.unwrap();
        let (own, all) = (sound(1, Some(account), "toritsugi-own/a"), sound(2, None, "toritsugi-own/b"));
        for one in [&own, &all] {
            assert_eq!(store.create_sound(one, b"\xff\x7f").await.unwrap(), SoundOutcome::Kept);
        }
        assert!(store.accounts_version().await.unwrap() >= before + 2, "the daemons write the files");
        let same = sound(3, None, "toritsugi-own/a");
        assert_eq!(store.create_sound(&same, b"x").await.unwrap(), SoundOutcome::There(own.clone()));
        let nobody = sound(4, Some(RecordId(Uuid::from_u128(9))), "toritsugi-own/c");
        let refused = store.create_sound(&nobody, b"x").await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "{refused:?}");
        assert_eq!(store.sounds().await.unwrap(), [all.clone(), own.clone()]);
        assert_eq!(store.sound(own.id).await.unwrap(), Some((own.clone(), b"\xff\x7f".to_vec())));
        assert_eq!(store.delete_sound(own.id).await.unwrap(), Some(own.clone()));
        assert_eq!(store.delete_sound(own.id).await.unwrap(), None);
        assert_eq!(store.sound(own.id).await.unwrap(), None);
        assert_eq!(store.sounds().await.unwrap(), [all]);
    }
}
