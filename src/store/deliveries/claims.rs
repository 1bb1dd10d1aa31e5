//! The SQL of claims: which due deliveries a daemon sends, for how long.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use sqlx::Row;

use super::super::{Backend, DbConnection, DbRow};
use super::count;
use crate::contract::records::EndpointKind;
use crate::ids::RecordId;
use crate::store::deliveries::ClaimedDelivery;
use crate::store::{StoreError, from_ms, to_ms};

/// The urgencies, in the order in which they are sent: urgent, normal, low.
const URGENCIES: RangeInclusive<i64> = URGENT..=2;
/// That of urgent messages.
const URGENT: i64 = 0;

impl Backend {
    pub(in crate::store) async fn claim_message_deliveries(
        &self,
        server: &str,
        claim: RecordId,
        times: (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.claim(server, URGENCIES, claim, times, limit).await
    }

    pub(in crate::store) async fn claim_urgent_deliveries(
        &self,
        server: &str,
        claim: RecordId,
        times: (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        self.claim(server, URGENT..=URGENT, claim, times, limit).await
    }

    async fn claim(
        &self,
        server: &str,
        urgencies: RangeInclusive<i64>,
        claim: RecordId,
        (now, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        const DUE: &str = "SELECT EXISTS (SELECT 1 FROM deliveries
            WHERE server = $1 AND state = 'queued' AND urgency = $2 AND next_ms <= $3
                AND NOT EXISTS (SELECT 1 FROM deletions AS x WHERE x.id = deliveries.account_id))";
        let mut is_due = false;
        for urgency in urgencies.clone() {
            let query = sqlx::query_scalar(DUE).bind(server).bind(urgency).bind(to_ms(now));
            let is_one_due: bool = query.fetch_one(self.readers()).await?;
            is_due |= is_one_due;
        }
        let mut claimed = Vec::new();
        if !is_due {
            return Ok(claimed);
        }
        let limit = limit as usize;
        let mut transaction = self.begin().await?;
        for urgency in urgencies {
            let queue = Queue { server, urgency, claim, now, until };
            // An account that fills the first half leaves the second to others, if others wait.
            let left = limit - claimed.len();
            let half = take(&mut transaction, queue, None, limit.div_ceil(2).min(left)).await?;
            let is_full = half.len() == limit.div_ceil(2);
            let only = half.first().map(|first| first.account);
            let only = only.filter(|only| is_full && half.iter().all(|delivery| delivery.account == *only));
            claimed.extend(half);
            if only.is_some() {
                let left = limit - claimed.len();
                claimed.extend(take(&mut transaction, queue, only, left).await?);
            }
            let left = limit - claimed.len();
            claimed.extend(take(&mut transaction, queue, None, left).await?);
        }
        transaction.commit().await?;
        Ok(claimed)
    }

    pub(in crate::store) async fn renew_delivery_claim(
        &self,
        claim: RecordId,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE deliveries SET lease_ms = $2 WHERE state = 'sending' AND leased_by = $1")
            .bind(claim)
            .bind(to_ms(until))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }

    pub(in crate::store) async fn end_delivery_claims(&self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("UPDATE deliveries SET lease_ms = $1 WHERE state = 'sending' AND lease_ms > $1")
            .bind(to_ms(now))
            .execute(&mut *self.write_once().await?)
            .await?;
        Ok(())
    }
}

/// The due deliveries of one urgency, and who claims them.
#[derive(Clone, Copy)]
struct Queue<'a> {
    server: &'a str,
    urgency: i64,
    claim: RecordId,
    now: Timestamp,
    until: Timestamp,
}

/// Claims up to `limit` deliveries of a queue, the longest due first; none of the account `but`.
async fn take(
    db: &mut DbConnection,
    queue: Queue<'_>,
    but: Option<RecordId>,
    limit: usize,
) -> Result<Vec<ClaimedDelivery>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(concat!(
        // Materialised: a subquery that takes locks could run once for each row.
        "WITH due AS MATERIALIZED (",
        for_this_writer!(
            "SELECT id FROM deliveries
             WHERE server = $1 AND state = 'queued' AND urgency = $2 AND next_ms <= $3
                AND ($4 IS NULL OR account_id <> $4)
                AND NOT EXISTS (SELECT 1 FROM deletions AS x WHERE x.id = deliveries.account_id)
             ORDER BY next_ms, id LIMIT $5"
        ),
        ") UPDATE deliveries SET state = 'sending', attempts = attempts + 1, leased_by = $6, lease_ms = $7,
            changed_ms = $3
         WHERE state = 'queued' AND id IN (SELECT id FROM due)
         RETURNING *,
            (SELECT why FROM suspended_addresses AS s WHERE s.channel = deliveries.channel AND s.address = deliveries.address)
                AS suspended,
            (SELECT profile FROM message_endpoints AS e WHERE e.id = deliveries.endpoint_id) AS profile, (SELECT ",
        message_is_being_erased!(),
        " OR NOT ",
        account_is_kept!("m"),
        " FROM messages AS m WHERE m.id = deliveries.message_id) AS is_erased,
            EXISTS (SELECT 1 FROM digest_items AS i JOIN messages AS m ON m.id = i.message_id
                WHERE i.digest_id = deliveries.message_id AND ",
        message_is_being_erased!(),
        ") AS has_erased"
    ))
    .bind(queue.server)
    .bind(queue.urgency)
    .bind(to_ms(queue.now))
    .bind(but)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(queue.claim)
    .bind(to_ms(queue.until))
    .fetch_all(db)
    .await?;
    // The rows come in no order.
    let mut rows = rows.iter().map(claimed_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
    rows.sort_by_key(|row| (row.created_at, row.id.0));
    Ok(rows)
}

fn claimed_of(row: &DbRow) -> Result<ClaimedDelivery, sqlx::Error> {
    // What was rendered before the customer was deleted is not sent: it is rendered again, without a text.
    let is_kept = row.try_get::<Option<bool>, _>("is_erased")? == Some(false)
        && !row.try_get::<bool, _>("has_erased")?;
    let rendered: Option<Vec<u8>> = row.try_get("rendered")?;
    Ok(ClaimedDelivery {
        id: row.try_get("id")?,
        message: row.try_get("message_id")?,
        account: row.try_get("account_id")?,
        channel: EndpointKind::parse(row.try_get("channel")?).unwrap_or_default(),
        profile: row.try_get("profile")?,
        address: row.try_get("address")?,
        attempts: count(row, "attempts")?,
        maybe_sent: row.try_get::<i64, _>("maybe_sent")? != 0,
        created_at: from_ms(row.try_get("created_ms")?),
        rendered: rendered.filter(|_| is_kept),
        suspended: row.try_get("suspended")?,
    })
}
