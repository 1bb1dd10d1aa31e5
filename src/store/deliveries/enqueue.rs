//! To whom a message goes: the deliveries of each of its contents, and the next one when an address returns it.
//!
//! | the message | goes to the first of |
//! |---|---|
//! | names a contact | the contact's addresses: `email`, and the endpoints in the order of their priority |
//! | names none | the addresses of the contacts in the on-call order, then the account's own endpoints |
//!
//! An address that is suspended is left out, and so is one that returned this content. An endpoint that is closed and says `next` is
//! left for the one after it, if there is one.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use sqlx::Row;
use uuid::Uuid;

use super::super::holidays::calendar;
use super::super::messages::read_message;
use super::super::{DbConnection, DbRow};
use super::{MAIL, withdraw, write_summary};
use crate::contract::delivery::UnroutedReason;
use crate::contract::holidays::HolidayCalendar;
use crate::contract::hours::Hours;
use crate::contract::message::{Message, MessageKind, MessageState, Urgency};
use crate::contract::records::OutsideHours;
use crate::delivery::{DeliveryProgress, give_up_delay};
use crate::ids::RecordId;
use crate::mail::MailAddress;
use crate::store::{StoreError, to_ms};

/// Makes the deliveries of a content in the transaction that writes it. The first content goes to the contact whom the message
/// names, else to the account's people. A correction goes to all who may have received an earlier revision, and to the contact
/// whom the message names. Where there is nobody, the message says why.
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
    let next_at = message.fields.hold_until.unwrap_or(now).max(not_before).max(now);
    let mut missing = recipients(&mut *db, message, next_at).await?;
    let waiting = sqlx::query(
        "SELECT id, address, revision FROM deliveries WHERE message_id = $1 AND state IN ('held', 'queued')",
    )
    .bind(message.id)
    .fetch_all(&mut *db)
    .await?;
    for row in waiting {
        let (id, address): (RecordId, String) = (row.try_get("id")?, row.try_get("address")?);
        let is_present = row.try_get::<i64, _>("revision")? == i64::from(message.revision);
        let all = missing.as_mut().ok().filter(|_| is_present);
        let kept = all.and_then(|all| {
            let at = all.to.iter().position(|recipient| recipient.address == address)?;
            Some(all.to.swap_remove(at))
        });
        match kept {
            Some(recipient) => {
                let progress = progress_of(message, &recipient, (now, next_at));
                write_again(&mut *db, id, message, &recipient, &progress).await?;
            }
            None => withdraw(&mut *db, id, now).await?,
        }
    }
    match missing {
        Ok(Recipients { server, to }) => {
            for recipient in &to {
                let progress = progress_of(message, recipient, (now, next_at));
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

#[derive(Debug, Clone)]
struct Recipient {
    contact: Option<RecordId>,
    endpoint: Option<RecordId>,
    address: String,
    /// When it may receive messages, and what happens outside that time.
    window: Option<Window>,
}

/// The hours of an endpoint.
#[derive(Debug, Clone)]
struct Window {
    hours: Hours,
    outside: OutsideHours,
    calendar: Arc<HolidayCalendar>,
}

impl Recipient {
    /// The earliest time from `at` on when it may receive a message.
    fn open_at(&self, at: Timestamp) -> Timestamp {
        let Some(window) = self.window.as_ref().filter(|window| window.outside != OutsideHours::Send) else {
            return at;
        };
        // The hours name their time zone.
        let state = window.hours.state(at, &TimeZone::UTC, &window.calendar);
        if state.open { at } else { state.until.unwrap_or(at) }
    }

    /// Whether another one is better at `at`.
    fn gives_way(&self, at: Timestamp) -> bool {
        let is_left = |window: &Window| window.outside == OutsideHours::Next;
        self.window.as_ref().is_some_and(is_left) && self.open_at(at) > at
    }
}

fn progress_of(
    message: &Message,
    recipient: &Recipient,
    (now, next_at): (Timestamp, Timestamp),
) -> DeliveryProgress {
    let give_up_delay = give_up_delay(message.kind, message.fields.urgency);
    DeliveryProgress::queued_for(give_up_delay, now, recipient.open_at(next_at))
}

/// After an address returned a message, or nobody there took it: the next one. False if there is none, or the message
/// is on its way to somebody else.
pub(super) async fn enqueue_next(
    db: &mut DbConnection,
    message: RecordId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let message = read_message(&mut *db, message).await?;
    let is_going = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE message_id = $1 AND revision = $2
            AND state IN ('held', 'queued', 'sending', 'sent', 'delivered'))",
    );
    let is_going: bool =
        is_going.bind(message.id).bind(i64::from(message.revision)).fetch_one(&mut *db).await?;
    let is_over = message.state == MessageState::Acknowledged || message.withdrawn_at.is_some();
    if is_going || is_over || message.kind == MessageKind::Test {
        return Ok(false);
    }
    let Some(server) = mail_server(&mut *db).await? else { return Ok(false) };
    let Ok(recipient) = routed(&mut *db, &message, now).await? else { return Ok(false) };
    let progress = progress_of(&message, &recipient, (now, now));
    insert(db, &message, &server, &recipient, &progress, now).await?;
    Ok(true)
}

/// Makes a delivery of a message to an endpoint alone, whatever its hours say; its id. None if nothing can send it.
pub(super) async fn enqueue_test(
    db: &mut DbConnection,
    message: RecordId,
    endpoint: RecordId,
    now: Timestamp,
) -> Result<Option<RecordId>, StoreError> {
    let message = read_message(&mut *db, message).await?;
    let Some(server) = mail_server(&mut *db).await? else { return Ok(None) };
    let row = sqlx::query(
        "SELECT id, contact_id, address, priority, hours_json, outside FROM message_endpoints
         WHERE id = $1 AND account_id = $2",
    )
    .bind(endpoint)
    .bind(message.account)
    .fetch_optional(&mut *db)
    .await?;
    let Some((_, recipient)) = row.as_ref().map(|row| endpoint_of(row, &Arc::default())).transpose()? else {
        return Ok(None);
    };
    let recipient = Recipient { window: None, ..recipient };
    let progress = progress_of(&message, &recipient, (now, now));
    Ok(Some(insert(db, &message, &server, &recipient, &progress, now).await?))
}

async fn mail_server(db: &mut DbConnection) -> Result<Option<String>, StoreError> {
    let name = sqlx::query_scalar("SELECT name FROM mail_servers ORDER BY name LIMIT 1");
    Ok(name.fetch_optional(db).await?)
}

async fn recipients(
    db: &mut DbConnection,
    message: &Message,
    at: Timestamp,
) -> Result<Result<Recipients, UnroutedReason>, StoreError> {
    let Some(server) = mail_server(&mut *db).await? else { return Ok(Err(UnroutedReason::NoMailServer)) };
    let rows = sqlx::query(
        "SELECT contact_id, endpoint_id, address FROM deliveries WHERE message_id = $1 AND revision < $2 AND address <> ''
            AND (state IN ('sending', 'sent', 'delivered') OR maybe_sent = 1) ORDER BY created_ms, id",
    )
    .bind(message.id)
    .bind(i64::from(message.revision))
    .fetch_all(&mut *db)
    .await?;
    let mut to: Vec<Recipient> = Vec::new();
    for row in rows {
        let recipient = Recipient {
            contact: row.try_get("contact_id")?,
            endpoint: row.try_get("endpoint_id")?,
            address: row.try_get("address")?,
            window: None,
        };
        if to.iter().all(|known| known.address != recipient.address) {
            to.push(recipient);
        }
    }
    if !to.is_empty() && message.fields.contact.is_none() {
        return Ok(Ok(Recipients { server, to }));
    }
    match routed(db, message, at).await? {
        Ok(first) if to.iter().all(|known| known.address != first.address) => to.push(first),
        Err(reason) if to.is_empty() => return Ok(Err(reason)),
        Ok(_) | Err(_) => {}
    }
    Ok(Ok(Recipients { server, to }))
}

/// The first address at which the message may arrive; see the header.
async fn routed(
    db: &mut DbConnection,
    message: &Message,
    at: Timestamp,
) -> Result<Result<Recipient, UnroutedReason>, StoreError> {
    let (all, has_contacts) = addresses(&mut *db, message).await?;
    if all.is_empty() {
        let reason = if has_contacts { UnroutedReason::NoAddress } else { UnroutedReason::NoContact };
        return Ok(Err(reason));
    }
    let mut closed = None;
    for recipient in all {
        let is_left_out: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM suspended_addresses WHERE channel = $1 AND address = $2)
                OR EXISTS (SELECT 1 FROM deliveries WHERE message_id = $3 AND channel = $1 AND address = $2
                    AND revision = $4 AND state IN ('bounced', 'failed'))",
        )
        .bind(MAIL)
        .bind(&recipient.address)
        .bind(message.id)
        .bind(i64::from(message.revision))
        .fetch_one(&mut *db)
        .await?;
        if is_left_out {
            continue;
        }
        if !recipient.gives_way(at) {
            return Ok(Ok(recipient));
        }
        closed = closed.or(Some(recipient));
    }
    Ok(closed.ok_or(UnroutedReason::AddressSuspended))
}

