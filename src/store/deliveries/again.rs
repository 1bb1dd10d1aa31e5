//! Deliveries that a person asks for: a message once more, a test of an endpoint.

use jiff::Timestamp;
use uuid::Uuid;

use super::super::digests::settle_items;
use super::super::dispatches::apply;
use super::super::{Backend, DbConnection};
use super::enqueue::{enqueue_one, server_of};
use super::returned::resume;
use super::{LockedRow, delivery_of, hold_message, locked_row, write_progress, write_summary};
use crate::contract::delivery::Delivery;
use crate::contract::records::EndpointKind;
use crate::delivery::{DeliveryInput, DeliveryProgress, Outcome};
use crate::ids::RecordId;
use crate::route::{DispatchInput, Progress};
use crate::store::deliveries::SendTo;
use crate::store::{StoreError, to_ms};

impl Backend {
    pub(in crate::store) async fn send_again(
        &self,
        delivery: RecordId,
        now: Timestamp,
    ) -> Result<Delivery, StoreError> {
        const MISSING: StoreError = StoreError::Missing { what: "delivery" };
        let mut transaction = self.begin().await?;
        let row = locked_row(&mut transaction, delivery).await?.filter(|row| !row.is_withdrawn);
        let row = row.ok_or(MISSING)?;
        resume(&mut transaction, &row.address).await?;
        let id = match row.progress.apply(DeliveryInput::SentAgain, now, 0) {
            Outcome::Changed(next) if row.is_wanted => {
                let give_up_at = DeliveryProgress::queued_for(row.give_up_delay, now, now).give_up_at;
                let next = DeliveryProgress { give_up_at, ..next };
                write_progress(&mut transaction, &row, &next, now).await?;
                delivery
            }
            Outcome::Changed(_) | Outcome::NewDelivery => again(&mut transaction, &row, now).await?,
            Outcome::Unchanged => delivery,
        };
        write_summary(&mut transaction, row.message, now).await?;
        let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1 AND address <> ''")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let mut queued = delivery_of(&row.ok_or(MISSING)?)?;
        // The account may have another server now. Bytes that were made for a server go over that one.
        let channel = EndpointKind::parse(&queued.channel).unwrap_or_default();
        let server = server_of(&mut transaction, channel, queued.account).await?;
        let moved = sqlx::query(
            "UPDATE deliveries SET server = $2 WHERE id = $1 AND server <> $2 AND rendered IS NULL",
        )
        .bind(id)
        .bind(&server)
        .execute(&mut *transaction)
        .await?;
        if moved.rows_affected() > 0 {
            queued.server = server;
        }
        transaction.commit().await?;
        Ok(queued)
    }

    pub(in crate::store) async fn send_to(
        &self,
        message: RecordId,
        to: SendTo<'_>,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let mut transaction = self.begin().await?;
        hold_message(&mut transaction, message).await?;
        let Some(id) = enqueue_one(&mut transaction, message, to, now).await? else {
            return Ok(None);
        };
        write_summary(&mut transaction, message, now).await?;
        let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1")
            .bind(id)
            .fetch_one(&mut *transaction)
            .await?;
        let queued = delivery_of(&row)?;
        resume(&mut transaction, &queued.address).await?;
        transaction.commit().await?;
        Ok(Some(queued))
    }
}

impl Backend {
    pub(in crate::store) async fn message_delivery(
        &self,
        id: RecordId,
    ) -> Result<Option<Delivery>, StoreError> {
        let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1")
            .bind(id)
            .fetch_optional(self.readers())
            .await?;
        Ok(row.as_ref().map(delivery_of).transpose()?)
    }

    pub(in crate::store) async fn cancel_delivery(
        &self,
        delivery: RecordId,
        now: Timestamp,
    ) -> Result<Option<Delivery>, StoreError> {
        let mut transaction = self.begin().await?;
        let Some(row) = locked_row(&mut transaction, delivery).await? else { return Ok(None) };
        let Outcome::Changed(next) = row.progress.apply(DeliveryInput::Withdrawn, now, 0) else {
            return Ok(None);
        };
        if !write_progress(&mut transaction, &row, &next, now).await? {
            return Ok(None);
        }
        if let Some(asked) = row.asked.filter(|_| row.is_wanted) {
            let asked = usize::try_from(asked).unwrap_or(usize::MAX);
            let failed = DispatchInput::Changed { asked, progress: Progress::Failed };
            apply(&mut transaction, row.message, failed, now).await?;
        }
        if row.is_digest {
            settle_items(&mut transaction, row.message, now).await?;
        }
        write_summary(&mut transaction, row.message, now).await?;
        let row = sqlx::query("SELECT * FROM deliveries WHERE id = $1")
            .bind(delivery)
            .fetch_one(&mut *transaction)
            .await?;
        let cancelled = delivery_of(&row)?;
        transaction.commit().await?;
        Ok(Some(cancelled))
    }
}

/// A new delivery of the message's present revision to the recipient of `delivery`; its id.
async fn again(db: &mut DbConnection, row: &LockedRow, now: Timestamp) -> Result<RecordId, StoreError> {
    let id = RecordId(Uuid::now_v7());
    let progress = DeliveryProgress::queued_for(row.give_up_delay, now, now);
    sqlx::query(
        "INSERT INTO deliveries (id, message_id, revision, account_id, contact_id, endpoint_id, channel, server, address,
            urgency, state, again, next_ms, give_up_ms, created_ms, changed_ms, asked)
         SELECT $2, d.message_id, m.revision, d.account_id, d.contact_id, d.endpoint_id, d.channel, d.server, d.address,
            d.urgency, 'queued', (SELECT coalesce(max(again) + 1, 0) FROM deliveries WHERE message_id = d.message_id
                AND revision = m.revision AND channel = d.channel AND address = d.address),
            $3, $4, $3, $3, CASE WHEN d.revision = m.revision THEN d.asked END
         FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id = $1",
    )
    .bind(row.id)
    .bind(id)
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .execute(db)
    .await?;
    Ok(id)
}
