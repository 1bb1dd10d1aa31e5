//! The SQL of the webhooks' outbox.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbRow};
use crate::ids::RecordId;
use crate::store::webhooks::{DELIVERIES_MAX, Delivery, DeliveryState, Outgoing, Waiting};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn webhook_place(&self) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT event FROM webhook_place").fetch_optional(self.readers()).await?)
    }

    pub(in crate::store) async fn fill_outbox(
        &self,
        events: &[Outgoing],
        place: &str,
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
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
            .execute(&mut *transaction)
            .await?;
        }
        sqlx::query("INSERT INTO webhook_place (one, event) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET event = excluded.event")
            .bind(place)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(dropped)
    }

    pub(in crate::store) async fn due_webhooks(
        &self,
        receiver: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, event, body_json, attempts FROM webhook_outbox
             WHERE receiver = $1 AND state = 'waiting' AND next_ms <= $2 ORDER BY created_ms, id LIMIT $3",
        )
        .bind(receiver)
        .bind(to_ms(now))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let waiting = |row: &DbRow| {
            Ok(Waiting {
                id: row.try_get("id")?,
                event: row.try_get("event")?,
                body: row.try_get("body_json")?,
                attempts: count(row)?,
            })
        };
        Ok(rows.iter().map(waiting).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn webhook_delivered(&self, id: RecordId) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM webhook_outbox WHERE id = $1").bind(id).execute(self.writer()).await?;
        Ok(())
    }

    pub(in crate::store) async fn webhook_failed(
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

    pub(in crate::store) async fn postpone_webhooks(
        &self,
        receiver: &str,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE webhook_outbox SET next_ms = $2 WHERE receiver = $1 AND state = 'waiting' AND next_ms < $2",
        )
        .bind(receiver)
        .bind(to_ms(until))
        .execute(self.writer())
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

    pub(in crate::store) async fn send_again(&self, id: RecordId, now: Timestamp) -> Result<(), StoreError> {
        let changed = sqlx::query(
            "UPDATE webhook_outbox SET state = 'waiting', attempts = 0, next_ms = $2 WHERE id = $1",
        )
        .bind(id)
        .bind(to_ms(now))
        .execute(self.writer())
        .await?
        .rows_affected();
        if changed == 0 { Err(StoreError::Missing { what: "delivery" }) } else { Ok(()) }
    }
}

fn count(row: &DbRow) -> Result<u32, sqlx::Error> {
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
        attempts: count(row)?,
        error: row.try_get("error")?,
        created_at: from_ms(row.try_get("created_ms")?),
        next_at: (!failed).then_some(from_ms(row.try_get("next_ms")?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(n: u32) -> Outgoing {
        Outgoing { receiver: "crm".into(), event: format!("a-{n}"), kind: "call.ended", body: "{}".into() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn an_event_waits_once_until_it_is_taken_or_has_failed() {
        let (_kept, store) = super::super::empty_store().await;
        assert_eq!(store.webhook_place().await.unwrap(), None);
        let events = [outgoing(1), outgoing(2), outgoing(3)];
        assert_eq!(store.fill_outbox(&events, "a-3", at(1), 10).await.unwrap(), 0);
        assert_eq!(store.fill_outbox(&events[1..], "a-4", at(1), 10).await.unwrap(), 0);
        assert_eq!(store.webhook_place().await.unwrap().as_deref(), Some("a-4"));
        assert_eq!(store.fill_outbox(&[outgoing(5)], "a-5", at(2), 3).await.unwrap(), 1, "there is no room");
        assert!(store.due_webhooks("other", at(9), 10).await.unwrap().is_empty());
        let due = store.due_webhooks("crm", at(9), 10).await.unwrap();
        assert_eq!(due.iter().map(|d| d.event.as_str()).collect::<Vec<_>>(), ["a-1", "a-2", "a-3"]);
        store.webhook_delivered(due[0].id).await.unwrap();
        store.webhook_failed(due[1].id, "the receiver answered 500", Some(at(60)), 10).await.unwrap();
        store.webhook_failed(due[2].id, "no answer", None, 10).await.unwrap();
        assert!(store.due_webhooks("crm", at(59), 10).await.unwrap().is_empty());
        store.postpone_webhooks("crm", at(90)).await.unwrap();
        assert!(store.due_webhooks("crm", at(60), 10).await.unwrap().is_empty());
        assert_eq!(store.due_webhooks("crm", at(90), 10).await.unwrap()[0].attempts, 1);

        let failed = store.deliveries(Some(DeliveryState::Failed)).await.unwrap();
        assert_eq!(
            (failed.len(), failed[0].event.as_str(), failed[0].error.as_deref()),
            (1, "a-3", Some("no answer"))
        );
        assert_eq!(store.deliveries(None).await.unwrap().len(), 2);
        store.send_again(failed[0].id, at(10)).await.unwrap();
        assert_eq!(store.due_webhooks("crm", at(10), 10).await.unwrap()[0].attempts, 0);
        assert!(store.send_again(RecordId(Uuid::nil()), at(10)).await.is_err());
    }

    #[tokio::test]
    async fn old_failures_give_way() {
        let (_kept, store) = super::super::empty_store().await;
        for n in 0..5 {
            store.fill_outbox(&[outgoing(n)], "a-9", at(i64::from(n)), 10).await.unwrap();
            let due = store.due_webhooks("crm", at(99), 10).await.unwrap();
            store.webhook_failed(due[0].id, "no", None, 3).await.unwrap();
        }
        let failed = store.deliveries(Some(DeliveryState::Failed)).await.unwrap();
        assert_eq!(failed.iter().map(|d| d.event.as_str()).collect::<Vec<_>>(), ["a-2", "a-3", "a-4"]);
    }
}
