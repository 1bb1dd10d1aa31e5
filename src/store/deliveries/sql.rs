//! The SQL of the outbox; `enqueue.rs` has that of its rows' making, `claims.rs` what daemons claim, `again.rs` what a person asks for, `returned.rs` what comes back,
//! `shown.rs` what the message shows of it.

mod again;
mod claims;
mod enqueue;
mod returned;
mod shown;

use std::time::Duration;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row};

pub(super) use self::enqueue::{NewRecipient, enqueue_deliveries, insert_delivery};
use self::returned::{after_change, note_refusal};
pub(super) use self::shown::{message_delivery_of, write_summary};
use super::digests::digest_facts;
use super::messages::message_of;
use super::{Backend, Db, DbConnection, DbRow};
use crate::contract::delivery::{Delivery, DeliveryState};
use crate::contract::message::{MessageKind, Urgency};
use crate::contract::records::{EndpointCharset, Language};
use crate::delivery::{DeliveryInput, DeliveryProgress, Outcome, give_up_delay};
use crate::identity::printable;
use crate::ids::RecordId;
use crate::secret::Secret;
use crate::store::deliveries::{
    DeliveryFilter, DeliveryTarget, ERROR_CHARS_MAX, LIST_MAX, LetterFacts, SWEEP_MAX,
};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn letter_facts(
        &self,
        delivery: RecordId,
    ) -> Result<Option<LetterFacts>, StoreError> {
        let row = sqlx::query(concat!(
            "SELECT m.*, a.name AS account_name, c.name AS contact_name, r.name AS recipient_name,
                k.name AS customer_name, e.charset AS endpoint_charset, e.html AS endpoint_html,
                e.ack_link AS endpoint_link, e.attachments AS endpoint_files,
                coalesce(e.language, r.language, a.language) AS language, f.bytes AS document_bytes, ",
            message_is_being_erased!(),
            " AS is_erased
             FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id
             JOIN accounts AS a ON a.id = m.account_id
             LEFT JOIN contacts AS c ON c.id = m.contact_id
             LEFT JOIN contacts AS r ON r.id = d.contact_id
             LEFT JOIN customers AS k ON k.id = m.customer_id
             LEFT JOIN message_endpoints AS e ON e.id = d.endpoint_id
             LEFT JOIN faxes AS f ON f.id = m.id
             WHERE d.id = $1 AND ",
            account_is_kept!("m")
        ))
        .bind(delivery)
        .fetch_optional(self.readers())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let account: RecordId = row.try_get("account_id")?;
        let templates = sqlx::query("SELECT name, body FROM mail_templates WHERE account_id = $1")
            .bind(account)
            .fetch_all(self.readers())
            .await?;
        let template = |row: &DbRow| Ok((row.try_get("name")?, row.try_get("body")?));
        let templates = templates.iter().map(template).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let kind = row.try_get::<String, _>("kind")?;
        let digest = if kind == MessageKind::Digest.as_str() {
            let message: RecordId = row.try_get("id")?;
            digest_facts(&mut *self.readers().acquire().await?, message).await?
        } else {
            None
        };
        let facts = |row: DbRow| {
            let wants =
                |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<bool>, _>(column)?.unwrap_or(true));
            let attachments = wants("endpoint_files")?;
            let mut message = message_of(&row)?;
            let mut digest = digest;
            if !attachments {
                message.files.clear();
                if let Some(digest) = &mut digest {
                    digest.run.report.csv = false;
                }
            }
            let charset: Option<String> = row.try_get("endpoint_charset")?;
            let document_bytes: Option<i64> = row.try_get("document_bytes")?;
            let document_bytes = document_bytes.filter(|_| attachments);
            Ok(LetterFacts {
                message,
                account_name: row.try_get("account_name")?,
                contact_name: row.try_get("contact_name")?,
                customer_name: row.try_get("customer_name")?,
                recipient_name: row.try_get("recipient_name")?,
                document_bytes: document_bytes.map(|bytes| u64::try_from(bytes).unwrap_or(0)),
                charset: charset.as_deref().and_then(EndpointCharset::parse).unwrap_or_default(),
                ack_link: wants("endpoint_link")?,
                attachments,
                html: wants("endpoint_html")?,
                is_bare: false,
                language: Language::parse(row.try_get("language")?).unwrap_or_default(),
                templates,
                digest,
            })
        };
        Ok(Some(facts(row).map_err(|error: sqlx::Error| error)?))
    }

    pub(in crate::store) async fn delivery_target(
        &self,
        delivery: RecordId,
    ) -> Result<Option<DeliveryTarget>, StoreError> {
        // An endpoint that was changed meanwhile has another address.
        let row = sqlx::query(
            "SELECT e.secret, e.profile, e.mention FROM deliveries AS d LEFT JOIN message_endpoints AS e
                ON e.id = d.endpoint_id AND e.kind = d.channel AND e.address = d.address WHERE d.id = $1",
        )
        .bind(delivery)
        .fetch_optional(self.readers())
        .await?;
        let target = |row: DbRow| {
            Ok(DeliveryTarget {
                secret: row.try_get::<Option<String>, _>("secret")?.map(Secret::new),
                profile: row.try_get("profile")?,
                mention: row.try_get("mention")?,
            })
        };
        Ok(row.map(target).transpose().map_err(|error: sqlx::Error| error)?)
    }

    pub(in crate::store) async fn fax_delivery(&self, number: &str) -> Result<Option<RecordId>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT d.id FROM messages AS m JOIN deliveries AS d ON d.message_id = m.id
             WHERE m.number = $1 AND d.channel = 'fax' AND d.state IN ('sent', 'delivered', 'bounced')
             ORDER BY d.created_ms DESC, d.id DESC LIMIT 1",
        )
        .bind(number)
        .fetch_optional(self.readers())
        .await?)
    }

    pub(in crate::store) async fn keep_rendered(
        &self,
        claim: RecordId,
        rendered: &[(RecordId, Vec<u8>)],
    ) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for (id, bytes) in rendered {
            sqlx::query("UPDATE deliveries SET rendered = $3 WHERE id = $1 AND leased_by = $2")
                .bind(id)
                .bind(claim)
                .bind(bytes)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    pub(in crate::store) async fn settle_delivery(
        &self,
        delivery: RecordId,
        claim: RecordId,
        input: DeliveryInput,
        (now, seed): (Timestamp, u64),
    ) -> Result<Option<DeliveryState>, StoreError> {
        self.change_delivery(delivery, Some(claim), input, (now, seed)).await
    }

    /// Applies `input` in a transaction of its own. With a claim, only while the delivery has it.
    async fn change_delivery(
        &self,
        delivery: RecordId,
        claim: Option<RecordId>,
        input: DeliveryInput,
        (now, seed): (Timestamp, u64),
    ) -> Result<Option<DeliveryState>, StoreError> {
        let mut transaction = self.begin().await?;
        let Some(row) = locked_row(&mut transaction, delivery).await? else { return Ok(None) };
        if claim.is_some_and(|claim| row.claim != Some(claim)) {
            return Ok(None);
        }
        let Outcome::Changed(mut next) = row.progress.apply(input, now, seed) else { return Ok(None) };
        // What a correction has replaced is not sent later than the correction, and what was answered is not sent again.
        if !row.is_wanted
            && next.state == DeliveryState::Queued
            && let Outcome::Changed(withdrawn) = next.apply(DeliveryInput::Withdrawn, now, seed)
        {
            next = withdrawn;
        }
        if !write_progress(&mut transaction, &row, &next, now).await? {
            return Ok(None);
        }
        if next.state == DeliveryState::Bounced {
            note_refusal(&mut transaction, &row, &next, now).await?;
        }
        after_change(&mut transaction, &row, &next, now).await?;
        write_summary(&mut transaction, row.message, now).await?;
        transaction.commit().await?;
        Ok(Some(next.state))
    }

    pub(in crate::store) async fn sweep_deliveries(&self, now: Timestamp) -> Result<(u32, u32), StoreError> {
        let expired = sqlx::query(
            "SELECT id, leased_by FROM deliveries WHERE state = 'sending' AND lease_ms <= $1 LIMIT $2",
        )
        .bind(to_ms(now))
        .bind(i64::from(SWEEP_MAX))
        .fetch_all(self.readers())
        .await?;
        let (mut ended, mut given_up) = (0, 0);
        for row in expired {
            let (id, claim) = (row.try_get("id")?, row.try_get("leased_by")?);
            let changed = self.change_delivery(id, claim, DeliveryInput::LeaseExpired, (now, 0)).await?;
            ended += u32::from(changed.is_some());
        }
        let late: Vec<RecordId> = sqlx::query_scalar(
            "SELECT id FROM deliveries WHERE state IN ('held', 'queued') AND give_up_ms <= $1 LIMIT $2",
        )
        .bind(to_ms(now))
        .bind(i64::from(SWEEP_MAX))
        .fetch_all(self.readers())
        .await?;
        for id in late {
            let changed = self.change_delivery(id, None, DeliveryInput::GiveUpReached, (now, 0)).await?;
            given_up += u32::from(changed.is_some());
        }
        Ok((ended, given_up))
    }

    pub(in crate::store) async fn message_deliveries(
        &self,
        filter: DeliveryFilter<'_>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let mut query = QueryBuilder::<Db>::new("SELECT * FROM deliveries WHERE TRUE");
        if let Some(state) = filter.state {
            query.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(message) = filter.message {
            query.push(" AND message_id = ").push_bind(message);
        }
        if let Some(account) = filter.account {
            query.push(" AND account_id = ").push_bind(account);
        }
        if let Some(server) = filter.server {
            // Nearly all go over one server: where there is another condition, its index finds fewer.
            let is_last = filter.state.is_none() && filter.message.is_none();
            query
                .push(if is_last { " AND server = " } else { " AND coalesce(server, '') = " })
                .push_bind(server);
        }
        query.push(" ORDER BY created_ms DESC, id DESC LIMIT ").push_bind(i64::from(LIST_MAX));
        let rows = query.build().fetch_all(self.readers()).await?;
        Ok(rows.iter().map(delivery_of).collect::<Result<_, sqlx::Error>>()?)
    }
}

/// Holds a message: no other transaction changes it, and no daemon claims a delivery of it, until this one ends. Returns whether
/// a delivery of its present revision is being sent, or may have been received.
pub(super) async fn hold_message(db: &mut DbConnection, message: RecordId) -> Result<bool, StoreError> {
    sqlx::query("UPDATE messages SET delivery_state = delivery_state WHERE id = $1")
        .bind(message)
        .execute(&mut *db)
        .await?;
    // In this order, as everything that changes a delivery does.
    sqlx::query(
        "UPDATE deliveries SET state = state WHERE message_id = $1 AND state IN ('held', 'queued', 'sending')",
    )
    .bind(message)
    .execute(&mut *db)
    .await?;
    let is_out = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM deliveries WHERE message_id = $1 AND (state = 'sending' OR maybe_sent = 1)
            AND revision = (SELECT revision FROM messages WHERE id = $1))",
    );
    Ok(is_out.bind(message).fetch_one(db).await?)
}

