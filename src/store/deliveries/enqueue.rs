//! To whom a message goes: the deliveries of each of its contents.

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::super::DbConnection;
use super::{MAIL, withdraw, write_summary};
use crate::contract::delivery::UnroutedReason;
use crate::contract::message::{Message, MessageState, Urgency};
use crate::delivery::{DeliveryProgress, give_up_delay};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::store::{StoreError, to_ms};

/// Makes the deliveries of a content in the transaction that writes it. The first content goes to the contact whom the message
/// names, else to the first contact in the account's on-call order who has an address. A correction goes to all who may
/// have received an earlier revision, and to the contact whom the message names. Where there is nobody, the message says why.
///
/// A content that replaces another one before that was sent goes with the delivery that waits; a delivery to somebody else
/// is cancelled. Nothing is sent before `not_before`, nor before the message's own time.
pub(in super::super) async fn enqueue_deliveries(
    db: &mut DbConnection,
    message: &Message,
    (now, not_before): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    if message.state != MessageState::Open {
        // It was answered with this content.
        return Ok(());
    }
    let mut missing = recipients(&mut *db, message).await?;
    let waiting = sqlx::query(
        "SELECT id, address, revision FROM deliveries WHERE message_id = $1 AND state IN ('held', 'queued')",
    )
    .bind(message.id)
    .fetch_all(&mut *db)
    .await?;
    let next_at = message.fields.hold_until.unwrap_or(now).max(not_before).max(now);
    let give_up_delay = give_up_delay(message.kind, message.fields.urgency);
    let progress = DeliveryProgress::queued_for(give_up_delay, now, next_at);
    for row in waiting {
        let (id, address): (RecordId, String) = (row.try_get("id")?, row.try_get("address")?);
        let is_present = row.try_get::<i64, _>("revision")? == i64::from(message.revision);
        let all = missing.as_mut().ok().filter(|_| is_present);
        let kept = all.and_then(|all| {
            let at = all.to.iter().position(|recipient| recipient.address == address)?;
            Some(all.to.swap_remove(at))
        });
        match kept {
            Some(recipient) => write_again(&mut *db, id, message, &recipient, &progress).await?,
            None => withdraw(&mut *db, id, now).await?,
        }
    }
    match missing {
        Ok(Recipients { server, to }) => {
            for recipient in &to {
                insert(&mut *db, message, &server, recipient, &progress, now).await?;
            }
            write_summary(db, message.id, now).await
        }
        Err(reason) => unrouted(db, message.id, reason).await,
    }
}

/// Who receives a message, over which server.
struct Recipients {
    server: String,
    to: Vec<Recipient>,
}

#[derive(Debug)]
struct Recipient {
    contact: Option<RecordId>,
    address: String,
}

async fn recipients(
    db: &mut DbConnection,
    message: &Message,
) -> Result<Result<Recipients, UnroutedReason>, StoreError> {
    let server: Option<String> = sqlx::query_scalar("SELECT name FROM mail_servers ORDER BY name LIMIT 1")
        .fetch_optional(&mut *db)
        .await?;
    let Some(server) = server else { return Ok(Err(UnroutedReason::NoMailServer)) };
    let rows = sqlx::query(
        "SELECT contact_id, address FROM deliveries WHERE message_id = $1 AND revision < $2 AND address <> ''
            AND (state IN ('sending', 'sent', 'delivered') OR maybe_sent = 1) ORDER BY created_ms, id",
    )
    .bind(message.id)
    .bind(i64::from(message.revision))
    .fetch_all(&mut *db)
    .await?;
    let mut to: Vec<Recipient> = Vec::new();
    for row in rows {
        let recipient = Recipient { contact: row.try_get("contact_id")?, address: row.try_get("address")? };
        if to.iter().all(|known| known.address != recipient.address) {
            to.push(recipient);
        }
    }
    if !to.is_empty() && message.fields.contact.is_none() {
        return Ok(Ok(Recipients { server, to }));
    }
    match routed(db, message).await? {
        Ok(first) if to.iter().all(|known| known.address != first.address) => to.push(first),
        Err(reason) if to.is_empty() => return Ok(Err(reason)),
        Ok(_) | Err(_) => {}
    }
    Ok(Ok(Recipients { server, to }))
}

/// The contact whom the message names, else the first one in the on-call order who has an address.
async fn routed(
    db: &mut DbConnection,
    message: &Message,
) -> Result<Result<Recipient, UnroutedReason>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, email FROM contacts WHERE account_id = $1
            AND (id = $2 OR ($2 IS NULL AND on_call_order IS NOT NULL)) ORDER BY on_call_order, kana, name, id",
    )
    .bind(message.account)
    .bind(message.fields.contact)
    .fetch_all(db)
    .await?;
    if rows.is_empty() {
        return Ok(Err(UnroutedReason::NoContact));
    }
    for row in rows {
        let email: Option<String> = row.try_get("email")?;
        if let Some(address) = email.and_then(|email| email.parse::<MailAddress>().ok()) {
            let (contact, address) = (Some(row.try_get("id")?), address.to_string());
            return Ok(Ok(Recipient { contact, address }));
        }
    }
    Ok(Err(UnroutedReason::NoAddress))
}

fn urgency_of(message: &Message) -> i64 {
    match message.fields.urgency {
        Urgency::Urgent => 0,
        Urgency::Normal => 1,
        Urgency::Low => 2,
    }
}

async fn insert(
    db: &mut DbConnection,
    message: &Message,
    server: &str,
    recipient: &Recipient,
    progress: &DeliveryProgress,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO deliveries (id, message_id, revision, account_id, contact_id, channel, server, address, urgency,
            state, again, next_ms, give_up_ms, created_ms, changed_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
            (SELECT coalesce(max(again) + 1, 0) FROM deliveries
             WHERE message_id = $2 AND revision = $3 AND channel = $6 AND address = $8),
            $11, $12, $13, $13)",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(message.id)
    .bind(i64::from(message.revision))
    .bind(message.account)
    .bind(recipient.contact)
    .bind(MAIL)
    .bind(server)
    .bind(&recipient.address)
    .bind(urgency_of(message))
    .bind(progress.state.as_str())
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .bind(to_ms(now))
    .execute(db)
    .await?;
    Ok(())
}

/// Lets a delivery that waits carry the message as it is now. The delay after a failed attempt stays.
async fn write_again(
    db: &mut DbConnection,
    id: RecordId,
    message: &Message,
    recipient: &Recipient,
    progress: &DeliveryProgress,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE deliveries SET rendered = NULL, contact_id = $2, urgency = $3,
            next_ms = CASE WHEN attempts > 0 AND next_ms > $4 THEN next_ms ELSE $4 END, give_up_ms = $5
         WHERE id = $1",
    )
    .bind(id)
    .bind(recipient.contact)
    .bind(urgency_of(message))
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .execute(db)
    .await?;
    Ok(())
}

async fn unrouted(
    db: &mut DbConnection,
    message: RecordId,
    reason: UnroutedReason,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE messages SET delivery_state = 'none', delivery_reason = $2, delivery_error = NULL, delivery_next_ms = NULL
         WHERE id = $1",
    )
    .bind(message)
    .bind(reason.as_str())
    .execute(db)
    .await?;
    Ok(())
}
