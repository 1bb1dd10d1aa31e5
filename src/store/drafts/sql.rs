//! The SQL of drafts.

use jiff::Timestamp;
use sqlx::Row;

use super::{Backend, DbRow};
use crate::ids::{CallId, RecordId};
use crate::store::drafts::{DRAFTS_PER_PERSON_MAX, Draft, DraftOutcome, NewDraft};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn drafts(&self, user: RecordId) -> Result<Vec<Draft>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT d.* FROM drafts AS d WHERE d.user_id = $1 AND NOT ",
            draft_is_being_erased!(),
            " ORDER BY d.changed_ms, d.call_id LIMIT $2"
        ))
        .bind(user)
        .bind(i64::from(DRAFTS_PER_PERSON_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(draft_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn draft(
        &self,
        user: RecordId,
        call: CallId,
    ) -> Result<Option<Draft>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT d.* FROM drafts AS d WHERE d.user_id = $1 AND d.call_id = $2 AND NOT ",
            draft_is_being_erased!()
        ))
        .bind(user)
        .bind(call)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(draft_of).transpose()?)
    }

    pub(in crate::store) async fn write_draft(
        &self,
        draft: &NewDraft,
        at: Timestamp,
    ) -> Result<DraftOutcome, StoreError> {
        let body = serde_json::to_string(&draft.body).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let mut transaction = self.begin().await?;
        let is_erased: bool =
            sqlx::query_scalar(call_is_erased!()).bind(draft.call).fetch_one(&mut *transaction).await?;
        let is_of_erased: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM erasures WHERE customer_id = $1)")
                .bind(draft.customer)
                .fetch_one(&mut *transaction)
                .await?;
        if is_erased || is_of_erased {
            return Err(StoreError::Erased);
        }
        let has_account: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM accounts WHERE id = $1)
                AND NOT EXISTS (SELECT 1 FROM account_removals WHERE account_id = $1)",
        )
        .bind(draft.account)
        .fetch_one(&mut *transaction)
        .await?;
        if draft.account.is_some() && !has_account {
            return Err(StoreError::Missing { what: "account" });
        }
        // One statement for both, so that of two desktops that begin a draft at the same time one is refused.
        let written = if draft.version == 0 {
            sqlx::query(
                "INSERT INTO drafts (user_id, call_id, account_id, customer_id, body_json, version, changed_ms)
                 SELECT $1, $2, $3, $4, $5, 1 + $6, $7
                 WHERE (SELECT count(*) FROM drafts WHERE user_id = $1) < $8
                 ON CONFLICT (user_id, call_id) DO NOTHING RETURNING *",
            )
        } else {
            sqlx::query(
                "UPDATE drafts SET account_id = $3, customer_id = $4, body_json = $5, version = version + 1,
                    changed_ms = $7
                 WHERE user_id = $1 AND call_id = $2 AND version = $6 AND $8 > 0 RETURNING *",
            )
        };
        let written = written
            .bind(draft.user)
            .bind(draft.call)
            .bind(draft.account)
            .bind(draft.customer)
            .bind(body)
            .bind(i64::try_from(draft.version).unwrap_or(i64::MAX))
            .bind(to_ms(at))
            .bind(i64::from(DRAFTS_PER_PERSON_MAX))
            .fetch_optional(&mut *transaction)
            .await?;
        if let Some(row) = written {
            let stored = draft_of(&row)?;
            transaction.commit().await?;
            return Ok(DraftOutcome::Written(stored));
        }
        drop(transaction);
        Ok(match self.draft(draft.user, draft.call).await? {
            Some(known) if known.body == draft.body => DraftOutcome::Written(known),
            None if draft.version == 0 => DraftOutcome::TooMany,
            known => DraftOutcome::Changed(known),
        })
    }

    pub(in crate::store) async fn delete_draft(
        &self,
        user: RecordId,
        call: CallId,
    ) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM drafts WHERE user_id = $1 AND call_id = $2")
            .bind(user)
            .bind(call)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