/// All addresses of the people to whom a message may go, in their order; and whether there are such people.
async fn addresses(db: &mut DbConnection, message: &Message) -> Result<(Vec<Recipient>, bool), StoreError> {
    let contact = message.fields.contact;
    let contacts = sqlx::query(
        "SELECT id, email FROM contacts WHERE account_id = $1
            AND (id = $2 OR ($2 IS NULL AND on_call_order IS NOT NULL)) ORDER BY on_call_order, kana, name, id",
    )
    .bind(message.account)
    .bind(contact)
    .fetch_all(&mut *db)
    .await?;
    let endpoints = sqlx::query(
        "SELECT id, contact_id, address, priority, hours_json, outside FROM message_endpoints
         WHERE account_id = $1 AND kind = $2 AND ($3 IS NULL OR contact_id = $3) ORDER BY priority, id",
    )
    .bind(message.account)
    .bind(MAIL)
    .bind(contact)
    .fetch_all(&mut *db)
    .await?;
    // Most accounts have no endpoint, and so no use for the holidays.
    let calendar = if endpoints.is_empty() { Arc::default() } else { Arc::new(calendar(&mut *db).await?) };
    let endpoints = endpoints.iter().map(|row| endpoint_of(row, &calendar));
    let endpoints = endpoints.collect::<Result<Vec<_>, sqlx::Error>>()?;
    let of = |contact: Option<RecordId>, is_first: bool| {
        let of_contact = endpoints.iter().filter(move |(_, endpoint)| endpoint.contact == contact);
        of_contact
            .filter(move |(priority, _)| (*priority == 0) == is_first)
            .map(|(_, endpoint)| endpoint.clone())
    };
    let mut all = Vec::new();
    for row in &contacts {
        let id: RecordId = row.try_get("id")?;
        let email: Option<String> = row.try_get("email")?;
        let email = email.and_then(|email| email.parse::<MailAddress>().ok());
        let contact = Some(id);
        all.extend(of(contact, true));
        all.extend(email.map(|email| Recipient {
            contact,
            endpoint: None,
            address: email.to_string(),
            window: None,
        }));
        all.extend(of(contact, false));
    }
    if contact.is_none() {
        all.extend(of(None, true).chain(of(None, false)));
    }
    Ok((all, !contacts.is_empty()))
}

