//! The SQL of bills.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};
use uuid::Uuid;

use super::history::call_of;
use super::{Backend, Db, DbRow};
use crate::billing::BilledCall;
use crate::contract::history::FinishedCall;
use crate::ids::{CallId, RecordId};
use crate::store::billing::{BILLED_CALLS_READ, ClosedBill, StoredPlan};
use crate::store::error::refusal;
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn billing_plan(
        &self,
        account: RecordId,
    ) -> Result<Option<StoredPlan>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT b.* FROM billing_plans AS b WHERE b.account_id = $1 AND ",
            account_is_kept!("b")
        ))
        .bind(account)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.as_ref().map(plan_of).transpose()?)
    }

    pub(in crate::store) async fn set_billing_plan(
        &self,
        account: RecordId,
        plan: &StoredPlan,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO billing_plans (account_id, plan_json, by_name, changed_ms) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id) DO UPDATE SET plan_json = excluded.plan_json, by_name = excluded.by_name,
                changed_ms = excluded.changed_ms",
        )
        .bind(account)
        .bind(serde_json::to_string(&plan.plan).unwrap_or_default())
        .bind(&plan.by_name)
        .bind(to_ms(plan.changed_at))
        .execute(&mut *self.write_once().await?)
        .await
        .map_err(|error| refusal(error, "the plan", None))?;
        Ok(())
    }

    pub(in crate::store) async fn remove_billing_plan(&self, account: RecordId) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM billing_plans WHERE account_id = $1")
            .bind(account)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn billed_accounts(
        &self,
        month: &str,
        after: Option<RecordId>,
        limit: u32,
    ) -> Result<Vec<RecordId>, StoreError> {
        let accounts = sqlx::query_scalar(concat!(
            "SELECT b.account_id FROM billing_plans AS b WHERE b.account_id > $2 AND ",
            account_is_kept!("b"),
            " UNION SELECT account_id FROM closed_bills WHERE month = $1 AND account_id > $2
             ORDER BY account_id LIMIT $3",
        ))
        .bind(month)
        .bind(after.unwrap_or(RecordId(Uuid::nil())))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        Ok(accounts)
    }

    pub(in crate::store) async fn billed_calls(
        &self,
        account: RecordId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<BilledCall>, StoreError> {
        let mut calls: Vec<FinishedCall> = Vec::new();
        for direction in ["inbound", "outbound"] {
            // Callers' numbers tell only who called again; they leave this file in no bill.
            let rows = sqlx::query(
                "SELECT c.*, FALSE AS is_erased FROM calls AS c
                 WHERE c.account_id = $1 AND c.direction = $2 AND c.offered_ms >= $3 AND c.offered_ms < $4",
            )
            .bind(account)
            .bind(direction)
            .bind(to_ms(from))
            .bind(to_ms(to))
            .fetch_all(self.readers())
            .await?;
            calls.extend(rows.iter().map(call_of).collect::<Result<Vec<_>, sqlx::Error>>()?);
        }
        let mut billed = Vec::with_capacity(calls.len());
        for chunk in calls.chunks(BILLED_CALLS_READ) {
            let dispositions = self.last_dispositions(chunk).await?;
            let messages = self.messages_of_calls(chunk).await?;
            for call in &self.facts_input(chunk.to_vec(), false).await?.calls {
                let disposition = dispositions.get(&call.id).cloned();
                billed.push(BilledCall::of(call, disposition, messages.get(&call.id).copied().unwrap_or(0)));
            }
        }
        Ok(billed)
    }

    async fn last_dispositions(&self, calls: &[FinishedCall]) -> Result<HashMap<CallId, String>, StoreError> {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT w.call_id, w.disposition FROM wrap_ups AS w WHERE w.disposition IS NOT NULL AND w.call_id IN (",
        );
        push_ids(&mut query, calls);
        query.push(") ORDER BY w.ended_ms, w.since_ms");
        let rows = query.build().fetch_all(self.readers()).await?;
        let pair = |row: &DbRow| Ok((row.try_get("call_id")?, row.try_get("disposition")?));
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }

    async fn messages_of_calls(&self, calls: &[FinishedCall]) -> Result<HashMap<CallId, u64>, StoreError> {
        let mut query = QueryBuilder::<Db>::new(
            "SELECT m.call_id, count(*) AS messages FROM messages AS m
             WHERE m.deleted_ms IS NULL AND m.kind = 'message' AND m.call_id IN (",
        );
        push_ids(&mut query, calls);
        query.push(") GROUP BY m.call_id");
        let rows = query.build().fetch_all(self.readers()).await?;
        let pair = |row: &DbRow| {
            let messages: i64 = row.try_get("messages")?;
            Ok((row.try_get("call_id")?, u64::try_from(messages).unwrap_or(0)))
        };
        Ok(rows.iter().map(pair).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn close_bill(&self, closed: &ClosedBill) -> Result<bool, StoreError> {
        let done = sqlx::query(
            "INSERT INTO closed_bills (account_id, month, account_name, from_ms, to_ms, bill_json, closed_ms, by_name)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account_id, month) DO NOTHING",
        )
        .bind(closed.account)
        .bind(&closed.month)
        .bind(&closed.account_name)
        .bind(to_ms(closed.from))
        .bind(to_ms(closed.to))
        .bind(serde_json::to_string(&closed.bill).unwrap_or_default())
        .bind(to_ms(closed.closed_at))
        .bind(&closed.by_name)
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    pub(in crate::store) async fn closed_bills(
        &self,
        account: RecordId,
        from: &str,
        to: &str,
    ) -> Result<Vec<ClosedBill>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM closed_bills WHERE account_id = $1 AND month >= $2 AND month <= $3 ORDER BY month",
        )
        .bind(account)
        .bind(from)
        .bind(to)
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(closed_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

fn push_ids(query: &mut QueryBuilder<Db>, calls: &[FinishedCall]) {
    let mut ids = query.separated(", ");
    for call in calls {
        ids.push_bind(call.id);
    }
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
}

fn plan_of(row: &DbRow) -> Result<StoredPlan, sqlx::Error> {
    Ok(StoredPlan {
        plan: json(row.try_get("plan_json")?)?,
        by_name: row.try_get("by_name")?,
        changed_at: from_ms(row.try_get("changed_ms")?),
    })
}

fn closed_of(row: &DbRow) -> Result<ClosedBill, sqlx::Error> {
    Ok(ClosedBill {
        account: row.try_get("account_id")?,
        account_name: row.try_get("account_name")?,
        month: row.try_get("month")?,
        from: from_ms(row.try_get("from_ms")?),
        to: from_ms(row.try_get("to_ms")?),
        bill: json(row.try_get("bill_json")?)?,
        closed_at: from_ms(row.try_get("closed_ms")?),
        by_name: row.try_get("by_name")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::{Plan, Reason, bill_of};
    use crate::contract::call::{Direction, Outcome};
    use crate::contract::card::MatchedBy;
    use crate::contract::history::CallSource;
    use crate::contract::history::Segment;
    use crate::contract::records::AccountFields;
    use crate::identity::Presentation;
    use crate::ids::{ChannelId, Extension, PbxId};
    use crate::numbers::NumberPlan;
    use crate::store::Store;

    const BEGIN: i64 = 1_760_000_400_000;

    async fn account(store: &Store, code: &str) -> RecordId {
        let fields = AccountFields { code: code.into(), name: code.into(), ..AccountFields::default() };
        let fields = fields.checked(&NumberPlan::default()).unwrap();
        store.create_account(&fields, from_ms(BEGIN)).await.unwrap().id
    }

    fn call(n: u32, of: RecordId, at: i64) -> FinishedCall {
        let pbx = PbxId::parse("osaka-1").unwrap();
        let channel = ChannelId::parse(&format!("17{n}.1")).unwrap();
        let segment = |kind: &str, from: i64, until: i64| Segment {
            kind: kind.into(),
            operator: Some(Extension::parse("1001").unwrap()),
            target: None,
            from: from_ms(BEGIN + at + from),
            until: Some(from_ms(BEGIN + at + until)),
            result: None,
        };
        FinishedCall {
            id: CallId::derive(&pbx, &channel),
            pbx,
            direction: Direction::Inbound,
            account: Some(of),
            matched_by: MatchedBy::Dialled,
            customer: None,
            caller: Some("+819012345678".into()),
            presentation: Presentation::Allowed,
            dialled: None,
            diverted_by: None,
            offered_at: from_ms(BEGIN + at),
            answered_at: Some(from_ms(BEGIN + at + 1_000)),
            ended_at: from_ms(BEGIN + at + 90_000),
            outcome: Outcome::Answered,
            operators: vec![Extension::parse("1001").unwrap()],
            handled_by: None,
            channels: vec![channel],
            inferred: false,
            source: CallSource::Seen,
            left_behind: None,
            segments: vec![segment("talking", 1_000, 31_000), segment("transferred", 40_000, 90_000)],
        }
    }

    fn plan() -> StoredPlan {
        let plan = Plan { name: "標準".into(), ..Plan::default() };
        StoredPlan { plan, by_name: "花".into(), changed_at: from_ms(BEGIN) }
    }

    #[tokio::test]
    async fn a_plan_goes_with_its_account_and_a_closed_bill_stays() {
        let (_held, store) = super::super::empty_store().await;
        let of = account(&store, "A").await;
        assert_eq!(store.billing_plan(of).await.unwrap(), None);
        store.set_billing_plan(of, &plan()).await.unwrap();
        let mut other = plan();
        other.plan.base_yen = 9;
        store.set_billing_plan(of, &other).await.unwrap();
        assert_eq!(store.billing_plan(of).await.unwrap(), Some(other.clone()));
        let nobody = RecordId(Uuid::from_u128(7));
        assert!(matches!(
            store.set_billing_plan(nobody, &plan()).await,
            Err(StoreError::Missing { what: "account" })
        ));
        let closed = ClosedBill {
            account: of,
            account_name: "A".into(),
            month: "2025-10".into(),
            from: from_ms(BEGIN),
            to: from_ms(BEGIN + 1),
            bill: bill_of(&other.plan, &[], Vec::new()),
            closed_at: from_ms(BEGIN),
            by_name: "花".into(),
        };
        assert!(store.close_bill(&closed).await.unwrap());
        // Closed once: a second close, with other calls, changes nothing.
        let later = ClosedBill { by_name: "次郎".into(), ..closed.clone() };
        assert!(!store.close_bill(&later).await.unwrap());
        assert_eq!(
            store.closed_bills(of, "2025-10", "2025-10").await.unwrap(),
            std::slice::from_ref(&closed)
        );
        assert_eq!(store.closed_bills(of, "2025-01", "2025-09").await.unwrap(), []);
        let second = account(&store, "B").await;
        store.set_billing_plan(second, &plan()).await.unwrap();
        let mut both = vec![of, second];
        both.sort_unstable();
        assert_eq!(store.billed_accounts("2025-10", None, 10).await.unwrap(), both);
        assert_eq!(store.billed_accounts("2025-10", Some(both[0]), 10).await.unwrap(), both[1..]);
        store.delete_account(of, from_ms(BEGIN)).await.unwrap();
        assert_eq!(store.billing_plan(of).await.unwrap(), None);
        assert_eq!(store.closed_bills(of, "2025-10", "2025-10").await.unwrap(), [closed]);
        assert_eq!(store.billed_accounts("2025-11", None, 10).await.unwrap(), [second]);
        assert!(store.remove_billing_plan(second).await.unwrap());
        assert!(!store.remove_billing_plan(second).await.unwrap());
    }

    #[tokio::test]
    async fn the_calls_of_a_bill_have_their_talk_transfers_dispositions_and_messages() {
        let (_held, store) = super::super::empty_store().await;
        let (of, other) = (account(&store, "A").await, account(&store, "B").await);
        for one in [call(1, of, 0), call(2, of, 999), call(3, of, 1_000), call(4, other, 0)] {
            store.record_call(&one).await.unwrap();
        }
        let outbound =
            FinishedCall { direction: Direction::Outbound, segments: Vec::new(), ..call(5, of, 5) };
        store.record_call(&outbound).await.unwrap();
        let writer = super::super::of(&store).writer();
        for (since, disposition) in [(1_i64, "order"), (2, "silent")] {
            sqlx::query(
                "INSERT INTO wrap_ups (call_id, user_id, since_ms, ended_ms, planned_s, extensions_json, disposition)
                 VALUES ($1, $2, $3, $3, 0, '[]', $4)",
            )
            .bind(call(1, of, 0).id)
            .bind(RecordId(Uuid::from_u128(1)))
            .bind(since)
            .bind(disposition)
            .execute(writer)
            .await
            .unwrap();
        }
        let calls = store.billed_calls(of, from_ms(BEGIN), from_ms(BEGIN + 1_000)).await.unwrap();
        let mut ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
        ids.sort_unstable();
        let mut expected = vec![call(1, of, 0).id, call(2, of, 0).id, outbound.id];
        expected.sort_unstable();
        assert_eq!(ids, expected);
        let first = calls.iter().find(|one| one.id == call(1, of, 0).id).unwrap();
        assert_eq!((first.talk_ms, &first.transfers_ms, first.messages), (30_000, &vec![50_000], 0));
        assert_eq!(first.disposition.as_deref(), Some("silent"));
        let bill = bill_of(&Plan { merge_repeat_s: 1, ..plan().plan }, &calls, Vec::new());
        let verdicts: Vec<Reason> = bill.calls.iter().map(|verdict| verdict.why).collect();
        assert_eq!((verdicts, bill.outbound), (vec![Reason::Counted, Reason::Merged], 1));
    }
}
