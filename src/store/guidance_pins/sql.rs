//! The SQL of guidance PINs.

use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::guidance_pin::GuidancePinView;
use crate::ids::RecordId;
use crate::people::password::PasswordHash;
use crate::store::error::refusal;
use crate::store::guidance_pins::StoredGuidancePin;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn guidance_pin(
        &self,
        account: RecordId,
    ) -> Result<Option<StoredGuidancePin>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT p.* FROM guidance_pins AS p WHERE p.account_id = $1 AND ",
            account_is_kept!("p")
        ))
        .bind(account)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(pin_of).transpose()?)
    }

    pub(in crate::store) async fn guidance_pin_entered(
        &self,
        entry: &str,
    ) -> Result<Option<StoredGuidancePin>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT p.* FROM guidance_pins AS p WHERE p.entry = $1 AND ",
            account_is_kept!("p")
        ))
        .bind(entry)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(pin_of).transpose()?)
    }

    pub(in crate::store) async fn set_guidance_pin(&self, pin: &StoredGuidancePin) -> Result<(), StoreError> {
        let StoredGuidancePin { view, hash } = pin;
        sqlx::query(
            "INSERT INTO guidance_pins (account_id, entry, pin_hash, by_name, changed_ms)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id) DO UPDATE SET entry = excluded.entry, pin_hash = excluded.pin_hash,
                by_name = excluded.by_name, changed_ms = excluded.changed_ms",
        )
        .bind(view.account)
        .bind(&view.entry)
        .bind(hash.as_stored())
        .bind(&view.by_name)
        .bind(to_ms(view.changed_at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the number", Some(&view.entry)))?;
        Ok(())
    }

    pub(in crate::store) async fn remove_guidance_pin(&self, account: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM guidance_pins WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn pin_of(row: &DbRow) -> Result<StoredGuidancePin, sqlx::Error> {
    let hash = PasswordHash::from_stored(row.try_get("pin_hash")?);
    Ok(StoredGuidancePin {
        view: GuidancePinView {
            account: row.try_get("account_id")?,
            entry: row.try_get("entry")?,
            by_name: row.try_get("by_name")?,
            changed_at: from_ms(row.try_get("changed_ms")?),
        },
        hash: hash.map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::guidance_pin::GuidancePin;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;

    #[tokio::test]
    async fn a_pin_is_a_hash_of_one_account_and_goes_with_it() {
        let (_held, store) = super::super::empty_store().await;
        let mut accounts = Vec::new();
        for code in ["A001", "B001"] {
            let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
            let fields = fields.checked(&NumberPlan::default()).unwrap();
            accounts.push(store.create_account(&fields, from_ms(1_000)).await.unwrap().id);
        }
        let pin = |account, entry: &str, pin: &str| StoredGuidancePin {
            view: GuidancePinView {
                account,
                entry: entry.into(),
                by_name: "花".into(),
                changed_at: from_ms(2_000),
            },
            hash: PasswordHash::of_pin(&GuidancePin::new(pin).unwrap()).unwrap(),
        };
        let first = pin(accounts[0], "001", "481516");
        store.set_guidance_pin(&first).await.unwrap();
        let found = store.guidance_pin_entered("001").await.unwrap().unwrap();
        assert_eq!(found, first);
        assert!(found.hash.verify("481516") && !found.hash.verify("481517"));
        let taken = store.set_guidance_pin(&pin(accounts[1], "001", "481516")).await;
        assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
        let nobody = store.set_guidance_pin(&pin(RecordId(Uuid::from_u128(7)), "7", "481516")).await;
        assert!(matches!(nobody, Err(StoreError::Missing { what: "account" })), "{nobody:?}");
        let second = pin(accounts[0], "002", "162342");
        store.set_guidance_pin(&second).await.unwrap();
        assert_eq!(store.guidance_pin_entered("001").await.unwrap(), None);
        assert_eq!(store.guidance_pin(accounts[0]).await.unwrap(), Some(second.clone()));
        assert!(store.remove_guidance_pin(accounts[0]).await.unwrap());
        assert!(!store.remove_guidance_pin(accounts[0]).await.unwrap());
        store.set_guidance_pin(&second).await.unwrap();
        store.delete_account(accounts[0], from_ms(3_000)).await.unwrap();
        assert_eq!(store.guidance_pin_entered("002").await.unwrap(), None);
    }
}
