//! What happened to the deliveries of a message, with the words of the servers.

use sqlx::Row;

use super::super::{Backend, DbRow};
use super::LIST_MAX;
use crate::contract::delivery::DeliveryState;
use crate::ids::RecordId;
use crate::store::deliveries::DeliveryStep;
use crate::store::{StoreError, from_ms};

impl Backend {
    pub(in crate::store) async fn delivery_steps(
        &self,
        message: RecordId,
    ) -> Result<Vec<DeliveryStep>, StoreError> {
        // The sum keeps a planner from reading the log of all messages in its order.
        let rows = sqlx::query(
            "SELECT l.at_ms, l.state, l.detail, d.id, d.contact_id, d.channel, d.revision
             FROM deliveries d JOIN delivery_log l ON l.delivery_id = d.id
             WHERE d.message_id = $1 ORDER BY l.position + 0 LIMIT $2",
        )
        .bind(message)
        .bind(i64::from(LIST_MAX))
        .fetch_all(self.readers())
        .await?;
        let step = |row: &DbRow| {
            Ok(DeliveryStep {
                at: from_ms(row.try_get("at_ms")?),
                delivery: row.try_get("id")?,
                contact: row.try_get("contact_id")?,
                channel: row.try_get("channel")?,
                revision: u32::try_from(row.try_get::<i64, _>("revision")?).unwrap_or(0),
                state: DeliveryState::parse(row.try_get("state")?).unwrap_or(DeliveryState::Queued),
                detail: row.try_get("detail")?,
            })
        };
        Ok(rows.iter().map(step).collect::<Result<_, sqlx::Error>>()?)
    }
}
