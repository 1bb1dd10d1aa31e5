//! The SQL of callflows and overrides.

use jiff::Timestamp;
use serde_json::{Map, Value};
use sqlx::Row;

use super::{Backend, DbRow};
use crate::contract::callflow::{CallflowFields, CallflowTemplate, Override, OverrideTreatment};
use crate::ids::RecordId;
use crate::store::callflows::{OVERRIDES_MAX, OverrideOutcome, StoredCallflow, TemplateOutcome};
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn callflow(
        &self,
        account: RecordId,
    ) -> Result<Option<StoredCallflow>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT f.*, t.fields_json AS template_json FROM callflows AS f
             LEFT JOIN callflow_templates AS t ON t.id = f.template_id WHERE f.account_id = $1 AND ",
            account_is_kept!("f")
        ))
        .bind(account)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(callflow_of).transpose()?)
    }

    pub(in crate::store) async fn callflows(&self) -> Result<Vec<StoredCallflow>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT f.*, t.fields_json AS template_json FROM callflows AS f
             LEFT JOIN callflow_templates AS t ON t.id = f.template_id WHERE ",
            account_is_kept!("f"),
            " ORDER BY f.account_id"
        ))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(callflow_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_callflow(
        &self,
        callflow: &StoredCallflow,
        version: Option<i64>,
    ) -> Result<bool, StoreError> {
        let written = sqlx::query(
            "INSERT INTO callflows (account_id, fields_json, by_name, changed_ms, template_id)
             SELECT a.id, $2, $3, $4, $6 FROM accounts AS a WHERE a.id = $1 AND ($5 IS NULL OR $5 =
                coalesce((SELECT f.changed_ms FROM callflows AS f WHERE f.account_id = a.id), 0))
             ON CONFLICT (account_id) DO UPDATE SET fields_json = excluded.fields_json,
                by_name = excluded.by_name, changed_ms = excluded.changed_ms, template_id = excluded.template_id",
        )
        .bind(callflow.account)
        .bind(serde_json::to_string(&callflow.own).unwrap_or_default())
        .bind(&callflow.by_name)
        .bind(to_ms(callflow.changed_at))
        .bind(version)
        .bind(callflow.template)
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the callflow", None))?;
        if written.rows_affected() == 0 && version.is_none() {
            return Err(StoreError::Missing { what: "account" });
        }
        Ok(written.rows_affected() > 0)
    }

    pub(in crate::store) async fn remove_callflow(&self, account: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM callflows WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn callflow_templates(&self) -> Result<Vec<CallflowTemplate>, StoreError> {
        let rows = sqlx::query("SELECT t.* FROM callflow_templates AS t ORDER BY t.code")
            .fetch_all(self.readers())
            .await?;
        Ok(rows.iter().map(template_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_callflow_template(
        &self,
        template: &CallflowTemplate,
    ) -> Result<CallflowTemplate, StoreError> {
        let row = sqlx::query(
            "INSERT INTO callflow_templates (id, code, name, fields_json, by_name, changed_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (code) DO UPDATE SET name = excluded.name, fields_json = excluded.fields_json,
                by_name = excluded.by_name, changed_ms = excluded.changed_ms
             RETURNING *",
        )
        .bind(template.id)
        .bind(&template.code)
        .bind(&template.name)
        .bind(serde_json::to_string(&template.fields).unwrap_or_default())
        .bind(&template.by_name)
        .bind(to_ms(template.changed_at))
        .fetch_one(&mut *self.write_once().await?)
        .await?;
        Ok(template_of(&row)?)
    }

    pub(in crate::store) async fn delete_callflow_template(
        &self,
        code: &str,
    ) -> Result<TemplateOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let followers: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM callflows AS f JOIN callflow_templates AS t ON t.id = f.template_id
             WHERE t.code = $1",
        )
        .bind(code)
        .fetch_one(&mut *transaction)
        .await?;
        if followers > 0 {
            return Ok(TemplateOutcome::InUse(u64::try_from(followers).unwrap_or(0)));
        }
        let done = sqlx::query("DELETE FROM callflow_templates WHERE code = $1")
            .bind(code)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(if done.rows_affected() > 0 { TemplateOutcome::Deleted } else { TemplateOutcome::Missing })
    }

    pub(in crate::store) async fn overrides(&self, at: Timestamp) -> Result<Vec<Override>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT o.* FROM overrides AS o WHERE (o.until_ms IS NULL OR o.until_ms > $1) AND ",
            account_is_kept!("o"),
            " ORDER BY o.from_ms, o.id"
        ))
        .bind(to_ms(at))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(override_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn set_override(
        &self,
        one: &Override,
        now: Timestamp,
    ) -> Result<OverrideOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        sqlx::query("DELETE FROM overrides WHERE until_ms <= $1")
            .bind(to_ms(now))
            .execute(&mut *transaction)
            .await?;
        let known: i64 =
            sqlx::query_scalar("SELECT count(*) FROM overrides").fetch_one(&mut *transaction).await?;
        if known >= i64::from(OVERRIDES_MAX) {
            return Ok(OverrideOutcome::TooMany);
        }
        sqlx::query(
            "INSERT INTO overrides (id, account_id, treatment, from_ms, until_ms, reason, by_name)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(one.id)
        .bind(one.account)
        .bind(one.treatment.as_str())
        .bind(to_ms(one.from))
        .bind(one.until.map(to_ms))
        .bind(&one.reason)
        .bind(&one.by_name)
        .execute(&mut *transaction)
        .await
        .map_err(|error| refusal(error, "the override", None))?;
        transaction.commit().await?;
        Ok(OverrideOutcome::Set)
    }

    pub(in crate::store) async fn end_override(&self, id: RecordId) -> Result<Option<Override>, StoreError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT o.* FROM overrides AS o WHERE o.id = $1")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let ended = row.as_ref().map(override_of).transpose()?;
        sqlx::query("DELETE FROM overrides WHERE id = $1").bind(id).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(ended)
    }
}

