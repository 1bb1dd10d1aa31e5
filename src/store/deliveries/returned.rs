//! Mails that came back, and the addresses that are suspended for it.

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::Row;
use uuid::Uuid;

use super::super::digests::settle_items;
use super::super::dispatches::delivery_changed;
use super::super::{Backend, DbConnection, DbRow, house_notices};
use super::{LockedRow, cleaned, locked_row, write_progress, write_summary};
use crate::contract::bounce::{Bounce, BounceKind, BounceOutcome, SuspendedAddress};
use crate::contract::delivery::DeliveryState;
use crate::contract::event::EventKind;
use crate::delivery::{
    BUSY_AGAIN_DELAY, BUSY_AGAIN_MAX, BounceClass, DeliveryInput, DeliveryProgress, FULL_BOUNCES_MAX,
    FULL_BOUNCES_PERIOD, Outcome,
};
use crate::ids::RecordId;
use crate::store::deliveries::{BOUNCES_MAX, NewBounce, SUSPENDED_MAX, SUSPENDED_PREFIX};
use crate::store::{StoreError, from_ms, to_ms};

impl Backend {
    pub(in crate::store) async fn apply_bounce(
        &self,
        bounce: &NewBounce,
        now: Timestamp,
    ) -> Result<BounceOutcome, StoreError> {
        let mut transaction = self.begin().await?;
        let row = match bounce.delivery {
            Some(delivery) => locked_row(&mut transaction, delivery).await?,
            None => None,
        };
        let failure = matches!(bounce.kind, BounceKind::Failed | BounceKind::Busy | BounceKind::Complaint);
        let class = failure.then(|| match bounce.kind {
            BounceKind::Complaint => BounceClass::Policy,
            _ => BounceClass::of(bounce.status.as_deref(), &bounce.text),
        });
        if !insert(&mut transaction, bounce, row.as_ref(), class, now).await? {
            return Ok(BounceOutcome::Duplicate);
        }
        let Some(row) = row else {
            // An answer of a machine is no fault of anybody's.
            if bounce.kind != BounceKind::AutoReply {
                let data = json!({
                    "kind": bounce.kind.as_str(), "status": bounce.status, "source": bounce.source,
                });
                house_notices::note(&mut transaction, EventKind::BounceUnmatched, &data, now).await?;
            }
            transaction.commit().await?;
            return Ok(BounceOutcome::Unmatched);
        };
        let (error, status) = (bounce.text.clone(), bounce.status.clone());
        let input = match (bounce.kind, class) {
            (BounceKind::Busy, _) => Some(DeliveryInput::BouncedLater { error, status }),
            (BounceKind::Failed, Some(class)) if class != BounceClass::Transient => {
                Some(DeliveryInput::BouncedLater { error, status })
            }
            (BounceKind::Delivered, _) => Some(DeliveryInput::Confirmed),
            _ => None,
        };
        let outcome = input.map_or(Outcome::Unchanged, |input| row.progress.apply(input, now, 0));
        let outcome = match outcome {
            Outcome::Changed(next) if write_progress(&mut transaction, &row, &next, now).await? => {
                if bounce.kind == BounceKind::Busy && again_after_busy(&mut transaction, &row, now).await? {
                    write_summary(&mut transaction, row.message, now).await?;
                    transaction.commit().await?;
                    return Ok(BounceOutcome::Applied);
                }
                after_change(&mut transaction, &row, &next, now).await?;
                write_summary(&mut transaction, row.message, now).await?;
                BounceOutcome::Applied
            }
            _ => {
                note(&mut transaction, &row, bounce, now).await?;
                BounceOutcome::Noted
            }
        };
        transaction.commit().await?;
        Ok(outcome)
    }