/// An endpoint with its priority.
fn endpoint_of(row: &DbRow, calendar: &Arc<HolidayCalendar>) -> Result<(i64, Recipient), sqlx::Error> {
    let hours: Option<String> = row.try_get("hours_json")?;
    let hours: Option<Hours> = hours
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|error| sqlx::Error::Decode(error.into()))?;
    let outside = OutsideHours::parse(row.try_get("outside")?).unwrap_or_default();
    let recipient = Recipient {
        contact: row.try_get("contact_id")?,
        endpoint: Some(row.try_get("id")?),
        address: row.try_get("address")?,
        window: hours.map(|hours| Window { hours, outside, calendar: Arc::clone(calendar) }),
    };
    Ok((row.try_get("priority")?, recipient))
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
) -> Result<RecordId, StoreError> {
    let id = RecordId(Uuid::now_v7());
    sqlx::query(
        "INSERT INTO deliveries (id, message_id, revision, account_id, contact_id, endpoint_id, channel, server, address,
            urgency, state, again, next_ms, give_up_ms, created_ms, changed_ms)
         VALUES ($1, $2, $3, $4, $5, $14, $6, $7, $8, $9, $10,
            (SELECT coalesce(max(again) + 1, 0) FROM deliveries
             WHERE message_id = $2 AND revision = $3 AND channel = $6 AND address = $8),
            $11, $12, $13, $13)",
    )
    .bind(id)
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
    .bind(recipient.endpoint)
    .execute(db)
    .await?;
    Ok(id)
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
        "UPDATE deliveries SET rendered = NULL, contact_id = $2, endpoint_id = $6, urgency = $3,
            next_ms = CASE WHEN attempts > 0 AND next_ms > $4 THEN next_ms ELSE $4 END, give_up_ms = $5
         WHERE id = $1",
    )
    .bind(id)
    .bind(recipient.contact)
    .bind(urgency_of(message))
    .bind(to_ms(progress.next_at))
    .bind(to_ms(progress.give_up_at))
    .bind(recipient.endpoint)
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
