//! Which messages a person must see to, counted.

use jiff::Timestamp;
use sqlx::Row;

use super::super::Backend;
use super::count;
use crate::contract::message::Urgency;
use crate::store::messages::{ATTENTION_PERIOD, MessageCounts};
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn unanswered_messages(&self) -> Result<Vec<(Urgency, u64)>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(
            "SELECT urgency, count(*) FROM messages
             WHERE route_state = 'unanswered' AND state = 'sent' AND deleted_ms IS NULL GROUP BY urgency",
        )
        .fetch_all(self.readers())
        .await?;
        let count = |(urgency, count): (String, i64)| {
            (Urgency::parse(&urgency).unwrap_or_default(), u64::try_from(count).unwrap_or(0))
        };
        Ok(rows.into_iter().map(count).collect())
    }

    pub(in crate::store) async fn messages_to_see_to(
        &self,
        now: Timestamp,
    ) -> Result<MessageCounts, StoreError> {
        let from = to_ms(now.checked_sub(ATTENTION_PERIOD).unwrap_or(now));
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM messages WHERE state = 'failed' AND created_ms >= $1 AND kind <> 'test'
                    AND deleted_ms IS NULL) AS failed,
                (SELECT count(*) FROM messages WHERE state = 'open' AND created_ms >= $1 AND kind <> 'test'
                    AND delivery_state = 'none' AND coalesce(delivery_reason, 'no_mail_server') <> 'no_mail_server'
                    AND coalesce(hold_until_ms, 0) <= $2 AND deleted_ms IS NULL) AS unrouted,
                (SELECT count(*) FROM messages WHERE route_state = 'unanswered' AND state = 'sent' AND created_ms >= $1
                    AND kind <> 'test' AND deleted_ms IS NULL) AS unanswered,
                (SELECT count(*) FROM messages WHERE mark = 'complaint' AND created_ms >= $1 AND state <> 'acknowledged'
                    AND kind <> 'test' AND deleted_ms IS NULL) AS complaints",
        )
        .bind(from)
        .bind(to_ms(now))
        .fetch_one(self.readers())
        .await?;
        let of = |column: &str| row.try_get(column).map(count);
        Ok(MessageCounts {
            failed: of("failed")?,
            unrouted: of("unrouted")?,
            unanswered: of("unanswered")?,
            complaints: of("complaints")?,
        })
    }
}