/// After a message was answered or withdrawn, and its route has ended: what was not sent is no longer wanted, and the message shows
/// so.
pub(super) async fn withdraw_deliveries(
    db: &mut DbConnection,
    message: RecordId,
    now: Timestamp,
) -> Result<(), StoreError> {
    cancel_deliveries(&mut *db, message, now).await?;
    write_summary(db, message, now).await
}

/// What was not sent is no longer wanted. The caller writes what the message shows, once its route is stored, too.
pub(super) async fn cancel_deliveries(
    db: &mut DbConnection,
    message: RecordId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let ids: Vec<RecordId> =
        sqlx::query_scalar("SELECT id FROM deliveries WHERE message_id = $1 AND state IN ('held', 'queued')")
            .bind(message)
            .fetch_all(&mut *db)
            .await?;
    for id in &ids {
        withdraw(&mut *db, *id, now).await?;
    }
    Ok(())
}

async fn withdraw(db: &mut DbConnection, id: RecordId, now: Timestamp) -> Result<(), StoreError> {
    let Some(row) = locked_row(&mut *db, id).await? else { return Ok(()) };
    if let Outcome::Changed(next) = row.progress.apply(DeliveryInput::Withdrawn, now, 0) {
        write_progress(db, &row, &next, now).await?;
    }
    Ok(())
}