fn callflow_of(row: &DbRow) -> Result<StoredCallflow, sqlx::Error> {
    let undecodable = |error: serde_json::Error| sqlx::Error::Decode(error.into());
    let own: Map<String, Value> = serde_json::from_str(row.try_get("fields_json")?).map_err(undecodable)?;
    let template: Option<&str> = row.try_get("template_json")?;
    let template = template.map(serde_json::from_str).transpose().map_err(undecodable)?.unwrap_or_default();
    Ok(StoredCallflow {
        account: row.try_get("account_id")?,
        fields: CallflowFields::over(&template, &own).map_err(|error| undecodable(error.into_inner()))?,
        template: row.try_get("template_id")?,
        own,
        by_name: row.try_get("by_name")?,
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

fn template_of(row: &DbRow) -> Result<CallflowTemplate, sqlx::Error> {
    let fields = serde_json::from_str(row.try_get("fields_json")?);
    Ok(CallflowTemplate {
        id: row.try_get("id")?,
        code: row.try_get("code")?,
        name: row.try_get("name")?,
        fields: fields.map_err(|error| sqlx::Error::Decode(error.into()))?,
        by_name: row.try_get("by_name")?,
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

fn override_of(row: &DbRow) -> Result<Override, sqlx::Error> {
    let treatment = match row.try_get("treatment")? {
        "open" => OverrideTreatment::Open,
        _ => OverrideTreatment::Closed,
    };
    Ok(Override {
        id: row.try_get("id")?,
        account: row.try_get("account_id")?,
        treatment,
        from: from_ms(row.try_get("from_ms")?),
        until: row.try_get::<Option<i64>, _>("until_ms")?.map(from_ms),
        reason: row.try_get("reason")?,
        by_name: row.try_get("by_name")?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::callflow::{GuidanceMode, OfferedWhen, WhileWaiting, own_of};
    use crate::contract::guidance_draft::RecordedGuidance;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::Store;

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&fields, from_ms(1_760_000_400_000)).await.unwrap().id
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "every field")]
    async fn a_callflow_is_written_read_and_goes_with_its_account() {
        let (_held, store) = super::super::empty_store().await;
        let at = from_ms(1_760_000_400_000);
        let fields = CallflowFields {
            queue: "operators".into(),
            wait_s: 31,
            while_waiting: WhileWaiting::Music,
            priority: 2,
            lines: 3,
            full_at: 4,
            second_queue: Some("night".into()),
            second_wait_s: 5,
            announcement: Some("e".into()),
            announce_caller: true,
            announce_place: true,
            guidance: GuidanceMode::Answer,
            closed_guidance: Some("a".into()),
            recorded_guidance: RecordedGuidance::NextClosing,
            holiday_guidance: Some("b".into()),
            override_guidance: Some("c".into()),
            overflow_guidance: Some("d".into()),
            callback: OfferedWhen::Overflow,
            callback_guidance: Some("f".into()),
            voice_message: OfferedWhen::Both,
            voice_guidance: Some("g".into()),
            voice_max_s: 60,
            reach: OfferedWhen::Both,
            reach_on_call: true,
            reach_numbers: vec!["1001".into()],
            reach_s: 6,
            reach_accept: false,
            refuse_withheld: true,
            withheld_guidance: Some("h".into()),
        };
        let mut written = Vec::new();
        for code in ["A", "B"] {
            let account = account(&store, code).await;
            written.push(StoredCallflow {
                account,
                fields: fields.clone(),
                template: None,
                own: fields.as_object(),
                by_name: "花".into(),
                changed_at: at,
            });
        }
        written.sort_unstable_by_key(|one| one.account);
        let before = store.accounts_version().await.unwrap();
        for one in &written {
            assert!(store.set_callflow(one, None).await.unwrap());
        }
        written[0].fields.wait_s = 32;
        written[0].own = written[0].fields.as_object();
        assert!(store.set_callflow(&written[0], None).await.unwrap());
        assert!(store.accounts_version().await.unwrap() >= before + 3, "the daemon compiles again");
        // Another version than the one that was read is not overwritten.
        for version in [0, written[0].version() - 1] {
            let other = StoredCallflow { by_name: "他".into(), ..written[0].clone() };
            assert!(!store.set_callflow(&other, Some(version)).await.unwrap());
        }
        written[0].by_name = "月".into();
        assert!(store.set_callflow(&written[0], Some(written[0].version())).await.unwrap());
        assert_eq!(store.callflow(written[0].account).await.unwrap(), Some(written[0].clone()));
        assert_eq!(store.callflows().await.unwrap(), written);
        store.delete_account(written[0].account, at).await.unwrap();
        assert_eq!(store.callflows().await.unwrap(), written[1..]);
        assert!(store.remove_callflow(written[1].account).await.unwrap());
        assert!(!store.remove_callflow(written[1].account).await.unwrap());
        assert!(!store.set_callflow(&written[1], Some(written[1].version())).await.unwrap());
        assert!(store.set_callflow(&written[1], Some(0)).await.unwrap());
        let nobody = StoredCallflow { account: RecordId(Uuid::from_u128(7)), ..written[1].clone() };
        assert!(matches!(
            store.set_callflow(&nobody, None).await,
            Err(StoreError::Missing { what: "account" })
        ));
    }

    #[tokio::test]
    async fn callflows_follow_their_template_but_where_they_differ() {
        let (_held, store) = super::super::empty_store().await;
        let at = |ms: i64| from_ms(1_760_000_400_000 + ms);
        let template = |id: u128, wait_s: u32| CallflowTemplate {
            id: RecordId(Uuid::from_u128(id)),
            code: "usual".into(),
            name: "標準".into(),
            fields: CallflowFields { wait_s, lines: 3, ..CallflowFields::default() },
            by_name: "花".into(),
            changed_at: at(0),
        };
        let first = template(1, 20);
        assert_eq!(store.set_callflow_template(&first).await.unwrap(), first);
        let account = account(&store, "A").await;
        let own = CallflowFields { priority: 4, ..first.fields.clone() };
        let own = own_of(&first.fields.as_object(), &own.as_object());
        let callflow = StoredCallflow {
            account,
            fields: CallflowFields { priority: 4, ..first.fields.clone() },
            template: Some(first.id),
            own,
            by_name: "花".into(),
            changed_at: at(1),
        };
        assert!(store.set_callflow(&callflow, None).await.unwrap());
        assert_eq!(store.callflow(account).await.unwrap(), Some(callflow.clone()));
        let before = store.accounts_version().await.unwrap();
        let second = store.set_callflow_template(&template(2, 40)).await.unwrap();
        assert_eq!((second.id, second.fields.wait_s), (first.id, 40), "it keeps its id");
        assert!(store.accounts_version().await.unwrap() > before, "the daemon compiles again");
        let found = store.callflows().await.unwrap().remove(0).fields;
        assert_eq!((found.wait_s, found.lines, found.priority), (40, 3, 4));
        assert_eq!(store.delete_callflow_template("usual").await.unwrap(), TemplateOutcome::InUse(1));
        assert!(store.remove_callflow(account).await.unwrap());
        assert_eq!(store.callflow_templates().await.unwrap(), [second]);
        assert_eq!(store.delete_callflow_template("usual").await.unwrap(), TemplateOutcome::Deleted);
        assert_eq!(store.delete_callflow_template("usual").await.unwrap(), TemplateOutcome::Missing);
    }

    #[tokio::test]
    async fn overrides_are_set_listed_and_ended() {
        let (_held, store) = super::super::empty_store().await;
        let at = |minutes: i64| from_ms(1_760_000_400_000 + minutes * 60_000);
        let account = account(&store, "A").await;
        let one = |n: u128, account, from, until: Option<i64>| Override {
            id: RecordId(Uuid::from_u128(n)),
            account,
            treatment: OverrideTreatment::Closed,
            from: at(from),
            until: until.map(at),
            reason: "停電".into(),
            by_name: "花".into(),
        };
        let all = Override { treatment: OverrideTreatment::Open, ..one(1, None, 0, Some(10)) };
        let own = one(2, Some(account), 1, None);
        for set in [&own, &all] {
            assert_eq!(store.set_override(set, at(0)).await.unwrap(), OverrideOutcome::Set);
        }
        let nobody = one(3, Some(RecordId(Uuid::from_u128(9))), 0, None);
        let refused = store.set_override(&nobody, at(0)).await;
        assert!(matches!(refused, Err(StoreError::Missing { what: "account" })), "{refused:?}");
        assert_eq!(store.overrides(at(9)).await.unwrap(), [all.clone(), own.clone()]);
        assert_eq!(store.overrides(at(10)).await.unwrap(), std::slice::from_ref(&own));
        // The one that is over is removed with the next that is set.
        let next = one(4, None, 20, None);
        store.set_override(&next, at(20)).await.unwrap();
        assert_eq!(store.overrides(at(0)).await.unwrap(), [own.clone(), next.clone()]);
        let before = store.accounts_version().await.unwrap();
        assert_eq!(store.end_override(own.id).await.unwrap(), Some(own.clone()));
        assert!(store.accounts_version().await.unwrap() > before, "the daemon compiles again");
        assert_eq!(store.end_override(own.id).await.unwrap(), None);
        store.set_override(&own, at(20)).await.unwrap();
        store.delete_account(account, at(21)).await.unwrap();
        assert_eq!(store.overrides(at(21)).await.unwrap(), [next]);
    }
}
