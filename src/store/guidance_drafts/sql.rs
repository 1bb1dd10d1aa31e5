//! The SQL of guidance that waits.

use jiff::Timestamp;
use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::guidance_draft::{GuidanceDraft, RecordedGuidance};
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

/// The recordings that wait, of accounts that are kept.
macro_rules! drafts {
    ($end:literal) => {
        concat!(
            "SELECT d.*, s.name, s.ms, a.code, a.name AS account_name FROM guidance_drafts AS d
             JOIN sounds AS s ON s.id = d.sound_id JOIN accounts AS a ON a.id = d.account_id WHERE ",
            account_is_kept!("d"),
            $end
        )
    };
}

impl Backend {
    pub(in crate::store) async fn guidance_drafts(&self) -> Result<Vec<GuidanceDraft>, StoreError> {
        let rows =
            sqlx::query(drafts!(" ORDER BY d.recorded_ms, d.account_id")).fetch_all(self.readers()).await?;
        Ok(rows.iter().map(draft_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn guidance_draft(
        &self,
        account: RecordId,
    ) -> Result<Option<GuidanceDraft>, StoreError> {
        let row = sqlx::query(drafts!(" AND d.account_id = $1"))
            .bind(account)
            .fetch_optional(self.readers())
            .await?;
        Ok(row.as_ref().map(draft_of).transpose()?)
    }

    pub(in crate::store) async fn set_guidance_draft(
        &self,
        (account, sound): (RecordId, RecordId),
        used_from: RecordedGuidance,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO guidance_drafts (account_id, sound_id, used_from, recorded_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id) DO UPDATE SET sound_id = excluded.sound_id,
                used_from = excluded.used_from, recorded_ms = excluded.recorded_ms",
        )
        .bind(account)
        .bind(sound)
        .bind(used_from.as_str())
        .bind(to_ms(at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the recording", None))?;
        Ok(())
    }

    pub(in crate::store) async fn end_guidance_draft(
        &self,
        account: RecordId,
        sound: RecordId,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM guidance_drafts WHERE account_id = $1 AND sound_id = $2")
            .bind(account)
            .bind(sound)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn draft_of(row: &DbRow) -> Result<GuidanceDraft, sqlx::Error> {
    let (code, name): (&str, &str) = (row.try_get("code")?, row.try_get("account_name")?);
    Ok(GuidanceDraft {
        account: row.try_get("account_id")?,
        account_name: format!("{code} {name}"),
        sound: row.try_get("sound_id")?,
        name: row.try_get("name")?,
        ms: u64::try_from(row.try_get::<i64, _>("ms")?).unwrap_or(0),
        used_from: RecordedGuidance::parse(row.try_get("used_from")?).unwrap_or(RecordedGuidance::Confirmed),
        recorded_at: from_ms(row.try_get("recorded_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::callflow::CallflowFields;
    use crate::contract::records::AccountFields;
    use crate::contract::sound::{Sound, SoundKind, SoundOrigin};
    use crate::numbers::NumberPlan;
    use crate::store::callflows::StoredCallflow;
    use crate::store::guidance_drafts::NamedOutcome;

    #[tokio::test]
    async fn the_last_recording_of_an_account_waits_until_it_is_used_or_its_sound_goes() {
        let (_held, store) = super::super::empty_store().await;
        let fields =
            AccountFields { code: "A001".into(), name: "さくら".into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&fields, from_ms(1_000)).await.unwrap().id;
        let mut sounds = Vec::new();
        for n in 1..=2_u128 {
            let sound = Sound {
                id: RecordId(Uuid::from_u128(n)),
                account: Some(account),
                kind: SoundKind::Guidance,
                origin: SoundOrigin::Phone,
                title: "電話で録音".into(),
                words: String::new(),
                name: format!("toritsugi-own/{n}"),
                ms: 900,
                by_name: "さくら".into(),
                created_at: from_ms(2_000),
            };
            store.create_sound(&sound, b"\xff").await.unwrap();
            sounds.push(sound);
        }
        let (first, last) = (sounds[0].id, sounds[1].id);
        store
            .set_guidance_draft((account, first), RecordedGuidance::NextClosing, from_ms(3_000))
            .await
            .unwrap();
        store.set_guidance_draft((account, last), RecordedGuidance::Confirmed, from_ms(4_000)).await.unwrap();
        let draft = GuidanceDraft {
            account,
            account_name: "A001 さくら".into(),
            sound: last,
            name: "toritsugi-own/2".into(),
            ms: 900,
            used_from: RecordedGuidance::Confirmed,
            recorded_at: from_ms(4_000),
        };
        assert_eq!(store.guidance_drafts().await.unwrap(), std::slice::from_ref(&draft));
        assert_eq!(store.guidance_draft(account).await.unwrap(), Some(draft));
        assert!(!store.end_guidance_draft(account, first).await.unwrap(), "another one waits");
        assert!(store.end_guidance_draft(account, last).await.unwrap());
        assert_eq!(store.guidance_draft(account).await.unwrap(), None);

        let named =
            |sound: &'static str| store.name_closed_guidance((account, sound), "さくら", from_ms(5_000));
        assert_eq!(named("toritsugi-own/1").await.unwrap(), NamedOutcome::NoCallflow);
        let fields = CallflowFields::default();
        let callflow = StoredCallflow {
            account,
            own: fields.as_object(),
            fields,
            template: None,
            by_name: "花".into(),
            changed_at: from_ms(4_500),
        };
        assert!(store.set_callflow(&callflow, None).await.unwrap());
        assert_eq!(named("toritsugi-own/1").await.unwrap(), NamedOutcome::Named(None));
        let before = NamedOutcome::Named(Some("toritsugi-own/1".into()));
        assert_eq!(named("toritsugi-own/2").await.unwrap(), before);

        store
            .set_guidance_draft((account, first), RecordedGuidance::Confirmed, from_ms(6_000))
            .await
            .unwrap();
        store.delete_sound(first).await.unwrap();
        assert_eq!(store.guidance_drafts().await.unwrap(), []);
        let gone =
            store.set_guidance_draft((account, first), RecordedGuidance::Confirmed, from_ms(7_000)).await;
        assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
    }
}