/// A delivery whose message no other transaction changes until this one ends.
struct LockedRow {
    id: RecordId,
    channel: String,
    address: String,
    message: RecordId,
    claim: Option<RecordId>,
    progress: DeliveryProgress,
    /// Which recipient of the message's dispatch it is for.
    asked: Option<i64>,
    /// Whether it carries the present revision of its message, and was made after the message was answered, if it was.
    is_wanted: bool,
    /// How long a delivery of its message is tried.
    give_up_delay: Duration,
    /// Whether its message was withdrawn.
    is_withdrawn: bool,
    /// Whether its message is a digest of others.
    is_digest: bool,
}

async fn locked_row(db: &mut DbConnection, delivery: RecordId) -> Result<Option<LockedRow>, StoreError> {
    sqlx::query(
        "UPDATE messages SET delivery_state = delivery_state
         WHERE id = (SELECT message_id FROM deliveries WHERE id = $1)",
    )
    .bind(delivery)
    .execute(&mut *db)
    .await?;
    let row = sqlx::query(
        "SELECT d.*, m.revision AS present_revision, m.deleted_ms, m.kind AS message_kind, m.urgency AS message_urgency,
            m.acknowledged_ms AS answered_ms
         FROM deliveries AS d JOIN messages AS m ON m.id = d.message_id WHERE d.id = $1",
    )
    .bind(delivery)
    .fetch_optional(db)
    .await?;
    let read = |row: DbRow| {
        let created_ms: i64 = row.try_get("created_ms")?;
        Ok(LockedRow {
            id: row.try_get("id")?,
            channel: row.try_get("channel")?,
            address: row.try_get("address")?,
            message: row.try_get("message_id")?,
            claim: row.try_get("leased_by")?,
            progress: progress_of(&row)?,
            asked: row.try_get("asked")?,
            is_wanted: row.try_get::<i64, _>("revision")? == row.try_get::<i64, _>("present_revision")?
                && row.try_get::<Option<i64>, _>("answered_ms")?.is_none_or(|at| at < created_ms),
            is_digest: row.try_get::<&str, _>("message_kind")? == MessageKind::Digest.as_str(),
            give_up_delay: give_up_delay(
                MessageKind::parse(row.try_get("message_kind")?).unwrap_or_default(),
                Urgency::parse(row.try_get("message_urgency")?).unwrap_or_default(),
            ),
            is_withdrawn: row.try_get::<Option<i64>, _>("deleted_ms")?.is_some(),
        })
    };
    Ok(row.map(read).transpose().map_err(|error: sqlx::Error| error)?)
}