    pub(in crate::store) async fn bounces(&self, unmatched: bool) -> Result<Vec<Bounce>, StoreError> {
        let rows = sqlx::query(if unmatched {
            "SELECT b.*, d.message_id FROM bounces AS b LEFT JOIN deliveries AS d ON d.id = b.delivery_id
             WHERE b.delivery_id IS NULL ORDER BY b.at_ms DESC, b.id DESC LIMIT $1"
        } else {
            "SELECT b.*, d.message_id FROM bounces AS b LEFT JOIN deliveries AS d ON d.id = b.delivery_id
             ORDER BY b.at_ms DESC, b.id DESC LIMIT $1"
        })
        .bind(i64::from(BOUNCES_MAX))
        .fetch_all(self.readers())
        .await?;
        Ok(rows.iter().map(bounce_of).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn suspended_addresses(&self) -> Result<Vec<SuspendedAddress>, StoreError> {
        let rows = sqlx::query("SELECT * FROM suspended_addresses ORDER BY since_ms DESC, address LIMIT $1")
            .bind(i64::from(SUSPENDED_MAX))
            .fetch_all(self.readers())
            .await?;
        let suspended = |row: &DbRow| {
            Ok(SuspendedAddress {
                channel: row.try_get("channel")?,
                address: row.try_get("address")?,
                since: from_ms(row.try_get("since_ms")?),
                why: row.try_get("why")?,
            })
        };
        Ok(rows.iter().map(suspended).collect::<Result<_, sqlx::Error>>()?)
    }

    pub(in crate::store) async fn resume_address(&self, address: &str) -> Result<bool, StoreError> {
        let mut write = self.write_once().await?;
        Ok(resume(&mut write, address).await?)
    }
}

/// Ends the suspension of an address; false if there was none.
pub(super) async fn resume(db: &mut DbConnection, address: &str) -> Result<bool, sqlx::Error> {
    // The address of one channel is none of another.
    let done = sqlx::query(
        "DELETE FROM suspended_addresses WHERE address = $1
            AND channel IN ('mail', 'slack', 'teams', 'chatwork', 'line_works', 'line_works_bot', 'google_chat', 'sms', 'fax')",
    )
    .bind(address)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// After the mail server refused the recipient of a delivery: what that says about the address.
pub(super) async fn note_refusal(
    db: &mut DbConnection,
    row: &LockedRow,
    next: &DeliveryProgress,
    now: Timestamp,
) -> Result<(), StoreError> {
    if next.error.as_deref().is_some_and(|error| error.starts_with(SUSPENDED_PREFIX)) {
        // Nobody was asked.
        return Ok(());
    }
    let refusal = NewBounce {
        delivery: Some(row.id),
        kind: BounceKind::Failed,
        status: next.status.clone(),
        recipient: Some(row.address.clone()),
        text: next.error.clone().unwrap_or_default(),
        source: if row.channel == "mail" { "smtp" } else { "chat" },
        fingerprint: Sha256::digest(to_ms(now).to_be_bytes()).into(),
    };
    let class = BounceClass::of(next.status.as_deref(), &refusal.text);
    insert(db, &refusal, Some(row), Some(class), now).await?;
    Ok(())
}

/// Makes another delivery to a number whose line was busy; false if that was tried often enough, or nobody needs it any more. The
/// message's route goes on with the last one.
async fn again_after_busy(
    db: &mut DbConnection,
    row: &LockedRow,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !row.is_wanted || row.is_withdrawn {
        return Ok(false);
    }
    let due = now.checked_add(BUSY_AGAIN_DELAY).unwrap_or(now);
    let give_up = due.checked_add(row.give_up_delay).unwrap_or(due);
    let made = sqlx::query(
        "INSERT INTO deliveries (id, message_id, revision, account_id, contact_id, endpoint_id, channel, server, address,
            urgency, state, again, next_ms, give_up_ms, created_ms, changed_ms, asked)
         SELECT $2, message_id, revision, account_id, contact_id, endpoint_id, channel, server, address, urgency,
            'queued', again + 1, $3, $4, $5, $5, asked FROM deliveries WHERE id = $1 AND again < $6
         ON CONFLICT DO NOTHING",
    )
    .bind(row.id)
    .bind(RecordId(Uuid::now_v7()))
    .bind(to_ms(due))
    .bind(to_ms(give_up))
    .bind(to_ms(now))
    .bind(i64::from(BUSY_AGAIN_MAX))
    .execute(db)
    .await?;
    Ok(made.rows_affected() > 0)
}

/// A delivery has changed: the address that returned it may be suspended, and the message's route goes on.
pub(super) async fn after_change(
    db: &mut DbConnection,
    row: &LockedRow,
    next: &DeliveryProgress,
    now: Timestamp,
) -> Result<(), StoreError> {
    if next.state == DeliveryState::Bounced {
        let text = next.error.as_deref().unwrap_or_default();
        let class = BounceClass::of(next.status.as_deref(), text);
        let is_suspended = match class {
            BounceClass::Gone => true,
            BounceClass::Full => is_often_full(&mut *db, &row.address, now).await?,
            _ => false,
        };
        if is_suspended && !row.address.is_empty() {
            let status = next.status.as_deref().filter(|status| !text.contains(status)).unwrap_or_default();
            suspend(&mut *db, row, format!("{status} {text}").trim(), now).await?;
        }
    }
    if let Some(asked) = row.asked.filter(|_| row.is_wanted) {
        delivery_changed(&mut *db, row.message, asked, next.state, now).await?;
    }
    if row.is_digest && next.state.is_final() { settle_items(db, row.message, now).await } else { Ok(()) }
}

async fn suspend(
    db: &mut DbConnection,
    row: &LockedRow,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO suspended_addresses (channel, address, since_ms, why) VALUES ($1, $2, $3, $4)
         ON CONFLICT (channel, address) DO NOTHING",
    )
    .bind(&row.channel)
    .bind(&row.address)
    .bind(to_ms(now))
    .bind(cleaned(why))
    .execute(db)
    .await?;
    Ok(())
}

/// Whether a mailbox was full so often that nothing more is sent there.
async fn is_often_full(db: &mut DbConnection, address: &str, now: Timestamp) -> Result<bool, StoreError> {
    let since = now.checked_sub(FULL_BOUNCES_PERIOD).unwrap_or(Timestamp::MIN);
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM bounces AS b JOIN deliveries AS d ON d.id = b.delivery_id
         WHERE b.at_ms >= $2 AND b.class = 'full' AND d.address = $1",
    )
    .bind(address)
    .bind(to_ms(since))
    .fetch_one(db)
    .await?;
    Ok(count >= i64::from(FULL_BOUNCES_MAX))
}

