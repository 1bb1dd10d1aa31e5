//! The SQL of the webhook outbox.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbConnection, DbRow};
use crate::ids::{PbxId, RecordId};
use crate::store::webhooks::{
    DELIVERIES_MAX, Delivery, DeliveryState, DueDelivery, NewDelivery, OutboxWrite,
};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn webhook_cursor(&self, pbx: &PbxId) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT event FROM webhook_cursors WHERE pbx = $1 OR pbx = '' ORDER BY pbx DESC LIMIT 1",
        )
        .bind(pbx.as_str())
        .fetch_optional(self.readers())
        .await?)
    }

    pub(in crate::store) async fn write_outbox(
        &self,
        pbx: &PbxId,
        events: &[NewDelivery],
        (before, after): (Option<&str>, &str),
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<OutboxWrite, StoreError> {
        let mut transaction = self.begin().await?;
        // First, so that another daemon waits for this transaction and then finds the cursor moved.
        let moved = sqlx::query(
            "INSERT INTO webhook_cursors (pbx, event) VALUES ($1, $2)
             ON CONFLICT (pbx) DO UPDATE SET event = excluded.event WHERE webhook_cursors.event = $3",
        )
        .bind(pbx.as_str())
        .bind(after)
        .bind(before)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if moved == 0 {
            return Ok(OutboxWrite::CursorMoved);
        }
        let mut dropped = 0;
        for event in events {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM webhook_outbox WHERE receiver = $1 AND state = 'waiting'",
            )
            .bind(&event.receiver)
            .fetch_one(&mut *transaction)
            .await?;
            if waiting >= i64::from(waiting_max) {
                dropped += 1;
                continue;
            }
            insert(&mut transaction, event, at).await?;
        }
        transaction.commit().await?;
        Ok(OutboxWrite::Written { dropped })
    }

    pub(in crate::store) async fn add_delivery(
        &self,
        delivery: &NewDelivery,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        insert(&mut *self.write_once().await?, delivery, at).await
    }

    pub(in crate::store) async fn claim_delivery(
        &self,
        id: RecordId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let claimed = sqlx::query(
            "UPDATE webhook_outbox SET next_ms = $3 WHERE id = $1 AND state = 'waiting' AND next_ms <= $2",
        )
        .bind(id)
        .bind(to_ms(now))
        .bind(to_ms(until))
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(claimed.rows_affected() > 0)
    }

    pub(in crate::store) async fn due_deliveries(
        &self,
        receiver: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<DueDelivery>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, event, body_json, attempts FROM webhook_outbox
             WHERE receiver = $1 AND state = 'waiting' AND next_ms <= $2 ORDER BY created_ms, id LIMIT $3",
        )
        .bind(receiver)
        .bind(to_ms(now))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let due = |row: &DbRow| {
            Ok(DueDelivery {
                id: row.try_get("id")?,
                event: row.try_get("event")?,
                body: row.try_get("body_json")?,
                attempts: attempts(row)?,
            })
        };
        Ok(rows.iter().map(due).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn complete_delivery(&self, id: RecordId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM webhook_outbox WHERE id = $1")
            .bind(id)
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn fail_delivery(
        &self,
        id: RecordId,
        error: &str,
        next: Option<Timestamp>,
        failed_max: u32,
    ) -> Result<(), StoreError> {
        let state = if next.is_some() { DeliveryState::Waiting } else { DeliveryState::Failed };
        let mut transaction = self.begin().await?;
        sqlx::query(
            "UPDATE webhook_outbox SET attempts = attempts + 1, error = $2, state = $3,
                next_ms = coalesce($4, next_ms) WHERE id = $1",
        )
        .bind(id)
        .bind(error)
        .bind(state.as_str())
        .bind(next.map(to_ms))
        .execute(&mut *transaction)
        .await?;
        if state == DeliveryState::Failed {
            sqlx::query(
                "DELETE FROM webhook_outbox WHERE id IN (
                    SELECT id FROM webhook_outbox WHERE state = 'failed' AND receiver =
                        (SELECT receiver FROM webhook_outbox WHERE id = $1)
                    ORDER BY created_ms DESC, id DESC LIMIT 10000 OFFSET $2)",
            )
            .bind(id)
            .bind(i64::from(failed_max))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    pub(in crate::store) async fn postpone_deliveries(
        &self,
        receiver: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE webhook_outbox SET next_ms = $2 WHERE receiver = $1 AND state = 'waiting' AND next_ms < $2",
        )
        .bind(receiver)
        .bind(to_ms(until))
        .execute(&mut *self.write_once().await?)
        .await?;
        Ok(())
    }

    pub(in crate::store) async fn deliveries(
        &self,
        state: Option<DeliveryState>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM webhook_outbox WHERE $1 = '' OR state = $1 ORDER BY created_ms, id LIMIT $2",
        )
        .bind(state.map_or("", DeliveryState::as_str))
        .bind(i64::from(DELIVERIES_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(delivery_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn retry_delivery(
        &self,
        id: RecordId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let changed = sqlx::query(
            "UPDATE webhook_outbox SET state = 'waiting', attempts = 0, next_ms = $2 WHERE id = $1",
        )
        .bind(id)
        .bind(to_ms(now))
        .execute(&mut *self.write_once().await?)
        .await?
        .rows_affected();
        if changed == 0 { Err(StoreError::Missing { what: "delivery" }) } else { Ok(()) }
    }
}

async fn insert(db: &mut DbConnection, event: &NewDelivery, at: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_outbox (id, receiver, event, kind, body_json, created_ms, next_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $6) ON CONFLICT (receiver, event) DO NOTHING",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(&event.receiver)
    .bind(&event.event)
    .bind(event.kind)
    .bind(&event.body)
    .bind(to_ms(at))
    .execute(db)
    .await?;
    Ok(())
}

fn attempts(row: &DbRow) -> Result<u32, sqlx::Error> {
    Ok(u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX))
}

fn delivery_of(row: &DbRow) -> Result<Delivery, sqlx::Error> {
    let failed = row.try_get::<String, _>("state")? == DeliveryState::Failed.as_str();
    Ok(Delivery {
        id: row.try_get("id")?,
        receiver: row.try_get("receiver")?,
        event: row.try_get("event")?,
        kind: row.try_get("kind")?,
        state: if failed { DeliveryState::Failed } else { DeliveryState::Waiting },
        attempts: attempts(row)?,
        error: row.try_get("error")?,
        created_at: from_ms(row.try_get("created_ms")?),
        next_at: (!failed).then_some(from_ms(row.try_get("next_ms")?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(n: u32) -> NewDelivery {
        NewDelivery { receiver: "crm".into(), event: format!("a-{n}"), kind: "call.ended", body: "{}".into() }
    }

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    async fn write(
        store: &crate::store::Store,
        events: &[NewDelivery],
        cursors: (Option<&str>, &str),
        seconds: i64,
        waiting_max: u32,
    ) -> OutboxWrite {
        store.write_outbox(&pbx(), events, cursors, at(seconds), waiting_max).await.unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn an_event_waits_once_until_it_is_accepted_or_has_failed() {
        let (_held, store) = super::super::empty_store().await;
        assert_eq!(store.webhook_cursor(&pbx()).await.unwrap(), None);
        let events = [delivery(1), delivery(2), delivery(3)];
        assert_eq!(write(&store, &events, (None, "a-3"), 1, 10).await, OutboxWrite::Written { dropped: 0 });
        assert_eq!(
            write(&store, &events[1..], (Some("a-3"), "a-4"), 1, 10).await,
            OutboxWrite::Written { dropped: 0 }
        );
        assert_eq!(store.webhook_cursor(&pbx()).await.unwrap().as_deref(), Some("a-4"));
        let full = write(&store, &[delivery(5)], (Some("a-4"), "a-5"), 2, 3).await;
        assert_eq!(full, OutboxWrite::Written { dropped: 1 }, "there is no room");
        assert!(store.due_deliveries("other", at(9), 10).await.unwrap().is_empty());
        let due = store.due_deliveries("crm", at(9), 10).await.unwrap();
        assert_eq!(due.iter().map(|d| d.event.as_str()).collect::<Vec<_>>(), ["a-1", "a-2", "a-3"]);
        store.complete_delivery(due[0].id).await.unwrap();
        store.fail_delivery(due[1].id, "the receiver answered 500", Some(at(60)), 10).await.unwrap();
        store.fail_delivery(due[2].id, "no answer", None, 10).await.unwrap();
        assert!(store.due_deliveries("crm", at(59), 10).await.unwrap().is_empty());
        store.postpone_deliveries("crm", at(90)).await.unwrap();
        assert!(store.due_deliveries("crm", at(60), 10).await.unwrap().is_empty());
        assert_eq!(store.due_deliveries("crm", at(90), 10).await.unwrap()[0].attempts, 1);

        let failed = store.deliveries(Some(DeliveryState::Failed)).await.unwrap();
        assert_eq!(
            (failed.len(), failed[0].event.as_str(), failed[0].error.as_deref()),
            (1, "a-3", Some("no answer"))
        );
        assert_eq!(store.deliveries(None).await.unwrap().len(), 2);
        store.retry_delivery(failed[0].id, at(10)).await.unwrap();
        assert_eq!(store.due_deliveries("crm", at(10), 10).await.unwrap()[0].attempts, 0);
        assert!(store.retry_delivery(RecordId(Uuid::nil()), at(10)).await.is_err());
    }

    #[tokio::test]
    async fn of_two_daemons_one_writes_the_outbox_and_each_pbx_has_its_cursor() {
        let (_held, store) = super::super::empty_store().await;
        let (one, two) = ([delivery(1)], [delivery(2)]);
        let (a, b) = tokio::join!(
            write(&store, &one, (None, "a-1"), 1, 10),
            write(&store, &one, (None, "a-1"), 1, 10)
        );
        let written = OutboxWrite::Written { dropped: 0 };
        assert!(
            [(written, OutboxWrite::CursorMoved), (OutboxWrite::CursorMoved, written)].contains(&(a, b)),
            "{a:?} {b:?}"
        );
        // A daemon that is behind does not write a completed delivery again.
        let due = store.due_deliveries("crm", at(9), 10).await.unwrap();
        assert_eq!(due.len(), 1);
        store.complete_delivery(due[0].id).await.unwrap();
        assert_eq!(write(&store, &one, (None, "a-1"), 2, 10).await, OutboxWrite::CursorMoved);
        assert_eq!(write(&store, &two, (Some("a-0"), "a-2"), 2, 10).await, OutboxWrite::CursorMoved);
        assert!(store.due_deliveries("crm", at(9), 10).await.unwrap().is_empty());
        let other = PbxId::parse("tokyo").unwrap();
        assert_eq!(store.webhook_cursor(&other).await.unwrap(), None);
        let other_write = store.write_outbox(&other, &two, (None, "b-1"), at(2), 10).await.unwrap();
        assert_eq!(other_write, written);
        assert_eq!(store.webhook_cursor(&pbx()).await.unwrap().as_deref(), Some("a-1"));
    }

    #[tokio::test]
    async fn a_due_delivery_is_claimed_by_one_daemon() {
        let (_held, store) = super::super::empty_store().await;
        write(&store, &[delivery(1)], (None, "a-1"), 1, 10).await;
        let id = store.due_deliveries("crm", at(9), 10).await.unwrap()[0].id;
        let claim = |now, until| store.claim_delivery(id, at(now), at(until));
        let (a, b) = tokio::join!(claim(9, 20), claim(9, 20));
        assert!(a.unwrap() != b.unwrap(), "one of the two");
        assert!(store.due_deliveries("crm", at(19), 10).await.unwrap().is_empty());
        assert!(!claim(19, 30).await.unwrap());
        // The claim has expired.
        assert!(claim(20, 30).await.unwrap());
    }

    #[tokio::test]
    async fn the_oldest_failed_deliveries_are_deleted() {
        let (_held, store) = super::super::empty_store().await;
        for n in 0..5_u32 {
            let (before, after) = (n.checked_sub(1).map(|n| format!("a-{n}")), format!("a-{n}"));
            write(&store, &[delivery(n)], (before.as_deref(), &after), i64::from(n), 10).await;
            let due = store.due_deliveries("crm", at(99), 10).await.unwrap();
            store.fail_delivery(due[0].id, "no", None, 3).await.unwrap();
        }
        let failed = store.deliveries(Some(DeliveryState::Failed)).await.unwrap();
        assert_eq!(failed.iter().map(|d| d.event.as_str()).collect::<Vec<_>>(), ["a-2", "a-3", "a-4"]);
    }
}
