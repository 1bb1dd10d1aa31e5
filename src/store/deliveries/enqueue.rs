//! The deliveries of each content of a message. To whom it goes, the message's route decides ([`crate::route`]).

use jiff::Timestamp;
use sqlx::Row;
use uuid::Uuid;

use super::super::DbConnection;
use super::super::dispatches::{Started, start};
use super::super::mail_servers::server_of_account;
use super::super::messages::read_message;
use super::{withdraw, write_summary};
use crate::contract::delivery::UnroutedReason;
use crate::contract::message::{Message, MessageKind, MessageState, Urgency};
use crate::contract::records::EndpointKind;
use crate::delivery::{DeliveryProgress, give_up_delay};
use crate::ids::RecordId;
use crate::store::deliveries::SendTo;
use crate::store::mail_servers::MAIL_SERVER;
use crate::store::{StoreError, to_ms};

/// Makes the deliveries of a content in the transaction that writes it: the message's route starts, and its first step decides who
/// gets a mail. A correction goes to all who may have received an earlier revision, too. Where there is nobody, the message says
/// why.
///
/// A content that replaces another one before that was sent goes with the delivery that waits; a delivery to somebody else
/// is cancelled. Nothing is sent before `not_before`, nor before the message's own time.
pub(in super::super) async fn enqueue_deliveries(
    db: &mut DbConnection,
    message: &Message,
    (now, not_before): (Timestamp, Timestamp),
) -> Result<(), StoreError> {
    if message.state != MessageState::Open || message.kind == MessageKind::Test {
        // It was answered with this content; a test goes to the endpoint that is tested.
        return Ok(());
    }
    let waiting = sqlx::query(
        "SELECT id, address, revision FROM deliveries WHERE message_id = $1 AND state IN ('held', 'queued')",
    )
    .bind(message.id)
    .fetch_all(&mut *db)
    .await?;
    let next_at = message.fields.hold_until.unwrap_or(now).max(not_before).max(now);
    let had = received_before(&mut *db, message, next_at).await?;
    let Started { mut mails, unrouted: reason } = start(&mut *db, message, &had, (now, next_at)).await?;
    for had in had {
        if reason != Some(UnroutedReason::NoMailServer)
            && mails.iter().all(|known| known.address != had.address)
        {
            mails.push(had);
        }
    }
    for row in waiting {
        let (id, address): (RecordId, String) = (row.try_get("id")?, row.try_get("address")?);
        let is_present = row.try_get::<i64, _>("revision")? == i64::from(message.revision);
        let kept = mails.iter().position(|recipient| is_present && recipient.address == address);
        match kept.map(|at| mails.swap_remove(at)) {
            Some(recipient) => write_again(&mut *db, id, message, &recipient, now).await?,
            None => withdraw(&mut *db, id, now).await?,
        }
    }
    for recipient in &mails {
        insert(&mut *db, message, recipient, now).await?;
    }
    match reason {
        Some(reason) if !has_delivery(&mut *db, message).await? => unrouted(db, message.id, reason).await,
        _ => write_summary(db, message.id, now).await,
    }
}

/// Who gets a delivery.
#[derive(Debug)]
pub(in super::super) struct NewRecipient {
    /// The contact.
    pub(in super::super) contact: Option<RecordId>,
    /// The endpoint; absent: the contact's own address.
    pub(in super::super) endpoint: Option<RecordId>,
    /// How.
    pub(in super::super) channel: EndpointKind,
    /// The address.
    pub(in super::super) address: String,
    /// Which recipient of the dispatch this is.
    pub(in super::super) asked: Option<i64>,
    /// Not before this time.
    pub(in super::super) not_before: Timestamp,
}

impl NewRecipient {
    fn progress(&self, message: &Message, now: Timestamp) -> DeliveryProgress {
        let give_up_delay = give_up_delay(message.kind, message.fields.urgency);
        DeliveryProgress::queued_for(give_up_delay, now, self.not_before.max(now))
    }
}

/// Makes a delivery of a message to an endpoint or an address alone; its id. None if nothing can send it.
pub(super) async fn enqueue_one(
    db: &mut DbConnection,
    message: RecordId,
    to: SendTo<'_>,
    now: Timestamp,
) -> Result<Option<RecordId>, StoreError> {
    let message = read_message(&mut *db, message).await?;
    if message.withdrawn_at.is_some() || message.is_erased() {
        return Err(StoreError::Missing { what: "message" });
    }
    let endpoint = match to {
        SendTo::Endpoint(endpoint) => endpoint,
        SendTo::Address(_) if !has_mail_server(&mut *db).await? => return Ok(None),
        SendTo::Address(address) => {
            let recipient = NewRecipient {
                contact: None,
                endpoint: None,
                channel: EndpointKind::Mail,
                address: address.to_owned(),
                asked: None,
                not_before: now,
            };
            return Ok(Some(insert(db, &message, &recipient, now).await?));
        }
    };
    let row = sqlx::query(
        "SELECT contact_id, kind, address FROM message_endpoints WHERE id = $1 AND account_id = $2",
    )
    .bind(endpoint)
    .bind(message.account)
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let channel = EndpointKind::parse(row.try_get("kind")?).unwrap_or_default();
    if channel.needs_mail_server() && !has_mail_server(&mut *db).await? {
        return Ok(None);
    }
    let recipient = NewRecipient {
        contact: row.try_get("contact_id")?,
        endpoint: Some(endpoint),
        channel,
        address: row.try_get("address")?,
        asked: None,
        not_before: now,
    };
    Ok(Some(insert(db, &message, &recipient, now).await?))
}

