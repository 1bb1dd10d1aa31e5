//! The SQL of monthly reports.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::service_mails::insert_mail;
use super::{Backend, DbRow};
use crate::ids::RecordId;
use crate::store::error::refusal;
use crate::store::reports::{ClosedReport, DUE_PLANS_MAX, NumberCount, StoredReportPlan};
use crate::store::service_mails::NewServiceMail;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn report_plan(
        &self,
        account: RecordId,
    ) -> Result<Option<StoredReportPlan>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT p.* FROM report_plans AS p WHERE p.account_id = $1 AND ",
            account_is_kept!("p")
        ))
        .bind(account)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(plan_of).transpose()?)
    }

    pub(in crate::store) async fn set_report_plan(&self, plan: &StoredReportPlan) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO report_plans (account_id, plan_json, mail_day, sent_month, by_name, changed_ms)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (account_id) DO UPDATE SET plan_json = excluded.plan_json, mail_day = excluded.mail_day,
                sent_month = CASE WHEN report_plans.sent_month > excluded.sent_month THEN report_plans.sent_month
                    ELSE excluded.sent_month END,
                by_name = excluded.by_name, changed_ms = excluded.changed_ms",
        )
        .bind(plan.account)
        .bind(serde_json::to_string(&plan.plan).unwrap_or_default())
        .bind(plan.plan.mail_day.map(i64::from))
        .bind(&plan.sent_month)
        .bind(&plan.by_name)
        .bind(to_ms(plan.changed_at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the plan", None))?;
        Ok(())
    }

    pub(in crate::store) async fn remove_report_plan(&self, account: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM report_plans WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn due_report_plans(
        &self,
        month: &str,
        day: u8,
        after: Option<RecordId>,
    ) -> Result<Vec<StoredReportPlan>, StoreError> {
        let rows = sqlx::query(concat!(
            "SELECT p.* FROM report_plans AS p WHERE p.mail_day IS NOT NULL AND p.sent_month < $1 AND p.mail_day <= $2
                AND p.account_id > $3 AND ",
            account_is_kept!("p"),
            " ORDER BY p.account_id LIMIT $4"
        ))
        .bind(month)
        .bind(i64::from(day))
        .bind(after.unwrap_or(RecordId(Uuid::nil())))
        .bind(i64::from(DUE_PLANS_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(plan_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn make_report_mails(
        &self,
        account: RecordId,
        month: &str,
        mails: &[NewServiceMail],
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let noted =
            sqlx::query("UPDATE report_plans SET sent_month = $2 WHERE account_id = $1 AND sent_month < $2")
                .bind(account)
                .bind(month)
                .execute(&mut *transaction)
                .await?;
        if noted.rows_affected() == 0 {
            return Ok(false);
        }
        for mail in mails {
            insert_mail(&mut transaction, mail).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    pub(in crate::store) async fn close_report(&self, closed: &ClosedReport) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO closed_reports (account_id, month, report_json, sha256, closed_ms, by_name)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id, month) DO NOTHING",
        )
        .bind(closed.account)
        .bind(&closed.month)
        .bind(&closed.json)
        .bind(&closed.sha256)
        .bind(to_ms(closed.closed_at))
        .bind(&closed.by_name)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn closed_report(
        &self,
        account: RecordId,
        month: &str,
    ) -> Result<Option<ClosedReport>, StoreError> {
        let row = sqlx::query("SELECT * FROM closed_reports WHERE account_id = $1 AND month = $2")
            .bind(account)
            .bind(month)
            .fetch_optional(self.readers())
            .await?;
        Ok(row.as_ref().map(closed_of).transpose()?)
    }

    pub(in crate::store) async fn calls_by_number(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<NumberCount>, StoreError> {
        let rows = sqlx::query(
            "SELECT coalesce(c.diverted_by, c.dialled) AS number, c.outcome, count(*) AS calls FROM calls AS c
             WHERE c.account_id = $1 AND c.direction = 'inbound' AND c.offered_ms >= $2 AND c.offered_ms < $3
             GROUP BY 1, 2",
        )
        .bind(account)
        .bind(to_ms(from))
        .bind(to_ms(to))
        .fetch_all(self.readers())
        .await?;
        let count = |row: &DbRow| {
            let calls: i64 = row.try_get("calls")?;
            let calls = u64::try_from(calls).unwrap_or(0);
            Ok(NumberCount { number: row.try_get("number")?, outcome: row.try_get("outcome")?, calls })
        };
        Ok(rows.iter().map(count).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn dispositions_of(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Option<String>, u64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT w.disposition, count(*) AS works FROM calls AS c JOIN wrap_ups AS w ON w.call_id = c.id
             WHERE c.account_id = $1 AND c.direction = 'inbound' AND c.offered_ms >= $2 AND c.offered_ms < $3
             GROUP BY 1",
        )
        .bind(account)
        .bind(to_ms(from))
        .bind(to_ms(to))
        .fetch_all(self.readers())
        .await?;
        let pair = |row: &DbRow| {
            let works: i64 = row.try_get("works")?;
            Ok((row.try_get("disposition")?, u64::try_from(works).unwrap_or(0)))
        };
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn plan_of(row: &DbRow) -> Result<StoredReportPlan, sqlx::Error> {
    let plan: String = row.try_get("plan_json")?;
    Ok(StoredReportPlan {
        account: row.try_get("account_id")?,
        plan: serde_json::from_str(&plan).map_err(|error| sqlx::Error::Decode(error.into()))?,
        sent_month: row.try_get("sent_month")?,
        by_name: row.try_get("by_name")?,
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

fn closed_of(row: &DbRow) -> Result<ClosedReport, sqlx::Error> {
    Ok(ClosedReport {
        account: row.try_get("account_id")?,
        month: row.try_get("month")?,
        json: row.try_get("report_json")?,
        sha256: row.try_get("sha256")?,
        closed_at: from_ms(row.try_get("closed_ms")?),
        by_name: row.try_get("by_name")?,
    })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::contract::records::AccountFields;
    use crate::numbers::NumberPlan;
    use crate::store::Store;
    use crate::store::reports::ReportPlan;

    const AT: i64 = 1_760_000_400_000;

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&fields, from_ms(AT)).await.unwrap().id
    }

    fn plan(account: RecordId, mail_day: Option<u8>, sent_month: &str) -> StoredReportPlan {
        StoredReportPlan {
            account,
            plan: ReportPlan { mail_day, to: vec!["a@example.jp".into()] },
            sent_month: sent_month.into(),
            by_name: "花".into(),
            changed_at: from_ms(AT),
        }
    }

    fn mail(account: RecordId, month: &str) -> NewServiceMail {
        NewServiceMail {
            id: RecordId(Uuid::now_v7()),
            report: Some((account, month.into())),
            address: "a@example.jp".into(),
            subject: "月次報告書".into(),
            body: "本文".into(),
            created_at: from_ms(AT),
        }
    }

    #[tokio::test]
    async fn a_plan_is_due_from_its_day_on_until_its_mails_are_made() {
        let (_held, store) = super::super::empty_store().await;
        let mut ids = [account(&store, "A").await, account(&store, "B").await, account(&store, "C").await];
        ids.sort_unstable();
        let [a, b, c] = ids;
        for plan in [plan(a, Some(5), "2025-09"), plan(b, Some(6), "2025-09"), plan(c, None, "2025-09")] {
            store.set_report_plan(&plan).await.unwrap();
            assert_eq!(store.report_plan(plan.account).await.unwrap(), Some(plan));
        }
        let due = async |month: &str, day: u8, after| {
            let plans = store.due_report_plans(month, day, after).await.unwrap();
            plans.iter().map(|plan| plan.account).collect::<Vec<_>>()
        };
        assert_eq!(due("2025-10", 4, None).await, []);
        assert_eq!(due("2025-10", 5, None).await, [a]);
        assert_eq!(due("2025-10", 28, None).await, [a, b]);
        assert_eq!(due("2025-10", 28, Some(a)).await, [b]);
        assert_eq!(due("2025-09", 28, None).await, []);
        let mails = [mail(a, "2025-10")];
        assert!(store.make_report_mails(a, "2025-10", &mails).await.unwrap());
        // Another daemon comes later.
        assert!(!store.make_report_mails(a, "2025-10", &[mail(a, "2025-10")]).await.unwrap());
        assert_eq!(store.report_mails(a, "2025-10").await.unwrap().len(), 1);
        assert_eq!(due("2025-10", 28, None).await, [b]);
        assert_eq!(due("2025-11", 28, None).await, [a, b]);
        // A plan that is written again never sends what was sent.
        store.set_report_plan(&plan(a, Some(1), "2025-09")).await.unwrap();
        assert_eq!(due("2025-10", 28, None).await, [b]);
        store.delete_account(b, from_ms(AT)).await.unwrap();
        assert_eq!(due("2025-11", 28, None).await, [a]);
        assert!(store.remove_report_plan(a).await.unwrap());
        assert!(!store.remove_report_plan(a).await.unwrap());
        assert_eq!(due("2025-11", 28, None).await, []);
        let nobody = plan(RecordId(Uuid::from_u128(7)), Some(5), "2025-09");
        assert!(matches!(store.set_report_plan(&nobody).await, Err(StoreError::Missing { what: "account" })));
    }

    #[tokio::test]
    async fn a_report_is_closed_once() {
        let (_held, store) = super::super::empty_store().await;
        let account = RecordId(Uuid::from_u128(7));
        let closed = |json: &str| ClosedReport {
            account,
            month: "2025-10".into(),
            json: json.into(),
            sha256: "00".into(),
            closed_at: from_ms(AT),
            by_name: "花".into(),
        };
        assert_eq!(store.closed_report(account, "2025-10").await.unwrap(), None);
        assert!(store.close_report(&closed("{}")).await.unwrap());
        assert!(!store.close_report(&closed("[]")).await.unwrap());
        assert_eq!(store.closed_report(account, "2025-10").await.unwrap(), Some(closed("{}")));
    }
}