/// Writes a report down; false if it was known. One delivery counts a report once for each time that it was queued.
async fn insert(
    db: &mut DbConnection,
    bounce: &NewBounce,
    row: Option<&LockedRow>,
    class: Option<BounceClass>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let mut fingerprint = Sha256::new();
    if let Some(row) = row {
        fingerprint.update(row.id.0.as_bytes());
        fingerprint.update(to_ms(row.progress.give_up_at).to_be_bytes());
        fingerprint.update(bounce.kind.as_str());
        fingerprint.update(bounce.status.as_deref().unwrap_or_default());
    }
    if row.is_none() || matches!(bounce.source, "smtp" | "chat") {
        fingerprint.update(bounce.fingerprint);
    }
    let inserted = sqlx::query(
        "INSERT INTO bounces (id, at_ms, delivery_id, kind, class, status, recipient, text, source, fingerprint)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (fingerprint) DO NOTHING",
    )
    .bind(RecordId(Uuid::now_v7()))
    .bind(to_ms(now))
    .bind(row.map(|row| row.id))
    .bind(bounce.kind.as_str())
    .bind(class.map(BounceClass::as_str))
    .bind(&bounce.status)
    .bind(bounce.recipient.as_deref().map(cleaned))
    .bind(cleaned(&bounce.text))
    .bind(bounce.source)
    .bind(fingerprint.finalize().to_vec())
    .execute(&mut *db)
    .await?;
    let is_new = inserted.rows_affected() > 0;
    if let (true, Some(BounceClass::Policy), Some(row)) = (is_new, class, row) {
        // Not the address is at fault, but the sender: an administrator must look.
        let data = json!({
            "kind": bounce.kind.as_str(), "status": bounce.status, "source": bounce.source, "delivery": row.id,
            "message": row.message,
        });
        house_notices::note(db, EventKind::BouncePolicy, &data, now).await?;
    }
    Ok(is_new)
}

/// What changes nothing stands in the history of the delivery.
async fn note(
    db: &mut DbConnection,
    row: &LockedRow,
    bounce: &NewBounce,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO delivery_log (delivery_id, at_ms, state, detail) VALUES ($1, $2, $3, $4)")
        .bind(row.id)
        .bind(to_ms(now))
        .bind(row.progress.state.as_str())
        .bind(cleaned(&format!("{}: {}", bounce.kind.as_str(), bounce.text)))
        .execute(db)
        .await?;
    Ok(())
}

fn bounce_of(row: &DbRow) -> Result<Bounce, sqlx::Error> {
    Ok(Bounce {
        id: row.try_get("id")?,
        at: from_ms(row.try_get("at_ms")?),
        delivery: row.try_get("delivery_id")?,
        message: row.try_get("message_id")?,
        kind: BounceKind::parse(row.try_get("kind")?).unwrap_or(BounceKind::Unknown),
        class: row.try_get("class")?,
        status: row.try_get("status")?,
        recipient: row.try_get("recipient")?,
        text: row.try_get("text")?,
        source: row.try_get("source")?,
    })
}