async fn has_mail_server(db: &mut DbConnection) -> Result<bool, StoreError> {
    let is_there = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM mail_servers WHERE name = $1)");
    Ok(is_there.bind(MAIL_SERVER).fetch_one(db).await?)
}

/// What a delivery goes over. Where daemons send over no mail server, a mail waits for the main one.
pub(super) async fn server_of(
    db: &mut DbConnection,
    channel: EndpointKind,
    account: RecordId,
) -> Result<String, StoreError> {
    match channel {
        EndpointKind::Mail => server_of_account(db, account).await,
        // A gateway of faxes knows the senders of the main server.
        EndpointKind::Fax => Ok(MAIL_SERVER.to_owned()),
        other => Ok(other.as_str().to_owned()),
    }
}

/// Who may have received an earlier revision.
async fn received_before(
    db: &mut DbConnection,
    message: &Message,
    not_before: Timestamp,
) -> Result<Vec<NewRecipient>, StoreError> {
    let rows = sqlx::query(
        "SELECT contact_id, endpoint_id, channel, address FROM deliveries WHERE message_id = $1 AND revision < $2 AND address <> ''
            AND (state IN ('sending', 'sent', 'delivered') OR maybe_sent = 1) ORDER BY created_ms, id",
    )
    .bind(message.id)
    .bind(i64::from(message.revision))
    .fetch_all(&mut *db)
    .await?;
    let mut to: Vec<NewRecipient> = Vec::new();
    for row in rows {
        let recipient = NewRecipient {
            contact: row.try_get("contact_id")?,
            endpoint: row.try_get("endpoint_id")?,
            channel: EndpointKind::parse(row.try_get("channel")?).unwrap_or_default(),
            address: row.try_get("address")?,
            asked: None,
            not_before,
        };
        if to.iter().all(|known| known.address != recipient.address) {
            to.push(recipient);
        }
    }
    Ok(to)
}

async fn has_delivery(db: &mut DbConnection, message: &Message) -> Result<bool, StoreError> {
    let is_there = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE message_id = $1 AND revision = $2 AND state <> 'cancelled')",
    );
    Ok(is_there.bind(message.id).bind(i64::from(message.revision)).fetch_one(db).await?)
}

/// Makes a delivery for a later step. One of this revision to the same address that was not sent yet serves that step instead.
pub(in super::super) async fn insert_delivery(
    db: &mut DbConnection,
    message: &Message,
    recipient: &NewRecipient,
    now: Timestamp,
) -> Result<(), StoreError> {
    let waiting = sqlx::query(
        "UPDATE deliveries SET asked = $4 WHERE message_id = $1 AND revision = $2 AND address = $3
            AND channel = $5 AND state IN ('held', 'queued', 'sending')",
    )
    .bind(message.id)
    .bind(i64::from(message.revision))
    .bind(&recipient.address)
    .bind(recipient.asked)
    .bind(recipient.channel.as_str())
    .execute(&mut *db)
    .await?;
    if waiting.rows_affected() == 0 {
        insert(db, message, recipient, now).await?;
    }
    Ok(())
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
    recipient: &NewRecipient,
    now: Timestamp,
) -> Result<RecordId, StoreError> {
    let progress = recipient.progress(message, now);
    let server = server_of(&mut *db, recipient.channel, message.account).await?;
    let id = RecordId(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO deliveries (id, message_id, revision, account_id, contact_id, endpoint_id, channel, server, address,
            urgency, state, again, next_ms, give_up_ms, created_ms, changed_ms, asked)
         VALUES ($1, $2, $3, $4, $5, $14, $6, $7, $8, $9, $10,
            (SELECT coalesce(max(again) + 1, 0) FROM deliveries
             WHERE message_id = $2 AND revision = $3 AND channel = $6 AND address = $8),
            $11, $12, $13, $13, $15)",
    )
    .bind(id)
    .bind(message.id)
    .bind(i64::from(message.revision))
    .bind(message.account)
    .bind(recipient.contact)
    .bind(recipient.channel.as_str())
    .bind(server)
    .bind(&recipient.address)
    .bind(urgency_of(message))
    .bind(progress.state.as_str())
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .bind(to_ms(now))
    .bind(recipient.endpoint)
    .bind(recipient.asked)
    .execute(db)
    .await?;
    Ok(id)
}

/// Lets a delivery that waits carry the message as it is now. The delay after a failed attempt stays.
async fn write_again(
    db: &mut DbConnection,
    id: RecordId,
    message: &Message,
    recipient: &NewRecipient,
    now: Timestamp,
) -> Result<(), StoreError> {
    let progress = recipient.progress(message, now);
    sqlx::query(
        "UPDATE deliveries SET rendered = NULL, contact_id = $2, endpoint_id = $6, urgency = $3,
            next_ms = CASE WHEN attempts > 0 AND next_ms > $4 THEN next_ms ELSE $4 END, give_up_ms = $5, asked = $7
         WHERE id = $1",
    )
    .bind(id)
    .bind(recipient.contact)
    .bind(urgency_of(message))
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .bind(recipient.endpoint)
    .bind(recipient.asked)
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
