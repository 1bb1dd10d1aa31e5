//! The SQL of the webhooks' outbox.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::{Backend, DbRow};
use crate::ids::{PbxId, RecordId};
use crate::store::webhooks::{DELIVERIES_MAX, Delivery, DeliveryState, Filled, Outgoing, Waiting};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn webhook_place(&self, pbx: &PbxId) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT event FROM webhook_places WHERE pbx = $1 OR pbx = '' ORDER BY pbx DESC LIMIT 1",
        )
        .bind(pbx.as_str())
        .fetch_optional(self.readers())
        .await?)
    }

    pub(in crate::store) async fn fill_outbox(
        &self,
        pbx: &PbxId,
        events: &[Outgoing],
        (before, place): (Option<&str>, &str),
        at: Timestamp,
        waiting_max: u32,
    ) -> Result<Filled, StoreError> {
        let mut transaction = self.begin().await?;
        // First, so that another daemon waits for this transaction and then sees that it comes too late.
        let moved = sqlx::query(
            "INSERT INTO webhook_places (pbx, event) VALUES ($1, $2)
             ON CONFLICT (pbx) DO UPDATE SET event = excluded.event WHERE webhook_places.event = $3",
        )
        .bind(pbx.as_str())
        .bind(place)
        .bind(before)
        .execute(&mut *transaction)
        .await?
        .rows_affected();
        if moved == 0 {
            return Ok(Filled::Elsewhere);
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
        transaction.commit().await?;
        Ok(Filled::Done { dropped })
    }

    pub(in crate::store) async fn claim_webhook(
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
        .execute(self.writer())
        .await?;
        Ok(claimed.rows_affected() > 0)
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

    fn pbx() -> PbxId {
        PbxId::parse("lab").unwrap()
    }

    async fn fill(
        store: &crate::store::Store,
        events: &[Outgoing],
        places: (Option<&str>, &str),
        seconds: i64,
        waiting_max: u32,
    ) -> Filled {
        store.fill_outbox(&pbx(), events, places, at(seconds), waiting_max).await.unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn an_event_waits_once_until_it_is_taken_or_has_failed() {
        let (_kept, store) = super::super::empty_store().await;
        assert_eq!(store.webhook_place(&pbx()).await.unwrap(), None);
        let events = [outgoing(1), outgoing(2), outgoing(3)];
        assert_eq!(fill(&store, &events, (None, "a-3"), 1, 10).await, Filled::Done { dropped: 0 });
        assert_eq!(
            fill(&store, &events[1..], (Some("a-3"), "a-4"), 1, 10).await,
            Filled::Done { dropped: 0 }
        );
        assert_eq!(store.webhook_place(&pbx()).await.unwrap().as_deref(), Some("a-4"));
        let full = fill(&store, &[outgoing(5)], (Some("a-4"), "a-5"), 2, 3).await;
        assert_eq!(full, Filled::Done { dropped: 1 }, "there is no room");
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
    async fn of_two_who_fill_the_outbox_one_does_and_each_pbx_has_its_place() {
        let (_kept, store) = super::super::empty_store().await;
        let (one, two) = ([outgoing(1)], [outgoing(2)]);
        let (a, b) =
            tokio::join!(fill(&store, &one, (None, "a-1"), 1, 10), fill(&store, &one, (None, "a-1"), 1, 10));
        let done = Filled::Done { dropped: 0 };
        assert!([(done, Filled::Elsewhere), (Filled::Elsewhere, done)].contains(&(a, b)), "{a:?} {b:?}");
        // Whoever was posted and gone does not come back with a daemon that is behind.
        let due = store.due_webhooks("crm", at(9), 10).await.unwrap();
        assert_eq!(due.len(), 1);
        store.webhook_delivered(due[0].id).await.unwrap();
        assert_eq!(fill(&store, &one, (None, "a-1"), 2, 10).await, Filled::Elsewhere);
        assert_eq!(fill(&store, &two, (Some("a-0"), "a-2"), 2, 10).await, Filled::Elsewhere);
        assert!(store.due_webhooks("crm", at(9), 10).await.unwrap().is_empty());
        let other = PbxId::parse("tokyo").unwrap();
        assert_eq!(store.webhook_place(&other).await.unwrap(), None);
        let filled = store.fill_outbox(&other, &two, (None, "b-1"), at(2), 10).await.unwrap();
        assert_eq!(filled, done);
        assert_eq!(store.webhook_place(&pbx()).await.unwrap().as_deref(), Some("a-1"));
    }

    #[tokio::test]
    async fn what_is_due_is_posted_by_one() {
        let (_kept, store) = super::super::empty_store().await;
        fill(&store, &[outgoing(1)], (None, "a-1"), 1, 10).await;
        let id = store.due_webhooks("crm", at(9), 10).await.unwrap()[0].id;
        let claim = |now, until| store.claim_webhook(id, at(now), at(until));
        let (a, b) = tokio::join!(claim(9, 20), claim(9, 20));
        assert!(a.unwrap() != b.unwrap(), "one of the two");
        assert!(store.due_webhooks("crm", at(19), 10).await.unwrap().is_empty());
        assert!(!claim(19, 30).await.unwrap());
        // Whoever had it is gone.
        assert!(claim(20, 30).await.unwrap());
    }

    #[tokio::test]
    async fn old_failures_give_way() {
        let (_kept, store) = super::super::empty_store().await;
        for n in 0..5_u32 {
            let (before, place) = (n.checked_sub(1).map(|n| format!("a-{n}")), format!("a-{n}"));
            fill(&store, &[outgoing(n)], (before.as_deref(), &place), i64::from(n), 10).await;
            let due = store.due_webhooks("crm", at(99), 10).await.unwrap();
            store.webhook_failed(due[0].id, "no", None, 3).await.unwrap();
        }
        let failed = store.deliveries(Some(DeliveryState::Failed)).await.unwrap();
        assert_eq!(failed.iter().map(|d| d.event.as_str()).collect::<Vec<_>>(), ["a-2", "a-3", "a-4"]);
    }
}