fn draft_of(row: &DbRow) -> Result<Draft, sqlx::Error> {
    let body =
        serde_json::from_str(row.try_get("body_json")?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Draft {
        call: row.try_get("call_id")?,
        account: row.try_get("account_id")?,
        customer: row.try_get("customer_id")?,
        body,
        version: u64::try_from(row.try_get::<i64, _>("version")?).unwrap_or(0),
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{ChannelId, PbxId};
    use crate::store::Store;
    use crate::store::erasure::RemovalStep;

    const HANA: RecordId = RecordId(Uuid::from_u128(1));
    const JIRO: RecordId = RecordId(Uuid::from_u128(2));

    fn call(n: u32) -> CallId {
        CallId::derive(&PbxId::parse("lab").unwrap(), &ChannelId::parse(&n.to_string()).unwrap())
    }

    fn draft(user: RecordId, n: u32, text: &str, version: u64) -> NewDraft {
        let body = json!({ "text": text }).as_object().unwrap().clone();
        NewDraft { user, call: call(n), account: Some(JIRO), customer: None, body, version }
    }

    /// A store with the account of the drafts.
    async fn store() -> (impl Sized, Store) {
        let (held, store) = super::super::empty_store().await;
        let insert =
            "INSERT INTO accounts (id, code, name, created_ms, changed_ms) VALUES ($1, 'A', 'A', 0, 0)";
        sqlx::query(insert).bind(JIRO).execute(super::super::of(&store).writer()).await.unwrap();
        (held, store)
    }

    #[tokio::test]
    async fn no_draft_is_kept_for_an_account_that_is_not_there() {
        let (_held, store) = store().await;
        let is_refused = async |draft: &NewDraft| {
            let written = store.write_draft(draft, at(2)).await;
            matches!(written, Err(StoreError::Missing { what: "account" }))
        };
        assert!(is_refused(&NewDraft { account: Some(HANA), ..draft(HANA, 1, "一", 0) }).await);
        store.write_draft(&draft(HANA, 1, "一", 0), at(1)).await.unwrap();
        store.delete_account(JIRO, at(1)).await.unwrap();
        assert_eq!(
            (store.draft(HANA, call(1)).await.unwrap(), store.drafts(HANA).await.unwrap()),
            (None, vec![])
        );
        assert!(is_refused(&draft(HANA, 1, "二", 1)).await, "it is being removed");
        while store.remove_step(10).await.unwrap() != RemovalStep::Idle {}
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM drafts")
            .fetch_one(super::super::of(&store).readers())
            .await
            .unwrap();
        assert_eq!(left, 0);
        assert!(is_refused(&draft(HANA, 2, "一", 0)).await, "it is gone");
        let without = NewDraft { account: None, ..draft(HANA, 2, "一", 0) };
        assert!(matches!(store.write_draft(&without, at(2)).await.unwrap(), DraftOutcome::Written(_)));
    }

    fn at(ms: i64) -> Timestamp {
        from_ms(ms)
    }

    #[tokio::test]
    async fn a_draft_is_written_over_the_version_before_it() {
        let (_held, store) = store().await;
        let DraftOutcome::Written(first) = store.write_draft(&draft(HANA, 1, "一", 0), at(1)).await.unwrap()
        else {
            panic!("there is none yet");
        };
        assert_eq!((first.version, first.account, first.changed_at), (1, Some(JIRO), at(1)));
        // The answer was lost, and the page asks again.
        let again = store.write_draft(&draft(HANA, 1, "一", 0), at(2)).await.unwrap();
        assert_eq!(again, DraftOutcome::Written(first.clone()));
        let other = store.write_draft(&draft(HANA, 1, "二", 0), at(2)).await.unwrap();
        assert_eq!(other, DraftOutcome::Changed(Some(first)));
        let DraftOutcome::Written(second) = store.write_draft(&draft(HANA, 1, "二", 1), at(3)).await.unwrap()
        else {
            panic!("it is the version after the first");
        };
        assert_eq!(second.version, 2);
        let stale = store.write_draft(&draft(HANA, 1, "三", 1), at(4)).await.unwrap();
        assert_eq!(stale, DraftOutcome::Changed(Some(second.clone())));
        assert_eq!(
            store.write_draft(&draft(HANA, 9, "三", 4), at(4)).await.unwrap(),
            DraftOutcome::Changed(None)
        );
        assert_eq!(store.draft(HANA, call(1)).await.unwrap(), Some(second.clone()));
        assert_eq!(store.draft(JIRO, call(1)).await.unwrap(), None, "another person's is another draft");
        assert_eq!(store.drafts(HANA).await.unwrap(), [second]);
        assert!(store.delete_draft(HANA, call(1)).await.unwrap());
        assert!(!store.delete_draft(HANA, call(1)).await.unwrap());
    }

    #[tokio::test]
    async fn two_desktops_that_begin_a_draft_do_not_overwrite_each_other() {
        let (_held, store) = store().await;
        let (one, two) = (draft(HANA, 1, "一", 0), draft(HANA, 1, "二", 0));
        let (one, two) = tokio::join!(store.write_draft(&one, at(1)), store.write_draft(&two, at(1)));
        let written = [one.unwrap(), two.unwrap()];
        assert_eq!(
            written.iter().filter(|o| matches!(o, DraftOutcome::Written(_))).count(),
            1,
            "{written:?}"
        );
    }

    #[tokio::test]
    async fn a_person_has_a_limited_number_of_drafts() {
        let (_held, store) = store().await;
        for n in 0..DRAFTS_PER_PERSON_MAX {
            store.write_draft(&draft(HANA, n, "x", 0), at(1)).await.unwrap();
        }
        assert_eq!(store.write_draft(&draft(HANA, 999, "x", 0), at(1)).await.unwrap(), DraftOutcome::TooMany);
        assert!(matches!(
            store.write_draft(&draft(HANA, 0, "y", 1), at(1)).await.unwrap(),
            DraftOutcome::Written(_)
        ));
    }
}
