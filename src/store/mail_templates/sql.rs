//! The SQL of templates of mails.

use jiff::Timestamp;
use serde_json::json;
use sqlx::Row;

use super::house_notices::note;
use super::{Backend, DbConnection, DbRow};
use crate::contract::event::EventKind;
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::mail_templates::{OwnTemplate, TEMPLATE_VERSIONS_MAX, TemplateVersion};
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
        let written = (template.by_name.as_str(), template.changed_at);
        add_version(&mut transaction, (account, &template.name), Some(&template.body), written).await?;
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
        by: (&str, Timestamp),
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let done = sqlx::query("DELETE FROM mail_templates WHERE account_id = $1 AND name = $2")
            .bind(account)
            .bind(name)
            .execute(&mut *transaction)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::Missing { what: "template of the account" });
        }
        add_version(&mut transaction, (account, name), None, by).await?;
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn template_versions(
        &self,
        account: RecordId,
        name: &str,
    ) -> Result<Vec<TemplateVersion>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM mail_template_versions WHERE account_id = $1 AND name = $2 ORDER BY version DESC LIMIT $3",
        )
        .bind(account)
        .bind(name)
        .bind(TEMPLATE_VERSIONS_MAX)
        .fetch_all(self.readers())
        .await?;
        let version = |row: &DbRow| {
            Ok(TemplateVersion {
                version: u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
                body: row.try_get("body")?,
                by_name: row.try_get("by_name")?,
                at: from_ms(row.try_get("at_ms")?),
            })
        };
        Ok(rows.iter().map(version).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Adds a version, and leaves out the oldest beyond [`TEMPLATE_VERSIONS_MAX`].
async fn add_version(
    db: &mut DbConnection,
    (account, name): (RecordId, &str),
    body: Option<&str>,
    (by_name, at): (&str, Timestamp),
) -> Result<(), StoreError> {
    let version: i64 = sqlx::query_scalar(
        "INSERT INTO mail_template_versions (account_id, name, version, body, by_name, at_ms)
         VALUES ($1, $2, (SELECT coalesce(max(version), 0) + 1 FROM mail_template_versions WHERE account_id = $1 AND name = $2),
            $3, $4, $5) RETURNING version",
    )
    .bind(account)
    .bind(name)
    .bind(body)
    .bind(by_name)
    .bind(to_ms(at))
    .fetch_one(&mut *db)
    .await?;
    sqlx::query("DELETE FROM mail_template_versions WHERE account_id = $1 AND name = $2 AND version <= $3")
        .bind(account)
        .bind(name)
        .bind(version - TEMPLATE_VERSIONS_MAX)
        .execute(db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
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
        store.reset_template(account, "text", ("葉", at)).await.unwrap();
        let again = store.reset_template(account, "text", ("葉", at)).await;
        assert!(matches!(again, Err(StoreError::Missing { .. })));
        let versions = store.template_versions(account, "text").await.unwrap();
        let known: Vec<_> =
            versions.iter().map(|one| (one.version, one.body.as_deref(), one.by_name.as_str())).collect();
        assert_eq!(known, [(3, None, "葉"), (2, Some("b"), "花"), (1, Some("a"), "花")]);
        assert_eq!(store.template_versions(account, "subject").await.unwrap(), []);
        assert_eq!(store.own_templates(account).await.unwrap(), []);
        let nobody = RecordId(uuid::Uuid::nil());
        assert!(matches!(store.set_own_template(nobody, &own).await, Err(StoreError::Missing { .. })));
    }

    #[tokio::test]
    async fn the_oldest_versions_of_a_template_go() {
        let (_held, store) = super::super::empty_store().await;
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let fields = AccountFields { code: "A".into(), name: "A".into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        let account = store.create_account(&fields, at).await.unwrap().id;
        for n in 1..=TEMPLATE_VERSIONS_MAX + 5 {
            let own = OwnTemplate {
                name: "text".into(),
                body: n.to_string(),
                by_name: "花".into(),
                changed_at: at,
            };
            store.set_own_template(account, &own).await.unwrap();
        }
        let versions = store.template_versions(account, "text").await.unwrap();
        assert_eq!((versions.len(), versions[0].version, versions[99].version), (100, 105, 6));
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM mail_template_versions")
            .fetch_one(super::super::of(&store).writer())
            .await
            .unwrap();
        assert_eq!(kept, TEMPLATE_VERSIONS_MAX);
    }
}
