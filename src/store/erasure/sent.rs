//! The SQL of what left the house about a customer.

use sqlx::Row;

use super::super::{Backend, DbRow};
use crate::contract::delivery::DeliveryState;
use crate::ids::RecordId;
use crate::store::erasure::{SENT_COPIES_MAX, SentCopies, SentCopy};
use crate::store::{StoreError, from_ms};

impl Backend {
    pub(in crate::store) async fn sent_copies(&self, customer: RecordId) -> Result<SentCopies, StoreError> {
        let rows = sqlx::query(
            "WITH mine AS (SELECT id FROM messages WHERE customer_id = $1
                UNION SELECT message_id FROM erased_messages WHERE customer_id = $1),
             copies AS (SELECT mine.id AS message_id, d.id AS delivery_id, 0 AS in_digest
                    FROM mine CROSS JOIN deliveries AS d WHERE d.message_id = mine.id
                UNION ALL SELECT i.message_id, d.id, 1 FROM mine CROSS JOIN digest_items AS i CROSS JOIN deliveries AS d
                    WHERE i.message_id = mine.id AND d.message_id = i.digest_id)
             SELECT m.id, m.number, m.created_ms AS taken_ms, copies.in_digest, d.channel, d.address, d.state, d.changed_ms,
                c.name AS contact_name
             FROM copies CROSS JOIN deliveries AS d CROSS JOIN messages AS m LEFT JOIN contacts AS c ON c.id = d.contact_id
             WHERE d.id = copies.delivery_id AND m.id = copies.message_id
                AND (d.state IN ('sending', 'sent', 'delivered') OR d.maybe_sent = 1)
             ORDER BY d.changed_ms DESC, d.id DESC LIMIT $2",
        )
        .bind(customer)
        .bind(i64::from(SENT_COPIES_MAX) + 1)
        .fetch_all(self.readers())
        .await?;
        let is_under_way: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM erasures WHERE customer_id = $1)")
                .bind(customer)
                .fetch_one(self.readers())
                .await?;
        let mut items = rows.iter().map(copy_of).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let has_more = items.len() > SENT_COPIES_MAX as usize;
        items.truncate(SENT_COPIES_MAX as usize);
        Ok(SentCopies { items, has_more, is_complete: !is_under_way })
    }
}

fn copy_of(row: &DbRow) -> Result<SentCopy, sqlx::Error> {
    let state: String = row.try_get("state")?;
    Ok(SentCopy {
        message: row.try_get("id")?,
        number: row.try_get("number")?,
        taken_at: from_ms(row.try_get("taken_ms")?),
        in_digest: row.try_get::<i32, _>("in_digest")? != 0,
        channel: row.try_get("channel")?,
        contact_name: row.try_get("contact_name")?,
        address: row.try_get("address")?,
        state: DeliveryState::parse(&state).unwrap_or(DeliveryState::Sent),
        at: from_ms(row.try_get("changed_ms")?),
    })
}