/// Stores the new state if the old one is still there. The bytes and the claim end with the attempt that they were for.
async fn write_progress(
    db: &mut DbConnection,
    row: &LockedRow,
    next: &DeliveryProgress,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let error = next.error.as_deref().map(cleaned);
    let changed = sqlx::query(
        "UPDATE deliveries SET state = $4, attempts = $5, maybe_sent = $6, next_ms = $7, give_up_ms = $8, error = $9,
            status = $10, changed_ms = $11, leased_by = NULL, lease_ms = NULL,
            rendered = CASE WHEN $12 THEN NULL ELSE rendered END
         WHERE id = $1 AND state = $2 AND leased_by IS NOT DISTINCT FROM $3",
    )
    .bind(row.id)
    .bind(row.progress.state.as_str())
    .bind(row.claim)
    .bind(next.state.as_str())
    .bind(i64::from(next.attempts))
    .bind(i64::from(next.maybe_sent))
    .bind(to_ms(next.next_at))
    .bind(to_ms(next.give_up_at))
    .bind(&error)
    .bind(&next.status)
    .bind(to_ms(now))
    .bind(next.state.is_final())
    .execute(&mut *db)
    .await?
    .rows_affected();
    if changed == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO delivery_log (delivery_id, at_ms, state, detail) VALUES ($1, $2, $3, $4)")
        .bind(row.id)
        .bind(to_ms(now))
        .bind(next.state.as_str())
        .bind(error)
        .execute(db)
        .await?;
    Ok(true)
}

fn cleaned(text: &str) -> String {
    printable(text, ERROR_CHARS_MAX).unwrap_or_default().into()
}

fn count(row: &DbRow, column: &str) -> Result<u32, sqlx::Error> {
    Ok(u32::try_from(row.try_get::<i64, _>(column)?).unwrap_or(u32::MAX))
}

fn state_of(row: &DbRow) -> Result<DeliveryState, sqlx::Error> {
    let text: String = row.try_get("state")?;
    DeliveryState::parse(&text).ok_or_else(|| sqlx::Error::Decode(format!("no state {text:?}").into()))
}

pub(super) fn progress_of(row: &DbRow) -> Result<DeliveryProgress, sqlx::Error> {
    Ok(DeliveryProgress {
        state: state_of(row)?,
        attempts: count(row, "attempts")?,
        maybe_sent: row.try_get::<i64, _>("maybe_sent")? != 0,
        next_at: from_ms(row.try_get("next_ms")?),
        give_up_at: from_ms(row.try_get("give_up_ms")?),
        error: row.try_get("error")?,
        status: row.try_get("status")?,
    })
}

fn delivery_of(row: &DbRow) -> Result<Delivery, sqlx::Error> {
    let progress = progress_of(row)?;
    Ok(Delivery {
        id: row.try_get("id")?,
        message: row.try_get("message_id")?,
        account: row.try_get("account_id")?,
        contact: row.try_get("contact_id")?,
        endpoint: row.try_get("endpoint_id")?,
        channel: row.try_get("channel")?,
        server: row.try_get("server")?,
        address: row.try_get("address")?,
        state: progress.state,
        attempts: progress.attempts,
        maybe_sent: progress.maybe_sent,
        error: progress.error,
        status: progress.status,
        again: count(row, "again")?,
        revision: count(row, "revision")?,
        created_at: from_ms(row.try_get("created_ms")?),
        changed_at: from_ms(row.try_get("changed_ms")?),
        next_at: (!progress.state.is_final()).then_some(progress.next_at),
    })
}

#[cfg(test)]
mod tests;
