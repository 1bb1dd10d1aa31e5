//! The SQL of templates of mails.

use serde_json::json;
use sqlx::Row;

use super::house_notices::note;
use super::{Backend, DbRow};
use crate::contract::event::EventKind;
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::mail_templates::OwnTemplate;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn own_templates(
        &self,
        account: RecordId,
    ) -> Result<Vec<OwnTemplate>, StoreError> {
        let rows = sqlx::query("SELECT * FROM mail_templates WHERE account_id = $1 ORDER BY name")
            .bind(account)
            .fetch_all(self.readers())
            .await?;
        let template = |row: &DbRow| {
            Ok(OwnTemplate {
                name: row.try_get("name")?,
                body: row.try_get("body")?,
                by_name: row.try_get("by_name")?,
                changed_at: from_ms(row.try_get("changed_ms")?),
            })
        };
        Ok(rows.iter().map(template).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_own_template(
        &self,
        account: RecordId,
        template: &OwnTemplate,
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO mail_templates (account_id, name, body, by_name, changed_ms) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account_id, name) DO UPDATE SET body = excluded.body, by_name = excluded.by_name,
                changed_ms = excluded.changed_ms",
        )
        .bind(account)
        .bind(&template.name)
        .bind(&template.body)
        .bind(&template.by_name)
        .bind(to_ms(template.changed_at))
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the template", None))?;
        let data = json!({
            "kind": "template", "account": account, "name": template.name, "by_name": template.by_name,
        });
        note(&mut transaction, EventKind::DocumentPublished, &data, template.changed_at).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn reset_template(
        &self,
        account: RecordId,
        name: &str,
    ) -> Result<(), StoreError> {
        let done = sqlx::query("DELETE FROM mail_templates WHERE account_id = $1 AND name = $2")
            .bind(account)
            .bind(name)
            .execute(&mut *self.write_once().await?)
            .await?;
        if done.rows_affected() == 0 {
            Err(StoreError::Missing { what: "template of the account" })
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;

    #[tokio::test]
    async fn an_account_writes_a_template_and_resets_it() {
        let (_held, store) = super::super::empty_store().await;
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&fields, at).await.unwrap().id;
        let mut own =
            OwnTemplate { name: "text".into(), body: "a".into(), by_name: "花".into(), changed_at: at };
        store.set_own_template(account, &own).await.unwrap();
        own.body = "b".into();
        store.set_own_template(account, &own).await.unwrap();
        assert_eq!(store.own_templates(account).await.unwrap(), [own.clone()]);
        store.reset_template(account, "text").await.unwrap();
        assert!(matches!(store.reset_template(account, "text").await, Err(StoreError::Missing { .. })));
        assert_eq!(store.own_templates(account).await.unwrap(), []);
        let nobody = RecordId(uuid::Uuid::nil());
        assert!(matches!(store.set_own_template(nobody, &own).await, Err(StoreError::Missing { .. })));
    }
}
